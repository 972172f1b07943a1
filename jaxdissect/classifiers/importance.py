"""Which units matter to which classes, and whether units that matter can be interpreted.

Everything here is computed on the host from the damage of single removals (`Ablation.damage`): how
far the balanced accuracy of a class falls without a unit. A class without images cannot lose
anything: its damage is 0, no unit is important to it, and its column is to be left out of means.

Letters: U units, N classes, G groups.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020: a unit
is important to the classes to which it is among the four most damaging; units that are important to
many classes match a concept better. Where fewer than four units damage a class at all, the paper
calls four important nevertheless, and here these fewer are; of units that damage a class as much,
the paper takes any, and here the one that costs more of the margin comes first.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import accuracy

MEASURES: Mapping[str, Callable[[accuracy.Accuracy], Float64[np.ndarray, "*S N"]]] = {
    "balanced-accuracy": accuracy.balanced_accuracy,
    "confidence": accuracy.confidence,
}
"""Measures of a class whose fall makes a unit important to it, by the names that options give."""

NUM_TOP = 4
"""How many units are called important to a class, in the paper."""

GROUP_SIZE = 32
"""How many units make a group of like importance, in the paper."""


class Groups(NamedTuple):
    """Means over groups of units, with standard errors.

    Attributes:
        value: What the units of a group have in common: a number of classes, or a mean damage.
        number: Number of units in the group.
        mean: Mean IoU of their best concepts, NaN for a group without units.
        standard_error: Standard error of that mean; NaN for groups of less than two units.
        value_error: Standard error of `value`; 0 where it is exact.
    """

    value: Float64[np.ndarray, "G"]
    number: Int64[np.ndarray, "G"]
    mean: Float64[np.ndarray, "G"]
    standard_error: Float64[np.ndarray, "G"]
    value_error: Float64[np.ndarray, "G"]

    __repr__ = short_repr


def ranking(
    damage: Float[np.ndarray, "U N"], *, margin_lost: Float[np.ndarray, "U N"] | None = None
) -> Int64[np.ndarray, "N U"]:
    """Rank units by how much their removal damages each class, most first.

    Args:
        damage: Damage of single removals.
        margin_lost: How far the mean margin of each class falls (`Ablation.margin_lost`), by which
            units of equal damage are ranked; by their number when None, or where it is equal too.
    """
    lost = np.zeros_like(damage) if margin_lost is None else margin_lost
    return np.lexsort((-lost, -damage), axis=0).T


def is_important(
    damage: Float[np.ndarray, "U N"],
    *,
    top: int = NUM_TOP,
    margin_lost: Float[np.ndarray, "U N"] | None = None,
) -> Bool[np.ndarray, "U N"]:
    """Find out whether a unit is among the `top` most damaging of a class, and damages it at all.

    Args:
        damage: Damage of single removals.
        top: Units that are called important to a class; fewer where fewer damage it.
        margin_lost: Ranks units of equal damage, see `ranking`.

    Raises:
        ValueError: If `top` is not in [1, U].
    """
    num_units, num_classes = damage.shape
    if not 1 <= top <= num_units:
        raise ValueError(f"`top` (={top}) must be at least 1 and at most {num_units}, the units")
    important = np.zeros(damage.shape, bool)
    first = ranking(damage, margin_lost=margin_lost)[:, :top].T
    important[first, np.arange(num_classes)] = True
    return important & (damage > 0)


def by_number_of_classes(
    important: Bool[np.ndarray, "U N"], iou: Float[np.ndarray, "U"], *, most: int = 7
) -> Groups:
    """Group units by the number of classes to which they are important; the last takes all more.

    Args:
        important: Whether a unit is important to a class (see `is_important`).
        iou: IoU of every unit with its best concept.
        most: Number of classes from which on units share a group.
    """
    group = np.minimum(important.sum(axis=1), most)
    members = [np.flatnonzero(group == number) for number in range(most + 1)]
    mean, error = _means(iou, members)
    number = np.array([len(units) for units in members])
    return Groups(np.arange(most + 1.0), number, mean, error, np.zeros(most + 1))


def by_mean_damage(
    damage: Float[np.ndarray, "U N"], iou: Float[np.ndarray, "U"], *, size: int = GROUP_SIZE
) -> Groups:
    """Group units by the mean of their damage over all classes, the most damaging first.

    Args:
        damage: Damage of single removals, without columns of classes that have no images.
        iou: IoU of every unit with its best concept.
        size: Units in a group; the last may have less.

    Raises:
        ValueError: If `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"`size` (={size}) must be at least 1")
    overall = damage.mean(axis=1, dtype=np.float64)
    order = np.argsort(-overall, kind="stable")
    members = [order[first : first + size] for first in range(0, len(order), size)]
    mean, error = _means(iou, members)
    value, value_error = _means(overall, members)
    number = np.array([len(units) for units in members])
    return Groups(value, number, mean, error, value_error)


def group_size(num_units: int) -> int:
    """Choose the paper's size of groups, or less where that would make less than six groups."""
    return max(min(GROUP_SIZE, num_units // 6), 1)


def improvements(
    damage: Float[np.ndarray, "U N"], *, least: float = 0.0
) -> list[tuple[int, int, float]]:
    """List (unit, class, gain) where a removal improves a class, greatest gain first.

    Being the greatest of many, gains are too good to be true: they are to be measured again on
    other images than those of `damage`.

    Args:
        damage: Damage of single removals.
        least: Gains must exceed this.
    """
    units, classes = np.nonzero(damage < -least)
    gains = -damage[units, classes]
    order = np.argsort(-gains, kind="stable")
    return [(int(units[i]), int(classes[i]), float(gains[i])) for i in order]


def rank_correlation(a: Float[np.ndarray, "U"], b: Float[np.ndarray, "U"]) -> float:
    """Spearman's rank correlation of two rankings of units, with mean ranks for equals.

    Returns:
        -1 to 1; 0 if one of them is constant.
    """
    deviations = [_ranks(x) - (len(x) - 1) / 2 for x in (a, b)]
    scale = np.sqrt(np.prod([np.sum(d**2) for d in deviations]))
    return float(np.dot(*deviations) / scale) if scale else 0.0


def mean_rank_correlation(a: Float[np.ndarray, "U N"], b: Float[np.ndarray, "U N"]) -> float:
    """Average the rank correlations of two rankings of units over the classes.

    Columns of classes without images are to be left out: their correlation counts as 0.
    """
    return float(np.mean([rank_correlation(x, y) for x, y in zip(a.T, b.T, strict=True)]))


def _ranks(values: Float[np.ndarray, "U"]) -> Float64[np.ndarray, "U"]:
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(number) - 1
    return (last - (number - 1) / 2)[place]


def _means(
    values: Float[np.ndarray, "U"], members: list[Int[np.ndarray, "_"]]
) -> tuple[Float64[np.ndarray, "G"], Float64[np.ndarray, "G"]]:
    mean = np.full(len(members), np.nan)
    error = np.full(len(members), np.nan)
    for group, units in enumerate(members):
        if len(units) > 0:
            mean[group] = values[units].mean(dtype=np.float64)
        if len(units) > 1:
            error[group] = values[units].astype(np.float64).std(ddof=1) / np.sqrt(len(units))
    return mean, error
