"""The picture of README and of the first page: `python docs/build/units_picture.py` draws it anew.

Six units of the last convolution of the scene classifier, the best of six different concepts, each
with the pictures of 640 that excite it most.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxdissect.plots.fonts import sans_serif

import jaxdissect as jd
from jaxdissect.plots.unit_strips import lit_images
from jaxdissect.scenes import load_classifier, scene_vocabulary, scenes_dataset

if TYPE_CHECKING:
    from PIL import Image

PICTURE = Path(__file__).resolve().parents[1] / "images" / "units.png"
LAYER, CONCEPTS, PICTURES = "features.relu4_2", 6, 6
CELL, GAP, LABEL = 96, 6, 190  # pixels


def main() -> None:
    """Dissect, and draw."""
    network, scenes = load_classifier(), scenes_dataset(640, seed=1)
    labels = jd.together(jd.annotated(scene_vocabulary()), jd.colored())
    result = jd.dissect(network, scenes, labels, layers=LAYER, num_top_images=PICTURES)
    layer = result[LAYER]
    best: dict[int, int] = {}
    for unit in layer.detectors().tolist():
        best.setdefault(int(layer.best_concept[unit]), unit)
    units = list(best.values())[:CONCEPTS]
    strips = jd.dissection.top_images(result, network, scenes, units={LAYER: units})
    draw(strips[LAYER]).save(PICTURE, optimize=True)


def draw(strips: "list[jd.dissection.UnitImages]") -> "Image.Image":
    """Draw a row for every unit, in few colors, so that the file is small."""
    from PIL import Image, ImageDraw

    width = LABEL + PICTURES * (CELL + GAP) - GAP
    sheet = Image.new("RGB", (width, len(strips) * (CELL + GAP) - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, strip in enumerate(strips):
        top = row * (CELL + GAP)
        lines = (
            (strip.concept, "black", 19),
            (f"unit {strip.unit}, IoU {strip.iou:.2f}", "#555", 14),
        )
        for (text, color, size), shift in zip(lines, (-11, 13), strict=True):
            draw.text((4, top + CELL / 2 + shift), text, color, sans_serif(size), anchor="lm")
        for column, image in enumerate(np.asarray(lit_images(strip))):
            picture = Image.fromarray(image).resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(picture, (LABEL + column * (CELL + GAP), top))
    return sheet.quantize(128, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
