"""Dissect real classifiers on the real photographs.

    python tests/real/dissect_photographs.py [--network squeezenet|efficientnet_lite0] \
        [--untrained SEED] [--segments FOLDER] [--every 1] [--out FOLDER]

Objects come from the annotated masks, colors from the pixels. The annotations are partial; an
unlabelled pixel counts against an object here, as it does in the paper's own convention. With
label maps of `photograph_labels.py` the classes of ADE20K are further concepts, of a category of
their own, so that the network runs once for both kinds of labels.
"""

import argparse
import functools
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import DTypeLike
from photograph_labels import CATEGORY, read_label_maps
from photograph_networks import SQUEEZENET_LAYERS, SUBJECTS, Subject
from squeezenet import preprocess, read_mean, squeezenet_places365

import jaxdissect as jd
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.networks.segmenters import ADE20K_OBJECTS

LAYERS = list(SQUEEZENET_LAYERS)
GRID = (64, 64)  # half the masks' own resolution


class Every:
    """Every n-th example of a source, so that all scenes stay in."""

    def __init__(self, source, step):
        self.source, self.step = source, step

    def __len__(self):
        return -(-len(self.source) // self.step)

    def __getitem__(self, index):
        return self.source[index * self.step]


def dissect_photographs(
    photographs: Path,
    classifier: Path,
    *,
    every: int = 1,
    layers: Sequence[str] = LAYERS,
    dtype: DTypeLike = "float32",
    **options,
) -> jd.Dissection:
    """Dissect layers in one run over every n-th photograph, the network computing in a dtype."""
    mean = read_mean(classifier)
    network = squeezenet_places365(classifier)
    subject = Subject(
        network if dtype == "float32" else jd.networks.in_precision(network, dtype),
        lambda batch: preprocess(batch["image"], mean),
        tuple(layers),
    )
    return dissect_subject(photographs, subject, every=every, **options)


def dissect_subject(
    photographs: Path,
    subject: Subject,
    *,
    every: int = 1,
    segments: Path | None = None,
    **options: Any,
) -> jd.Dissection:
    """Dissect layers of a network in one run over every n-th photograph."""
    labelers = [jd.annotated(jd.read_concepts(photographs / "objects.txt")), jd.colored()]
    if segments is not None:
        classes = jd.vocabulary((name, CATEGORY) for name in ADE20K_OBJECTS)
        labelers.insert(1, jd.annotated(classes, key="segments"))
    return jd.dissect(
        subject.network,
        read_photographs(photographs, every=every, segments=segments),
        jd.together(*labelers),
        layers=subject.layers,
        grid=GRID,
        inputs=subject.inputs,
        **options,
    )


def read_photographs(photographs: Path, *, every: int = 1, segments: Path | None = None) -> Any:
    """Read every n-th photograph, enlarged to 224 pixels, with its labels."""
    objects = jd.read_concepts(photographs / "objects.txt")
    images = jd.image_folder(
        photographs / "images",
        masks=[photographs / "masks"],
        image_size=(224, 224),
        vocabulary_size=len(objects),
    )
    chosen = Every(images, every)
    if segments is None:
        return chosen
    names = [images.name(i) for i in range(0, len(images), every)]
    return Joined(chosen, Stored({"segments": read_label_maps(segments, names)}))


def report(result: jd.Dissection) -> str:
    """Detectors and distinct concepts of every layer and category, and the ten best units."""
    lines = ["layer   units  detectors  " + "category: detectors, distinct concepts"]
    for name, layer in result.layers.items():
        counts = ", ".join(
            f"{c}: {n.units}, {n.concepts}" for c, n in layer.category_counts().items()
        )
        lines.append(f"{name:7} {layer.num_units:5}  {len(layer.detectors()):9}  {counts}")
    best = [
        (layer.best_iou[unit], name, unit)
        for name, layer in result.layers.items()
        for unit in layer.detectors()
    ]
    for iou, name, unit in sorted(best, reverse=True)[:10]:
        concept = result.vocabulary.names[result[name].best_concept[unit]]
        lines.append(f"{name:7} unit {unit:3}  {concept:12} IoU {iou:.3f}")
    last = list(result.layers.values())[-1]
    objects = last.vocabulary.of_category("object")
    best_object = objects[last.iou[objects].argmax(axis=0)]
    iou = last.iou[best_object, np.arange(last.num_units)]
    lines.append(f"best objects of {last.name}:")
    for unit in np.argsort(-iou)[:10]:
        concept = last.vocabulary.names[best_object[unit]]
        lines.append(f"{last.name:7} unit {unit:3}  {concept:12} IoU {iou[unit]:.3f}")
    return "\n".join(lines)


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Dissect the photographs.")
    parser.add_argument("--network", choices=SUBJECTS, default="squeezenet")
    parser.add_argument("--untrained", type=int, help="seed of random weights")
    parser.add_argument("--segments", type=Path, help="label maps of photograph_labels.py")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--fraction", type=float, default=jd.PNAS2020.fraction)
    parser.add_argument("--memory-budget-gib", type=float, default=2.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    result = dissect_subject(
        real_folder("miniplaces"),
        SUBJECTS[options.network](options.untrained),
        every=options.every,
        segments=options.segments,
        preset=jd.Preset("given", fraction=options.fraction, min_iou=jd.PNAS2020.min_iou),
        memory_budget=int(options.memory_budget_gib * 2**30),
        progress=functools.partial(_say, begin),
    )
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(report(result))
    print(f"{result.settings['examples']} photographs, {seconds:.0f} s, peak memory {peak:.1f} GiB")
    print(result.settings["memory"])
    if options.out:
        result.save(options.out)


def _say(begin: float, description: str, done: int, total: int) -> None:
    if done in (0, total):
        print(f"{time.perf_counter() - begin:7.1f} s  {description}: {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
