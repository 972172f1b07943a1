"""Strips of images: the top images of a unit, lit where the unit is active.

Shapes: H W pixels of the images, k images.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from jaxdissect.arrays.names import printable
from jaxdissect.plots.drawable import DrawableUnit
from jaxdissect.plots.fonts import sans_serif
from jaxdissect.plots.regions import highlight

if TYPE_CHECKING:
    from PIL import Image

_CELL = (128, 256)  # usual and greatest height in pixels of an image on a sheet
_LONGEST_NAME = 100  # characters of the name of a layer in that of a file, which has 255 bytes
_LABEL_WIDTH, _GAP, _FONT_SIZE, _TITLE_HEIGHT = 230, 6, 17, 34  # pixels


def lit_images(strip: DrawableUnit) -> UInt8[np.ndarray, "k H W 3"]:
    """Highlight the active region of every image of a unit."""
    thickness = max(1, round(strip.images.shape[1] / _CELL[0]))
    lit = [
        highlight(image, active, thickness=thickness)
        for image, active in zip(strip.images, strip.active, strict=True)
    ]
    return (np.stack(lit) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def draw_unit_strips(title: str, strips: Sequence[DrawableUnit]) -> "Image.Image":
    """Draw strips below one another, each with a label on its left.

    Images are enlarged by whole factors, or shrunk, to a readable height.
    """
    from PIL import Image, ImageDraw

    usual, small = sans_serif(_FONT_SIZE), sans_serif(_FONT_SIZE - 3)
    rows = [[_resized(Image.fromarray(image)) for image in lit_images(strip)] for strip in strips]
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    sheet = Image.new(
        "RGB",
        (
            _LABEL_WIDTH + columns * (width + _GAP),
            _TITLE_HEIGHT + len(rows) * (height + _GAP),
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _TITLE_HEIGHT / 2), printable(title), "black", usual, anchor="lm")
    for index, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        top = _TITLE_HEIGHT + index * (height + _GAP)
        concept = _shortened(
            printable(strip.concept), lambda text: usual.getlength(text) < _LABEL_WIDTH - 12
        )
        below = "" if strip.detects else ", no detector"
        lines = (
            (f"unit {strip.unit}", "#555555", small),
            (concept, "black", usual),
            (f"{printable(strip.category)}, IoU {strip.iou:.3f}{below}", "#555555", small),
        )
        for line, (text, color, line_font) in enumerate(lines):
            place = (_GAP, top + height / 2 + (line - 1) * (_FONT_SIZE + 7))
            draw.text(place, text, color, line_font, anchor="lm")
        for column, image in enumerate(row):
            sheet.paste(image, (_LABEL_WIDTH + column * (width + _GAP), top))
    return sheet


def save_unit_strips(
    folder: Path, strips: Mapping[str, Sequence[DrawableUnit]], *, prefix: str = "top_units"
) -> None:
    """Draw a sheet for every layer that has strips, and write it as PNG.

    Args:
        folder: Where to write.
        strips: Units and their images, by layer.
        prefix: Beginning of the names of the files, which go on with the name of the layer.
    """
    for name, layer in file_names(strips, prefix=prefix).items():
        draw_unit_strips(layer, strips[layer]).save(folder / name)


def file_names(
    strips: Mapping[str, Sequence[DrawableUnit]], *, prefix: str = "top_units"
) -> dict[str, str]:
    """Name an image file for every layer that has strips: layers by file name, all different."""
    layers: dict[str, str] = {}
    for layer in (layer for layer, rows in strips.items() if rows):
        stem = f"{prefix}_" + re.sub(r"[^\w.-]+", "_", layer)[:_LONGEST_NAME]
        while f"{stem}.png" in layers:
            stem += "_"
        layers[f"{stem}.png"] = layer
    return layers


def _resized(image: "Image.Image") -> "Image.Image":
    """Bring an image to a height near `_CELL`."""
    from PIL.Image import Resampling

    usual, greatest = _CELL
    factor = round(usual / image.height)
    if factor > 1:
        return image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    if image.height > greatest:
        width = max(1, round(image.width * greatest / image.height))
        return image.resize((width, greatest), Resampling.LANCZOS)
    return image


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    """Cut the end of a text that does not fit."""
    if fits(text):
        return text
    return next(f"{text[:end]}…" for end in range(len(text), -1, -1) if fits(f"{text[:end]}…"))
