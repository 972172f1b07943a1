"""Colours named pixel by pixel: the eleven basic color terms as regions of a perceptual space.

Network dissection counts colours among its concepts (Bau et al., CVPR 2017, section 2.1): each
pixel of Broden carries one of the basic color terms of English (Berlin & Kay, *Basic Color Terms*,
1969), named as people name colours in real images (van de Weijer et al., *Learning Color Names for
Real-World Applications*, IEEE Transactions on Image Processing 2009). Their labels come from a
learned lookup table. Here the same terms are rules that can be read and argued with: a colour is
a lightness, a chroma and a hue in OKLab (Ottosson, *A perceptual color space for image processing*,
2020), and `COLOR_REGIONS` lists which part of that space carries which name. The borders were drawn
by hand, comparing with the table on photographs of places: both give the same name to about 86 of
100 pixels, and differ mostly along the borders of brown (with grey, orange and yellow).

Shapes: H W pixels of an image, `rows columns` cells of the label grid.
"""

from math import inf
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

COLOR_NAMES = (
    "black",
    "blue",
    "brown",
    "grey",
    "green",
    "orange",
    "pink",
    "purple",
    "red",
    "white",
    "yellow",
)
"""The basic color terms in the order of their labels: label `i + 1` is `COLOR_NAMES[i]`."""


class ColorRegion(NamedTuple):
    """A box in OKLab's lightness, chroma and hue that carries one name.

    An interval (low, high) holds `low <= value < high`; left out, it holds everything.
    """

    name: str  # one of COLOR_NAMES
    lightness: tuple[float, float] = (0.0, inf)  # 0 black .. 1 white
    chroma: tuple[float, float] = (0.0, inf)  # 0 grey .. 0.32, the purest magenta of sRGB
    hue: tuple[float, float] = (0.0, inf)  # degrees, 0 .. 360; (340, 5) runs through 0


COLOR_REGIONS = (
    # Hardly any chroma: black, grey, white. The darker a colour, the more chroma hides in it;
    # a trace of pink shows in light colours, a trace of blue in all but dark ones.
    ColorRegion("black", lightness=(0.0, 0.16), chroma=(0.0, 0.06)),
    ColorRegion("black", lightness=(0.0, 0.24), chroma=(0.0, 0.04)),
    ColorRegion("black", lightness=(0.0, 0.42), chroma=(0.0, 0.022)),
    ColorRegion("black", lightness=(0.0, 0.38), chroma=(0.0, 0.036), hue=(160.0, 5.0)),
    ColorRegion("blue", lightness=(0.60, 0.92), chroma=(0.021, 0.06), hue=(194.0, 285.0)),
    ColorRegion("pink", lightness=(0.68, 0.79), chroma=(0.024, 0.10), hue=(340.0, 43.0)),
    ColorRegion("pink", lightness=(0.79, 0.92), chroma=(0.017, 0.07), hue=(340.0, 62.0)),
    ColorRegion("grey", lightness=(0.42, 0.52), chroma=(0.0, 0.025)),
    ColorRegion("grey", lightness=(0.52, 0.79), chroma=(0.0, 0.029)),
    ColorRegion("grey", lightness=(0.60, 0.79), chroma=(0.0, 0.036), hue=(65.0, 105.0)),
    ColorRegion("white", lightness=(0.79, 0.90), chroma=(0.0, 0.026)),
    ColorRegion("white", lightness=(0.90, inf), chroma=(0.0, 0.036)),
    ColorRegion("white", lightness=(0.96, inf), chroma=(0.0, 0.05)),
    # Cool hues: the hue decides.
    ColorRegion("green", hue=(114.0, 192.0)),
    ColorRegion("blue", hue=(192.0, 285.0)),
    ColorRegion("purple", hue=(285.0, 340.0)),
    # Between purple and red: purple where dark, pink where light.
    ColorRegion("purple", lightness=(0.0, 0.50), hue=(340.0, 5.0)),
    ColorRegion("pink", hue=(340.0, 5.0)),
    # Red, and the pink of light reds.
    ColorRegion("pink", lightness=(0.58, 0.70), chroma=(0.0, 0.12), hue=(5.0, 30.0)),
    ColorRegion("pink", lightness=(0.70, inf), chroma=(0.0, 0.15), hue=(5.0, 30.0)),
    ColorRegion("pink", lightness=(0.70, inf), chroma=(0.0, 0.10), hue=(30.0, 45.0)),
    ColorRegion("red", chroma=(0.06, inf), hue=(5.0, 25.0)),
    ColorRegion("red", chroma=(0.08, inf), hue=(25.0, 32.0)),
    ColorRegion("red", lightness=(0.0, 0.50), chroma=(0.08, inf), hue=(32.0, 38.0)),
    # Orange and yellow; the lighter a yellow, the less chroma it needs.
    ColorRegion("orange", lightness=(0.53, 0.60), chroma=(0.095, inf), hue=(32.0, 73.0)),
    ColorRegion("orange", lightness=(0.60, inf), chroma=(0.090, inf), hue=(32.0, 73.0)),
    ColorRegion("orange", lightness=(0.80, inf), chroma=(0.070, inf), hue=(45.0, 73.0)),
    ColorRegion("yellow", lightness=(0.50, 0.64), chroma=(0.085, inf), hue=(75.0, 112.0)),
    ColorRegion("yellow", lightness=(0.64, 0.78), chroma=(0.070, inf), hue=(78.0, 112.0)),
    ColorRegion("yellow", lightness=(0.78, inf), chroma=(0.042, inf), hue=(81.0, 114.0)),
    ColorRegion("yellow", lightness=(0.78, inf), chroma=(0.085, inf), hue=(73.0, 81.0)),
    ColorRegion("yellow", lightness=(0.88, inf), hue=(62.0, 81.0)),
    # What is left of the warm hues: dull yellow-greens, and brown.
    ColorRegion("green", hue=(99.0, 114.0)),
    ColorRegion("brown"),
)
"""The rules in order: a colour has the name of the first region that holds it.

The last region holds every colour, so each has exactly one name. Hues of sRGB for orientation: red
29, orange 71, yellow 110, green 142, cyan 195, blue 264, magenta 328 degrees."""

# Linear sRGB to the responses of the three kinds of cones, and their cube roots to L, a, b
# (Ottosson 2020); rows are outputs. The rows of the first sum to 1, so greys get a = b = 0.
CONES_FROM_LINEAR = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
OKLAB_FROM_CONES = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)

# Accelerators would otherwise multiply in fewer bits, and greys would take on a tint.
EXACT = jax.lax.Precision.HIGHEST


def color_labels(
    images: Float[Array, "*batch H W 3"], *, grid: tuple[int, int] | None = None
) -> Int32[Array, "*batch rows columns"]:
    """Name the colour of every pixel, or of every cell of a coarser grid.

    A cell's colour is that of the light falling on it: the mean over its area in linear light,
    not the most frequent name among its pixels.

    Args:
        images: sRGB in [0, 1], any floating dtype; values outside are clipped.
        grid: (rows, columns) of the labels, at most (H, W) and not necessarily divisors of them;
            None labels every pixel.

    Returns:
        Labels 1 to 11, the 1-based position in `COLOR_NAMES`; 0, "no label", only where a value
        is NaN.

    Raises:
        ValueError: If `images` is not floating point, has no three last axes [H, W, 3], or `grid`
            is empty or finer than the image.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"`images` (of {images.dtype}) must be floating point in [0, 1]; "
            "divide 8-bit values by 255"
        )
    if images.ndim < 3 or images.shape[-1] != 3:
        raise ValueError(f"`images` (={images.shape}) must have last axes [H, W, 3]")
    size = images.shape[-3:-1]
    if grid is not None and not all(
        1 <= cells <= pixels for cells, pixels in zip(grid, size, strict=True)
    ):
        raise ValueError(
            f"`grid` (={grid}) must lie between (1, 1) and the image size {size}, "
            "to measure colors in its cells"
        )
    with jax.named_scope("color_labels"):
        linear = linear_light(images)
        if grid is not None and grid != size:
            linear = area_mean(linear, grid)
        return _name_colors(*lightness_chroma_hue(linear))


def linear_light(images: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Undo the transfer curve of sRGB (IEC 61966-2-1): [0, 1] to light in [0, 1], float32."""
    encoded = jnp.clip(images.astype(jnp.float32), 0.0, 1.0)
    return jnp.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def area_mean(
    images: Float[Array, "*batch H W D"], grid: tuple[int, int]
) -> Float[Array, "*batch rows columns D"]:
    """Average images over the cells of a coarser grid, pixels cut by a border counting in part."""
    rows, columns = (
        _cell_weights(pixels, cells).astype(images.dtype)
        for pixels, cells in zip(images.shape[-3:-1], grid, strict=True)
    )
    return jnp.einsum("rh,...hwd,cw->...rcd", rows, images, columns, precision=EXACT)


def _cell_weights(pixels: int, cells: int) -> np.ndarray:
    """Return [cells, pixels], the share of each pixel in each cell's mean; rows sum to 1."""
    left = np.arange(pixels)
    borders = np.arange(cells + 1)[:, None] * pixels / cells
    overlap = np.minimum(borders[1:], left + 1) - np.maximum(borders[:-1], left)
    return np.clip(overlap, 0.0, None) * cells / pixels


def lightness_chroma_hue(
    linear: Float[Array, "*batch 3"],
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Describe linear sRGB in OKLab: lightness in [0, 1], chroma, and hue in [0, 360] degrees."""
    cones = jnp.matmul(linear, CONES_FROM_LINEAR.T, precision=EXACT)
    oklab = jnp.matmul(jnp.cbrt(cones), OKLAB_FROM_CONES.T, precision=EXACT)
    lightness, a, b = jnp.moveaxis(oklab, -1, 0)
    return lightness, jnp.hypot(a, b), jnp.rad2deg(jnp.arctan2(b, a)) % 360.0


def _name_colors(
    lightness: Float[Array, "*batch"], chroma: Float[Array, "*batch"], hue: Float[Array, "*batch"]
) -> Int32[Array, "*batch"]:
    """Return the label of the first of `COLOR_REGIONS` that holds each colour."""
    labels = jnp.zeros(lightness.shape, jnp.int32)
    for region in reversed(COLOR_REGIONS):
        inside = _within(lightness, region.lightness) & _within(chroma, region.chroma)
        inside &= _within_turn(hue, region.hue)
        labels = jnp.where(inside, COLOR_NAMES.index(region.name) + 1, labels)
    return labels


def _within(values: Array, interval: tuple[float, float]) -> Array:
    low, high = interval
    return (values >= low) & (values < high)


def _within_turn(hue: Array, interval: tuple[float, float]) -> Array:
    low, high = interval
    if low < high:
        return _within(hue, interval)
    return (hue >= low) | (hue < high)
