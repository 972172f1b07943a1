"""Convolution and pooling of images: the meaning of XLA's own, faster on CPU where it matters.

Wide 3 x 3 convolutions are where a network like VGG spends its time. Winograd's minimal filtering
F(4 x 4, 3 x 3) makes 16 outputs from 36 multiplications instead of 144: overlapping 6 x 6 tiles of
the input and the kernel are transformed to their values at 36 points, each point is one matrix
product over channels, and the products are transformed back to 4 x 4 tiles of the output (Lavin
and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sections 4.1 and 4.3).

Letters of shapes: B batch, H W image, h w output, I channels in, O channels out, p q tiles down
and across.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.networks.depthwise import shifted_sum

MIN_CHANNELS = 128
"""Winograd's form is taken from so many channels in and out."""

MIN_TILES = 96
"""Winograd's form is taken from so many 4 x 4 tiles of output in a batch.

The transforms cost per tile and channel, and per channel in and out; only the matrix products save
time. So it takes many channels to pay for the tiles, and many tiles to pay for the kernel. Both
bounds were found within the forward pass of VGG-16, layer by layer, on two CPU cores. Layers with
64 channels in gain nothing, those with 128 do. With 512 channels, 98 tiles (2 maps of 28 x 28)
gain, 64 (4 maps of 14 x 14) about break even, and 16 lose.
"""

_EXACT = ("highest", "float32")  # two names of one precision

CHANNEL_BLOCK = 256
"""Output channels made at a time: the transformed kernel, four times as large as the kernel, is
then reused memory (19 MB for 512 channels in) instead of 38 MB written afresh for every layer."""

Padding = str | Sequence[tuple[int, int]]


def conv2d(
    inputs: Float[Array, "B H W I"],
    kernel: Float[Array, "kh kw J O"],
    *,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "SAME",
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "B h w O"]:
    """Convolve images with a kernel, as `jax.lax.conv_general_dilated` does.

    On CPU, float32 convolutions with a 3 x 3 kernel and stride 1 that keep the size take Winograd's
    form from `MIN_CHANNELS` and `MIN_TILES` on (`jax.vmap` does not count as tiles), and those with
    a kernel for every channel are sums of shifted products; all else, and every other platform, is
    left to XLA. Winograd's form differs by rounding, at most 1e-4, commonly 1e-5, of the largest
    output, and an input that is not finite spoils its whole tile. It is never taken where
    ``jax.default_matmul_precision("highest")`` asks for as exact a result as there is.

    Args:
        inputs: Images.
        kernel: Kernel of the same dtype, J = I / `groups`.
        strides: Steps down and across.
        padding: "SAME", "VALID", or how many zeros go (before, after) along each axis.
        dilation: Steps between the places that a kernel reads.
        groups: Parts that channels in and out are divided into; a part out reads one part in.

    Returns:
        ``out[b, y, x, o] = sum_ijc padded[b, y s + i d, x t + j d, c] kernel[i, j, c, o]`` for
        strides (s, t), dilation d and one group, in the dtype of the inputs.

    Raises:
        ValueError: If inputs and kernel differ in channels or dtype.
    """
    if kernel.shape[2] * groups != inputs.shape[3] or kernel.dtype != inputs.dtype:
        channels = inputs.shape[3] // groups
        raise ValueError(
            f"`kernel` (={kernel.dtype}{kernel.shape}) must be {inputs.dtype} with "
            f"{channels} input channels [kh, kw, {channels}, O] to fit `inputs` "
            f"(={inputs.dtype}{inputs.shape})"
        )
    if isinstance(padding, str):
        reach = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
        padding = lax.padtype_to_pads(inputs.shape[1:3], reach, strides, padding)
    pads = [(before, after) for before, after in padding]
    if kernel.shape[:2] == (1, 1) and pads == [(0, 0), (0, 0)] and groups == 1:
        # One matrix product, on CPU up to 3 times as fast as XLA's convolution.
        return inputs[:, :: strides[0], :: strides[1]] @ kernel[0, 0]

    def grouped(inputs: Array, kernel: Array, groups: int) -> Array:
        return lax.conv_general_dilated(
            inputs,
            kernel,
            strides,
            pads,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    def plain(inputs: Array, kernel: Array) -> Array:
        return grouped(inputs, kernel, groups)

    def group_by_group(inputs: Array, kernel: Array) -> Array:
        pairs = zip(*(jnp.split(x, groups, axis=3) for x in (inputs, kernel)), strict=True)
        return jnp.concatenate([grouped(*pair, groups=1) for pair in pairs], axis=3)

    keeps_size = groups == 1 and strides == (1, 1) and pads == [(1, 1), (1, 1)]
    if groups == inputs.shape[3] == kernel.shape[3] > 1:
        shifted = partial(shifted_sum, strides=strides, padding=pads, dilation=dilation)
        return lax.platform_dependent(inputs, kernel, cpu=shifted, default=plain)
    if groups > 1 and kernel.shape[2] > 1:
        # On CPU 4 to 7 times as fast as all groups at once.
        return lax.platform_dependent(inputs, kernel, cpu=group_by_group, default=plain)
    if keeps_size and dilation == 1 and kernel.shape[:2] == (3, 3) and _pays(inputs, kernel):
        return lax.platform_dependent(inputs, kernel, cpu=_winograd, default=plain)
    return plain(inputs, kernel)


class Conv2D(nnx.Module):
    """A convolution.

    Args:
        inputs: Channels in.
        units: Channels out.
        size: Rows and columns of the kernel.
        strides: Steps down and across.
        padding, dilation, groups: As in `conv2d`.
        use_bias: Whether to add a bias.
        convolve: Takes the place of `conv2d`.
        rngs: Stream of the initial parameters. Kernels are He-normal (He et al., "Delving Deep
            into Rectifiers", ICCV 2015, equation 10: variance 2 / fan-in), biases zero.

    Attributes:
        kernel: [kh, kw, I / groups, O] float32.
        bias: [O] float32, or None.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        size: tuple[int, int] = (3, 3),
        *,
        strides: tuple[int, int] = (1, 1),
        padding: Padding = "SAME",
        dilation: int = 1,
        groups: int = 1,
        use_bias: bool = True,
        convolve: Callable[..., Array] = conv2d,
        rngs: nnx.Rngs,
    ):
        shape = (*size, inputs // groups, units)
        self.kernel = nnx.Param(nnx.initializers.he_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(units)) if use_bias else None
        self.strides = strides
        self.padding = padding if isinstance(padding, str) else tuple(map(tuple, padding))
        self.dilation, self.groups = dilation, groups
        self.convolve = convolve

    def __call__(self, inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w O"]:
        """Convolve and add the bias, which like the kernel must have the dtype of the inputs."""
        arguments: dict[str, Any] = {"strides": self.strides, "padding": self.padding}
        if (self.dilation, self.groups) != (1, 1):
            arguments |= {"dilation": self.dilation, "groups": self.groups}
        outputs = self.convolve(inputs, self.kernel[...], **arguments)
        return outputs if self.bias is None else outputs + self.bias[None, None, None]


def max_pool2d(inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w I"]:
    """Take the maximum of every 2 x 2 square, with stride 2; an odd last row or column is left out.

    On CPU 1.2 to 1.9 times as fast as the window of `flax.nnx.max_pool`. At ties the gradient is
    divided, where a window gives it all to the first.
    """
    height, width = (size // 2 * 2 for size in inputs.shape[1:3])
    rows = jnp.maximum(inputs[:, 0:height:2], inputs[:, 1:height:2])
    return jnp.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2])


# --- Winograd's form ------------------------------------------------------------------------------


def _pays(inputs: Array, kernel: Array) -> bool:
    """Whether Winograd's form is the faster one, and exact enough, as for bfloat16 it is not."""
    batch, height, width, channels = inputs.shape
    settings: Any = jax.config  # which does not declare its options
    return (
        inputs.dtype == jnp.float32
        and settings.jax_default_matmul_precision not in _EXACT
        and min(channels, kernel.shape[3]) >= MIN_CHANNELS
        and batch * math.ceil(height / 4) * math.ceil(width / 4) >= MIN_TILES
    )


def _winograd(inputs: Array, kernel: Array) -> Array:
    """Convolve with a 3 x 3 kernel, stride 1 and one zero around, for any number of channels."""
    _, height, width, channels = inputs.shape
    units = kernel.shape[3]
    with jax.named_scope("winograd"):
        tiles = _transform_inputs(inputs)

        def outputs(kernel: Float[Array, "3 3 I O"]) -> Float[Array, "B h w O"]:
            points = _transform_kernel(kernel)
            products = lax.dot_general(tiles, points, (((4,), (1,)), ((0,), (0,))))
            return _transform_outputs(products)[:, :height, :width]

        if units == CHANNEL_BLOCK or units % CHANNEL_BLOCK:
            return outputs(kernel)
        blocks = kernel.reshape(3, 3, channels, -1, CHANNEL_BLOCK)
        blocks = lax.map(outputs, jnp.moveaxis(blocks, 3, 0))
        return jnp.moveaxis(blocks, 0, 3).reshape(*inputs.shape[:3], units)


def _transform_inputs(inputs: Float[Array, "B H W I"]) -> Float[Array, "36 B p q I"]:
    """Cut into tiles of 6 x 6, each 4 after the last, and transform both of their axes."""
    batch, height, width, channels = inputs.shape
    down, across = math.ceil(height / 4), math.ceil(width / 4)
    # A tile is a square of 4 x 4 and the first 2 lines of the next ones.
    padded = jnp.pad(
        inputs, ((0, 0), (1, 4 * down + 3 - height), (1, 4 * across + 3 - width), (0, 0))
    )
    squares = padded.reshape(batch, down + 1, 4, across + 1, 4, channels)
    # Stacking after either axis keeps the compiler from doing the first axis again for every
    # result of the second.
    lines = [squares[:, i // 4 : i // 4 + down, i % 4] for i in range(6)]
    rows = jnp.stack(_input_line(*lines))
    lines = [rows[:, :, :, j // 4 : j // 4 + across, j % 4] for j in range(6)]
    points = jnp.stack(_input_line(*lines), axis=1)
    return points.reshape(36, batch, down, across, channels)


def _transform_kernel(kernel: Float[Array, "3 3 I O"]) -> Float[Array, "36 I O"]:
    """Transform both axes at once: a product with a small constant matrix."""
    matrix = jnp.asarray(np.kron(_KERNEL_LINE, _KERNEL_LINE), kernel.dtype)
    return (matrix @ kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])


def _transform_outputs(products: Float[Array, "36 B p q O"]) -> Float[Array, "B h w O"]:
    """Transform back to squares of 4 x 4 and lay them side by side."""
    _, batch, down, across, units = products.shape
    rows = jnp.stack(_output_line(*products.reshape(6, 6, *products.shape[1:])))
    squares = jnp.stack(_output_line(*(rows[:, j] for j in range(6))), axis=1)
    return squares.transpose(2, 3, 0, 4, 1, 5).reshape(batch, 4 * down, 4 * across, units)


# The transforms of one axis: values of polynomials at 0, 1, -1, 2, -2 and infinity. Written as
# sums, which the compiler fuses; products with the small matrices would be slower.


def _input_line(a: Array, b: Array, c: Array, d: Array, e: Array, f: Array) -> list[Array]:
    even, odd = e - 4 * c, d - 4 * b
    even_twice, odd_twice = e - c, 2 * (d - b)
    return [
        4 * a - 5 * c + e,
        even + odd,
        even - odd,
        even_twice + odd_twice,
        even_twice - odd_twice,
        4 * b - 5 * d + f,
    ]


_KERNEL_LINE = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)


def _output_line(
    zero: Array, one: Array, minus_one: Array, two: Array, minus_two: Array, infinity: Array
) -> list[Array]:
    even, odd = one + minus_one, one - minus_one
    even_twice, odd_twice = two + minus_two, two - minus_two
    return [
        zero + even + even_twice,
        odd + 2 * odd_twice,
        even + 4 * even_twice,
        odd + 8 * odd_twice + infinity,
    ]
