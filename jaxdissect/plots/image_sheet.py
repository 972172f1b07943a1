"""Sheets of images in rows, with texts beside, above and below them: as figures and as pictures.

A sheet is one picture of all images with text over it, so that in SVG and PDF text stays text and
images keep their pixels. Lengths are in inches unless they are said to be in pixels.

Shapes: H W pixels of an image, h w pixels of a cell.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxdissect.plots.print_style import (
    EDGE,
    LINE,
    PAGE_WIDTH,
    RESOLUTION,
    TEXT_SIZE,
    TITLE_LINE,
    TITLE_SIZE,
    printed,
)
from jaxdissect.plots.text_size import fitted, text_width, wrapped

if TYPE_CHECKING:
    from PIL import Image

    from jaxdissect.plots.plain_figure import PlainFigure

PICTURE_RESOLUTION = 150
"""Pixels per inch of text on pictures, which are looked at on screens."""

_GAP = 0.04  # between images
_LARGEST_CELL = 1.3
LABEL_SHARE, PICTURE_LABEL = 0.24, 1.6
"""Widths of labels beside rows: the part of a figure that they may take, and on pictures."""

Cell = tuple[int, int]
"""Height and width of a cell in pixels."""


class Line(NamedTuple):
    """A line of text.

    Attributes:
        text: What it says; what is too long is cut.
        color: Its colour.
        keep: What stands behind it and is never cut.
    """

    text: str
    color: str = "black"
    keep: str = ""

    @property
    def width(self) -> float:
        """Its length when nothing is cut."""
        return text_width(self.text, TEXT_SIZE) + text_width(self.keep, TEXT_SIZE)

    def within(self, room: float) -> str:
        """What is left of it in a room; it may stand out by what renderers differ by."""
        if self.width <= room + 1e-6:
            return self.text + self.keep
        return fitted(self.text, TEXT_SIZE, room - text_width(self.keep, TEXT_SIZE)) + self.keep


class SheetRow(NamedTuple):
    """A row of a sheet.

    Attributes:
        images: The images, RGB, of any sizes [H, W, 3]; each is fitted into its cell.
        beside: Lines on the left of the images.
        above: A text above them, broken into lines.
    """

    images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    beside: Sequence[Line] = ()
    above: str = ""


class _Layout(NamedTuple):
    """Where things stand; from the top and the left.

    Attributes:
        width: Of the sheet.
        label: Width of the labels on the left.
        cell: Of an image, in pixels.
        resolution: Pixels per inch.
    """

    width: float
    label: float
    cell: Cell
    resolution: int

    @property
    def pitch(self) -> tuple[float, float]:
        """From a cell to the next, down and across."""
        height, width = self.cell
        return height / self.resolution + _GAP, width / self.resolution + _GAP


@printed
def sheet_figure(
    rows: Sequence[SheetRow],
    *,
    columns: Sequence[str] = (),
    title: str = "",
    width: float = PAGE_WIDTH,
    cell: Cell | None = None,
    below: float = 0.0,
) -> "PlainFigure":
    """Lay out rows of images with their texts.

    Args:
        rows: The rows, from the top down.
        columns: A name for each column, above the first row; none if empty.
        title: What stands above everything.
        width: Width of the sheet in inches; not read if `cell` is given.
        cell: Size of every cell in pixels, for sheets that are pictures; otherwise cells share the
            width.
        below: Room to leave free below the images, in inches.
    """
    from jaxdissect.plots.plain_figure import PlainFigure

    layout = _layout(rows, width, cell)
    down, across = layout.pitch
    heads = [wrapped(title, TITLE_SIZE, layout.width - 2 * EDGE, bold=True)] if title else []
    top = EDGE + sum(TITLE_LINE * len(lines) for lines in heads)
    longest = max((text_width(name, TEXT_SIZE) for name in columns), default=0.0)
    upright = longest > across - _GAP
    head = (longest + 2 * EDGE if upright else LINE) if columns else 0.0
    above = [wrapped(row.above, TEXT_SIZE, layout.width - 2 * EDGE) for row in rows]
    heights = [
        LINE * len(lines) * bool(row.above) + max(down, LINE * len(row.beside) + _GAP)
        for row, lines in zip(rows, above, strict=True)
    ]
    height = top + head + sum(heights) + below
    resolution = layout.resolution
    size = (round(height * resolution), round(layout.width * resolution))
    height = size[0] / resolution
    canvas = np.full((*size, 3), 255, np.uint8)
    figure = PlainFigure(figsize=(size[1] / resolution, height), dpi=resolution)
    axes = figure.add_axes((0, 0, 1, 1), label="images")
    axes.set_axis_off()

    def write(x: float, y: float, text: str, **style: object) -> None:
        style = {"va": "center", "fontsize": TEXT_SIZE} | style
        figure.text(x / layout.width, 1 - y / height, text, **style)  # type: ignore[arg-type]

    for lines in heads:
        place = EDGE + TITLE_LINE * len(lines) / 2
        write(EDGE, place, "\n".join(lines), fontsize=TITLE_SIZE, fontweight="bold")
    for column, name in enumerate(columns):
        x = layout.label + column * across + (across - _GAP) / 2
        style = {"rotation": 90, "va": "bottom"} if upright else {}
        write(x, top + (head - EDGE if upright else head / 2), name, ha="center", **style)
    y = top + head
    for row, lines, row_height in zip(rows, above, heights, strict=True):
        if row.above:
            write(EDGE, y + LINE * len(lines) / 2, "\n".join(lines))
        images_top = y + LINE * len(lines) * bool(row.above)
        middle = images_top + (row_height - (images_top - y) - _GAP) / 2
        for number, line in enumerate(row.beside):
            place = middle + LINE * (number - (len(row.beside) - 1) / 2)
            write(EDGE, place, line.within(layout.label - 2 * EDGE), color=line.color)
        cell_top = round((middle - (down - _GAP) / 2) * resolution)
        for column, image in enumerate(row.images):
            left = round((layout.label + column * across) * resolution)
            _paste(canvas, image, cell_top, left, layout.cell)
        y += row_height
    axes.imshow(canvas, interpolation="none", aspect="auto")
    return figure


def picture_of(figure: "PlainFigure") -> "Image.Image":
    """Draw a sheet as a picture in which every pixel of a cell is one of the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _layout(rows: Sequence[SheetRow], width: float, cell: Cell | None) -> _Layout:
    longest = max(
        (line.width for row in rows for line in row.beside),
        default=0.0,
    )
    number = max((len(row.images) for row in rows), default=1) or 1
    if cell is not None:
        label = min(longest, PICTURE_LABEL) + 2 * EDGE if longest else 0.0
        label = round(label * PICTURE_RESOLUTION) / PICTURE_RESOLUTION
        across = cell[1] / PICTURE_RESOLUTION + _GAP
        return _Layout(label + number * across, label, cell, PICTURE_RESOLUTION)
    label = min(longest, LABEL_SHARE * width) + 2 * EDGE if longest else EDGE
    side = min(_LARGEST_CELL, (width - label - EDGE) / number - _GAP)
    highest = max(
        (image.shape[0] / image.shape[1] for row in rows for image in row.images), default=1.0
    )
    pixels = max(1, int(side * RESOLUTION))
    return _Layout(width, label, (max(1, round(pixels * min(highest, 2.0))), pixels), RESOLUTION)


def _paste(
    canvas: UInt8[np.ndarray, "_ _ 3"],
    image: UInt8[np.ndarray, "_ _ 3"],
    top: int,
    left: int,
    cell: Cell,
) -> None:
    """Put an image into the middle of a cell, enlarged without smoothing or shrunk with it."""
    from PIL import Image
    from PIL.Image import Resampling

    factor = min(cell[0] / image.shape[0], cell[1] / image.shape[1])
    height, width = (max(1, round(factor * side)) for side in image.shape[:2])
    if (height, width) != image.shape[:2]:
        method = Resampling.NEAREST if factor > 1 else Resampling.LANCZOS
        image = np.asarray(Image.fromarray(image).resize((width, height), method))
    top, left = top + (cell[0] - height) // 2, left + (cell[1] - width) // 2
    canvas[top : top + height, left : left + width] = image
