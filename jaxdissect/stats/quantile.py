"""Exact upper quantiles of many columns by counting, in a few passes over streamed samples.

Letters: n samples, Q columns (usually units), M candidates per column, I images, S sampled pixels
of each.

**Definition.** Of n samples, let ``k = floor(fraction * n)``. The threshold is the smallest value t
such that at most k samples are strictly greater than t; that is the sample with k others before it
in descending order. Everything in this package that "activates" does so by ``a > t``, strictly, so
a unit is active on at most the given fraction of pixels. (Bau et al. 2020 define t_u by
P[a_u(x, p) > t_u] = 0.01.)

**Method.** No sort of the data and no sketch. A pass counts, for every column, how many samples
exceed some values (see `jaxdissect.stats.counting`): sums, so they stream, merge and shard. The
host keeps, for every column, the *bracket* (low, high] which must hold t, and how many samples lie
above its ends. When few enough lie inside, a pass collects them (see
`jaxdissect.stats.brackets`), and the one of the right rank is t. Brackets are kept in
order-preserving integer keys of the float bits, so that dividing them ends with the very float that
sorting would give, whatever the samples. A sample of the data only says where to begin; it never
changes the result.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int64, Integer

from jaxdissect.stats.subnormals import flush_subnormals

NUM_CANDIDATES = 16

_BRACKET_ERRORS = 5
"""Standard errors on either side of the expected place, which the first bracket reaches to."""

_CANDIDATE_ERRORS = 9
_OUTER_ERRORS = (-9, 8, 13, 25)
_SAMPLED_SHARE = 0.05
"""How much further down than wanted a sample is looked at."""


def exceeds(
    samples: Float32[Array, "*n Q"], thresholds: Float32[Array, "*#n Q"]
) -> Bool[Array, "*n Q"]:
    """Find where samples are strictly greater than thresholds, on every device alike.

    Subnormal samples count as zero: CPUs compare them as zero, GPUs do not.
    """
    return flush_subnormals(samples) > thresholds


# --- the search: what the host does between passes -----------------------------------------------


class Search(NamedTuple):
    """Where the threshold of every column must be: in the bracket (low, high].

    Attributes:
        low, high: Ends of the bracket as order-preserving integer keys (see `to_keys`).
        above_low, above_high: Number of samples strictly greater than each end; the wanted rank
            lies between: ``above_high <= rank < above_low``.
        rank: Number of samples that may exceed the threshold.
    """

    low: Int64[np.ndarray, "Q"]
    high: Int64[np.ndarray, "Q"]
    above_low: Int64[np.ndarray, "Q"]
    above_high: Int64[np.ndarray, "Q"]
    rank: Int64[np.ndarray, "Q"]

    @property
    def inside(self) -> Int64[np.ndarray, "Q"]:
        """Number of samples inside the bracket, at least 1."""
        return self.above_low - self.above_high


def upper_rank(fraction: float, total: int) -> int:
    """Count how many of `total` samples may exceed a threshold: ``floor(fraction * total)``.

    The fraction is taken as the decimal it is written as, so 0.29 of 100 is 29.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"`fraction` (={fraction}) must be in [0, 1)")
    return int(Fraction(str(fraction)) * total)


def start(total: int, rank: Integer[np.ndarray, "Q"]) -> Search:
    """Begin a search, knowing nothing.

    Args:
        total: Number of samples there will be.
        rank: For every column, how many samples may exceed the wanted value, below `total`.

    Raises:
        ValueError: If there are no samples or a rank is out of range.
    """
    if total < 1:
        raise ValueError(f"`total` (={total}) must be at least 1")
    if rank.min(initial=0) < 0 or rank.max(initial=0) >= total:
        raise ValueError(f"`rank` must be in [0, {total}) but reaches {rank.max()}")
    lowest, highest = to_keys(np.array([-np.inf, np.inf], np.float32))
    columns = len(rank)
    return Search(
        np.full(columns, lowest),
        np.full(columns, highest),
        np.full(columns, total),
        np.zeros(columns, np.int64),
        rank.astype(np.int64),
    )


def narrow(
    search: Search, values: Float32[np.ndarray, "M Q"], above: Integer[np.ndarray, "M Q"]
) -> Search:
    """Narrow the brackets by what a finished pass has counted.

    Args:
        search: The search.
        values: Any values.
        above: Number of all samples that are strictly greater than each.
    """
    return narrow_by_keys(search, to_keys(values), above)


def narrow_by_keys(
    search: Search, keys: Integer[np.ndarray, "M Q"], above: Integer[np.ndarray, "M Q"]
) -> Search:
    """Narrow the brackets by values that are given as keys."""
    low, high, above_low, above_high, rank = search
    for key, count in zip(keys, above, strict=True):
        rises = (key > low) & (count > rank)
        low, above_low = np.where(rises, key, low), np.where(rises, count, above_low)
        falls = (key < high) & (count <= rank)
        high, above_high = np.where(falls, key, high), np.where(falls, count, above_high)
    return Search(low, high, above_low, above_high, rank)


def is_open(search: Search) -> Bool[np.ndarray, "Q"]:
    """Find the columns whose bracket still holds several floats."""
    return search.high - search.low > 1


def candidates_inside(search: Search, number: int) -> Float32[np.ndarray, "M Q"]:
    """Place candidates inside every bracket, around the place where interpolation expects t."""
    low, high = search.low, search.high
    inside = np.maximum(search.inside, 1)
    expected = (search.above_low - search.rank) / (inside + 1)  # 0 at the low end, 1 at the high
    error = np.sqrt(expected * (1 - expected) / inside)
    around = _spread(number - 4)
    even = np.linspace(0, 1, len(around) + 2)[1:-1, None]
    # Where the error covers the whole bracket, even spacing learns more.
    places = np.where(error < 1 / 12, np.clip(expected + around * error, 0, 1), even)
    bottom, top = (to_floats(end).astype(np.float64) for end in (low, high))
    finite = np.isfinite(bottom) & np.isfinite(top)
    with np.errstate(invalid="ignore"):
        by_value = np.where(finite, bottom + places * (top - bottom), 0)
    by_key = low + np.rint(even * (high - low)).astype(np.int64)
    keys = np.where(finite, to_keys(by_value.astype(np.float32)), by_key)
    # Dividing the keys bounds the number of passes however skewed the values are, and the value
    # just below the end settles brackets that ties hold open.
    quarters = low + np.rint(np.array([[0.25], [0.5], [0.75]]) * (high - low)).astype(np.int64)
    keys = np.concatenate([keys, quarters, high[None] - 1])
    return to_floats(np.clip(keys, np.minimum(low + 1, high), np.maximum(high - 1, low + 1)))


def settle(
    search: Search, values: Float32[np.ndarray, "n"], columns: Integer[np.ndarray, "n"]
) -> Float32[np.ndarray, "Q"]:
    """Find the thresholds from all samples inside the brackets.

    Args:
        search: The search; brackets that are not open need no samples.
        values: The samples, in any order.
        columns: The column of each.

    Raises:
        ValueError: If a bracket that is open does not have all its samples.
    """
    number = len(search.rank)
    held = np.bincount(columns, minlength=number)
    open_ = is_open(search)
    if (held != search.inside)[open_].any():
        raise ValueError("`values` are not those inside the brackets of `search`")
    # Column by column, descending.
    ordered = np.sort((columns.astype(np.int64) << 33) - to_keys(values))
    places = np.cumsum(held) - held + search.rank - search.above_high
    keys = search.high.copy()
    keys[open_] = (np.flatnonzero(open_) << 33) - ordered[places[open_]]
    return to_floats(keys)


# --- where to begin: a sample ---------------------------------------------------------------------


class Guess(NamedTuple):
    """What a sample says of where thresholds are.

    Attributes:
        low, high: A bracket (low, high] that is likely to hold t, or low itself is t.
        share: The share of all samples that are expected inside.
        outer: Candidates outside of it, in case that it does not [O, Q].
        candidates: Candidates in it and around it [M, Q].
    """

    low: Float32[np.ndarray, "Q"]
    high: Float32[np.ndarray, "Q"]
    share: Float[np.ndarray, "Q"]
    outer: Float32[np.ndarray, "O Q"]
    candidates: Float32[np.ndarray, "M Q"]


def guess(
    sample: Float32[np.ndarray, "I S Q"],
    total: int,
    rank: Integer[np.ndarray, "Q"],
    *,
    number: int = NUM_CANDIDATES,
) -> Guess:
    """Guess from some pixels of some images, as many of each, where thresholds are.

    Pixels of one image are alike: how far the sample may be wrong is judged by how much its images
    differ in their counts above the expected threshold.

    Args:
        sample: The pixels; finite.
        total: Number of samples there will be.
        rank: For every column, how many samples may exceed the wanted value.
        number: M, at least 8.
    """
    images, _, columns = sample.shape
    rows = sample.reshape(-1, columns)
    size = len(rows)
    wanted = (rank + 0.5) / total
    kept = min(size, int(np.ceil((wanted.max(initial=0) + _SAMPLED_SHARE) * size)) + 1)
    ordered = _largest(rows, kept)  # [kept, Q], descending

    def at(share: np.ndarray) -> np.ndarray:
        places = np.clip(np.rint(share * size - 0.5), 0, kept - 1).astype(int)
        return np.take_along_axis(ordered, places, axis=0)

    middle = at(wanted[None])[0]
    error = np.sqrt(wanted * (1 - wanted) / size)
    if images > 1:
        shares = (sample > middle).mean(axis=1)
        by_image = shares.std(axis=0, ddof=1) / np.sqrt(images)
        # Few images do not tell well how much images differ.
        error = np.maximum(error, by_image * (1 + 4 / images))
    else:
        error = error * 5
    error = error + 0.5 / size
    first, last = wanted - _BRACKET_ERRORS * error, wanted + _BRACKET_ERRORS * error
    high = np.where(first * size < 0.5, np.float32(np.inf), at(first[None])[0])
    low = np.where(last * size > size - 0.5, np.float32(-np.inf), at(last[None])[0])
    share = ((ordered > low) & (ordered <= high)).mean(axis=0) * kept / size
    share = np.minimum(1, share + 2 * np.sqrt(share / size) + 2 / size)
    # Rectified units are exactly zero almost everywhere: zero is often the answer. So may be any
    # value that is frequent.
    zero = np.zeros_like(middle)[None]
    below = to_floats(to_keys(np.concatenate([zero, middle[None]])) - 1)
    outer = wanted + np.array(_OUTER_ERRORS)[:, None] * error
    around = wanted + _spread(number - 5) * error
    fixed = [zero, below, ordered[:1]]
    return Guess(
        low,
        high,
        share,
        np.concatenate([at(outer), *fixed]),
        np.concatenate([at(around), middle[None], *fixed]),
    )


def _largest(rows: Float32[np.ndarray, "n Q"], number: int) -> Float32[np.ndarray, "number Q"]:
    """Sort the largest values of every column, descending."""
    columns = np.ascontiguousarray(rows.T)
    if number < columns.shape[1]:
        columns.partition(columns.shape[1] - number, axis=1)
        columns = columns[:, -number:]
    return np.sort(columns, axis=1)[:, ::-1].T


def _spread(number: int) -> np.ndarray:
    """Distances from the expected place in standard errors [number, 1]: dense in the middle."""
    return _CANDIDATE_ERRORS * np.sinh(np.linspace(-3, 3, number))[:, None] / np.sinh(3)


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
    total = len(samples)
    if total < 1:
        raise ValueError("`samples` must hold at least one row")
    place = total - 1 - upper_rank(fraction, total)
    return to_floats(np.partition(to_keys(samples), place, axis=0)[place])


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
