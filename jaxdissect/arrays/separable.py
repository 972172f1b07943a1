"""Linear maps over the pixels of an image that are a matrix for rows times one for columns."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def separable(
    inputs: Float[Array, "B H W U"], rows: Float[Array, "h H"], columns: Float[Array, "w W"]
) -> Float[Array, "B h w U"]:
    """Combine rows with one matrix and columns with another."""
    across = jnp.einsum("wW,bHWu->bHwu", columns, inputs, precision=lax.Precision.HIGHEST)
    return jnp.einsum("hH,bHwu->bhwu", rows, across, precision=lax.Precision.HIGHEST)
