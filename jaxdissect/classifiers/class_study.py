"""The paper's study of a classifier: rank units on some images, remove sets of them on others.

For every class, units are ranked by the damage of their single removals; then the n most important
ones are removed, or all but these. Important units hurt their class and hardly the others; alone,
they keep their class and nothing else.

Letters: U units, N classes, C classes with images in both parts, S sets of the grid, Z sizes of
sets, k classes with a whole curve.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.classifiers import ablation_methods, class_checks, importance, replacements
from jaxdissect.classifiers.ablation import Ablation, Measure, ablation_sweep
from jaxdissect.engine.batching import Source
from jaxdissect.engine.checkpoint_folder import claim
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content, looked_at_once
from jaxdissect.engine.layer_reader import Inputs, image_input
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import as_network
from jaxdissect.stats import accuracy, auroc
from jaxdissect.stats.intervals import Interval


@dataclass(frozen=True)
class ClassStudy:
    """What the most and the least important units of every class do.

    Attributes:
        ranking_removals: Single removals, on the images to rank with.
        judging_removals: Single removals, on the other images.
        ranked_by: Damage of single removals by which units are ranked, [U, N].
        sizes: Numbers of units n.
        curve_classes: Classes with sets of every size.
        set_removals: Removals of sets, on the other images: for each size and class of `classes`
            the n most important units, then for each all but these; then the curves in the same
            order, n = 1 ... U - 1.
    """

    ranking_removals: Ablation
    judging_removals: Ablation
    ranked_by: Float64[np.ndarray, "U N"]
    sizes: tuple[int, ...]
    curve_classes: tuple[int, ...]
    set_removals: Ablation

    __repr__ = short_repr

    @property
    def classes(self) -> Int64[np.ndarray, "C"]:
        """The classes that can be studied: those with images in both parts."""
        return _common_classes(self.ranking_removals, self.judging_removals)

    @property
    def ranking(self) -> Int64[np.ndarray, "N U"]:
        """Units of every class, most important first; equals by the margin lost."""
        return importance.ranking(self.ranked_by, margin_lost=self.ranking_removals.margin_lost())

    @property
    def important(self) -> Bool[np.ndarray, "U N"]:
        """Whether a unit is important to a class; none is to a class without images."""
        found = importance.is_important(
            self.ranked_by,
            top=min(importance.NUM_TOP, len(self.ranked_by)),
            margin_lost=self.ranking_removals.margin_lost(),
        )
        studied = np.zeros(found.shape[1], bool)
        studied[self.classes] = True
        return found & studied

    def num_damaging(self, size: int) -> Int64[np.ndarray, "C"]:
        """Count, of the n most important units of each class, those that damage it at all."""
        return np.minimum((self.ranked_by[:, self.classes] > 0).sum(axis=0), size)

    @property
    def auroc_counts(self) -> tuple[auroc.AurocCounts, auroc.AurocCounts]:
        """Counts of the other images by score, with all units [N] and without each [U, N]."""
        found = self.judging_removals.auroc_counts
        assert found is not None  # `study_classes` counts scores
        return found

    def without_best(self, measure: Measure) -> Float64[np.ndarray, "Z C *N"]:
        """Measure every class without the n most important units of each class [n, of, c]."""
        return self._grid(measure, 0)

    def with_best_alone(self, measure: Measure) -> Float64[np.ndarray, "Z C *N"]:
        """Measure every class with the n most important units of each class alone [n, of, c]."""
        return self._grid(measure, 1)

    def own_balanced_accuracies(self) -> Float64[np.ndarray, "V C"]:
        """Measure each class with all units, then without its n best, then with these alone.

        Returns:
            Balanced accuracies; V is 1 and twice the number of `sizes`, in their order.
        """
        measure = accuracy.balanced_accuracy
        grids = (self.without_best(measure), self.with_best_alone(measure))
        classes = self.classes
        own = [grid[:, np.arange(len(classes)), classes] for grid in grids]
        return np.concatenate([measure(self.set_removals.baseline)[None, classes], *own])

    def curves(self, measure: Measure) -> Float64[np.ndarray, "k 2 _ *N"]:
        """Measure without the n most important units, and without the n least, n = 1 ... U - 1.

        Returns:
            Whole curves of `curve_classes`.
        """
        num_units = self.set_removals.keep.shape[1]
        after = measure(self.set_removals.counts)[self._first_curve :]
        curves = after.reshape(len(self.curve_classes), 2, num_units - 1, *after.shape[1:])
        # All but the n best are the U - n least important.
        return np.stack([curves[:, 0], curves[:, 1, ::-1]], axis=1)

    def intervals(self, measure: Measure, *, level: float = 0.99) -> Interval:
        """Find how much every set of the grid changes a measure, with confidence intervals.

        Args:
            measure: One of `jaxdissect.stats.paired_accuracy.MEASURES`.
            level: Chance that an interval holds the true change.

        Returns:
            Changes [S, N], or [S] for a measure over all classes.
        """
        found = self.set_removals.changes(measure, level=level)
        return Interval(*(end[: self._first_curve] for end in found))

    def single_intervals(self, measure: Measure, *, level: float = 0.99) -> Interval:
        """Find how much every single removal changes a measure, with confidence intervals.

        They are those of the images that units were not ranked with; for the arguments see
        `intervals`.

        Returns:
            Changes [U, N], or [U] for a measure over all classes.
        """
        return self.judging_removals.changes(measure, level=level)

    @property
    def _first_curve(self) -> int:
        return 2 * len(self.sizes) * len(self.classes)

    def _grid(self, measure: Measure, half: int) -> Float64[np.ndarray, "Z C *N"]:
        after = measure(self.set_removals.counts)[: self._first_curve]
        return after.reshape(2, len(self.sizes), len(self.classes), *after.shape[1:])[half]


@looked_at_once()
def study_classes(
    network: Any,
    ranking_images: Source,
    judging_images: Source,
    layer: str,
    num_units: int,
    *,
    sizes: Sequence[int] = (4, 20),
    curve_classes: Sequence[int] = (),
    rank_by: Measure = accuracy.balanced_accuracy,
    label_key: str = "label",
    inputs: Inputs = image_input,
    replacement: replacements.Replacement = replacements.zero,
    methods: Sequence[ablation_methods.AblationMethod] = ablation_methods.FASTEST,
    batch_size: int = 16,
    chunk_size: int | None = None,
    memory_budget: int = 2**30,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> ClassStudy:
    """Rank units on some images, and remove sets of them on others.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        ranking_images: Images to rank units with; the paper takes training images.
        judging_images: Other images, to measure with.
        layer: Where to remove units.
        num_units: Units of the layer, U.
        sizes: Numbers of units n, each below U.
        curve_classes: Classes for which to remove every number of units.
        rank_by: Measure whose fall makes a unit important.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        replacement: What removed units output instead, see `jaxdissect.classifiers.replacements`.
        methods: Methods to compute removals; the first that applies is taken.
        batch_size: Examples in a step.
        chunk_size: Sets of units that run together; None takes as many as fit `memory_budget`.
        memory_budget: Bytes for what sets that run together hold at once, about.
        checkpoints: Folder from which an interrupted study resumes, with the same result; None
            keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far each of the three passes has come.

    Raises:
        ValueError: If a size or class makes no sense, no class has images in both parts, one of
            `curve_classes` has none in one of them, or `ablation_sweep` refuses the rest.
    """
    wrong = [size for size in sizes if not 1 <= size < num_units]
    if wrong or not sizes:
        raise ValueError(f"`sizes` (={list(sizes)}) must be at least 1 and below {num_units}")
    network = as_network(network)
    example = class_checks.first_example(ranking_images, label_key, name="ranking_images")
    class_checks.first_example(judging_images, label_key, name="judging_images")
    num_classes = class_checks.num_scored_classes(network, inputs, example, layer)
    unknown = [c for c in curve_classes if not 0 <= c < num_classes]
    if unknown:
        raise ValueError(f"`curve_classes` (={unknown}) must lie in [0, {num_classes})")
    if checkpoints is not None:
        # What the parts do not know by these names.
        settings = {
            "sizes": [int(size) for size in sizes],
            "curve_classes": [int(c) for c in curve_classes],
            "rank_by": content(rank_by),
            "ranking_images": content(ranking_images),
            "judging_images": content(judging_images),
        }
        claim(checkpoints, settings)

    def sweep(
        part: str, source: Source, keep: Bool[np.ndarray, "S U"], *, counts: bool
    ) -> Ablation:
        return ablation_sweep(
            network,
            source,
            layer,
            keep,
            label_key=label_key,
            inputs=inputs,
            replacement=replacement,
            methods=methods,
            count_scores=counts,
            batch_size=batch_size,
            chunk_size=chunk_size,
            memory_budget=memory_budget,
            checkpoints=None if checkpoints is None else checkpoints / part,
            save_every=save_every,
            mesh=mesh,
            progress=progress,
        )

    singles = single_unit_masks(num_units)
    ranking_removals = sweep("ranking", ranking_images, singles, counts=False)
    judging_removals = sweep("judging", judging_images, singles, counts=True)
    missing = [
        f"{c} (to {use})"
        for removals, use in ((ranking_removals, "rank with"), (judging_removals, "measure with"))
        for c in curve_classes
        if not removals.baseline.true[c]
    ]
    if missing:
        raise ValueError(f"`curve_classes`: there are no images of class {', '.join(missing)}")
    damage = ranking_removals.damage(measure=rank_by)
    order = importance.ranking(damage, margin_lost=ranking_removals.margin_lost())
    classes = _common_classes(ranking_removals, judging_removals)
    if not len(classes):
        raise ValueError("`judging_images` and `ranking_images` have no class in common")
    return ClassStudy(
        ranking_removals,
        judging_removals,
        damage,
        tuple(sizes),
        tuple(curve_classes),
        sweep(
            "sets",
            judging_images,
            _set_masks(order[classes], sizes, order[list(curve_classes)]),
            counts=False,
        ),
    )


def _common_classes(ranking: Ablation, judging: Ablation) -> Int64[np.ndarray, "C"]:
    """Find the classes that have images in both parts."""
    return np.flatnonzero((ranking.baseline.true > 0) & (judging.baseline.true > 0))


def _set_masks(
    order: Int64[np.ndarray, "C U"], sizes: Sequence[int], curve_order: Int64[np.ndarray, "k U"]
) -> Bool[np.ndarray, "S U"]:
    """Make the masks of `ClassStudy.set_removals`, given the units of classes, best first."""
    # place[c, u]: how many units are more important to class c than unit u.
    place, curve_place = (
        np.argsort(units, axis=1, kind="stable") for units in (order, curve_order)
    )
    best = [place < size for size in sizes]
    grid = np.concatenate([*(~few for few in best), *best])
    each_size = np.arange(1, order.shape[1])[:, None]
    curves = [
        np.concatenate([of_class[None] >= each_size, of_class[None] < each_size])
        for of_class in curve_place
    ]
    return np.concatenate([grid, *curves])
