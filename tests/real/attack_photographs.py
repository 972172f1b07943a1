"""Attack the real scene classifier on real photographs, and see what that does to its units.

    python tests/real/attack_photographs.py [--number 32] [--target /b/bedroom] [--iterations 100]

Units of fire9 are ranked by single removals (the fall of the mean probability of each class) on
photographs with masks, other photographs are attacked. The attack is that of Carlini and Wagner
with its standard settings, but for the number of iterations, which a processor affords.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dissect_photographs import Every
from paths import real_folder
from squeezenet import preprocess, read_categories, read_mean, read_photograph
from squeezenet import squeezenet_places365 as load_squeezenet

from jaxdissect.attacks import (
    CarliniWagnerSettings,
    ClassScores,
    carlini_wagner,
    changes_by_group,
    measure_peaks,
    most_changed,
)
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.adapters.prepared_network import PreparedNetwork
from jaxdissect.networks.network import as_network
from jaxdissect.stats.accuracy import confidence

LAYER, NUM_UNITS = "fire9", 512


class Photographs:
    """Photographs of a folder whose scene the classifier knows, with its number as label."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        with open(folder / "index.csv", newline="") as file:
            rows = [(row["name"], row["scene"]) for row in csv.DictReader(file)]
        self._items = [(name, names.index(scene)) for name, scene in rows if scene in names]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, label = self._items[index]
        image = read_photograph(self._folder / "images" / f"{name}.jpg")
        return {"image": image, "label": np.int32(label)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack photographs.")
    parser.add_argument("--number", type=int, default=32)
    parser.add_argument("--target", default="/b/bedroom")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--search-steps", type=int, default=5)
    parser.add_argument(
        "--learning-rate", type=float, default=CarliniWagnerSettings().learning_rate
    )
    parser.add_argument(
        "--initial-const", type=float, default=CarliniWagnerSettings().initial_const
    )
    parser.add_argument("--every", type=int, default=4, help="of the photographs to rank with")
    options = parser.parse_args()
    classifier = real_folder("squeezenet_places365")
    mean = read_mean(classifier)
    network = PreparedNetwork(
        as_network(load_squeezenet(classifier)), lambda images: preprocess(images, mean)
    )
    names = read_categories(classifier)
    target = names.index(options.target)
    scores = ClassScores(network)
    score = jax.jit(scores)
    source = Photographs(real_folder("miniplaces_scenes"), names)
    images, labels = [], []
    for index in np.random.default_rng(0).permutation(len(source)):
        item = source[int(index)]
        image, label = item["image"], int(item["label"])
        predicted = int(score(scores.params, jnp.asarray(image)[None]).argmax())
        if target not in (label, predicted):
            images.append(image)
            labels.append(predicted)
        if len(images) == options.number:
            break
    images, sources = np.stack(images), np.array(labels)
    targets = np.full(len(images), target)
    begin = time.perf_counter()
    settings = CarliniWagnerSettings(
        binary_search_steps=options.search_steps,
        max_iterations=options.iterations,
        learning_rate=options.learning_rate,
        initial_const=options.initial_const,
    )
    found = carlini_wagner(
        scores, scores.params, jnp.asarray(images), jnp.asarray(targets, jnp.int32),
        settings=settings,
    )  # fmt: skip
    found = jax.tree.map(np.asarray, found)
    seconds = time.perf_counter() - begin
    there = found.success
    print(
        f"{there.sum()} of {len(images)} misclassified as {options.target}, median L2 "
        f"{np.median(found.distance[there]):.3f}, {found.iterations.sum()} steps in {seconds:.0f} s"
    )
    ranked = Every(Photographs(real_folder("miniplaces"), names), options.every)
    removals = ablation_sweep(network, ranked, LAYER, single_unit_masks(NUM_UNITS))
    important = importance.is_important(
        removals.damage(measure=confidence), margin_lost=removals.margin_lost()
    )
    peaks = measure_peaks(network, images[there], found.images[there], LAYER)
    for group in changes_by_group(peaks.change, important, sources[there], targets[there]):
        print(
            f"{group.name:8}{group.pairs:7} pairs, mean change {group.mean:.3f} +- "
            f"{group.interval:.3f} (by image {group.interval_by_image:.3f})"
        )
    print("most changed units:", most_changed(peaks.change)[:10].tolist())


if __name__ == "__main__":
    main()
