"""Light the image: texture and shading of what is in front, hour, exposure and noise.

Letters of shapes: H W = 64 pixels.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32

from jaxdissect.scenes.drawing.layout import Pieces, View
from jaxdissect.scenes.drawing.materials import TEXTURE_TABLE, Texture
from jaxdissect.scenes.drawing.raster import (
    IMAGE_SIZE,
    Canvas,
    pixel_centers,
    place_within,
    wave,
)
from jaxdissect.scenes.drawing.textures import scatter, texture

NUM_DRAWS = 6

# Color of the light: of the day (clear, hazy, overcast, golden, dusk), then of rooms.
LIGHTS = np.array(
    [
        [(1.05, 1.03, 1.00), (1.04, 1.04, 1.03), (0.90, 0.92, 0.95), (1.08, 0.96, 0.80),
         (0.92, 0.80, 0.84)],
        [(1.02, 1.02, 1.02), (1.06, 1.04, 1.00), (0.94, 0.96, 1.00), (1.08, 0.98, 0.86),
         (0.92, 0.84, 0.76)],
    ],
    np.float32,
)  # fmt: skip


def illuminate(
    draws: Float32[Array, "6"], canvas: Canvas, front: Pieces, view: View, indoors: Bool[Array, ""]
) -> Float32[Array, "H W 3"]:
    """Give surfaces their texture, and light them.

    Args:
        draws: Random numbers in [0, 1).
        canvas: Colors before texture and light.
        front: What is in front at every pixel.
        view: Camera and hour.
        indoors: Whether the light is that of a room.

    Returns:
        sRGB in [0, 1], multiples of 1 / 255.
    """
    x, y = pixel_centers()
    across, along = place_within(front, x, y)
    u, v = across / front.half_width, along / front.half_height
    sideways, strength = 1.4 * draws[0] - 0.7, 0.6 + 1.2 * draws[1]
    shading = strength * front.bulge * (sideways * u + 0.7 * v) + front.fade * v
    shading = shading + jnp.where(front.ribs > 0.0, 0.16 * wave(front.ribs * u), 0.0)

    gain, joint, joint_brightness = _texture(front, view, x, y)
    color = jnp.stack([canvas.red, canvas.green, canvas.blue], axis=-1)
    grey = color.mean(axis=-1, keepdims=True) * joint_brightness[..., None]
    color = color * (1.0 + gain + shading)[..., None]
    color = color + joint[..., None] * (grey - color)

    light = jnp.asarray(LIGHTS)[indoors.astype(jnp.int32), view.mood]
    slope = 0.3 * (draws[2] - 0.5) * (2.0 * x - 1.0)
    exposure = (0.9 + 0.2 * draws[3]) * (1.0 + slope)
    column = jnp.floor(x * IMAGE_SIZE).astype(jnp.int32)
    row = jnp.floor(y * IMAGE_SIZE + IMAGE_SIZE * jnp.floor(2.0**16 * draws[5])).astype(jnp.int32)
    color = color * light[None, None] * exposure[..., None]
    color = color + (0.006 + 0.02 * draws[4]) * scatter(column, row)[..., None]
    return jnp.round(jnp.clip(color, 0.0, 1.0) * 255.0) / 255.0


def _texture(front: Pieces, view: View, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Draw the textures of the surfaces in front: brightness, joints, and brightness of these."""
    numbers = jnp.moveaxis(jnp.asarray(TEXTURE_TABLE)[front.material.astype(jnp.int32)], -1, 0)
    numbers = Texture(*numbers)
    # Upright surfaces carry their texture with them; on the ground it recedes to the horizon.
    away = jnp.maximum(jnp.abs(view.horizon - y), 0.02)
    flat = front.plane > 0.5
    across = jnp.where(flat, 0.5 * (x - 0.5) / away, (x - front.x) / front.grain)
    along = jnp.where(flat, 0.5 * jnp.log(2.0 * away), (y - front.y) / front.grain)
    gain, joint = texture(
        numbers,
        IMAGE_SIZE * across + front.origin_x,
        IMAGE_SIZE * along + front.origin_y,
    )
    clear = jnp.where(flat, jnp.clip(away / 0.15, 0.3, 1.0), 1.0)
    return gain * clear, joint * clear, jnp.asarray(numbers.joint)
