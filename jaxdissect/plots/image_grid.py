"""Sheets of images in rows and columns, with names beside them.

Shapes: R rows, C columns, H W pixels.
"""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxdissect.plots.image_sheet import (
    LABEL_SHARE,
    PICTURE_LABEL,
    Line,
    SheetRow,
    picture_of,
    sheet_figure,
)
from jaxdissect.plots.print_style import PAGE_WIDTH, TEXT_SIZE
from jaxdissect.plots.text_size import wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image


def grid_figure(
    images: Float[np.ndarray, "R C H W 3"],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Lay images out in rows and columns, as a figure to print.

    Args:
        images: RGB in [0, 1].
        rows: A name for each row, on its left; none if empty.
        columns: A name for each column, above it; none if empty.
        width: Width of the figure in inches.
    """
    sheet_rows = _sheet_rows(images, rows, LABEL_SHARE * width)
    return sheet_figure(sheet_rows, columns=columns, width=width)


def draw_grid(
    images: Float[np.ndarray, "R C H W 3"],
    *,
    scale: int = 2,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> "Image.Image":
    """Lay images out in rows and columns, as a picture.

    Args:
        images: RGB in [0, 1].
        scale: Whole factor of enlargement.
        rows: A name for each row, on its left; none if empty.
        columns: A name for each column, above it; none if empty.
    """
    height, width = images.shape[2:4]
    cell = (scale * height, scale * width)
    sheet_rows = _sheet_rows(images, rows, PICTURE_LABEL)
    return picture_of(sheet_figure(sheet_rows, columns=columns, cell=cell))


def _sheet_rows(
    images: Float[np.ndarray, "R C H W 3"], names: Sequence[str], room: float
) -> list[SheetRow]:
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    lines = [[Line(line) for line in wrapped(name, TEXT_SIZE, room)] for name in names]
    lines = lines or [[] for _ in pixels]
    return [SheetRow(list(row), beside) for row, beside in zip(pixels, lines, strict=True)]


def paint_labels(labels: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
    """Give every label id a colour of its own, as different as may be; 0 is black."""
    return _palette(int(labels.max(initial=0)) + 1)[labels] / 255


def _palette(number: int) -> UInt8[np.ndarray, "number 3"]:
    # Hues a golden section apart are never close to one another for long.
    colors = [(0.0, 0.0, 0.0)]
    for i in range(1, number):
        colors.append(
            colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.45 + 0.4 * (i % 2), 0.95 - 0.15 * (i % 3))
        )
    return np.rint(np.array(colors) * 255).astype(np.uint8)
