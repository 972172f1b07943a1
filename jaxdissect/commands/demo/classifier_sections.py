"""The second part of the demonstration: what the units of the scene classifier detect and cause."""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import Ablation, ablation_sweep
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.table_files import Rows
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.network import Network
from jaxdissect.plots import bars_and_curves, concept_chart, unit_strips
from jaxdissect.report.page import PageFigure, PageSection, PageTable
from jaxdissect.scenes.concepts import scene_vocabulary
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.scene_classifier import BLOCKS, CONVOLUTIONS
from jaxdissect.stats import accuracy

NUM_REMOVED = 4
"""Units of a class that are removed together."""


def dissect_classifier(network: Network, source: Source, progress: Progress) -> Dissection:
    """Dissect every convolution with the labels that were drawn."""
    return dissect(
        network,
        source,
        annotated(scene_vocabulary()),
        layers=CONVOLUTIONS,
        grid=(32, 32),
        batch_size=32,
        progress=progress,
    )


def dissection_section(
    network: Network, source: Source, result: Dissection, progress: Progress
) -> PageSection:
    """Show the detectors of every layer, and the best units of the last at work."""
    last = CONVOLUTIONS[-1]
    alone = result.only(last)
    rows = top_images(alone, network, source, progress=progress)[last]
    return PageSection(
        "What the units of the classifier detect",
        (
            f"For every unit of the {len(CONVOLUTIONS)} convolutions, the threshold that it "
            "exceeds on 1% of all pixels; then the concept whose pixels agree best with those "
            f"above it, by intersection over union, on {result.settings['examples']} pictures. A "
            f"unit whose IoU exceeds {result[last].min_iou:g} is called a detector.",
            "Colors and materials come first. Objects and their parts appear in the later layers, "
            "although the network was never given labels of objects.",
        ),
        (
            PageTable(
                "Detectors by category, with (distinct concepts).",
                *dissection_tables.layer_table(result),
            ),
            PageFigure(
                "How many units of every layer detect each concept.",
                concept_chart.concept_figure(result),
            ),
            PageTable(
                "The ten most interpretable units of all layers.",
                *dissection_tables.best_unit_table(result),
            ),
            PageFigure(
                f"The best units of {last}: the pictures with their highest peaks, lit where the "
                "unit exceeds its threshold.",
                unit_strips.draw_unit_strips(last, rows),
            ),
        ),
    )


class ClassRemovals(NamedTuple):
    """What the most important units of every class do, measured on other pictures.

    Attributes:
        classes: The classes with pictures to rank with and to measure with, [C].
        units: The most important units of each, most important first.
        damaging: How many of them damage the class when they are removed alone.
        ablation: Removals of the most important units of each class, one condition for every scene.
    """

    classes: Int[np.ndarray, "C"]
    units: Int[np.ndarray, "C k"]
    damaging: Int[np.ndarray, "C"]
    ablation: Ablation

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(SCENES[c] for c in self.classes.tolist())

    @property
    def own(self) -> Float[np.ndarray, "C"]:
        """Balanced accuracy of every class, without its own units."""
        after = accuracy.balanced_accuracy(self.ablation.counts)
        return after[self.classes, self.classes]

    @property
    def baseline(self) -> Float[np.ndarray, "C"]:
        """Balanced accuracy of every class, with all units."""
        return accuracy.balanced_accuracy(self.ablation.baseline)[self.classes]

    @property
    def overall(self) -> float:
        """Share of all pictures classified correctly, with all units."""
        return float(accuracy.overall_accuracy(self.ablation.baseline))

    @property
    def overall_without(self) -> Float[np.ndarray, "C"]:
        """Share of all pictures classified correctly, without the units of each class."""
        return accuracy.overall_accuracy(self.ablation.counts)[self.classes]


def remove_important_units(
    network: Network, ranking: Source, judging: Source, progress: Progress
) -> ClassRemovals:
    """Rank the units of the last convolution on some pictures, remove the first on others.

    Args:
        network: The classifier.
        ranking: Pictures to rank units with, one by one.
        judging: Pictures to measure with.
        progress: Is called with how far the passes have come.
    """
    layer = CONVOLUTIONS[-1]
    num_units = BLOCKS[-1][-1]
    sweep = partial(ablation_sweep, label_key="scene", batch_size=32, progress=progress)
    singles = sweep(network, ranking, layer, ablation_masks.single_unit_masks(num_units))
    damage = singles.damage(measure=accuracy.confidence)
    ranking_of = importance.ranking(damage, margin_lost=singles.margin_lost())
    best = ranking_of[:, :NUM_REMOVED]
    removals = sweep(network, judging, layer, ablation_masks.unit_set_masks(best, num_units))
    classes = np.flatnonzero((singles.baseline.true > 0) & (removals.baseline.true > 0))
    units = best[classes]
    damaging = (damage[units, classes[:, None]] > 0).sum(axis=1)
    return ClassRemovals(classes, units, damaging, removals)


def removal_table(removals: ClassRemovals) -> Rows:
    """One row per class: the removed units, balanced accuracies, accuracies over all classes."""
    header = (
        *("class", "units removed", "units with damage"),
        *("balanced accuracy before", "balanced accuracy after"),
        *("accuracy over all classes before", "accuracy over all classes after"),
    )
    return header, [
        (
            name,
            " ".join(map(str, removals.units[i])),
            int(removals.damaging[i]),
            float(removals.baseline[i]),
            float(removals.own[i]),
            removals.overall,
            float(removals.overall_without[i]),
        )
        for i, name in enumerate(removals.names)
    ]


def removal_section(removals: ClassRemovals, result: Dissection) -> PageSection:
    """Show what each class loses without its most important units."""
    layer = result[CONVOLUTIONS[-1]]
    concepts = [
        (name, *(layer.vocabulary.names[layer.best_concept[unit]] for unit in units))
        for name, units in zip(removals.names, removals.units, strict=True)
    ]
    return PageSection(
        "What the units of the classifier are for",
        (
            f"Every unit of {CONVOLUTIONS[-1]} is removed once, and units are ranked by how much "
            "the mean probability of a class falls on its own pictures. On other pictures, the "
            f"{NUM_REMOVED} most important units of each class are then removed together, and its "
            "balanced accuracy is measured (chance is 0.5). Of these units, "
            f"{removals.damaging.sum()} of {removals.units.size} damage their class alone.",
            f"With all units, {removals.overall:.1%} of the pictures of all classes are classified "
            "correctly.",
        ),
        (
            PageFigure(
                f"Balanced accuracy of each class, with all units and without its own "
                f"{NUM_REMOVED}; and accuracy over all classes without them.",
                bars_and_curves.bar_figure(
                    removals.names,
                    {
                        "all units": removals.baseline,
                        f"without its {NUM_REMOVED}": removals.own,
                        "all classes, without": removals.overall_without,
                    },
                    title=f"Removing the {NUM_REMOVED} most important units of each class",
                    unit="accuracy",
                ),
            ),
            PageTable("The same in numbers.", *removal_table(removals)),
            PageTable(
                "The best concept of each class's most important units, whether or not they are "
                "detectors.",
                ("class", *(f"unit {i}" for i in range(1, NUM_REMOVED + 1))),
                concepts,
            ),
        ),
    )
