"""The paper's study of a classifier: rank units on some images, remove sets of them on others.

For every class, units are ranked by the damage of their single removals; then the n most important
ones are removed, or all but these. Important units hurt their class and hardly the others; alone,
they keep their class and nothing else.

Letters: U units, N classes, Z sizes of sets, k classes with a whole curve.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import Ablation, ablation_sweep
from jaxdissect.engine.batching import Source
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.stats import accuracy
from jaxdissect.stats.bootstrap import Interval, paired_bootstrap

Measure = Callable[[accuracy.Accuracy], np.ndarray]


@dataclass(frozen=True)
class ClassStudy:
    """What the most and the least important units of every class do.

    Attributes:
        singles: Single removals, on the images to rank with.
        judged: Single removals, on the other images.
        ranked_by: Damage of single removals by which units are ranked, [U, N].
        sizes: Numbers of units n.
        curve_classes: Classes with sets of every size.
        sets: Removals of sets, on the other images: for each class and size the n most important
            units, then for each all but these; then the curves in the same order, n = 1 ... U - 1.
    """

    singles: Ablation
    judged: Ablation
    ranked_by: Float64[np.ndarray, "U N"]
    sizes: tuple[int, ...]
    curve_classes: tuple[int, ...]
    sets: Ablation

    @property
    def ranking(self) -> Int64[np.ndarray, "N U"]:
        """Units of every class, most important first."""
        return importance.ranking(self.ranked_by)

    def without_best(self, measure: Measure) -> Float64[np.ndarray, "Z N *N"]:
        """A measure of every class, without the n most important units of each class [n, of, c]."""
        return self._grid(measure, 0)

    def with_best_alone(self, measure: Measure) -> Float64[np.ndarray, "Z N *N"]:
        """A measure of every class, with the n most important units of each class alone."""
        return self._grid(measure, 1)

    def curves(self, measure: Measure) -> Float64[np.ndarray, "k 2 _ *N"]:
        """A measure without the n most important units, and without the n least, n = 1 ... U - 1.

        Whole curves of `curve_classes`.
        """
        num_units = self.sets.keep.shape[1]
        after = measure(self.sets.counts)[self._first_curve :]
        curves = after.reshape(len(self.curve_classes), 2, num_units - 1, *after.shape[1:])
        # All but the n best are the U - n least important.
        return np.stack([curves[:, 0], curves[:, 1, ::-1]], axis=1)

    def intervals(self, measure: Measure, **options: Any) -> Interval:
        """Bootstrap intervals of the change of a measure by every set of the grid.

        Args:
            measure: Of `jaxdissect.stats.accuracy`.
            options: Of `paired_bootstrap`.
        """
        return _intervals(self.sets, self._first_curve, measure, options)

    def single_intervals(self, measure: Measure, **options: Any) -> Interval:
        """The same by every single removal, on the images that units were not ranked with."""
        return _intervals(self.judged, len(self.judged.keep), measure, options)

    @property
    def _first_curve(self) -> int:
        return 2 * len(self.sizes) * self.ranked_by.shape[1]

    def _grid(self, measure: Measure, half: int) -> Any:
        after = measure(self.sets.counts)[: self._first_curve]
        num_classes = self.ranked_by.shape[1]
        return after.reshape(2, len(self.sizes), num_classes, *after.shape[1:])[half]


def study_classes(
    network: Any,
    ranking: Source,
    judging: Source,
    layer: str,
    num_units: int,
    *,
    sizes: Sequence[int] = (4, 20),
    curve_classes: Sequence[int] = (),
    rank_by: Measure = accuracy.balanced_accuracy,
    checkpoints: Path | None = None,
    **options: Any,
) -> ClassStudy:
    """Rank units on some images, and remove sets of them on others.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        ranking: Images to rank with; the paper takes training images.
        judging: Images to measure with, others.
        layer: Where to remove units.
        num_units: Units of the layer, U.
        sizes: Numbers of units n, each below U.
        curve_classes: Classes for which to remove every number of units.
        rank_by: Measure whose fall makes a unit important.
        checkpoints: Folder in which the study can be interrupted and taken up again.
        options: Of `ablation_sweep`.

    Raises:
        ValueError: if a size or class makes no sense, or `ablation_sweep` refuses the rest.
    """
    wrong = [size for size in sizes if not 1 <= size < num_units]
    if wrong or not sizes:
        raise ValueError(f"`sizes` (={list(sizes)}) must be at least 1 and below {num_units}")

    def sweep(part: str, source: Source, keep: Bool[np.ndarray, "S U"], **more: Any) -> Ablation:
        folder = None if checkpoints is None else checkpoints / part
        return ablation_sweep(network, source, layer, keep, checkpoints=folder, **more, **options)

    each = single_unit_masks(num_units)
    singles = sweep("ranking", ranking, each)
    damage = singles.damage(rank_by)
    order = importance.ranking(damage)
    unknown = [c for c in curve_classes if not 0 <= c < len(order)]
    if unknown:
        raise ValueError(f"`curve_classes` (={unknown}) must lie in [0, {len(order)})")
    # place[c, u]: how many units are more important to class c than unit u.
    place = np.argsort(order, axis=1, kind="stable")
    best = [place < size for size in sizes]
    grid = np.concatenate([*(~few for few in best), *best])
    each_size = np.arange(1, num_units)[:, None]
    curves = [
        np.concatenate([place[c][None] >= each_size, place[c][None] < each_size])
        for c in curve_classes
    ]
    keep = np.concatenate([grid, *curves])
    judged = sweep("judging", judging, each, keep_predictions=True, separate=True)
    sets = sweep("sets", judging, keep, keep_predictions=True)
    return ClassStudy(singles, judged, damage, tuple(sizes), tuple(curve_classes), sets)


def _intervals(
    removals: Ablation, number: int, measure: Measure, options: dict[str, Any]
) -> Interval:
    predictions = removals.predictions
    assert predictions is not None  # `study_classes` keeps them
    return paired_bootstrap(
        predictions[0],
        predictions[1 : 1 + number],
        removals.labels,
        len(removals.baseline.true),
        measure,
        **options,
    )
