"""Means of integer changes by group, such as changes of areas, with their standard errors.

Letters: n samples, K groups that a sample is in, G groups, C concepts.

Changes are integers, so that their sums and sums of squares are too: they are added on the host as
int64, and neither the batch size nor the order of the samples changes a bit of the result. Sums of
squares fit as long as ``4 n P**2 < 2**63`` for n samples of changes up to P pixels.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Int64

from jaxdissect.arrays.representation import short_repr


class PairedChanges(NamedTuple):
    """Sums of the changes of every group's samples.

    Attributes:
        number: Samples of each group.
        sums: Sum of the changes.
        squares: Sum of their squares.
    """

    number: Int64[np.ndarray, "G"]
    sums: Int64[np.ndarray, "G C"]
    squares: Int64[np.ndarray, "G C"]

    __repr__ = short_repr


def init(num_groups: int, num_concepts: int) -> PairedChanges:
    """No samples seen."""
    shape = (num_groups, num_concepts)
    return PairedChanges(
        np.zeros(num_groups, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    )


def add(
    changes: PairedChanges, groups: Int[np.ndarray, "n K"], samples: Int[np.ndarray, "n C"]
) -> None:
    """Add samples, in place.

    Args:
        changes: Sums so far; become the sums with these samples.
        groups: Groups [0, G) that each sample is in, none of them twice; -1 is no group.
        samples: Change of every concept.
    """
    groups = groups.astype(np.int64)
    np.add.at(changes.number, groups[groups >= 0], 1)
    # An intervention leaves most of a large vocabulary alone: only what changed is added.
    sample, concept = np.nonzero(samples)
    group = groups[sample]
    member = group >= 0
    cell = (group * samples.shape[1] + concept[:, None])[member]
    value = samples[sample, concept].astype(np.int64)
    value = np.broadcast_to(value[:, None], group.shape)[member]
    np.add.at(changes.sums.reshape(-1), cell, value)
    np.add.at(changes.squares.reshape(-1), cell, value**2)


def named(changes: PairedChanges, name: str) -> dict[str, np.ndarray]:
    """Name the arrays that `add` adds to, as `sums` of `fold`."""
    return {f"{name}/{field}": array for field, array in changes._asdict().items()}


def merge(a: PairedChanges, b: PairedChanges) -> PairedChanges:
    """Join two parts of the samples."""
    return PairedChanges(a.number + b.number, a.sums + b.sums, a.squares + b.squares)


def mean(changes: PairedChanges) -> Float64[np.ndarray, "G C"]:
    """Mean change; 0 in groups without samples."""
    return changes.sums / np.maximum(changes.number, 1)[:, None]


def standard_error(changes: PairedChanges) -> Float64[np.ndarray, "G C"]:
    """Standard error of the mean change of independent samples, sqrt(variance / n).

    The variance is unbiased (divided by n - 1). With fewer than two samples the error is not known
    and given as infinite.
    """
    number = changes.number[:, None]
    samples = np.maximum(number, 1)
    # Around the mean rounded down all is integer, so that nothing cancels: with sum = q n + r,
    # the sum of (x - mean)**2 is that of (x - q)**2 less r**2 / n.
    whole, rest = np.divmod(changes.sums, samples)
    around_whole = changes.squares - 2 * whole * changes.sums + whole**2 * samples
    variance = (around_whole - rest * (rest / samples)) / np.maximum(number - 1, 1)
    return np.where(number > 1, np.sqrt(variance / samples), np.inf)


def relative(
    change: Float64[np.ndarray, "*groups C"], base: Float64[np.ndarray, "C"]
) -> Float64[np.ndarray, "*groups C"]:
    """Divide changes by the area before; 0 where both are 0, infinite where only the area is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(change == 0, 0.0, change / base)
