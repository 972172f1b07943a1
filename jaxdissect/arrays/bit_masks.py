"""Masks with a bit for each pixel, rows one after the other, as `numpy.packbits` lays them out.

Shapes: P pixels, rows and columns of a mask, bytes = ceil(P / 8).
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, UInt8

from jaxdissect.arrays.resampling import Shape

_BITS = np.array([128, 64, 32, 16, 8, 4, 2, 1], np.uint8)


def num_bytes(size: Shape) -> int:
    """Count the bytes of a mask of so many rows and columns."""
    return math.ceil(size[0] * size[1] / 8)


def pack_units(pixels: Bool[Array, "*batch P U"]) -> UInt8[Array, "*batch U bytes"]:
    """Pack the pixels of every unit, on the device; spare bits of the last byte are zero."""
    *batch, number, units = pixels.shape
    missing = -number % 8
    spare = [(0, 0)] * len(batch) + [(0, missing), (0, 0)]
    padded = jnp.pad(pixels, spare).reshape(*batch, -1, 8, units)
    bits = padded.astype(jnp.uint8) * _BITS.reshape((1,) * (padded.ndim - 2) + (8, 1))
    packed = bits.sum(axis=-2, dtype=jnp.uint8)
    return jnp.swapaxes(packed, -1, -2)


def unpack(packed: UInt8[np.ndarray, "*batch bytes"], size: Shape) -> Bool[np.ndarray, "..."]:
    """Unpack masks.

    Args:
        packed: Masks of a bit for each pixel, the first pixel in the highest bit of the first byte.
        size: Their rows and columns.

    Returns:
        Masks [..., rows, columns].

    Raises:
        ValueError: If `packed` has not as many bytes as masks of this size take.
    """
    if packed.shape[-1] != num_bytes(size):
        raise ValueError(
            f"`packed` has {packed.shape[-1]} bytes a mask, and masks of {size[0]} x {size[1]} "
            f"pixels take {num_bytes(size)}: pass the `mask_size` of these masks"
        )
    pixels = np.unpackbits(packed, axis=-1, count=size[0] * size[1]).astype(bool)
    return pixels.reshape(*packed.shape[:-1], *size)
