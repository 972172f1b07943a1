"""Transposed convolution: maps become larger, and no product has a zero in it.

Letters of shapes: B batch, h w cells, I channels in, O channels out, H W output.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import conv2d


def conv_transposed2d(
    inputs: Float[Array, "B h w I"],
    kernel: Float[Array, "kh kw I O"],
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
) -> Float[Array, "B H W O"]:
    """Add the products of every cell with a kernel, `stride` pixels from those of the next.

    Pixels of the output that leave the same rest when divided by the stride read the same weights,
    so each kind is a small convolution: 1 / stride^2 of the products of a convolution over cells
    with zeros between, which XLA's own is on a CPU.

    Args:
        inputs: Maps.
        kernel: Of the same dtype, at least `stride` high and wide.
        stride: Pixels between cells.
        padding: Lines that are cut off on every side of the result.
        output_padding: Of these, lines that stay below and on the right after all.

    Returns:
        ``out[b, y s + i - p, x s + j - p, o] = sum_yxijc in[b, y, x, c] kernel[i, j, c, o]``, with
        ``H = (h - 1) s + kh - 2 p`` rows, and `output_padding` more.

    Raises:
        ValueError: If the kernel is smaller than the stride, nothing is left of the result, or
            `output_padding` is more than `padding`.
    """
    if not 0 <= output_padding <= padding:
        raise ValueError(
            f"`output_padding` (={output_padding}) must lie between 0 and `padding` (={padding})"
        )
    axes = [
        _Axis(cells, taps, stride, padding, output_padding)
        for cells, taps in zip(inputs.shape[1:3], kernel.shape[:2], strict=True)
    ]
    if min(kernel.shape[:2]) < stride or min(axis.length for axis in axes) < 1:
        raise ValueError(
            f"`kernel` (={kernel.shape}) must be at least `stride` (={stride}) high and wide, and "
            f"leave more than `padding` (={padding}) of maps {inputs.shape}"
        )
    if inputs.shape[1:3] == (1, 1):
        made = jnp.einsum("bc,ijco->bijo", inputs[:, 0, 0], kernel)
        rows, columns = (slice(padding, padding + axis.length) for axis in axes)
        return made[:, rows, columns]

    def phase(row: int, column: int) -> Array:
        rows, above_below = axes[0].phase(row)
        columns, left_right = axes[1].phase(column)
        return conv2d(inputs, kernel[rows][:, columns], padding=(above_below, left_right))

    with jax.named_scope("conv_transposed"):
        kinds = range(stride)
        lines = [jnp.stack([phase(row, column) for column in kinds], 3) for row in kinds]
        batch, height, width, _, units = lines[0].shape
        whole = jnp.stack(lines, 2).reshape(batch, height * stride, width * stride, units)
        return whole[:, : axes[0].length, : axes[1].length]


class _Axis(NamedTuple):
    """One axis of a transposed convolution."""

    cells: int
    taps: int
    stride: int
    padding: int
    output_padding: int

    @property
    def length(self) -> int:
        """Of the result."""
        return (self.cells - 1) * self.stride + self.taps - 2 * self.padding + self.output_padding

    def phase(self, rest: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Find which taps the pixels of a rest read, and the zeros around the cells then."""
        first = (rest + self.padding) % self.stride
        taps = np.arange(first, self.taps, self.stride)[::-1]
        before = len(taps) - 1 - (rest + self.padding - first) // self.stride
        length = math.ceil(self.length / self.stride)
        return taps, (before, length - self.cells - before + len(taps) - 1)


class ConvTransposed2D(nnx.Module):
    """A transposed convolution.

    Args:
        inputs: Channels in.
        units: Channels out.
        size: Rows of the kernel, and columns.
        stride, padding, output_padding: As in `conv_transposed2d`.
        use_bias: Whether to add a bias.
        rngs: Stream of the initial parameters: kernels are normal with deviation 0.02 (Radford et
            al., "Unsupervised Representation Learning with Deep Convolutional Generative
            Adversarial Networks", ICLR 2016, section 4), biases zero.

    Attributes:
        kernel: [size, size, O, I] float32, that of the convolution which is transposed.
        bias: [O] float32, or None.
    """

    transpose_kernel = True
    """Of flax's layers too: the kernel's last axes are channels out and in."""

    def __init__(
        self,
        inputs: int,
        units: int,
        size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        shape = (size, size, units, inputs)
        self.kernel = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(units)) if use_bias else None
        self.stride, self.padding, self.output_padding = stride, padding, output_padding

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B H W O"]:
        """Convolve and add the bias, which like the kernel must have the dtype of the inputs."""
        kernel: Any = self.kernel[...].swapaxes(2, 3)
        outputs = conv_transposed2d(
            inputs,
            kernel,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        return outputs if self.bias is None else outputs + self.bias[None, None, None]
