"""Strips of images: the top images of a unit, lit where the unit is active.

Shapes: H W pixels of the images, k images.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from jaxdissect.plots.drawable import DrawableUnit
from jaxdissect.plots.figure_files import save_figure
from jaxdissect.plots.image_sheet import Cell, Line, SheetRow, picture_of, sheet_figure
from jaxdissect.plots.print_style import COLUMN_WIDTH, GRAY, PAGE_WIDTH, printed
from jaxdissect.plots.regions import highlight

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

_CELL = (128, 256)  # usual and greatest height in pixels of an image on a picture
_LONGEST_NAME = 100  # characters of the name of a layer in that of a file, which has 255 bytes
_NARROW = (COLUMN_WIDTH + PAGE_WIDTH) / 2  # labels stand above strips that are not as wide


def lit_images(strip: DrawableUnit) -> UInt8[np.ndarray, "k H W 3"]:
    """Highlight the active region of every image of a unit."""
    thickness = max(1, round(strip.images.shape[1] / _CELL[0]))
    lit = [
        highlight(image, active, thickness=thickness)
        for image, active in zip(strip.images, strip.active, strict=True)
    ]
    return (np.stack(lit) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def strip_figure(
    title: str, strips: Sequence[DrawableUnit], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw strips below one another, as a figure to print.

    Every strip says its layer, unit, concept and IoU: on its left, or above it in a figure that is
    no wider than a column.

    Args:
        title: What stands above the strips; nothing if empty.
        strips: Units and their images.
        width: Width of the figure in inches.
    """
    rows = [_row(strip, above=width < _NARROW) for strip in strips]
    return sheet_figure(rows, title=title, width=width)


def draw_unit_strips(title: str, strips: Sequence[DrawableUnit]) -> "Image.Image":
    """Draw strips below one another as a picture, each with a label on its left.

    Images are enlarged by whole factors, or shrunk, to a readable height.

    Args:
        title: What stands above the strips; nothing if empty.
        strips: Units and their images.
    """
    rows = [_row(strip) for strip in strips]
    cell = _readable(*strips[0].images.shape[1:3])
    return picture_of(sheet_figure(rows, title=title, cell=cell))


def save_unit_strips(
    folder: Path,
    strips: Mapping[str, Sequence[DrawableUnit]],
    *,
    prefix: str = "top_units",
    formats: Sequence[str] = ("png",),
    width: float = PAGE_WIDTH,
) -> None:
    """Draw a sheet for every layer that has strips, and write it.

    Args:
        folder: Where to write.
        strips: Units and their images, by layer.
        prefix: Beginning of the names of the files, which go on with the name of the layer.
        formats: png, svg or pdf, a file for each.
        width: Width of the sheets in inches.
    """
    for name, layer in file_names(strips, prefix=prefix).items():
        title = "" if all(strip.layer for strip in strips[layer]) else layer
        figure = strip_figure(title, strips[layer], width=width)
        for ending in formats:
            save_figure((folder / name).with_suffix(f".{ending}"), figure)


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


@printed
def unit_figure(
    strip: DrawableUnit,
    *,
    patches: Sequence[UInt8[np.ndarray, "_ _ 3"]] = (),
    concepts: Sequence[tuple[str, str, float]] = (),
    min_iou: float | None = None,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw one unit: its images, parts of images, and how well it matches concepts.

    Args:
        strip: The unit and its images.
        patches: Parts of images of any sizes, RGB, such as the top patches.
        concepts: Name, category and IoU of some concepts, best first.
        min_iou: The unit is a detector above this IoU, which is drawn as a line.
        width: Width of the figure in inches.
    """
    from jaxdissect.plots.concept_bars import concept_bars, height_of_concept_bars

    rows = [SheetRow(list(lit_images(strip)))]
    if patches:
        rows.append(SheetRow(list(patches)))
    figure = sheet_figure(
        rows, title=_one_line(strip), width=width, below=height_of_concept_bars(len(concepts))
    )
    if concepts:
        concept_bars(figure, concepts, min_iou=min_iou)
    return figure


def _row(strip: DrawableUnit, *, above: bool = False) -> SheetRow:
    images = list(lit_images(strip))
    if above:
        return SheetRow(images, above=_one_line(strip))
    unit = f"unit {strip.unit}"
    place = Line(strip.layer, GRAY, f" {unit}") if strip.layer else Line(unit, GRAY)
    below = "" if strip.detects else ", no detector"
    match = Line(strip.category, GRAY, f", IoU {strip.iou:.3f}{below}")
    return SheetRow(images, (place, Line(strip.concept), match))


def _one_line(strip: DrawableUnit) -> str:
    place = f"{strip.layer} unit {strip.unit}" if strip.layer else f"unit {strip.unit}"
    below = "" if strip.detects else ", no detector"
    return f"{place}: {strip.concept} ({strip.category}), IoU {strip.iou:.3f}{below}"


def _readable(height: int, width: int) -> Cell:
    """Find a size near `_CELL` at which images of a size are shown."""
    usual, greatest = _CELL
    if (factor := round(usual / height)) > 1:
        return height * factor, width * factor
    if height > greatest:
        return greatest, max(1, round(width * greatest / height))
    return height, width
