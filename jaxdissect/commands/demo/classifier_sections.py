"""The second part of the demonstration: what the units of the scene classifier detect and cause."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.classifiers import ablation, importance
from jaxdissect.commands.output import dissection_tables
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.top_images import top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.network import Network
from jaxdissect.plots import bars_and_curves, concept_chart, unit_strips
from jaxdissect.report.page import PageFigure, PageSection, PageTable
from jaxdissect.scenes.concepts import vocabulary
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
        annotated(vocabulary()),
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
    header, layer_rows = dissection_tables.layer_table(result)
    unit_header, unit_rows = dissection_tables.best_unit_table(result)
    return PageSection(
        "What the units of the classifier detect",
        (
            f"For every unit of the {len(CONVOLUTIONS)} convolutions, the threshold that it "
            "exceeds on 1% of all pixels; then the concept whose pixels agree best with those "
            f"above it, by intersection over union, on {result.settings['examples']} pictures. A "
            f"unit whose IoU exceeds {result[last].min_iou:g} is called a detector.",
            "Colors and materials come first. Objects and their parts appear in the later layers, "
            "although nobody told the network about objects.",
        ),
        (
            PageTable("Detectors by category, with (distinct concepts).", header, layer_rows),
            PageFigure(
                "How many units of every layer detect each concept.",
                concept_chart.concept_figure(result),
            ),
            PageTable("The ten most interpretable units of all layers.", unit_header, unit_rows),
            PageFigure(
                f"The best units of {last}: the pictures with their highest peaks, lit where the "
                "unit exceeds its threshold.",
                unit_strips.draw_unit_strips(last, rows),
            ),
        ),
    )


class Removals(NamedTuple):
    """What the most important units of every class do, measured on other pictures.

    Attributes:
        units: The most important units of every class, most important first.
        baseline: Balanced accuracy of every class, with all units.
        own: Balanced accuracy of every class, without its own units.
        overall: Share of all pictures told right, with all units.
        overall_without: The same without the units of each class.
    """

    units: Int[np.ndarray, "N k"]
    baseline: Float[np.ndarray, "N"]
    own: Float[np.ndarray, "N"]
    overall: float
    overall_without: Float[np.ndarray, "N"]

    def rows(self) -> list[tuple[str, str, float, float, float, float]]:
        """A row for every class: units, balanced accuracies, and accuracy over all classes."""
        return [
            (
                name,
                " ".join(map(str, self.units[i])),
                float(self.baseline[i]),
                float(self.own[i]),
                self.overall,
                float(self.overall_without[i]),
            )
            for i, name in enumerate(SCENES)
        ]


REMOVAL_HEADER = (
    "class",
    "units removed",
    "balanced accuracy before",
    "balanced accuracy after",
    "accuracy over all classes before",
    "accuracy over all classes after",
)


def remove_important_units(
    network: Network, ranking: Source, judging: Source, progress: Progress
) -> Removals:
    """Rank the units of the last convolution on some pictures, remove the first on others.

    Args:
        network: The classifier.
        ranking: Pictures to rank units with, one by one.
        judging: Pictures to measure with.
        progress: Told how far the passes have come.
    """
    layer = CONVOLUTIONS[-1]
    num_units = BLOCKS[-1][-1]
    options = {"label_key": "scene", "batch_size": 32, "progress": progress}
    each = ablation.ablation_sweep(
        network, ranking, layer, ablation_masks.single_unit_masks(num_units), **options
    )
    units = importance.ranking(each.damage(accuracy.confidence))[:, :NUM_REMOVED]
    together = ablation.ablation_sweep(
        network, judging, layer, ablation_masks.unit_set_masks(units, num_units), **options
    )
    return Removals(
        units,
        accuracy.balanced_accuracy(together.baseline),
        np.diagonal(accuracy.balanced_accuracy(together.counts)),
        float(accuracy.overall_accuracy(together.baseline)),
        accuracy.overall_accuracy(together.counts),
    )


def removal_section(removals: Removals, result: Dissection) -> PageSection:
    """Show what each class loses without its most important units."""
    layer = result[CONVOLUTIONS[-1]]
    concepts = [
        (name, *(layer.vocabulary.names[layer.best_concept[unit]] for unit in units))
        for name, units in zip(SCENES, removals.units, strict=True)
    ]
    return PageSection(
        "What the units of the classifier are for",
        (
            f"Every unit of {CONVOLUTIONS[-1]} is removed once, and units are ranked by how much "
            "the probability falls that pictures of a class are given. On other pictures, the "
            f"{NUM_REMOVED} most important units of each class are then removed together, and its "
            "balanced accuracy is measured (chance is 0.5).",
            f"With all units, the classifier is right about {removals.overall:.1%} of the pictures "
            "of all classes.",
        ),
        (
            PageFigure(
                f"Balanced accuracy of each class, with all units and without its own "
                f"{NUM_REMOVED}; and accuracy over all classes without them.",
                bars_and_curves.bar_figure(
                    SCENES,
                    {
                        "all units": removals.baseline,
                        f"without its {NUM_REMOVED}": removals.own,
                        "all classes, without": removals.overall_without,
                    },
                    title=f"Removing the {NUM_REMOVED} most important units of each class",
                    unit="accuracy",
                ),
            ),
            PageTable("The same in numbers.", REMOVAL_HEADER, removals.rows()),
            PageTable(
                "The best concept of each class's most important units, whether or not they are "
                "detectors.",
                ("class", *(f"unit {i}" for i in range(1, NUM_REMOVED + 1))),
                concepts,
            ),
        ),
    )
