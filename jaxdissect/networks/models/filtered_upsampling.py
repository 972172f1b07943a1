"""Doubling maps through a low-pass filter, as StyleGAN2 does.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, appendix B; the
filter is that of Karras et al., "A Style-Based Generator Architecture for Generative Adversarial
Networks", CVPR 2019: [1, 3, 3, 1] along either axis.

Letters of shapes: B batch, h w cells, I channels in, U units, n m rows and columns of a filter.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.networks.transposed_convolution import conv_transposed2d

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""The weights along an axis, up to a factor."""


def binomial_filter() -> Float[Array, "4 4"]:
    """Make the filter that keeps the mean: the products of `BINOMIAL`, over their sum."""
    line = np.array(BINOMIAL, np.float32)
    return jnp.asarray(np.outer(line, line) / line.sum() ** 2)


def upsample_filtered(
    maps: Float[Array, "B h w I"], weights: Float[Array, "4 4"]
) -> Float[Array, "B _ _ I"]:
    """Double height and width: put zeros after every cell, and filter.

    Args:
        maps: Of either size.
        weights: The filter; four times as much is applied, for the zeros.
    """
    zero = jnp.zeros((), maps.dtype)
    spread = lax.pad(maps, zero, ((0, 0, 0), (2, 2, 1), (2, 2, 1), (0, 0, 0)))
    return _filtered(spread, 4 * weights)


def convolve_then_filter(
    maps: Float[Array, "B h w I"], kernel: Float[Array, "3 3 I U"], weights: Float[Array, "4 4"]
) -> Float[Array, "B _ _ U"]:
    """Double height and width by a transposed convolution of stride 2, and filter.

    Args:
        maps: Of the dtype of the kernel.
        kernel: Cell y adds its product with row i to row 2 y + i of the result.
        weights: The filter; four times as much is applied, for the zeros between cells.
    """
    spread = conv_transposed2d(maps, kernel, stride=2)
    return _filtered(jnp.pad(spread, ((0, 0), (1, 1), (1, 1), (0, 0))), 4 * weights)


def _filtered(
    maps: Float[Array, "B h w I"], weights: Float[Array, "n m"]
) -> Float[Array, "B _ _ I"]:
    """Convolve every channel with a filter, only where it lies inside."""
    with jax.named_scope("filter"):
        rows, columns = weights.shape
        height, width = maps.shape[1] - rows + 1, maps.shape[2] - columns + 1
        weights = weights[::-1, ::-1].astype(maps.dtype)
        # Sums of shifted maps, which fuse into one loop; a convolution of each channel alone would
        # be several times as slow on a CPU.
        return sum(
            (
                weights[i, j] * maps[:, i : i + height, j : j + width]
                for i in range(rows)
                for j in range(columns)
            ),
            jnp.zeros((), maps.dtype),
        )
