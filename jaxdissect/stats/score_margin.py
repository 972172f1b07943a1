"""How far the score of its own class is ahead of all others: exact sums of margins, class by class.

Letters: B batch, S conditions (such as sets of removed units), N classes.

The margin of an image is the score (logit) of its class minus the greatest of the others. Unlike
differences of probabilities, it does not vanish where a classifier is nearly certain, so that it
distinguishes removals after which the same images are classified correctly. Margins are summed in
whole steps of 2^-16, so that sums are exact in any order; beyond ±2^14 they count as that.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int32, Int64, Integer

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter

STEPS = 2**16
"""Steps in which a margin of 1 is summed."""

_LARGEST = 2**14
_LIMB = 16  # bits of a margin that are summed apart


class MarginState(NamedTuple):
    """Counts so far; sums are of margins + 2^14, in steps, in two parts."""

    images: int64_counter.Int64Counter  # [N]
    high: int64_counter.Int64Counter  # [S, N], in 2^16 steps
    low: int64_counter.Int64Counter  # [S, N], in steps


class MarginCounts(NamedTuple):
    """Sums of margins.

    Attributes:
        images: Images of each class.
        total: Sum of their margins under each condition, in steps of 1 / `STEPS`.
    """

    images: Int64[np.ndarray, "N"]
    total: Int64[np.ndarray, "*S N"]

    __repr__ = short_repr


def init(num_classes: int, num_conditions: int) -> MarginState:
    """No images seen."""
    high, low = (int64_counter.zeros((num_conditions, num_classes)) for _ in range(2))
    return MarginState(int64_counter.zeros((num_classes,)), high, low)


def measure(scores: Float[Array, "B N"], labels: Integer[Array, "B"]) -> Int32[Array, "B"]:
    """Find margins, in steps above -2^14.

    Args:
        scores: Finite scores of the classes.
        labels: Class of each image, in [0, N).
    """
    scores = scores.astype(jnp.float32)
    is_own = labels[:, None].astype(jnp.int32) == jnp.arange(scores.shape[1])[None]
    own = jnp.where(is_own, scores, -jnp.inf).max(axis=1)
    other = jnp.where(is_own, -jnp.inf, scores).max(axis=1)
    # Whole part and rest apart: float32 does not hold their sum.
    margins = jnp.clip(own - other, -_LARGEST, _LARGEST - 1)
    whole = jnp.floor(margins)
    rest = jnp.round((margins - whole) * STEPS).astype(jnp.int32)
    return (whole.astype(jnp.int32) + _LARGEST) * STEPS + rest


def update(
    state: MarginState,
    margins: Int32[Array, "S B"],
    labels: Integer[Array, "B"],
    weight: Bool[Array, "B"],
) -> MarginState:
    """Count a batch.

    Args:
        state: Counts so far.
        margins: Margins that `measure` finds, under each condition.
        labels: Class of each image; beyond [0, N) the image does not count.
        weight: Which images count.

    Raises:
        ValueError: If there are more than `int64_counter.MOST_AMOUNTS` images.
    """
    num_classes = state.images.low.shape[0]
    labels = labels.astype(jnp.int32)
    counted = weight & (labels >= 0) & (labels < num_classes)
    add = jax.vmap(int64_counter.add_at, in_axes=(0, None, 0))
    margins = jnp.where(counted, margins, 0)
    return MarginState(
        int64_counter.add_at(state.images, labels, counted.astype(jnp.int32)),
        add(state.high, labels, margins >> _LIMB),
        add(state.low, labels, margins & (2**_LIMB - 1)),
    )


def merge(a: MarginState, b: MarginState) -> MarginState:
    """Join two parts of the images."""
    return MarginState(*(int64_counter.merge(x, y) for x, y in zip(a, b, strict=True)))


def finalize(state: MarginState) -> MarginCounts:
    """Bring the sums to the host."""
    images, high, low = map(int64_counter.to_int64, state)
    return MarginCounts(images, (high << _LIMB) + low - images * (_LARGEST * STEPS))


def mean_margin(counts: MarginCounts) -> Float64[np.ndarray, "*S N"]:
    """Mean margin of the images of every class, in scores; 0 where there are none."""
    return np.asarray(counts.total / np.maximum(counts.images * STEPS, 1))
