"""Lay the activation map of a layer over the label grid.

Shapes: B batch, h w cells of the layer, H W pixels of the label grid, U units.

Every output pixel reads its layer at one *source position* per axis, in units of layer cells. An
`Alignment` is where these positions are, a `Border` is what lies beyond the outermost cells, and an
`Interpolation` is how to read between cells. All three are plain functions, so a new
convention is a new function. Positions depend on shapes alone and are computed while tracing, in
float64.

Bilinear reading is written ``a + w * (b - a)``. A constant map therefore stays exactly constant
and a zero map exactly zero whatever the compiler fuses, which thresholds rely on: a pixel of a
unit that never varies must not end up above that unit's own threshold by a rounding error.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Positions = np.ndarray  # float64 [H] or [W]: a source position for every output row or column
Shape = tuple[int, int]


# (grid, layer shape) -> source positions of the grid's rows and columns
Alignment = Callable[[Shape, Shape], tuple[Positions, Positions]]

# (activations, rows, columns) -> activations with a border, and positions inside of them
Border = Callable[[Array, Positions, Positions], tuple[Array, Positions, Positions]]

# (activations, positions, axis) -> activations at these positions along the axis
Interpolation = Callable[[Array, Positions, int], Array]


# --- where output pixels read -------------------------------------------------------------------


def pixel_centers(grid: Shape, shape: Shape) -> tuple[Positions, Positions]:
    """Stretch the layer over the grid so that the outer edges of both coincide."""

    def axis(target: int, source: int) -> Positions:
        return (np.arange(target) + 0.5) * (source / target) - 0.5

    return axis(grid[0], shape[0]), axis(grid[1], shape[1])


class ConvolutionGeometry(NamedTuple):
    """Geometry of a convolution or pooling layer along both axes; padding is that before."""

    kernel: Shape = (1, 1)
    stride: Shape = (1, 1)
    padding: Shape = (0, 0)
    dilation: Shape = (1, 1)


class ReceptiveField(NamedTuple):
    """Cell ``i`` of a layer is centred on image pixel ``scale * i + offset``, for each axis."""

    scale: tuple[float, float]
    offset: tuple[float, float]


def receptive_field(layers: Sequence[ConvolutionGeometry]) -> ReceptiveField:
    """Compose convolutions and poolings, first to last, into one receptive field.

    The scale is the product of the strides; each layer shifts the centre by
    ``(kernel - 1) * dilation / 2 - padding`` of its own input cells.
    """
    scale, offset = [1.0, 1.0], [0.0, 0.0]
    for layer in layers:
        for axis in range(2):
            reach = (layer.kernel[axis] - 1) * layer.dilation[axis] / 2
            offset[axis] += (reach - layer.padding[axis]) * scale[axis]
            scale[axis] *= layer.stride[axis]
    return ReceptiveField((scale[0], scale[1]), (offset[0], offset[1]))


@dataclass(frozen=True)
class ReceptiveFieldAlignment:
    """Reads every grid pixel where the receptive fields of the layer lie; a value, and a function.

    Attributes:
        field: Centres of the layer's cells, in pixels of the network's input.
        image: Height and width of the network's input.
    """

    field: ReceptiveField
    image: Shape

    def __call__(self, grid: Shape, shape: Shape) -> tuple[Positions, Positions]:
        """Find the source positions; receptive fields place the cells, however many."""
        del shape
        rows, columns = pixel_centers(grid, self.image)
        return (
            (rows - self.field.offset[0]) / self.field.scale[0],
            (columns - self.field.offset[1]) / self.field.scale[1],
        )


def align_receptive_field(field: ReceptiveField, image: Shape) -> ReceptiveFieldAlignment:
    """Read every grid pixel where the receptive fields of the layer really lie.

    Args:
        field: Centres of the layer's cells, in pixels of the network's input.
        image: Height and width of the network's input.
    """
    return ReceptiveFieldAlignment(field, image)


@dataclass(frozen=True)
class CornerAlignment:
    """Takes corner pixels of the grid for those of the image; see `align_corners`."""

    field: ReceptiveField
    image: Shape | None = None
    declared_shape: Shape | None = None

    def __call__(self, grid: Shape, shape: Shape) -> tuple[Positions, Positions]:
        """Find the source positions."""
        return self._axis(grid[0], shape[0], 0), self._axis(grid[1], shape[1], 1)

    def _axis(self, target: int, source: int, index: int) -> Positions:
        ratio = 1.0 if self.image is None else (target - 1) / (self.image[index] - 1)
        scale, offset = self.field.scale[index], self.field.offset[index]
        position = (np.arange(target) - offset * ratio) / (scale * ratio)
        if self.declared_shape is None:
            return position
        return position * ((source - 1) / max(1, self.declared_shape[index] - 1))


def align_corners(
    field: ReceptiveField, *, image: Shape | None = None, declared_shape: Shape | None = None
) -> CornerAlignment:
    """Place receptive fields as the reference implementation of the paper does, for parity.

    The corner pixels of the grid are taken to be the corner pixels of the image, which shifts
    maps by up to half a grid pixel against `align_receptive_field`. Without `image` the field is
    in pixels of the grid. If the layer was declared with another size than it has, the map is
    stretched silently, as the reference does with AlexNet.
    """
    return CornerAlignment(field, image, declared_shape)


# --- what lies beyond the outermost cells -------------------------------------------------------


def clamp_border(
    activations: Array, rows: Positions, columns: Positions
) -> tuple[Array, Positions, Positions]:
    """Continue the outermost cells outwards."""
    height, width = activations.shape[-3:-1]
    return activations, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)


def zero_border(
    activations: Array, rows: Positions, columns: Positions
) -> tuple[Array, Positions, Positions]:
    """Fade to zero beyond the outermost cells, as the reference does (for parity)."""
    before = activations.ndim - 3
    ring = jnp.pad(activations, [(0, 0)] * before + [(1, 1), (1, 1), (0, 0)])
    return clamp_border(ring, rows + 1, columns + 1)


# --- how to read between cells ------------------------------------------------------------------


def bilinear(activations: Array, positions: Positions, axis: int) -> Array:
    """Interpolate linearly along one axis at positions inside the map.

    float32 activations give the same bits in every compiled program, see `_blend`.
    """
    low = np.minimum(np.floor(positions).astype(int), activations.shape[axis] - 1)
    high = np.minimum(low + 1, activations.shape[axis] - 1)
    weight_shape = [len(positions) if i == axis else 1 for i in range(activations.ndim)]
    weight = (positions - low).reshape(weight_shape)
    below = jnp.take(activations, low, axis=axis)
    above = jnp.take(activations, high, axis=axis)
    if activations.dtype == jnp.float32:
        return _blend(below, above, weight.astype(np.float32))
    return below + jnp.asarray(weight, activations.dtype) * (above - below)


_HIGH_BITS = np.uint32(0xFFFFF000)  # sign, exponent and half of the digits of a float32


def _blend(below: Array, above: Array, weight: np.ndarray) -> Array:
    """Return ``below + weight * (above - below)``, rounded alike by every program.

    A compiler may round a product before it is added, or not at all, and may decide otherwise in
    the next program. Weight and difference are split into halves of 12 digits, whose products are
    exact, so that nothing is left to decide. What is lost, the product of the lower halves, is
    below the last digit of the larger products.
    """
    high = (weight.view(np.uint32) & _HIGH_BITS).view(np.float32)
    difference = above - below
    bits = lax.bitcast_convert_type(difference, jnp.uint32) & _HIGH_BITS
    # Bits have no gradient. Both differences are exact, and the second one's gradient is whole.
    rest = lax.stop_gradient(difference - lax.bitcast_convert_type(bits, jnp.float32))
    leading = difference - rest
    blended = below + high * leading
    blended = blended + high * rest
    if (weight != high).any():
        blended = blended + (weight - high) * leading
    return blended


def nearest(activations: Array, positions: Positions, axis: int) -> Array:
    """Take the closest cell along one axis; half-way positions go to the even cell."""
    return jnp.take(activations, np.rint(positions).astype(int), axis=axis)


# --- all together -------------------------------------------------------------------------------


def resample(
    activations: Float[Array, "*batch h w U"],
    grid: Shape,
    *,
    alignment: Alignment = pixel_centers,
    border: Border = clamp_border,
    interpolation: Interpolation = bilinear,
    lattice: Shape | None = None,
) -> Float[Array, "*batch H W U"]:
    """Read a layer's activations at every pixel of the label grid.

    There is no smoothing when the grid is coarser than the layer, as in the paper.

    Args:
        activations: Maps of any height and width, channels last.
        grid: Height H and width W of the label grid.
        alignment: Where grid pixels read the layer.
        border: What lies beyond the outermost cells.
        interpolation: How to read between cells.
        lattice: If given, only that many rows and columns, spread evenly over the grid, are
            read: a cheap sample of the resampled pixels.

    Returns:
        Activations at the grid's pixels, same dtype.

    Raises:
        ValueError: If an axis of the grid is not positive.
    """
    if min(grid) < 1:
        raise ValueError(f"`grid` (={grid}) must have a positive height and width")
    height, width = activations.shape[-3:-1]
    rows, columns = alignment(grid, (height, width))
    # One cell is constant everywhere; there is nothing to interpolate or to fade.
    rows = np.zeros_like(rows) if height == 1 else rows
    columns = np.zeros_like(columns) if width == 1 else columns
    if lattice is not None:
        rows, columns = _spread(rows, lattice[0]), _spread(columns, lattice[1])
    activations, rows, columns = border(activations, rows, columns)
    axis = activations.ndim - 3
    activations = interpolation(activations, rows, axis)
    return interpolation(activations, columns, axis + 1)


def _spread(positions: Positions, number: int) -> Positions:
    """Pick `number` of the positions, evenly spread (all of them if there are fewer)."""
    number = min(number, len(positions))
    return positions[[math.floor((i + 0.5) * len(positions) / number) for i in range(number)]]
