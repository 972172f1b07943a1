"""Sheets of images in rows and columns, with names beside them.

Shapes: R rows, C columns, H W pixels.
"""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxdissect.arrays.names import printable
from jaxdissect.plots.fonts import sans_serif

if TYPE_CHECKING:
    from PIL import Image

_GAP, _FONT_SIZE = 4, 15  # pixels


def draw_grid(
    images: Float[np.ndarray, "R C H W 3"],
    *,
    scale: int = 2,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> "Image.Image":
    """Lay images out in rows and columns.

    Args:
        images: RGB in [0, 1].
        scale: Whole factor of enlargement.
        rows: A name for each row, on its left; none if empty.
        columns: A name for each column, above it; none if empty. Names must fit their columns.
    """
    from PIL import Image, ImageDraw

    rows, columns = ([printable(name) for name in names] for names in (rows, columns))
    enlarged = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    enlarged = enlarged.repeat(scale, axis=2).repeat(scale, axis=3)
    num_rows, num_columns, height, width, _ = enlarged.shape
    face = sans_serif(_FONT_SIZE)
    left = max((int(face.getlength(name)) + 3 * _GAP for name in rows), default=0)
    top = 2 * _FONT_SIZE if columns else 0
    size = (left + num_columns * (width + _GAP), top + num_rows * (height + _GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row in range(num_rows):
        y = top + row * (height + _GAP)
        if rows:
            draw.text((_GAP, y + height / 2), rows[row], "black", face, anchor="lm")
        for column in range(num_columns):
            place = (left + column * (width + _GAP), y)
            sheet.paste(Image.fromarray(enlarged[row, column]), place)
    for column, name in enumerate(columns):
        x = left + column * (width + _GAP) + width / 2
        draw.text((x, top / 2), name, "black", face, anchor="mm")
    return sheet


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
