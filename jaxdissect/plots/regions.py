"""Regions of images: lit, outlined, the rest dark.

Shapes: H W pixels.
"""

import numpy as np
from jaxtyping import Bool, Float32

from jaxdissect.plots.palette import YELLOW


def highlight(
    image: Float32[np.ndarray, "H W 3"], active: Bool[np.ndarray, "H W"], *, thickness: int = 1
) -> Float32[np.ndarray, "H W 3"]:
    """Keep the active region as it is, outline it in yellow, and darken the rest to half.

    Args:
        image: RGB in [0, 1].
        active: The region.
        thickness: Width of the outline in pixels; it lies just outside the region.
    """
    edge = outline(active, thickness=thickness)[..., None]
    dark = np.where(active[..., None], image, image / 2)
    return np.where(edge, np.array(YELLOW, np.float32), dark)


def outline(mask: Bool[np.ndarray, "H W"], *, thickness: int = 1) -> Bool[np.ndarray, "H W"]:
    """Mark the pixels just outside a mask, `thickness` pixels wide (8-neighbourhood).

    Raises:
        ValueError: If `thickness` is negative.
    """
    if thickness < 0:
        raise ValueError(f"`thickness` (={thickness}) must not be negative")
    grown = mask
    for _ in range(thickness):
        padded = np.pad(grown, 1)
        height, width = grown.shape
        for row in range(3):
            for column in range(3):
                grown = grown | padded[row : row + height, column : column + width]
    return grown & ~mask
