"""The picture of README and of the first page: `python docs/build/units_picture.py` draws it anew.

Six units of the last convolution of the scene classifier, the best of six different concepts, each
with the pictures of 640 that excite it most.
"""

from pathlib import Path

from PIL import Image

import jaxdissect as jd
from jaxdissect.scenes import load_classifier, scene_vocabulary, scenes_dataset

PICTURE = Path(__file__).resolve().parents[1] / "images" / "units.png"
LAYER, CONCEPTS, PICTURES = "features.relu4_2", 6, 6


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
    sheet = jd.plots.draw_unit_strips("", strips[LAYER])
    # In few colours the file is small.
    sheet.quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
