"""Exact upper quantiles of many columns by counting, in a few passes over streamed samples.

Letters: n samples, Q columns (usually units), M candidates per column, S sampled rows.

**Definition.** Of n samples, let ``k = floor(fraction * n)``. The threshold is the smallest value t
such that at most k samples are strictly greater than t; that is the sample with k others before it
in descending order. Everything in this package that "activates" does so by ``a > t``, strictly, so
a unit is active on at most the given fraction of pixels. (Bau et al. 2020 define t_u by
P[a_u(x, p) > t_u] = 0.01.)

**Method.** No sort and no sketch. A pass counts, for every column, how many samples exceed each of
M candidate values: a sum, so it streams, merges and shards. Between passes the host narrows, for
every column, the *bracket* (low, high] which must hold t, and places the next candidates inside it,
around the place where interpolation expects t. Brackets are kept in order-preserving integer keys
of the float bits, so the search ends with the very float that sorting would give. A sample of the
data only helps to place the first candidates; it never changes the result.
"""

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int64, Integer

from jaxdissect.stats import counting, int64_counter

NUM_CANDIDATES = 16


# --- the statistic: one pass --------------------------------------------------------------------


class QuantileState(NamedTuple):
    """Counts of one pass.

    Attributes:
        candidates: Values to compare with, ascending in every column.
        above: Number of samples strictly greater than each candidate.
        largest: Largest sample that does not exceed the last candidate, or -inf.
        total: Number of samples seen.
    """

    candidates: Float32[Array, "M Q"]
    above: int64_counter.Int64Counter  # [M, Q]
    largest: Float32[Array, "Q"]
    total: int64_counter.Int64Counter  # []


def init(candidates: Float32[Array, "M Q"]) -> QuantileState:
    """Start a pass."""
    columns = candidates.shape[1]
    return QuantileState(
        candidates,
        int64_counter.zeros(candidates.shape),
        jnp.full((columns,), -jnp.inf, jnp.float32),
        int64_counter.zeros(()),
    )


def update(
    state: QuantileState, samples: Float[Array, "n Q"], weight: Bool[Array, "n"]
) -> QuantileState:
    """Count finite samples; rows with weight False do not count."""
    samples = samples.astype(jnp.float32)
    samples = jnp.where(weight[:, None], samples, -jnp.inf)
    above = counting.counts_above(samples, state.candidates)
    largest = counting.largest_at_most(samples, state.candidates[-1])
    return QuantileState(
        state.candidates,
        int64_counter.add(state.above, above),
        jnp.maximum(state.largest, largest),
        int64_counter.add(state.total, weight.sum(dtype=jnp.int32)),
    )


def merge(a: QuantileState, b: QuantileState) -> QuantileState:
    """Join the counts of two parts of the data; both must have the same candidates."""
    return QuantileState(
        a.candidates,
        int64_counter.merge(a.above, b.above),
        jnp.maximum(a.largest, b.largest),
        int64_counter.merge(a.total, b.total),
    )


def exceeds(
    samples: Float32[Array, "*n Q"], thresholds: Float32[Array, "*#n Q"]
) -> Bool[Array, "*n Q"]:
    """Find where samples are strictly greater than thresholds, on every device alike.

    Subnormal samples count as zero: CPUs compare them as zero, GPUs do not.
    """
    return counting.flush_subnormals(samples) > thresholds


# --- the search: what the host does between passes -----------------------------------------------


class Search(NamedTuple):
    """Where the threshold of every column must be: in the bracket (low, high].

    Attributes:
        low, high: Ends of the bracket as order-preserving integer keys (see `to_keys`).
        above_low, above_high: Number of samples strictly greater than each end; the wanted rank
            lies between: ``above_high <= rank < above_low``.
        rank: Number of samples that may exceed the threshold.
        guesses: Candidates for the next pass, ascending in every column.
    """

    low: Int64[np.ndarray, "Q"]
    high: Int64[np.ndarray, "Q"]
    above_low: Int64[np.ndarray, "Q"]
    above_high: Int64[np.ndarray, "Q"]
    rank: Int64[np.ndarray, "Q"]
    guesses: Float32[np.ndarray, "M Q"]


def upper_rank(fraction: float, total: int) -> int:
    """Count how many of `total` samples may exceed a threshold: ``floor(fraction * total)``.

    The fraction is taken as the decimal it is written as, so 0.29 of 100 is 29.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"`fraction` (={fraction}) must be in [0, 1)")
    return int(Fraction(str(fraction)) * total)


def start(sample: Float32[np.ndarray, "S Q"], total: int, rank: Integer[np.ndarray, "Q"]) -> Search:
    """Begin a search.

    Args:
        sample: Some of the samples, at least one row: only the speed depends on which.
        total: Number of samples there will be.
        rank: For every column, how many samples may exceed the wanted value, below `total`.

    Raises:
        ValueError: If there are no samples or a rank is out of range.
    """
    if total < 1 or len(sample) < 1:
        raise ValueError(f"`total` (={total}) and the rows of `sample` must be at least 1")
    if rank.min(initial=0) < 0 or rank.max(initial=0) >= total:
        raise ValueError(f"`rank` must be in [0, {total}) but reaches {rank.max()}")
    size = len(sample)
    ordered = np.sort(np.ascontiguousarray(sample.T), axis=1)[:, ::-1]
    fraction = (rank + 0.5) / total
    # Neighbouring pixels are alike: this sample is less certain than independent draws would be.
    error = 2 * np.sqrt(size * fraction * (1 - fraction)) + 1
    places = np.clip(
        np.rint(fraction * size - 0.5 + _spread(NUM_CANDIDATES - 3) * error), 0, size - 1
    )
    guesses = to_keys(np.take_along_axis(ordered, places.T.astype(int), axis=1).T)
    # Rectified units are exactly zero almost everywhere: zero is often the answer.
    zero = np.zeros_like(rank)[None]
    largest = to_keys(ordered[:, 0])[None]
    guesses = np.sort(np.concatenate([guesses, zero, zero - 1, largest]), axis=0)
    lowest, highest = to_keys(np.array([-np.inf, np.inf], np.float32))
    return Search(
        np.full(len(rank), lowest),
        np.full(len(rank), highest),
        np.full(len(rank), total),
        np.zeros(len(rank), np.int64),
        rank.astype(np.int64),
        to_floats(guesses),
    )


def narrow(search: Search, state: QuantileState) -> Search:
    """Narrow the brackets by the counts of a finished pass and choose the next candidates.

    Args:
        search: The search whose `guesses` the pass counted.
        state: The finished pass, over all samples.
    """
    guesses = to_keys(np.asarray(state.candidates))
    above = int64_counter.to_int64(state.above)
    rank = search.rank
    low, high = search.low, search.high
    above_low, above_high = search.above_low, search.above_high
    for guess, count in zip(guesses, above, strict=True):  # ascending
        rises = (guess > low) & (count > rank)
        low, above_low = np.where(rises, guess, low), np.where(rises, count, above_low)
        falls = (guess < high) & (count <= rank)
        high, above_high = np.where(falls, guess, high), np.where(falls, count, above_high)
    # No sample lies between the bracket's end and the largest sample that does not exceed it.
    largest = to_keys(np.asarray(state.largest))
    known = (largest <= high) & (high <= guesses[-1])
    high = np.where(known, largest, high)
    # If just `rank` samples exceed the end, the largest sample below it is the answer.
    low = np.where(known & (above_high == rank), high - 1, low)
    return search._replace(
        low=low,
        high=high,
        above_low=above_low,
        above_high=above_high,
        guesses=_place_guesses(low, high, above_low, above_high, rank),
    )


def is_open(search: Search) -> Bool[np.ndarray, "Q"]:
    """Find which columns need another pass."""
    return search.high - search.low > 1


def finalize(search: Search) -> Float32[np.ndarray, "Q"]:
    """Return the exact thresholds.

    Raises:
        ValueError: If the search has not ended.
    """
    if is_open(search).any():
        raise ValueError(f"`search` is still open for {is_open(search).sum()} columns")
    return to_floats(search.high)


def _place_guesses(
    low: np.ndarray,
    high: np.ndarray,
    above_low: np.ndarray,
    above_high: np.ndarray,
    rank: np.ndarray,
) -> np.ndarray:
    """Candidates inside every bracket, ascending, the last at its upper end."""
    inside = np.maximum(above_low - above_high, 1)
    expected = (above_low - rank) / (inside + 1)  # 0 at the low end, 1 at the high end
    error = np.sqrt(expected * (1 - expected) / inside)
    around = _spread(NUM_CANDIDATES - 5)
    even = np.linspace(0, 1, len(around) + 2)[1:-1, None]
    # Where the error covers the whole bracket, even spacing learns more.
    places = np.where(error < 1 / 12, np.clip(expected + around * error, 0, 1), even)
    bottom, top = to_floats(low).astype(np.float64), to_floats(high).astype(np.float64)
    finite = np.isfinite(bottom) & np.isfinite(top)
    with np.errstate(invalid="ignore"):
        by_value = np.where(finite, bottom + places * (top - bottom), 0)
    by_key = low + np.rint(even * (high - low)).astype(np.int64)
    keys = np.where(finite, to_keys(by_value.astype(np.float32)), by_key)
    # Dividing the keys bounds the number of passes however skewed the values are, and the value
    # just below the end settles brackets that ties hold open.
    quarters = low + np.rint(np.array([[0.25], [0.5], [0.75]]) * (high - low)).astype(np.int64)
    keys = np.concatenate([keys, quarters, high[None] - 1])
    keys = np.clip(keys, np.minimum(low + 1, high), np.maximum(high - 1, low))
    return to_floats(np.concatenate([np.sort(keys, axis=0), high[None]]))


def _spread(number: int) -> np.ndarray:
    """Distances from the expected place in standard errors [number, 1]: dense in the middle."""
    return 9 * np.sinh(np.linspace(-3, 3, number))[:, None] / np.sinh(3)


# --- float32 as ordered integers ----------------------------------------------------------------


def to_keys(values: Float32[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Integers in the order of the floats: adjacent floats have adjacent keys, zero has key 0.

    Subnormal numbers count as zero, as they do on CPUs and TPUs.
    """
    bits = values.view(np.int32).astype(np.int64)
    magnitude = np.maximum((bits & 0x7FFFFFFF) - 0x7FFFFF, 0)
    return np.where(bits < 0, -magnitude, magnitude)


def to_floats(keys: Int64[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The inverse of `to_keys`."""
    magnitude = np.where(keys == 0, 0, np.abs(keys) + 0x7FFFFF)
    bits = np.where(keys < 0, magnitude - 0x80000000, magnitude).astype(np.int32)
    return bits.view(np.float32)


# --- conveniences -------------------------------------------------------------------------------


def upper_quantile(
    samples: Float32[np.ndarray, "n Q"], fraction: float
) -> Float32[np.ndarray, "Q"]:
    """Exact thresholds of samples that fit in memory.

    Args:
        samples: Finite values.
        fraction: Greatest fraction of the samples that may lie above, in [0, 1).

    Raises:
        ValueError: If there are no samples, or some are not finite.
    """
    if not np.isfinite(samples).all():
        raise ValueError("`samples` must be finite")
    total, columns = samples.shape
    rank = np.full(columns, upper_rank(fraction, total))
    search = start(samples[:4096], total, rank)
    device_samples, weight = jnp.asarray(samples), jnp.ones(total, bool)
    while is_open(search).any():
        state = jax.jit(update)(init(jnp.asarray(search.guesses)), device_samples, weight)
        search = narrow(search, state)
    return finalize(search)


# --- the reference's interpolated quantiles, for parity ------------------------------------------


def hazen_ranks(quantile: float, total: int) -> tuple[int, int, float]:
    """Where Hazen's definition places a quantile between two order statistics.

    The i-th smallest of n samples stands at ``(i - 0.5) / n``.

    Returns:
        The ranks (see `Search`) of the two samples around the quantile, the lower value first,
        and the weight of the upper one.
    """
    place = min(max(quantile * total - 0.5, 0.0), total - 1.0)  # from 0, ascending
    below = int(place)
    above = min(below + 1, total - 1)
    return total - 1 - below, total - 1 - above, place - below
