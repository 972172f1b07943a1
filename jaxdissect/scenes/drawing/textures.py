"""Give surfaces their texture, at all pixels at once.

Letters of shapes: H W pixels.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from jaxdissect.scenes.drawing.materials import Number, Texture
from jaxdissect.scenes.drawing.raster import wave

Plane = Float32[Array, "H W"]


def texture(numbers: Texture, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Draw textures.

    Args:
        numbers: The texture of every pixel, each field [H, W].
        x: Position on the surface, in pixels of the texture.
        y: The same, upwards.

    Returns:
        By how much of its brightness every pixel is brighter, and how much of it is a joint.
    """
    size = numbers.patch_size
    patches = _smooth_noise(x / size, y / size)
    row = y / numbers.height + numbers.crook * patches
    shift = numbers.bond * (jnp.floor(row) % 2.0)
    column = x / numbers.width + shift + numbers.crook * _smooth_noise(y / size, x / size)
    tint = scatter(jnp.floor(column).astype(jnp.int32), jnp.floor(row).astype(jnp.int32))
    joint = jnp.maximum(
        _line(column, numbers.width, numbers.gap_x), _line(row, numbers.height, numbers.gap_y)
    )
    bend = 0.35 * patches
    ripples = wave(x * numbers.ripple_x + y * numbers.ripple_y + bend)
    weave = wave(x * numbers.ripple_x) * wave(y * numbers.ripple_y)
    gain = (
        numbers.tint * tint
        + numbers.ripple * ripples
        + numbers.weave * weave
        + numbers.patch * patches
    )
    return gain, joint


def _line(position: Plane, size: Number, gap: Number) -> Plane:
    """Share of a pixel that lies in the gap around the nearest integer position."""
    away = jnp.abs(position - jnp.round(position)) * size
    return jnp.where(jnp.asarray(gap) > 0.0, jnp.clip(0.5 + gap / 2 - away, 0.0, 1.0), 0.0)


def _smooth_noise(x: Plane, y: Plane) -> Plane:
    """Interpolate noise on the integers, -1 to 1."""
    left, low = jnp.floor(x), jnp.floor(y)
    u, v = x - left, y - low
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    column, row = left.astype(jnp.int32), low.astype(jnp.int32)
    below = _mix(scatter(column, row), scatter(column + 1, row), u)
    above = _mix(scatter(column, row + 1), scatter(column + 1, row + 1), u)
    return _mix(below, above, v)


def _mix(first: Plane, second: Plane, share: Plane) -> Plane:
    return first + share * (second - first)


def scatter(column: Int32[Array, "H W"], row: Int32[Array, "H W"]) -> Plane:
    """Scramble integers into numbers from -1 to 1, the same on every machine."""
    bits = column.astype(jnp.uint32) * jnp.uint32(0x9E3779B1)
    bits = bits ^ (row.astype(jnp.uint32) * jnp.uint32(0x85EBCA77))
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x2C1B3C6D)
    bits = (bits ^ (bits >> 12)) * jnp.uint32(0x297A2D39)
    bits = bits ^ (bits >> 15)
    return (bits >> 8).astype(jnp.float32) * 2.0**-23 - 1.0
