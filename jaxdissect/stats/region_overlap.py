"""Overlap of the regions in which units are active under two conditions: exact counts of pixels.

Letters: P pixels, U units.

A condition is a way in which the same layout is shown, such as in its own textures and in others.
Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, find
in this way whether a unit responds to shapes, which stay, or to textures, which change.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter


class OverlapState(NamedTuple):
    """Counts so far."""

    both: int64_counter.Int64Counter  # [U]
    first: int64_counter.Int64Counter  # [U]
    second: int64_counter.Int64Counter  # [U]
    total: int64_counter.Int64Counter  # []


class OverlapCounts(NamedTuple):
    """Counts of pixels.

    Attributes:
        both: Pixels on which each unit is active under both conditions.
        first, second: Under the first, under the second.
        total: All pixels of one condition.
    """

    both: Int64[np.ndarray, "U"]
    first: Int64[np.ndarray, "U"]
    second: Int64[np.ndarray, "U"]
    total: int

    __repr__ = short_repr

    @property
    def union(self) -> Int64[np.ndarray, "U"]:
        """Pixels on which each unit is active under at least one condition."""
        return self.first + self.second - self.both


def init(num_units: int) -> OverlapState:
    """No pixels seen."""
    each = (int64_counter.zeros((num_units,)) for _ in range(3))
    return OverlapState(*each, total=int64_counter.zeros(()))


def update(
    state: OverlapState,
    first: Bool[Array, "P U"],
    second: Bool[Array, "P U"],
    weight: Bool[Array, "P"],
) -> OverlapState:
    """Count fewer than 2**31 pixels.

    Args:
        state: Counts so far.
        first, second: Where each unit is active under each condition.
        weight: Which pixels count.
    """
    first, second = first & weight[:, None], second & weight[:, None]
    shared = zip(state[:3], (first & second, first, second), strict=True)
    counted = (
        int64_counter.add(counts, active.sum(axis=0, dtype=jnp.int32)) for counts, active in shared
    )
    total = int64_counter.add(state.total, weight.sum(dtype=jnp.int32))
    return OverlapState(*counted, total=total)


def merge(a: OverlapState, b: OverlapState) -> OverlapState:
    """Join two parts of the pixels."""
    return OverlapState(*(int64_counter.merge(x, y) for x, y in zip(a, b, strict=True)))


def finalize(state: OverlapState) -> OverlapCounts:
    """Bring the counts to the host."""
    both, first, second = (int64_counter.to_int64(counts) for counts in state[:3])
    return OverlapCounts(both, first, second, int(int64_counter.to_int64(state.total)))


def iou(counts: OverlapCounts) -> Float64[np.ndarray, "U"]:
    """Intersection over union of the regions under both conditions; 0 where there are none."""
    return counts.both / np.maximum(counts.union, 1)


def chance_iou(counts: OverlapCounts) -> Float64[np.ndarray, "U"]:
    """IoU that regions of these sizes have if they lie independently of each other.

    Two regions of 1% of the pixels share 1 in 10,000: an IoU of 0.005.
    """
    shared = counts.first * (counts.second / max(counts.total, 1))
    return shared / np.maximum(counts.first + counts.second - shared, 1)


def reference_score(counts: OverlapCounts, *, fraction: float = 0.01) -> Float64[np.ndarray, "U"]:
    """Score as the reference implementation does, for parity: p / (2 fraction - p), in [0, 1].

    With p the share of pixels that are active under both conditions, this is the IoU of a unit that
    is active on just the given fraction of pixels under each. Units that are active more rarely,
    as their ties may force them to be, get less than their IoU. A share that is greater than any
    such unit can have is 1 at twice the fraction and 0 beyond, as there.
    """
    share = counts.both / max(counts.total, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.clip(share / (2 * fraction - share), 0, 1))
