"""Precise RoI pooling of whole maps: exact integrals over the bins of a coarse grid.

Jiang et al., "Acquisition of Localization Confidence for Accurate Object Detection", ECCV 2018,
"Precise RoI Pooling": a map is read as the function that interpolates bilinearly between its
cells, and a bin is the integral of that function over the bin's rectangle, divided by its area.
Cell i lies at coordinate i and the map is zero outside, so that the bins, which cover [0, h] x
[0, w], reach one cell beyond the last one and only touch half of the first: the weights of the
cells do not sum to one, and this is not average pooling.

Letters of shapes: B batch, h w cells, U units.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdissect.arrays.separable import separable


def precise_roi_pool(
    features: Float[Array, "B h w U"], size: int
) -> Float[Array, "B {size} {size} U"]:
    """Integrate maps over `size` x `size` bins that divide each of them evenly.

    With bins of height b = h / size and width c = w / size, output p, q is::

        1 / (b c) sum_ij features[i, j]  integral_{p b}^{(p + 1) b} max(0, 1 - |y - i|) dy
                                         integral_{q c}^{(q + 1) c} max(0, 1 - |x - j|) dx

    which is the paper's integral for the region [0, w] x [0, h], with the sum over cells taken out
    of it. What is left of the integrals depends on sizes alone: two matrices, computed in float64
    while tracing.

    Args:
        features: Maps of a floating dtype.
        size: Bins down and across, 1 or more.

    Returns:
        Means of the bins, in the dtype of `features`; summed in float32 or wider.

    Raises:
        ValueError: If `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"`size` (={size}) must be a positive number of bins")
    wide = features.astype(np.promote_types(features.dtype, np.float32))
    rows, columns = (
        jnp.asarray(bin_weights(cells, size), wide.dtype) for cells in features.shape[1:3]
    )
    return separable(wide, rows, columns).astype(features.dtype)


def bin_weights(cells: int, bins: int) -> np.ndarray:
    """Share of every cell in every bin along one axis, float64 [bins, cells]."""
    edges = np.arange(bins + 1) * (cells / bins)
    up_to_edges = _tent_integral(edges[:, None] - np.arange(cells))
    return np.diff(up_to_edges, axis=0) * (bins / cells)


def _tent_integral(end: np.ndarray) -> np.ndarray:
    """Integral of max(0, 1 - |t|) from minus infinity to `end`."""
    rising = np.clip(end, -1, 0) + 1
    falling = 1 - np.clip(end, 0, 1)
    return np.where(end < 0, rising**2 / 2, 1 - falling**2 / 2)
