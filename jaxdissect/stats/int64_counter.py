"""Exact non-negative 64-bit counters made of two 32-bit limbs.

JAX counts in 32 bits by default, and 1.8 million images of 56 x 56 pixels already exceed that.
Within one update counts fit an int32, and what does not is added by `add_at`; `Int64Counter`
carries them across updates without ever wrapping.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, UInt32


class Int64Counter(NamedTuple):
    """The numbers ``high * 2**32 + low``, element by element."""

    high: UInt32[Array, "*shape"]
    low: UInt32[Array, "*shape"]


def zeros(shape: tuple[int, ...]) -> Int64Counter:
    """Counters at zero."""
    # Two separate buffers: a state must not alias itself, or it could not be donated.
    return Int64Counter(jnp.zeros(shape, jnp.uint32), jnp.zeros(shape, jnp.uint32))


def add(counter: Int64Counter, counts: Int32[Array, "*shape"]) -> Int64Counter:
    """Add non-negative int32 counts."""
    low = counter.low + counts.astype(jnp.uint32)
    return Int64Counter(counter.high + (low < counter.low).astype(jnp.uint32), low)


_SLICE = 9  # bits of an amount that are summed at once
MOST_AMOUNTS = 2 ** (32 - _SLICE)
"""Amounts that `add_at` can add up in one call."""


def add_at(
    counter: Int64Counter, places: Integer[Array, "B"], amounts: Integer[Array, "B"]
) -> Int64Counter:
    """Add amounts to counters at places, which may repeat, whatever their sums come to.

    Args:
        counter: Counters in a row, [N].
        places: Which counter each amount is for; beyond [0, N) it is left out.
        amounts: In [0, 2^18).

    Raises:
        ValueError: If there are more than `MOST_AMOUNTS` amounts.
    """
    if len(amounts) > MOST_AMOUNTS:
        raise ValueError(f"a batch of {len(amounts)} examples is too large to be counted at once")
    whole, sliced = amounts.astype(jnp.uint32), jnp.zeros(counter.low.shape, jnp.uint32)
    lower, upper = (
        sliced.at[places].add(part, mode="drop", wrap_negative_indices=False)
        for part in (whole & (2**_SLICE - 1), whole >> _SLICE)
    )
    counter = merge(counter, Int64Counter(jnp.zeros_like(lower), lower))
    return merge(counter, Int64Counter(upper >> (32 - _SLICE), upper << _SLICE))


def merge(a: Int64Counter, b: Int64Counter) -> Int64Counter:
    """Add two counters."""
    low = a.low + b.low
    return Int64Counter(a.high + b.high + (low < a.low).astype(jnp.uint32), low)


def to_int64(counter: Int64Counter) -> Integer[np.ndarray, "*shape"]:
    """The numbers as int64, on the host."""
    high = np.asarray(counter.high).astype(np.int64)
    return np.asarray((high << 32) + np.asarray(counter.low).astype(np.int64))
