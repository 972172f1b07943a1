"""What a page says of one kind of result: a question, what was found, and what that cannot say."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Estimate(NamedTuple):
    """A number with the interval in which it lies, as a cell of a table.

    Attributes:
        value: The number.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


class UnitCell(NamedTuple):
    """A unit of a layer as a cell of a table, which a page links to what it knows of the unit.

    Attributes:
        layer: Name of the layer.
        unit: The unit, counted from 0.
    """

    layer: str
    unit: int


Cell = str | int | float | bool | Estimate | UnitCell | None
"""A cell of a table; None where nothing is known."""


class PageTable(NamedTuple):
    """Rows below a header, which a page sorts by any column.

    Attributes:
        caption: What the table shows.
        header: Names of the columns.
        rows: Cells.
        note: Where the whole table is, if these are not all rows.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str | None = None


class PageFigure(NamedTuple):
    """A picture with a caption.

    Attributes:
        caption: What it shows.
        alt: What is to be seen in it, in words, for those who cannot see it.
        file: The picture, PNG or SVG.
    """

    caption: str
    alt: str
    file: Path


class KeyFigure(NamedTuple):
    """A number that a page shows large.

    Attributes:
        label: What it is.
        value: The number, as text.
        note: Its interval, or what it is measured on.
    """

    label: str
    value: str
    note: str | None = None


class PageSection(NamedTuple):
    """A part of a page: one kind of result.

    Attributes:
        title: Its heading.
        question: What was asked, and how, in a few sentences.
        found: Paragraphs of what was found. Text between backticks is code.
        content: Tables and figures.
        limits: Paragraphs of what this cannot say.
        facts: Numbers to be shown large.
        command: The command that made the results, to copy; None where that is not known.
        layer: Name of the layer of its units, if they are all of one.
        run: Id of the dissection of the same network that a site shows, to whose units cells lead.
    """

    title: str
    question: str
    found: Sequence[str]
    content: Sequence[PageTable | PageFigure]
    limits: Sequence[str]
    facts: Sequence[KeyFigure] = ()
    command: str | None = None
    layer: str | None = None
    run: str | None = None
