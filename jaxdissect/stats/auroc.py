"""How far scores separate the images of a class from all others: AUROC and mean margin.

Letters: B batch, S conditions (such as sets of removed units), N classes, H bins.

A score here is the log-odds of the probability that a classifier gives to a class. Scores are
counted in bins, so that any number of images takes the same memory, and counts merge exactly. The
area under the ROC curve follows from the counts of a class and of all images (Fawcett, "An
introduction to ROC analysis", 2006, section 7): it is the chance that an image of the class has a
greater score than an image of another, pairs in the same bin counted half. The margin of an image
is the probability of its class minus the greatest of the others, from -1 to 1, summed in whole
steps as confidences are (see `jaxdissect.stats.accuracy`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int32, Int64, Integer

from jaxdissect.stats import int64_counter
from jaxdissect.stats.accuracy import STEPS

NUM_BINS = 128
"""Bins of scores, as wide as each other; the first and the last hold all beyond."""

_LARGEST = 16.0  # log-odds; beyond, float32 hardly distinguishes probabilities from 0 and 1


class AurocState(NamedTuple):
    """Counts so far."""

    margin: int64_counter.Int64Counter  # [S, N], of margin + 1, in steps
    own: Int32[Array, "S N H"]
    every: Int32[Array, "S N H"]


class AurocCounts(NamedTuple):
    """Counts of images by score.

    Attributes:
        margin: Sum of the margins over the images of each class, in steps of 1 / `accuracy.STEPS`.
        own: Images of each class, by their score for it, in ascending bins.
        every: All images, by their score for each class.
    """

    margin: Int64[np.ndarray, "*S N"]
    own: Int64[np.ndarray, "*S N H"]
    every: Int64[np.ndarray, "*S N H"]


def init(num_classes: int, num_conditions: int) -> AurocState:
    """No images seen; at most 2^31 - 1 may be."""
    shape = (num_conditions, num_classes)
    own, every = (jnp.zeros((*shape, NUM_BINS), jnp.int32) for _ in range(2))
    return AurocState(int64_counter.zeros(shape), own, every)


class BinnedScores(NamedTuple):
    """Bins and margins of a batch under one condition."""

    bins: Int32[Array, "B N"]
    margins: Int32[Array, "B"]


def measure(scores: Float[Array, "B N"], labels: Integer[Array, "B"]) -> BinnedScores:
    """Find bins of scores and margins, in steps above -1.

    Args:
        scores: Logits of the classes, N >= 2.
        labels: Class of each image, in [0, N).
    """
    chances = jax.nn.log_softmax(scores.astype(jnp.float32))
    odds = chances - jnp.log1p(-jnp.minimum(jnp.exp(chances), 1 - 2.0**-24))
    place = jnp.floor((odds + _LARGEST) * (NUM_BINS / (2 * _LARGEST)))
    is_own = labels[:, None] == jnp.arange(scores.shape[1], dtype=labels.dtype)[None]
    shares = jnp.exp(chances)
    own = jnp.where(is_own, shares, 0).max(axis=1)
    other = jnp.where(is_own, 0, shares).max(axis=1)
    margins = jnp.round((1 + own - other) * STEPS).astype(jnp.int32)
    return BinnedScores(jnp.clip(place, 0, NUM_BINS - 1).astype(jnp.int32), margins)


def update(
    state: AurocState,
    bins: Int32[Array, "S B N"],
    margins: Int32[Array, "S B"],
    labels: Integer[Array, "B"],
    weight: Bool[Array, "B"],
) -> AurocState:
    """Count a batch of at most 2^13 images.

    Args:
        state: Counts so far.
        bins, margins: Bins and margins that `measure` finds, under each condition.
        labels: Class of each image; beyond [0, N) the image does not count.
        weight: Which images count.
    """
    num_classes = state.own.shape[1]
    labels = labels.astype(jnp.int32)
    counted = (weight & (labels >= 0) & (labels < num_classes)).astype(jnp.int32)
    safe = jnp.clip(labels, 0, num_classes - 1)
    classes = jnp.arange(num_classes)[None]

    def add(
        margin: Array, own: Array, every: Array, bins: Array, margins: Array
    ) -> tuple[Array, Array, Array]:
        mine = jnp.take_along_axis(bins, safe[:, None], 1)[:, 0]
        return (
            margin.at[safe].add(counted * margins),
            own.at[safe, mine].add(counted),
            every.at[classes, bins].add(counted[:, None]),
        )

    nothing = jnp.zeros(state.margin.low.shape, jnp.int32)
    margin, own, every = jax.vmap(add)(nothing, state.own, state.every, bins, margins)
    return AurocState(int64_counter.add(state.margin, margin), own, every)


def merge(a: AurocState, b: AurocState) -> AurocState:
    """Join two parts of the images."""
    return AurocState(int64_counter.merge(a.margin, b.margin), a.own + b.own, a.every + b.every)


def finalize(state: AurocState) -> AurocCounts:
    """Bring the counts to the host."""
    own, every = (np.asarray(counts).astype(np.int64) for counts in (state.own, state.every))
    margin = int64_counter.to_int64(state.margin) - own.sum(axis=-1) * STEPS
    return AurocCounts(margin, own, every)


def auroc(counts: AurocCounts) -> Float64[np.ndarray, "*S N"]:
    """Area under the ROC curve of every class against all others.

    Bins of 1/4 in log-odds make it exact but for pairs within a bin. Where there are no images of
    a class, or none of others, it is 0.5, that of chance.
    """
    others = counts.every - counts.own
    below = np.cumsum(others, axis=-1) - others
    pairs = counts.own.sum(axis=-1) * others.sum(axis=-1)
    # Twice the won pairs is a whole number, and far below 2^63.
    won = (counts.own * (2 * below + others)).sum(axis=-1)
    return np.where(pairs > 0, won / np.maximum(2 * pairs, 1), 0.5)


def mean_margin(counts: AurocCounts) -> Float64[np.ndarray, "*S N"]:
    """Mean margin of the images of every class, -1 to 1; 0 where there are none."""
    return np.asarray(counts.margin / np.maximum(counts.own.sum(axis=-1) * STEPS, 1))
