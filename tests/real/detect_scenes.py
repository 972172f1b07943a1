"""List the single units of the real scene classifier that detect scenes best, on photographs.

    python tests/real/detect_scenes.py [--every 1] [--layer fire9] [--number 10] [--least 20]

Units and thresholds are chosen on the annotated photographs, and judged on those with a scene label
only: 20 of each of 100 scenes, so that one of a hundred is of the class. Scenes with less than
`--least` annotated photographs are not listed, as any unit can be made to fit a few.
"""

import argparse
import functools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dissect_photographs import Every
from squeezenet import preprocess, read_mean, squeezenet_places365

import jaxdissect as jd
from jaxdissect.classifiers.detectors import Detectors, best_detectors, peak_activations
from jaxdissect.engine.batching import Joined, Stored


class Found(NamedTuple):
    """Detectors, and the names of the scenes."""

    detectors: Detectors
    scenes: tuple[str, ...]
    chosen_with: np.ndarray  # photographs of each scene
    images: tuple[int, int]


def read_scenes(folder: Path) -> list[str]:
    """Read the scene of every photograph of a folder, in the order of their names."""
    rows = np.loadtxt(folder / "index.csv", dtype=str, delimiter=",", skiprows=1)
    assert (np.sort(rows[:, 0]) == rows[:, 0]).all()
    return list(rows[:, 1])


def detect_scenes(
    choosing: Path, judging: Path, classifier: Path, *, every: int = 1, layer: str, **options
) -> Found:
    """Choose a unit and its threshold for every scene, and judge them on other photographs."""
    labels = [read_scenes(folder) for folder in (choosing, judging)]
    scenes = tuple(sorted({*labels[0], *labels[1]}))
    number = {scene: i for i, scene in enumerate(scenes)}
    network, mean = squeezenet_places365(classifier), read_mean(classifier)
    parts = []
    for folder, own in zip((choosing, judging), labels, strict=True):
        images = jd.image_folder(folder / "images", image_size=(224, 224))
        classes = np.array([number[scene] for scene in own], np.int32)
        source = Every(Joined(images, Stored({"label": classes})), every)
        parts.append(
            peak_activations(
                network,
                source,
                (layer,),
                inputs=lambda batch: preprocess(batch["image"], mean),
                batch_size=8,
                **options,
            )[layer]
        )
    first, second = parts
    found = best_detectors(first, second)
    chosen_with = np.bincount(first.labels, minlength=len(scenes))
    return Found(found, scenes, chosen_with, (len(first.labels), len(second.labels)))


def report(found: Found, number: int = 10, least: int = 20) -> str:
    """The best detectors by the accuracy that they were chosen for, and all on average."""
    best = found.detectors
    enough = found.chosen_with[best.classes] >= least
    lines = ["scene                    photos unit threshold  accuracy chosen, held out  AUROC"]
    for c in [c for c in best.order() if enough[c]][:number]:
        scene = best.classes[c]
        lines.append(
            f"{found.scenes[scene]:24} {found.chosen_with[scene]:6} {best.units[c, 0]:4} "
            f"{best.thresholds[c, 0]:9.3f} {best.chosen_accuracy[c, 0]:16.3f} "
            f"{best.accuracy[c, 0]:9.3f} {best.chosen_auroc[c, 0]:6.3f} {best.auroc[c, 0]:6.3f}"
        )
    for what, which in ((f"with {least} photographs or more", enough), ("in all", enough | True)):
        lines.append(
            f"mean of {which.sum()} scenes {what}: balanced accuracy "
            f"{best.chosen_accuracy[which, 0].mean():.3f} when chosen, "
            f"{best.accuracy[which, 0].mean():.3f} held out; AUROC "
            f"{best.chosen_auroc[which, 0].mean():.3f}, {best.auroc[which, 0].mean():.3f}"
        )
    lines.append(f"photographs to choose with and to judge with: {found.images}")
    return "\n".join(lines)


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Find units that detect scenes.")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--layer", default="fire9")
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--least", type=int, default=20)
    options = parser.parse_args()
    begin = time.perf_counter()
    found = detect_scenes(
        real_folder("miniplaces"),
        real_folder("miniplaces_scenes"),
        real_folder("squeezenet_places365"),
        every=options.every,
        layer=options.layer,
        progress=functools.partial(_say, begin),
    )
    print(report(found, options.number, options.least))
    print(f"{time.perf_counter() - begin:.0f} s")


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total):
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
