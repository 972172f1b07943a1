"""List the single units of a real classifier that detect objects best, on photographs.

    python tests/real/detect_objects.py [--network efficientnet_lite0] [--layers bn2] [--every 1] \
        [--untrained SEED] [--segments FOLDER] [--number 10] [--least 20]

Whether a photograph shows an object is said by its annotated mask, or with `--segments` by the
label maps of `photograph_labels.py`: at least one pixel in a hundred is of the object. Units and
thresholds are chosen on every second photograph and judged on the others; objects in less than
`--least` photographs of either half are not listed, as any unit can be made to fit a few.

People have not labelled all that a photograph shows, so some images that count as without an
object have it.
"""

import argparse
import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from dissect_photographs import read_photographs
from photograph_networks import LITE0, SUBJECTS, Subject

import jaxdissect as jd
from jaxdissect.classifiers.detectors import PeakActivations, best_detectors, peak_activations
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.networks.segmenters import ADE20K_OBJECTS

SHOWN = 0.01
"""Share of a photograph's pixels from which on it shows an object."""


class ObjectDetector(NamedTuple):
    """The unit that detects an object best on the photographs to choose with."""

    concept: str
    photographs: tuple[int, int]  # that show it, of those to choose with and to judge with
    layer: str
    unit: int
    chosen_accuracy: float
    accuracy: float
    auroc: float


class Found(NamedTuple):
    """The detector of every object, best first, and how many photographs there are of a half."""

    detectors: list[ObjectDetector]
    images: tuple[int, int]


def shown_objects(source: Any, key: str, number: int) -> np.ndarray:
    """Find which of so many labels every photograph shows, bool [n, C]; 0 means none."""
    shown = np.zeros((len(source), number), bool)
    for place in range(len(source)):
        labels = np.asarray(source[place][key])
        counts = np.bincount(labels.reshape(-1), minlength=number)
        shown[place] = counts >= SHOWN * labels.size
    shown[:, 0] = False
    return shown


def detect_objects(
    photographs: Path,
    subject: Subject,
    *,
    every: int = 1,
    segments: Path | None = None,
    least: int = 20,
    **options: Any,
) -> Found:
    """Choose a unit and its threshold for every object on one half, and judge it on the other."""
    source = read_photographs(photographs, every=every, segments=segments)
    objects = jd.read_concepts(photographs / "objects.txt").names
    key, names = ("labels", objects) if segments is None else ("segments", ("-", *ADE20K_OBJECTS))
    shown = shown_objects(source, key, len(names))
    peaks = peak_activations(
        subject.network,
        Joined(source, Stored({"label": np.zeros(len(source), np.int32)})),
        subject.layers,
        inputs=subject.inputs,
        batch_size=8,
        **options,
    )
    values = np.concatenate([peaks[name].values for name in subject.layers], axis=1)
    places = [
        (name, unit) for name in subject.layers for unit in range(peaks[name].values.shape[1])
    ]
    halves = slice(0, None, 2), slice(1, None, 2)
    numbers = [shown[half].sum(axis=0) for half in halves]
    enough = (numbers[0] >= least) & (numbers[1] >= least)
    found = []
    for concept in np.flatnonzero(enough):
        parts = [
            PeakActivations(values[half], shown[half, concept].astype(np.int64)) for half in halves
        ]
        best = best_detectors(*parts).of_class(1)
        layer, unit = places[best.units[0, 0]]
        found.append(
            ObjectDetector(
                names[concept],
                (int(numbers[0][concept]), int(numbers[1][concept])),
                layer,
                unit,
                float(best.chosen_accuracy[0, 0]),
                float(best.accuracy[0, 0]),
                float(best.auroc[0, 0]),
            )
        )
    found.sort(key=lambda detector: -detector.chosen_accuracy)
    return Found(found, (len(shown[halves[0]]), len(shown[halves[1]])))


def report(found: Found, number: int = 10) -> str:
    """The best detectors by the accuracy that they were chosen for, and all on average."""
    lines = [
        "| object | photographs | unit | accuracy, chosen | held out | AUROC, held out |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for best in found.detectors[:number]:
        lines.append(
            f"| {best.concept} | {best.photographs[0]} + {best.photographs[1]} | "
            f"{best.layer} {best.unit} | {best.chosen_accuracy:.3f} | {best.accuracy:.3f} | "
            f"{best.auroc:.3f} |"
        )
    means = np.mean([best[-3:] for best in found.detectors], axis=0)
    above = sum(best.accuracy >= 0.7 for best in found.detectors)
    lines.append(
        f"\nmean of {len(found.detectors)} objects: balanced accuracy {means[0]:.3f} when chosen, "
        f"{means[1]:.3f} held out; AUROC held out {means[2]:.3f}; {above} of them at 0.7 or more; "
        f"{found.images[0]} photographs to choose with, {found.images[1]} to judge with"
    )
    return "\n".join(lines)


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Find units that detect objects.")
    parser.add_argument("--network", choices=SUBJECTS, default=LITE0)
    parser.add_argument("--layers", nargs="+", default=["bn2"])
    parser.add_argument("--untrained", type=int, help="seed of random weights")
    parser.add_argument("--segments", type=Path, help="label maps of photograph_labels.py")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--least", type=int, default=20)
    options = parser.parse_args()
    begin = time.perf_counter()
    subject = SUBJECTS[options.network](options.untrained)
    found = detect_objects(
        real_folder("miniplaces"),
        subject._replace(layers=tuple(options.layers)),
        every=options.every,
        segments=options.segments,
        least=options.least,
        progress=functools.partial(_say, begin),
    )
    print(report(found, options.number))
    print(f"{time.perf_counter() - begin:.0f} s")


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total):
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
