"""How far scores separate the images of a class from all others: AUROC and mean margin.

Letters: B batch, S conditions (such as sets of removed units), N classes, H bins.

A score here is the log-odds of the probability that a classifier gives to a class: its logit less
the log of the summed exponentials of all others, which no confidence makes saturate. Scores are
counted in bins, so that any number of images takes the same memory. The area under the ROC curve
follows from the counts of a class and of all images (Fawcett, "An introduction to ROC analysis",
2006, section 7): it is the chance that an image of the class has a greater score than an image of
another, pairs in the same bin counted half.

Bins adapt to the scores of each class under each condition. A score is first put into one of 2^31
fine bins, whose width is even near 0 and grows with the score far from it, as that of floats does.
A bin that is counted joins 2^k of them, beginning at a multiple of 2^k, with the least k for which
`NUM_BINS` such bins cover all scores seen. Hence counts follow from the scores alone, not from
their order: they merge exactly, and no score lies beyond the bins.

The margin of an image is the probability of its class minus the greatest of the others, from -1 to
1, summed in whole steps as confidences are (see `jaxdissect.stats.accuracy`).
"""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Int32, Int64, Integer

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter
from jaxdissect.stats.accuracy import STEPS

NUM_BINS = 256
"""Bins that cover the scores of a class."""

MOST_IN_COMMON = 0.1
"""Share of the pairs of images in a common bin above which an AUROC is said to be coarse."""

_TOGETHER = 64  # classes under conditions whose bins are joined at once
_NONE_SEEN = (2**31 - 1, -(2**31))  # least and greatest fine bin before any image


class AurocState(NamedTuple):
    """Counts so far."""

    margin: int64_counter.Int64Counter  # [S, N], of margin + 1, in steps
    least: Int32[Array, "S N"]  # fine bins seen, from
    greatest: Int32[Array, "S N"]  # up to
    own: Int32[Array, "S N H"]
    every: Int32[Array, "S N H"]


class AurocCounts(NamedTuple):
    """Counts of images by score.

    Attributes:
        margin: Sum of the margins over the images of each class, in steps of 1 / `accuracy.STEPS`.
        own: Images of each class, by their score for it, in ascending bins.
        every: All images, by their score for each class.
        joined: Whether bins join several scores, so that images in the same bin need not be tied.
    """

    margin: Int64[np.ndarray, "*S N"]
    own: Int64[np.ndarray, "*S N H"]
    every: Int64[np.ndarray, "*S N H"]
    joined: Bool[np.ndarray, "*S N"]

    __repr__ = short_repr


def init(num_classes: int, num_conditions: int) -> AurocState:
    """No images seen; at most 2^31 - 1 may be."""
    shape = (num_conditions, num_classes)
    least, greatest = (jnp.full(shape, none, jnp.int32) for none in _NONE_SEEN)
    own, every = (jnp.zeros((*shape, NUM_BINS), jnp.int32) for _ in range(2))
    return AurocState(int64_counter.zeros(shape), least, greatest, own, every)


class BinnedScores(NamedTuple):
    """Fine bins and margins of a batch under one condition."""

    bins: Int32[Array, "B N"]
    margins: Int32[Array, "B"]


def measure(scores: Float[Array, "B N"], labels: Integer[Array, "B"]) -> BinnedScores:
    """Find fine bins of log-odds, and margins, in steps above -1.

    Args:
        scores: Logits of the classes, N >= 2.
        labels: Class of each image, in [0, N).
    """
    shares = jax.nn.softmax(scores.astype(jnp.float32))
    is_own = labels[:, None] == jnp.arange(scores.shape[1], dtype=labels.dtype)[None]
    own = jnp.where(is_own, shares, 0).max(axis=1)
    other = jnp.where(is_own, 0, shares).max(axis=1)
    margins = jnp.round((1 + own - other) * STEPS).astype(jnp.int32)
    return BinnedScores(_fine_bins(log_odds(scores)), margins)


def log_odds(scores: Float[Array, "B N"]) -> Float32[Array, "B N"]:
    """Compute log(p / (1 - p)) of every class: its logit less logsumexp of all others.

    Args:
        scores: Logits of the classes, N >= 2.
    """
    scores = scores.astype(jnp.float32)
    lowest = jnp.finfo(jnp.float32).min
    is_best = jax.nn.one_hot(scores.argmax(1), scores.shape[1], dtype=bool)
    best = jnp.maximum(scores.max(1, keepdims=True), lowest)
    rest = jnp.where(is_best, -jnp.inf, scores)
    second = jnp.maximum(rest.max(1, keepdims=True), lowest)
    # Of all but the best class the best is among the others: what is left of the sum is at least 1.
    shares = jnp.exp(scores - best)
    without = best + jnp.log(shares.sum(1, keepdims=True) - shares)
    beside_best = second + jnp.log(jnp.exp(rest - second).sum(1, keepdims=True))
    return scores - jnp.where(is_best, beside_best, without)


def update(
    state: AurocState,
    bins: Int32[Array, "S B N"],
    margins: Int32[Array, "S B"],
    labels: Integer[Array, "B"],
    weight: Bool[Array, "B"],
) -> AurocState:
    """Count a batch.

    Args:
        state: Counts so far.
        bins, margins: Fine bins and margins that `measure` finds, under each condition.
        labels: Class of each image; beyond [0, N) the image does not count.
        weight: Which images count.
    """
    num_classes = state.own.shape[1]
    labels = labels.astype(jnp.int32)
    weight = weight & (labels >= 0) & (labels < num_classes)
    counted, safe = weight.astype(jnp.int32), jnp.clip(labels, 0, num_classes - 1)
    classes = jnp.arange(num_classes)[None]
    low, high = (jnp.where(weight[None, :, None], bins, none) for none in _NONE_SEEN)
    state = _widened(state, low.min(axis=1), high.max(axis=1))
    shift, start = _window(state.least, state.greatest)
    places = (bins >> shift[:, None]) - start[:, None]  # beyond the bins if they do not count

    def add(own: Array, every: Array, places: Array) -> tuple[Array, Array]:
        mine = jnp.take_along_axis(places, safe[:, None], 1)[:, 0]
        return (
            own.at[safe, mine].add(counted, mode="drop", wrap_negative_indices=False),
            every.at[classes, places].add(
                counted[:, None], mode="drop", wrap_negative_indices=False
            ),
        )

    own, every = jax.vmap(add)(state.own, state.every, places)
    margin = jax.vmap(int64_counter.add_at, (0, None, 0))(
        state.margin, safe, counted[None] * margins
    )
    return state._replace(margin=margin, own=own, every=every)


def merge(a: AurocState, b: AurocState) -> AurocState:
    """Join two parts of the images."""
    a, b = _widened(a, b.least, b.greatest), _widened(b, a.least, a.greatest)
    margin = int64_counter.merge(a.margin, b.margin)
    return a._replace(margin=margin, own=a.own + b.own, every=a.every + b.every)


def finalize(state: AurocState) -> AurocCounts:
    """Bring the counts to the host."""
    own, every = (np.asarray(counts).astype(np.int64) for counts in (state.own, state.every))
    margin = int64_counter.to_int64(state.margin) - own.sum(axis=-1) * STEPS
    shift, _ = _window(state.least, state.greatest)
    return AurocCounts(margin, own, every, np.asarray(shift) > 0)


def auroc(counts: AurocCounts) -> Float64[np.ndarray, "*S N"]:
    """Area under the ROC curve of every class against all others.

    It is exact but for pairs of images in the same bin. Where there are no images of a class, or
    none of others, it is 0.5, that of chance.

    Warns:
        UserWarning: If more than `MOST_IN_COMMON` of the pairs lie in a common bin because a few
            scores are far from all others. The AUROC is within half that share of the true one.
    """
    others = counts.every - counts.own
    below = np.cumsum(others, axis=-1) - others
    pairs = counts.own.sum(axis=-1) * others.sum(axis=-1)
    # Twice the won pairs is a whole number, and far below 2^63.
    won = (counts.own * (2 * below + others)).sum(axis=-1)
    common = (counts.own * others).sum(axis=-1) / np.maximum(pairs, 1)
    coarse = counts.joined & (common > MOST_IN_COMMON)
    if coarse.any():
        warnings.warn(
            f"{coarse.sum()} of {coarse.size} AUROCs may be off by {common[coarse].max() / 2:.2f}: "
            "a few scores lie so far from all others that these share a bin",
            stacklevel=2,
        )
    return np.where(pairs > 0, won / np.maximum(2 * pairs, 1), 0.5)


def mean_margin(counts: AurocCounts) -> Float64[np.ndarray, "*S N"]:
    """Mean margin of the images of every class, -1 to 1; 0 where there are none."""
    return np.asarray(counts.margin / np.maximum(counts.own.sum(axis=-1) * STEPS, 1))


# --- bins that adapt ------------------------------------------------------------------------------


def _fine_bins(scores: Float32[Array, "B N"]) -> Int32[Array, "B N"]:
    """Number scores in their order, in [-2^30, 2^30]: the bits of |score| + 1 as a float."""
    bits = jax.lax.bitcast_convert_type(jnp.abs(scores) + 1, jnp.int32)
    number = bits - np.float32(1).view(np.int32)
    return jnp.where(scores < 0, -number, number)


def _window(
    least: Int32[Array, "S N"], greatest: Int32[Array, "S N"]
) -> tuple[Int32[Array, "S N"], Int32[Array, "S N"]]:
    """Find how many fine bins, as a power of two, a bin joins, and the number of the first bin."""
    empty = greatest < least
    least, greatest = (jnp.where(empty, 0, bound)[..., None] for bound in (least, greatest))
    powers = jnp.arange(31, dtype=jnp.int32)[None, None]
    length = ((greatest >> powers) - (least >> powers)).astype(jnp.uint32)  # may be 2^31
    shift = (length >= NUM_BINS).sum(-1, dtype=jnp.int32)
    return shift, least[..., 0] >> shift


def _widened(
    state: AurocState, least: Int32[Array, "S N"], greatest: Int32[Array, "S N"]
) -> AurocState:
    """Let bins cover further scores; each then joins several of those before."""
    shift, start = _window(state.least, state.greatest)
    least, greatest = jnp.minimum(state.least, least), jnp.maximum(state.greatest, greatest)
    new_shift, new_start = _window(least, greatest)
    changed = ((shift != new_shift) | (start != new_start)).reshape(-1)
    rows = changed.size

    def regrouped(counts: Array, row: Array) -> Array:
        # Nothing is to be joined where nothing was seen; what lies beyond the new bins is empty.
        joins = jnp.maximum(new_shift.reshape(-1)[row] - shift.reshape(-1)[row], 0)
        old = start.reshape(-1)[row] + jnp.arange(NUM_BINS, dtype=jnp.int32)
        places = (old >> joins) - new_start.reshape(-1)[row]
        return (
            jnp.zeros_like(counts).at[places].add(counts, mode="drop", wrap_negative_indices=False)
        )

    # Only what changes is touched, which soon is little: some rows after others.
    (order,) = jnp.nonzero(changed, size=rows + _TOGETHER, fill_value=rows)

    def some(done: Array, both: tuple[Array, Array]) -> tuple[Array, Array]:
        these = jax.lax.dynamic_slice_in_dim(order, done * _TOGETHER, _TOGETHER)
        own, every = (
            counts.at[these].set(
                jax.vmap(regrouped)(counts.at[these].get(mode="clip"), these), mode="drop"
            )
            for counts in both
        )
        return own, every

    both = state.own.reshape(rows, NUM_BINS), state.every.reshape(rows, NUM_BINS)
    own, every = jax.lax.fori_loop(0, -(-changed.sum() // _TOGETHER), some, both)
    shape = state.own.shape
    return state._replace(
        least=least, greatest=greatest, own=own.reshape(shape), every=every.reshape(shape)
    )
