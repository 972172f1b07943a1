"""Let the DeepLab segmenter label the photographs once, and read what it found.

    python tests/real/photograph_labels.py OUT [--every 1] [--side 128]

Writes a PNG for every photograph: 0 where nothing is recognised, i for the i-th of the 150 classes
of ADE20K. Photographs that have one already are left out, so it may be interrupted.

The photographs have names of 175 objects from people too. `class_of` says which of these are
classes of ADE20K: a name means the class of the same words, in singular or plural (`PLURALS`), or
the class that `KINDS` gives. It means none where a class is only near, as a railing to a handrail.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import jaxdissect as jd
from jaxdissect.networks.segmenters import ADE20K_OBJECTS

SEGMENTER = "deeplab_mobilenet_ade20k"
WEIGHTS = "deeplabv3_mobilenetv2_ade20k_513.tflite"
CATEGORY = "segment"
"""Of the classes of ADE20K, beside the objects of people."""

PLURALS = ("books", "bottles", "boxes", "buildings", "cabinets", "cars", "flowers", "plants")
PLURALS += ("rocks", "seats", "steps", "trees")

KINDS = {
    "billiard_table": "pool table",
    "ceiling_lamp": "lamp",
    "clothes": "apparel",
    "desk_lamp": "lamp",
    "double_door": "door",
    "extractor_hood": "hood",
    "floor_lamp": "lamp",
    "ground": "earth",
    "night_table": "table",
    "palm_tree": "palm",
    "people": "person",
    "person_sitting": "person",
    "person_standing": "person",
    "person_walking": "person",
    "picture": "painting",
    "purse": "bag",
    "river_water": "river",
    "rocky_mountain": "mountain",
    "sand_beach": "sand",
    "sea_water": "sea",
    "shelves": "shelf",
    "side_table": "table",
    "sign": "signboard",
    "snowy_mountain": "mountain",
    "staircase": "stairs",
    "statue": "sculpture",
    "stone": "rock",
    "stones": "rock",
    "toy": "plaything",
    "washbasin": "sink",
    "worktop": "countertop",
}
"""Names of people that are other words for a class, or kinds of it."""


def class_of(name: str) -> str | None:
    """Find the class of ADE20K that a name of people means; None if there is none."""
    singular = name
    if name in PLURALS:
        singular = name.removesuffix("es" if name == "boxes" else "s")
    for candidate in (KINDS.get(name), singular.replace("_", " ")):
        if candidate in ADE20K_OBJECTS:
            return candidate
    return None


def read_label_maps(folder: Path, names: Sequence[str]) -> np.ndarray:
    """Read what was written for some photographs, by the names of their files [N, H, W, 1]."""
    maps = []
    for name in names:
        with Image.open(folder / f"{Path(name).stem}.png") as file:
            maps.append(np.asarray(file))
    return np.stack(maps)[..., None]


def label_photographs(
    photographs: Path, segmenter: jd.Segmenter, out: Path, *, every: int = 1, side: int = 128
) -> float:
    """Label every n-th photograph that is not labelled yet; return the seconds that each took."""
    out.mkdir(parents=True, exist_ok=True)
    files = sorted((photographs / "images").glob("*.jpg"))[::every]
    due = [path for path in files if not (out / f"{path.stem}.png").exists()]
    segment = jax.jit(segmenter.segment, static_argnums=2)
    begun = time.perf_counter()
    for number, path in enumerate(due):
        with Image.open(path) as file:
            image = np.asarray(file.convert("RGB"), np.float32)[None] / np.float32(255)
        labels = np.asarray(segment(segmenter.params, jnp.asarray(image), (side, side)))[0, ..., 0]
        Image.fromarray(labels.astype(np.uint8)).save(out / f"{path.stem}.png")
        if number % 50 == 0:
            print(f"{number} of {len(due)}, {time.perf_counter() - begun:.0f} s", flush=True)
    return (time.perf_counter() - begun) / max(len(due), 1)


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Label the photographs with DeepLab.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    weights = real_folder("segmenter_deeplab_ade20k") / WEIGHTS
    segmenter = jd.pretrained_segmenter(SEGMENTER, weights=weights)
    seconds = label_photographs(
        real_folder("miniplaces"), segmenter, options.out, every=options.every, side=options.side
    )
    print(f"{seconds:.2f} s a photograph")


if __name__ == "__main__":
    main()
