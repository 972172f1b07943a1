"""Tables of what `dissect_photographs.py --segments` has found, by people's labels and DeepLab's.

    python tests/real/report_photographs.py DISSECTION [--network NAME] [--segments FOLDER] \
        [--every 1] [--pictures FOLDER]

A dissection holds both kinds of concepts; IoU does not depend on what else is looked for, so each
kind is read from it as if it had been alone, the colors with either. With `--pictures` the ten best
units by each kind are drawn, with the photographs of which they are active on the largest part: the
peaks of a ReLU6 say little, for many photographs have the same, 6.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dissect_photographs import GRID, read_photographs
from photograph_labels import CATEGORY, class_of
from photograph_networks import SUBJECTS, Subject

import jaxdissect as jd
from jaxdissect.dissection.unit_images import active_regions, top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import map_batches
from jaxdissect.engine.layer_reader import LayerReader
from jaxdissect.plots.unit_strips import draw_unit_strips

PEOPLE, DEEPLAB = ("object", "color"), (CATEGORY, "color")


def only(dissection: jd.Dissection, *categories: str) -> jd.Dissection:
    """Look for concepts of some categories alone."""
    chosen = np.isin(dissection.vocabulary.categories, categories)[:, None]
    layers = {
        name: replace(layer, iou=np.where(chosen, layer.iou, 0.0))
        for name, layer in dissection.layers.items()
    }
    return replace(dissection, layers=layers)


class BestUnit(NamedTuple):
    """A unit and the concept that it agrees with best."""

    layer: str
    unit: int
    concept: str
    iou: float


def best_units(dissection: jd.Dissection, number: int = 10) -> list[BestUnit]:
    """Choose the units of all layers with the highest IoU."""
    found = [
        BestUnit(name, unit, layer.vocabulary.names[layer.best_concept[unit]], iou)
        for name, layer in dissection.layers.items()
        for unit in layer.best_units(number)
        if (iou := float(layer.best_iou[unit])) > layer.min_iou
    ]
    return sorted(found, key=lambda unit: -unit.iou)[:number]


class Agreement(NamedTuple):
    """How the two kinds of labels name the detectors of objects of a layer.

    Attributes:
        people, deeplab: Units that detect an object by each of them; colors are not looked for.
        both: By both.
        known: Those whose two objects have a name in either kind of labels.
        same: Those named alike.
        others: Pairs of other names, and how often each comes.
    """

    people: int
    deeplab: int
    both: int
    known: int
    same: int
    others: Counter[tuple[str, str]]


def agreement(dissection: jd.Dissection) -> dict[str, Agreement]:
    """Compare the objects that the two kinds of labels name for the same units, by layer."""
    objects, segments = only(dissection, "object"), only(dissection, CATEGORY)
    vocabulary = dissection.vocabulary
    meant = {
        name: class_of(name)
        for name, category in zip(vocabulary.names, vocabulary.categories, strict=True)
        if category == "object"
    }
    result = {}
    for name in dissection.layers:
        of_people, of_deeplab = objects[name], segments[name]
        first, second = (set(part.detectors().tolist()) for part in (of_people, of_deeplab))
        known, others = 0, Counter()
        for unit in first & second:
            word = vocabulary.names[of_people.best_concept[unit]]
            other = vocabulary.names[of_deeplab.best_concept[unit]]
            if meant[word] is None or other not in meant.values():
                continue
            known += 1
            if meant[word] != other:
                others[word, other] += 1
        result[name] = Agreement(
            len(first), len(second), len(first & second), known, known - others.total(), others
        )
    return result


def markdown(header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    """Write a table, names on the left and numbers on the right."""
    aligned = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, aligned, *rows))


def detector_rows(dissection: jd.Dissection) -> Iterator[tuple[object, ...]]:
    """Units, and detectors with distinct concepts by category, of both kinds of labels."""
    people, deeplab = only(dissection, *PEOPLE), only(dissection, *DEEPLAB)
    for name, layer in dissection.layers.items():
        row: list[object] = [name, layer.num_units]
        for part, category in ((people, "object"), (deeplab, CATEGORY)):
            counts = part[name].category_counts()
            for kind in (category, "color"):
                row.append(f"{counts[kind].units} ({counts[kind].concepts})")
        yield tuple(row)


def report(dissection: jd.Dissection) -> str:
    """All tables."""
    header = ("layer", "units", "objects, people", "colors", "objects, DeepLab", "colors")
    parts = [
        "detectors (distinct concepts)",
        markdown(header, list(detector_rows(dissection))),
        "names of the detectors of objects",
        markdown(
            ("layer", "people", "DeepLab", "both", "both know", "same name"),
            [(name, *found[:5]) for name, found in agreement(dissection).items()],
        ),
    ]
    others = sum((found.others for found in agreement(dissection).values()), Counter())
    parts.append(
        "most frequent other names: "
        + ", ".join(f"{a} and {b} {number}" for (a, b), number in others.most_common(12))
    )
    for title, categories in (("people", PEOPLE), ("DeepLab", DEEPLAB)):
        rows = [
            (f"{name} {unit}", concept, f"{iou:.3f}")
            for name, unit, concept, iou in best_units(only(dissection, *categories))
        ]
        parts += [f"best units by {title}", markdown(("unit", "concept", "IoU"), rows)]
    return "\n\n".join(parts)


def most_active(
    dissection: jd.Dissection,
    subject: Subject,
    source: Source,
    units: Mapping[str, Sequence[int]],
    number: int,
) -> dict[str, np.ndarray]:
    """Find the photographs on the largest part of which units are active, by layer [U, k]."""
    names = tuple(name for name in dissection.layers if units[name])
    network = jd.as_network(subject.network)
    reader = LayerReader.of(network, tuple(dissection.layers), inputs=subject.inputs)
    shares = {name: np.zeros((len(source), len(units[name]))) for name in names}

    @jax.jit
    def step(batch: dict[str, Any]) -> dict[str, jax.Array]:
        maps = reader.traced(network.params, batch).maps
        found = {}
        for name in names:
            own = np.array(units[name])
            thresholds = jnp.asarray(dissection[name].thresholds[own])
            found[name] = active_regions(maps[name][..., own], thresholds, GRID).mean(axis=(1, 2))
        return found

    def receive(batch: dict[str, Any], found: dict[str, np.ndarray]) -> None:
        rows = batch["weight"]
        for name in names:
            shares[name][batch["example"][rows]] = np.asarray(found[name])[rows]

    map_batches(step, source, batch_size=8, receive=receive)
    order = {name: np.argsort(-share, axis=0, kind="stable") for name, share in shares.items()}
    return {name: places[:number].T for name, places in order.items()}


def draw_best_units(
    dissection: jd.Dissection, network: str, source: Source, folder: Path, *, images: int = 8
) -> None:
    """Draw the ten best units of objects by either kind of labels, a sheet for each."""
    subject = SUBJECTS[network]()
    folder.mkdir(parents=True, exist_ok=True)
    for title, category in (("people", "object"), ("deeplab", CATEGORY)):
        part = only(dissection, category)
        chosen = best_units(part)
        units = {name: [best.unit for best in chosen if best.layer == name] for name in part.layers}
        found = top_images(
            part,
            subject.network,
            source,
            inputs=subject.inputs,
            units=units,
            examples=most_active(part, subject, source, units, images),
        )
        strips = [found[best.layer][units[best.layer].index(best.unit)] for best in chosen]
        named = ", ".join(dict.fromkeys(best.layer for best in chosen))
        sheet = draw_unit_strips(f"{network}, objects of {title}: {named}", strips)
        sheet.save(folder / f"{network}-{title}.png")


def main() -> None:
    from paths import real_folder

    parser = argparse.ArgumentParser(description="Tables and pictures of a dissection.")
    parser.add_argument("dissection", type=Path)
    parser.add_argument("--network", choices=SUBJECTS, default="squeezenet")
    parser.add_argument("--segments", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    dissection = jd.load_dissection(options.dissection)
    print(report(dissection))
    print(dissection.settings)
    if options.pictures:
        source = read_photographs(
            real_folder("miniplaces"), every=options.every, segments=options.segments
        )
        draw_best_units(dissection, options.network, source, options.pictures)


if __name__ == "__main__":
    main()
