"""Boolean masks over pixels."""

import jax.numpy as jnp
from jaxtyping import Array, Bool


def outline(mask: Bool[Array, "H W"], *, thickness: int = 1) -> Bool[Array, "H W"]:
    """Mark the pixels just outside a mask, `thickness` pixels wide (8-neighbourhood).

    Raises:
        ValueError: if `thickness` is negative.
    """
    if thickness < 0:
        raise ValueError(f"`thickness` (={thickness}) must not be negative")
    grown = mask
    for _ in range(thickness):
        padded = jnp.pad(grown, 1)
        height, width = grown.shape
        for row in range(3):
            for column in range(3):
                grown = grown | padded[row : row + height, column : column + width]
    return grown & ~mask
