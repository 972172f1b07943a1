"""The few values inside a bracket, with their labels, and exact counts of those beside it.

Letters: P pixels, K labels per pixel, U units, N values that there is room for, W words of 32
pixels or fewer.

A unit's threshold is known to lie in its bracket (low, high]. One pass over all pixels counts those
above and below, and collects the values inside with the labels of their pixels; afterwards they
settle the threshold and its overlaps without another pass. Values equal to `low`, often zero, are
counted and never collected. Subnormal values count as zero, NaN is nowhere.

**Method.** The pixels inside are bits of words along the pixel axis, found in the same reading of
the values that counts. From sums of these bits, binary searches tell the unit, the word and the bit
of the i-th value. A `while_loop` collects a chunk of values a round, so none
are ever lost to a static size: many values only take more rounds.

**Memory.** N * (8 + K * bytes of a label) for what is collected; while a batch is counted,
P * U * 3 / 8 bytes.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Int64, UInt32

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter
from jaxdissect.stats.subnormals import flush_subnormals

_WORD = 32  # pixels
_CHUNKS = 2**10, 2**16  # fewest and most values that are collected in a round


class BracketState(NamedTuple):
    """Counts, and the values collected so far.

    Attributes:
        low, high: The bracket (low, high] of every unit; where both are equal, nothing
            is collected.
        above_high, above_low: Pixels strictly greater than each end.
        at_least_low: Pixels equal to the lower end, or greater.
        values: Values inside brackets, in no particular order; zero where not yet used.
        units: The unit that each belongs to.
        labels: The labels of the pixel that each was found at.
        used: How many values there are; one more than N if that was not enough.
    """

    low: Float32[Array, "U"]
    high: Float32[Array, "U"]
    above_high: int64_counter.Int64Counter  # [U]
    above_low: int64_counter.Int64Counter  # [U]
    at_least_low: int64_counter.Int64Counter  # [U]
    values: Float32[Array, "N"]
    units: Int32[Array, "N"]
    labels: Int[Array, "N K"]
    used: Int32[Array, ""]


class BracketCounts(NamedTuple):
    """The same on the host, without the places that were not used."""

    low: Float32[np.ndarray, "U"]
    high: Float32[np.ndarray, "U"]
    above_high: Int64[np.ndarray, "U"]
    above_low: Int64[np.ndarray, "U"]
    at_least_low: Int64[np.ndarray, "U"]
    values: Float32[np.ndarray, "n"]
    units: Int32[np.ndarray, "n"]
    labels: Int[np.ndarray, "n K"]

    __repr__ = short_repr


def init(
    low: Float32[Array, "U"],
    high: Float32[Array, "U"],
    *,
    capacity: int,
    num_labels: int,
    label_type: DTypeLike = jnp.int16,
) -> BracketState:
    """Start with no pixels seen.

    Args:
        low, high: The bracket of every unit, ``low <= high``.
        capacity: N, at least as many as all pixels have values inside.
        num_labels: K, labels per pixel.
        label_type: Integer type that holds every label.
    """
    units = low.shape[0]
    size = max(capacity, 1)  # arrays without elements could not be indexed
    return BracketState(
        # Copies: a state must not alias what it was made from, or it could not be donated.
        jnp.array(low, jnp.float32),
        jnp.array(high, jnp.float32),
        int64_counter.zeros((units,)),
        int64_counter.zeros((units,)),
        int64_counter.zeros((units,)),
        jnp.zeros(size, jnp.float32),
        jnp.zeros(size, jnp.int32),
        jnp.zeros((size, num_labels), label_type),
        jnp.zeros((), jnp.int32),
    )


def update(
    state: BracketState,
    samples: Float[Array, "P U"],
    labels: Int[Array, "P K"],
    weight: Bool[Array, "P"],
) -> BracketState:
    """Count pixels and collect those inside the brackets.

    Args:
        state: Counts so far.
        samples: Values of every unit; P * U below 2**31.
        labels: Ids that fit the state's type of labels.
        weight: Which pixels count.
    """
    rows = _rows_of_words(samples.shape[0])
    # Only here: a changed copy of all samples, to collect from, would cost as much as the rest.
    flushed = flush_subnormals(samples.astype(jnp.float32))
    words, counts = _read(flushed, weight, state.low, state.high, rows)
    ends, above_high, at_least_low = lax.platform_dependent(
        words, counts, cpu=_running_sums_by_rows, default=_running_sums
    )
    values, units, found, used = _collect(state, samples, labels, words, ends, rows)
    return BracketState(
        state.low,
        state.high,
        int64_counter.add(state.above_high, above_high),
        int64_counter.add(state.above_low, above_high + ends[-1]),
        int64_counter.add(state.at_least_low, at_least_low),
        values,
        units,
        found,
        used,
    )


def merge(a: BracketState, b: BracketState) -> BracketState:
    """Join two parts of the data; both must have the same brackets and the same room.

    There is no more room afterwards: `capacity` must have been enough for both together.
    """
    size = a.values.shape[0]
    first = jnp.arange(size) < a.used

    def join(one: Array, other: Array) -> Array:
        mask = first.reshape((size,) + (1,) * (one.ndim - 1))
        return jnp.where(mask, one, jnp.roll(other, a.used, axis=0))

    return BracketState(
        a.low,
        a.high,
        int64_counter.merge(a.above_high, b.above_high),
        int64_counter.merge(a.above_low, b.above_low),
        int64_counter.merge(a.at_least_low, b.at_least_low),
        join(a.values, b.values),
        join(a.units, b.units),
        join(a.labels, b.labels),
        a.used + jnp.minimum(b.used, size + 1 - a.used),
    )


def finalize(state: BracketState) -> BracketCounts:
    """Bring counts and values to the host.

    Raises:
        ValueError: If there was no room for all values inside the brackets.
    """
    used, size = int(state.used), len(state.values)
    above_high, above_low, at_least_low = (
        int64_counter.to_int64(counter)
        for counter in (state.above_high, state.above_low, state.at_least_low)
    )
    if used > size:
        inside = (above_low - above_high).sum()
        raise ValueError(f"{inside} values lie inside the brackets, but `capacity` was {size}")
    values = np.asarray(state.values[:used])
    return BracketCounts(
        np.asarray(state.low),
        np.asarray(state.high),
        above_high,
        above_low,
        at_least_low,
        np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values),
        np.asarray(state.units[:used]),
        np.asarray(state.labels[:used]),
    )


def _rows_of_words(pixels: int) -> int:
    """Pixels to a word: a number that divides them needs no padded copy."""
    sizes = range(_WORD, _WORD // 2, -1)
    return next((rows for rows in sizes if pixels % rows == 0), _WORD)


def _read(
    samples: Float32[Array, "P U"], weight: Array, low: Array, high: Array, rows: int
) -> tuple[UInt32[Array, "W U"], UInt32[Array, "W U"]]:
    """Pack in one reading which values lie inside, and how many above `high` and not below `low`.

    Returns:
        Words with a bit for every pixel, and both numbers in 16 bits each, `high` in the lower.
    """
    samples = jnp.where(weight[:, None], samples, jnp.nan)
    padding = ((0, -samples.shape[0] % rows), (0, 0))
    samples = jnp.pad(samples, padding, constant_values=jnp.nan)
    blocks = samples.reshape(-1, rows, samples.shape[1])
    one, zero = jnp.uint32(1), jnp.uint32(0)
    bits = jnp.left_shift(one, jnp.arange(rows, dtype=jnp.uint32))[None, :, None]
    low, high = low[None, None], high[None, None]
    above_high = blocks > high
    return lax.reduce(
        (
            jnp.where((blocks > low) & ~above_high, bits, zero),
            jnp.where(above_high, one, zero) + jnp.where(blocks >= low, one << 16, zero),
        ),
        (zero, zero),
        lambda a, b: (a[0] | b[0], a[1] + b[1]),
        (1,),
    )


def _running_sums(words: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Number the bits along the first axis, and add up both numbers."""
    bits = lax.population_count(words).astype(jnp.int32)
    above_high = (counts & 0xFFFF).sum(axis=0, dtype=jnp.int32)
    return jnp.cumsum(bits, axis=0), above_high, (counts >> 16).sum(axis=0, dtype=jnp.int32)


def _running_sums_by_rows(words: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Do the same: whole rows one after the other are 15 times faster on CPU."""

    def add(totals: list[Array], row: tuple[Array, Array]) -> tuple[list[Array], Array]:
        word, count = row
        parts = lax.population_count(word), count & 0xFFFF, count >> 16
        totals = [a + b.astype(jnp.int32) for a, b in zip(totals, parts, strict=True)]
        return totals, totals[0]

    zero = jnp.zeros(words.shape[1:], jnp.int32)
    (_, above_high, at_least_low), ends = lax.scan(add, [zero] * 3, (words, counts))
    return ends, above_high, at_least_low


def _collect(
    state: BracketState,
    samples: Float[Array, "P U"],
    labels: Int[Array, "P K"],
    words: UInt32[Array, "W U"],
    ends: Int32[Array, "W U"],
    rows: int,
) -> tuple[Array, Array, Array, Array]:
    """Put the values that the words mark behind those already collected."""
    size = state.values.shape[0]
    unit_ends = jnp.cumsum(ends[-1])
    ends, total = ends + (unit_ends - ends[-1])[None], unit_ends[-1]
    used = state.used + jnp.minimum(total, size + 1 - state.used)
    chunk = min(max(samples.size >> 11, _CHUNKS[0]), _CHUNKS[1], size)

    def collect(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        done, *arrays = carry
        # The last chunk begins earlier, so that it fits.
        start = jnp.minimum(done, size - chunk)
        rank = start + jnp.arange(chunk, dtype=jnp.int32) - state.used
        valid = (rank >= 0) & (rank < total)
        pixel, unit = lax.platform_dependent(
            jnp.where(valid, rank, 0),
            words,
            ends,
            cpu=partial(_find, rows, False),
            default=partial(_find, rows, True),
        )
        new = samples.at[pixel, unit].get(mode="clip"), unit, labels.at[pixel].get(mode="clip")
        written = []
        for array, values in zip(arrays, new, strict=True):
            old = lax.dynamic_slice_in_dim(array, start, chunk)
            mask = valid.reshape((chunk,) + (1,) * (array.ndim - 1))
            values = jnp.where(mask, values.astype(array.dtype), old)
            written.append(lax.dynamic_update_slice_in_dim(array, values, start, axis=0))
        return start + chunk, *written

    _, values, units, found = lax.while_loop(
        lambda carry: carry[0] < jnp.minimum(used, size),
        collect,
        (state.used, state.values, state.units, state.labels),
    )
    return values, units, found, used


def _find(
    rows: int,
    unroll: bool,
    rank: Int32[Array, "c"],
    words: UInt32[Array, "W U"],
    ends: Int32[Array, "W U"],
) -> tuple[Int32[Array, "c"], Int32[Array, "c"]]:
    """Find the pixel and the unit of the set bit that `rank` others come before."""
    number = len(words)

    def first_beyond(size: int, end_at: Callable[[Array], Array]) -> Array:
        def step(_: object, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            below, above = ends
            middle = (below + above) >> 1
            beyond = end_at(middle) > rank
            return jnp.where(beyond, below, middle + 1), jnp.where(beyond, middle, above)

        whole = jnp.zeros_like(rank), jnp.full_like(rank, size - 1)
        return lax.fori_loop(0, (size - 1).bit_length(), step, whole, unroll=unroll)[0]

    place = first_beyond(words.size, lambda place: ends[place % number, place // number])
    word, unit = place % number, place // number
    bits = words[word, unit]
    before = ends[word, unit] - lax.population_count(bits).astype(jnp.int32)

    def end_at(bit: Array) -> Array:
        until = bits & (jnp.uint32(2**32 - 1) >> (31 - bit).astype(jnp.uint32))
        return before + lax.population_count(until).astype(jnp.int32)

    return word * rows + first_beyond(rows, end_at), unit
