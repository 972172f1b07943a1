"""Exact non-negative 64-bit counters made of two 32-bit limbs.

JAX counts in 32 bits by default, and 1.8 million images of 56 x 56 pixels already exceed that.
Within one update counts fit an int32; `Wide` carries them across updates without ever wrapping.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, UInt32


class Wide(NamedTuple):
    """The numbers ``high * 2**32 + low``, element by element."""

    high: UInt32[Array, "*shape"]
    low: UInt32[Array, "*shape"]


def zeros(shape: tuple[int, ...] = ()) -> Wide:
    """Counters at zero."""
    # Two separate buffers: a state must not alias itself, or it could not be donated.
    return Wide(jnp.zeros(shape, jnp.uint32), jnp.zeros(shape, jnp.uint32))


def add(wide: Wide, counts: Int32[Array, "*shape"]) -> Wide:
    """Add non-negative int32 counts."""
    low = wide.low + counts.astype(jnp.uint32)
    return Wide(wide.high + (low < wide.low).astype(jnp.uint32), low)


def merge(a: Wide, b: Wide) -> Wide:
    """Add two counters."""
    low = a.low + b.low
    return Wide(a.high + b.high + (low < a.low).astype(jnp.uint32), low)


def to_int64(wide: Wide) -> Integer[np.ndarray, "*shape"]:
    """The numbers as int64, on the host."""
    high = np.asarray(wide.high).astype(np.int64)
    return np.asarray((high << 32) + np.asarray(wide.low).astype(np.int64))
