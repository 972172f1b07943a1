"""Write tables as CSV, JSON, Parquet, and as text for a terminal.

Names in tables come from elsewhere: what is not meant to be read is written as backslash escapes,
and in CSV what a spreadsheet would compute is marked as text (see `jaxdissect.arrays.names`).
"""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxdissect.arrays.names import csv_cell, printable, shortened

_WIDEST = 60  # characters of a cell on a terminal

Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Header and rows of a table."""


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a header and rows."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows(map(csv_cell, row) for row in (header, *rows))


def write_json(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a list of objects, one per row; JSON knows no infinity, which becomes null."""
    objects = [
        {
            name: None if _is_unknown(cell) else _readable(cell)
            for name, cell in zip(header, row, strict=True)
        }
        for row in rows
    ]
    text = json.dumps(objects, indent=1, allow_nan=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")


def _readable(cell: Any) -> Any:
    return printable(cell) if isinstance(cell, str) else cell


def _is_unknown(cell: Any) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)


def write_parquet(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write columns of numbers or text."""
    import pyarrow
    from pyarrow import parquet

    columns = zip(*rows, strict=True) if rows else ((),) * len(header)
    lists = ([_readable(cell) for cell in column] for column in columns)
    parquet.write_table(pyarrow.table(dict(zip(header, lists, strict=True))), path)


WRITERS = {"csv": write_csv, "json": write_json, "parquet": write_parquet}
"""How tables are written, by the ending of the file."""


def finite_or_none(value: float) -> float | None:
    """Return a number, or None if it is infinite or NaN, which neither JSON nor a table shows."""
    return float(value) if math.isfinite(value) else None


def four_digits(rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Write fractions in four significant digits, what is unknown as a dash, and the rest as is."""
    return _as_text(rows, ".4g")


def three_decimals(rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Write fractions in three decimals, what is unknown as a dash, and the rest as is."""
    return _as_text(rows, ".3f")


def _as_text(rows: Sequence[Sequence[Any]], form: str) -> list[tuple[str, ...]]:
    return [
        tuple(
            format(cell, form) if isinstance(cell, float) and math.isfinite(cell) else _shown(cell)
            for cell in row
        )
        for row in rows
    ]


def _shown(cell: Any) -> str:
    """Write a cell in one line; what is not known is a dash."""
    return "-" if cell is None or _is_unknown(cell) else printable(str(cell))


def aligned(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lay out rows in columns, numbers to the right."""
    columns = [
        [shortened(_shown(cell), _WIDEST) for cell in column] for column in zip(*rows, strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    to_right = [len(column) > 1 and column[1][:1].isdigit() for column in columns]
    for cells in zip(*columns, strict=True):
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, to_right, strict=True)
        )
        yield ("  " + "  ".join(padded)).rstrip()
