"""Pyramid pooling: the network that names colors, and what UPerNet shares with it.

A pyramid pooling module (Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.2)
lays a layer and its means over coarse grids on top of each other, so that a convolution sees every
place with its surroundings of all sizes.

Letters of shapes: B batch, H W input or label grid, h w finest map, I channels in, U units,
C classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.arrays.resampling import pixel_centers, resample
from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.models.layers import Chain, adaptive_average_pool, batch_norm, units_in
from jaxdissect.networks.models.residual import (
    RESNET18,
    Filters,
    Sizes,
    convolution,
    dilated_resnet18,
    network_input,
    rectified,
    sizes_in,
)
from jaxdissect.networks.weights.mapping import Shapes

POOL_SIZES = (1, 2, 3, 6)
"""Cells down and across of the coarse grids."""

COLOR_MEAN = (102.98, 115.95, 122.77)
"""Of blue, green and red, in 0..255, when the color network was trained."""

Grid = tuple[int, int]


def prepare(images: Any) -> Float[Array, "B H W 3"]:
    """Turn RGB images in [0, 1] into the color network's input: BGR in 0..255 less `COLOR_MEAN`."""
    return network_input(images, mean=COLOR_MEAN)


class PyramidPoolingNetwork(nnx.Module):
    """A dilated ResNet-18 (`encoder`) whose last stage is pooled and classified (`decoder`).

    Layers and parameters have the names of the published network, which knows eleven colors.
    Where a rectified output is a layer of its own, such as "decoder.conv_last.2" after
    "decoder.conv_last.1", published numbers are those of the rectified one, since the reference's
    ReLU overwrites its input; edits act where they are named.

    Args:
        classes: Classes, 11 in the published network.
        width: Units of the decoder.
        sizes: Sizes of the encoder.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self, classes: int = 11, *, width: int = 512, sizes: Sizes = RESNET18, rngs: nnx.Rngs
    ):
        self.encoder = dilated_resnet18(sizes, rngs=rngs)
        self.decoder = PyramidPoolingDecoder(self.encoder.widths, width, classes, rngs=rngs)

    def __call__(self, images: Any, grid: Grid | None = None) -> Float[Array, "B _ _ C"]:
        """Classify every pixel.

        Args:
            images: Floats [B, H, W, 3]: BGR in 0..255 less `COLOR_MEAN`, as `prepare` makes them,
                32 pixels or more down and across.
            grid: Height and width of the label grid; static. By default that of the images.

        Returns:
            Probabilities [B, *grid, C], in float32 whatever the dtype of the parameters.

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        logits = self.decoder(self.encoder(images))
        return probabilities(logits, grid or size_of(images))

    def training_scores(
        self, images: Any
    ) -> tuple[Float[Array, "B h w C"], Float[Array, "B h w C"]]:
        """Log probabilities at 1/8 of the input's size, and those of the auxiliary head.

        The auxiliary head reads the third stage. Its only use is in training.
        """
        stages = self.encoder(images)
        main, auxiliary = self.decoder(stages), self.decoder.auxiliary(stages)
        return jax.nn.log_softmax(wide(main)), jax.nn.log_softmax(wide(auxiliary))


class PyramidPoolingDecoder(nnx.Module):
    """Pools the last stage, and classifies it with its surroundings.

    Args:
        widths: Units of the encoder's stages.
        width: Units of each pooled level and of the last layer but one.
        classes: Classes.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, widths: Sequence[int], width: int, classes: int, *, rngs: nnx.Rngs):
        *_, third, last = widths
        self.ppm = nnx.List(
            Chain(
                {
                    "0": partial(adaptive_average_pool, shape=(size, size)),
                    "1": convolution(last, Filters(width, size=1), rngs=rngs),
                    "2": batch_norm(width),
                    "3": nnx.relu,
                }
            )
            for size in POOL_SIZES
        )
        self.conv_last = Chain(
            {
                "0": PyramidConv((last, *[width] * len(POOL_SIZES)), width, rngs=rngs),
                "1": batch_norm(width),
                "2": nnx.relu,
                "3": _dropped_out_in_training,
                "4": convolution(width, Filters(classes, size=1), bias=True, rngs=rngs),
            }
        )
        self.cbr_deepsup = rectified(third, last // 4, rngs=rngs)
        self.conv_last_deepsup = convolution(
            last // 4, Filters(classes, size=1), bias=True, rngs=rngs
        )

    def __call__(self, stages: Sequence[Array]) -> Float[Array, "B h w C"]:
        """Give a logit per class."""
        last = stages[-1]
        return self.conv_last([last, *(pool(last) for pool in self.ppm)])

    def auxiliary(self, stages: Sequence[Array]) -> Float[Array, "B h w C"]:
        """Give the logits that a head for training makes of the third stage."""
        return self.conv_last_deepsup(self.cbr_deepsup(stages[-2]))


def from_shapes(shapes: Shapes) -> PyramidPoolingNetwork:
    """Make the network that fits some weights.

    Args:
        shapes: PyTorch's names and shapes, of both files together: names start with "encoder." or
            "decoder.". Sizes whose name is missing or malformed are those of the published network.
    """
    return PyramidPoolingNetwork(
        units_in(shapes, "decoder.conv_last.4.weight", 11),
        width=units_in(shapes, "decoder.conv_last.0.weight", 512),
        sizes=sizes_in(shapes, RESNET18),
        rngs=nnx.Rngs(0),
    )


# --- maps of several sizes ------------------------------------------------------------------------


def size_of(maps: Float[Array, "B h w U"]) -> Grid:
    """Height and width."""
    return maps.shape[1], maps.shape[2]


def resized(maps: Float[Array, "B h w U"], grid: Grid) -> Float[Array, "B H W U"]:
    """Interpolate bilinearly, as everywhere in these networks: edges coincide, nothing beyond."""
    return maps if size_of(maps) == grid else resample(maps, grid)


def wide(logits: Array) -> Array:
    """Represent in float32 or wider, so that small differences between classes survive."""
    return logits.astype(np.promote_types(logits.dtype, np.float32))


def on_grid(logits: Float[Array, "B h w C"], grid: Grid) -> Float[Array, "B H W C"]:
    """Resize logits to the label grid, in float32 or wider."""
    return resized(wide(logits), grid)


def probabilities(logits: Float[Array, "B h w C"], grid: Grid) -> Float[Array, "B H W C"]:
    """Resize logits to the label grid, then take their softmax."""
    return jax.nn.softmax(on_grid(logits, grid))


class PyramidConv(nnx.Module):
    """A 3 x 3 convolution, without bias, of maps of several sizes; see `convolve_pyramid`.

    Args:
        widths: Channels of each map.
        units: Channels out.
        rngs: Stream of the initial parameters, He-normal as those of `Conv2D`.

    Attributes:
        kernel: [3, 3, I, U] float32.
    """

    def __init__(self, widths: Sequence[int], units: int, *, rngs: nnx.Rngs):
        shape = (3, 3, sum(widths), units)
        self.kernel = nnx.Param(nnx.initializers.he_normal()(rngs.params(), shape))

    def __call__(self, levels: Sequence[Float[Array, "B _ _ _"]]) -> Float[Array, "B h w U"]:
        return convolve_pyramid(levels, self.kernel[...])


def convolve_pyramid(
    levels: Sequence[Float[Array, "B _ _ _"]], kernel: Float[Array, "3 3 I U"]
) -> Float[Array, "B h w U"]:
    """Resize maps to the size of the first, stack them, and convolve the stack.

    Resizing mixes places and never channels; each of the nine taps of the kernel mixes channels
    and never places. So a small map can meet the taps before it is enlarged, which takes as many
    products as the small map has cells; enlarging the nine results, each shifted by its tap, then
    costs two products with small matrices. The result is the same but for rounding. Maps of at
    least a quarter of the first one's cells are resized first: Winograd's form is as quick.

    Args:
        levels: Maps, channels last; their channels add up to I.
        kernel: Kernel of the same dtype.

    Returns:
        The convolution with one zero around, in the size of the first map.
    """
    shape = size_of(levels[0])
    ends = np.cumsum([level.shape[3] for level in levels])
    kernels = jnp.split(kernel, ends[:-1], axis=2)
    large, small = [], []
    for level, part in zip(levels, kernels, strict=True):
        few = 4 * level.shape[1] * level.shape[2] < shape[0] * shape[1]
        (small if few else large).append((level, part))
    stack = jnp.concatenate([resized(level, shape) for level, _ in large], axis=3)
    parts = jnp.concatenate([part for _, part in large], axis=2)
    total = conv2d(stack, parts, padding=((1, 1), (1, 1)))
    return total + _convolve_enlarged(small, shape) if small else total


def _convolve_enlarged(levels: Sequence[tuple[Array, Array]], shape: Grid) -> Array:
    """Sum of the convolutions of maps, each with its kernel, that are enlarged to a shape."""
    dtype = levels[0][0].dtype
    product = partial(
        jnp.einsum,
        preferred_element_type=np.promote_types(dtype, np.float32),
        precision=lax.Precision.HIGHEST,
    )
    across, down = [], []
    with jax.named_scope("convolve_enlarged"):
        for level, kernel in levels:
            batch, height, width, _ = level.shape
            rows, columns = _shifted_readings(shape, (height, width))
            taps = product("bhwc,ijcu->bhiwju", level, kernel, precision=None)
            lines = product("xwj,bhiwju->bhixu", jnp.asarray(columns, taps.dtype), taps)
            across.append(lines.reshape(batch, 3 * height, shape[1], -1))
            down.append(rows.reshape(shape[0], 3 * height))
        lines = jnp.concatenate(across, axis=1)
        rows = jnp.asarray(np.concatenate(down, axis=1), lines.dtype)
        return product("yn,bnxu->byxu", rows, lines).astype(dtype)


def _shifted_readings(grid: Grid, shape: Grid) -> list[np.ndarray]:
    """How much of every cell a pixel reads if shifted by -1, 0 or 1, for rows and columns.

    Float64 [pixels, cells, 3]; what is shifted off the grid reads nothing.
    """
    matrices = []
    for positions, cells in zip(pixel_centers(grid, shape), shape, strict=True):
        inside = np.clip(positions, 0, cells - 1)
        readings = np.maximum(0, 1 - np.abs(inside[:, None] - np.arange(cells)))
        around = np.pad(readings, ((1, 1), (0, 0)))
        matrices.append(np.stack([around[tap : tap + len(inside)] for tap in range(3)], axis=-1))
    return matrices


def _dropped_out_in_training(units: Array) -> Array:
    return units
