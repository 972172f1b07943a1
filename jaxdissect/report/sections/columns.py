"""Tables of a page made of columns of the tables in a folder, as far as the folder has them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jaxdissect.report.page_section import Cell, Estimate, PageTable, UnitCell
from jaxdissect.report.sections.result_folder import ResultFolder, Row

MOST_ROWS = 400
"""Rows of a table of a page; a network of Places has 365 classes."""


class Column(NamedTuple):
    """A column of a table of a page.

    Attributes:
        header: Its name on the page.
        source: Its name in the file.
        ends: Names in the file of the ends of its interval.
        half_width: Name in the file of what is to be added and subtracted to get the interval.
        is_text: Whether it holds names, which may look like numbers.
        is_unit: Whether it holds units.
    """

    header: str
    source: str
    ends: tuple[str, str] | None = None
    half_width: str | None = None
    is_text: bool = False
    is_unit: bool = False

    def cell(self, row: Row, layer: str | None) -> Cell:
        """Return the cell of a row.

        Args:
            row: The row of the file.
            layer: Name of the layer of the units; None if the row names it, or it is not known.
        """
        value = known(row.get(self.source))
        if isinstance(value, str | bool) or value is None:
            return value
        home = row.get("layer") if layer is None else layer
        if self.is_unit and isinstance(home, str) and isinstance(value, int):
            return UnitCell(home, value)
        low = high = None
        if self.ends is not None:
            low, high = (number_of(row, end) for end in self.ends)
        elif self.half_width is not None:
            half = number_of(row, self.half_width)
            low, high = (None, None) if half is None else (value - half, value + half)
        return value if low is None or high is None else Estimate(value, low, high)


def text(header: str, source: str | None = None) -> Column:
    """Describe a column of names."""
    return Column(header, source or header, is_text=True)


def unit(header: str = "unit", source: str = "unit") -> Column:
    """Describe a column of units."""
    return Column(header, source, is_unit=True)


def known(cell: object) -> str | int | float | bool | None:
    """Return a cell of a file, or None if it is no number, or not of a kind that tables have."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell if isinstance(cell, str | int | float | bool) else None


def number_of(row: Row, name: str) -> int | float | None:
    """Return a number of a row; None where there is none."""
    value = known(row.get(name))
    return None if isinstance(value, str | bool) else value


def page_table(
    folder: ResultFolder,
    name: str,
    caption: str,
    columns: Sequence[Column],
    *,
    layer: str | None = None,
    keep: Callable[[Row], bool] = lambda row: True,
    order: Callable[[Row], Any] | None = None,
    most: int = MOST_ROWS,
) -> list[PageTable]:
    """Make a table of a page of a table in a folder.

    Args:
        folder: The folder.
        name: Name of the table in the folder.
        caption: What the rows show.
        columns: Columns; those that the folder's table lacks are left out.
        layer: Name of the layer of the units; None if rows name it.
        keep: Says which rows are shown.
        order: What the rows are ordered by; by default they stay as they are.
        most: How many rows are shown, from the first.

    Returns:
        The table; nothing if the folder does not have it, or no row of it.

    Raises:
        ValueError: If the folder's table cannot be read.
    """
    texts = frozenset(("layer", *(column.source for column in columns if column.is_text)))
    rows: Iterable[Row] = filter(keep, folder.rows(name, texts=texts))
    if order is not None:
        rows = sorted(rows, key=order)
    shown, number = [], 0
    for number, row in enumerate(rows, 1):
        if number <= most:
            shown.append(row)
    there = [column for column in columns if shown and column.source in shown[0]]
    if not there:
        return []
    note = None
    if number > most:
        file = folder.file_of_table(name)
        note = f"The first {most:,} of {number:,} rows; all of them are in `{file}`."
    cells = [tuple(column.cell(row, layer) for column in there) for row in shown]
    return [PageTable(caption, [column.header for column in there], cells, note)]
