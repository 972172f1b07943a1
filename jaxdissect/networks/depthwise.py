"""Depthwise convolution as a sum of shifted products, which processors compute quickly.

Where every channel has a kernel of its own there are no matrices to multiply. An output is the sum
of as many products as the kernel has places: the image, shifted, times a row of weights. The
compiler makes one loop of them all, with channels innermost, where it uses vector instructions.
XLA's own convolution takes 4 to 26 times as long on CPU (`benchmarks/RESULTS.md`).

Letters of shapes: B batch, H W image, h w output, U units.
"""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

Pairs = tuple[tuple[int, int], ...]


def shifted_sum(
    inputs: Float[Array, "B H W U"],
    kernel: Float[Array, "kh kw 1 U"],
    *,
    strides: tuple[int, int] = (1, 1),
    padding: Sequence[tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: int = 1,
) -> Float[Array, "B h w U"]:
    """Convolve every channel with its own kernel, as `conv2d` does with as many groups.

    Products are added in float32, or float64 if that is what they are. The gradient is computed as
    quickly, in both modes of differentiation.

    Args:
        inputs: Images.
        kernel: Kernels of the same dtype.
        strides, dilation: As in `conv2d`.
        padding: How many zeros go (before, after) along each axis.
    """
    pairs = tuple((before, after) for before, after in padding)
    wide = inputs.dtype if inputs.dtype.itemsize > 2 else jnp.float32
    reach = [(places - 1) * dilation + 1 for places in kernel.shape[:2]]
    sides = zip(inputs.shape[1:3], pairs, reach, strict=True)
    if any(side + sum(pair) < needed for side, pair, needed in sides):
        return lax.conv_general_dilated(  # has no output
            inputs,
            kernel,
            strides,
            pairs,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=inputs.shape[3],
        )
    outputs = _shifted_sum(inputs, kernel.astype(wide)[:, :, 0], strides, pairs, dilation)
    return outputs.astype(inputs.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _shifted_sum(
    inputs: Float[Array, "B H W U"],
    kernel: Float[Array, "kh kw U"],
    strides: tuple[int, int],
    padding: Pairs,
    dilation: int,
) -> Float[Array, "B h w U"]:
    # Without the barrier, the compiler would compute the padded input anew for each product.
    padded = lax.optimization_barrier(_padded(inputs, padding))
    height, width = _output_sides(padded, kernel, strides, dilation)

    def product(y: int, x: int) -> Array:
        top, left = y * dilation, x * dilation
        below, right = top + (height - 1) * strides[0] + 1, left + (width - 1) * strides[1] + 1
        shifted = padded[:, top : below : strides[0], left : right : strides[1]]
        return shifted.astype(kernel.dtype) * kernel[None, None, None, y, x]

    return reduce(add, (product(y, x) for y, x in _places(kernel)))


def _jvp(
    strides: tuple[int, int],
    padding: Pairs,
    dilation: int,
    primals: tuple[Array, Array],
    tangents: tuple[Any, Any],
) -> tuple[Array, Array]:
    """Differentiate in such a way that the transpose is a sum of shifted products again."""
    inputs, kernel = primals
    outputs = _shifted_sum(inputs, kernel, strides, padding, dilation)
    moved, turned = tangents
    parts = []
    if not isinstance(moved, SymbolicZero):
        parts.append(_sum_of_padded(moved, kernel, strides, padding, dilation))
    if not isinstance(turned, SymbolicZero):
        parts.append(_shifted_sum(inputs, turned, strides, padding, dilation))
    return outputs, reduce(add, parts) if parts else jnp.zeros_like(outputs)


_shifted_sum.defjvp(_jvp, symbolic_zeros=True)


def _sum_of_padded(
    inputs: Float[Array, "B H W U"],
    kernel: Float[Array, "kh kw U"],
    strides: tuple[int, int],
    padding: Pairs,
    dilation: int,
) -> Float[Array, "B h w U"]:
    """Compute the same by shifting products instead of inputs, whose transpose shifts inputs.

    All that the products touch is added up; what the padding does not reach is left out then.
    """
    reach = [(places - 1) * dilation for places in kernel.shape[:2]]
    wide = inputs.astype(kernel.dtype)

    def product(y: int, x: int) -> Array:
        # What reads a place of the input through (y, x) lies that much before it.
        shifts = y * dilation, x * dilation
        edges = tuple((far - shift, shift) for far, shift in zip(reach, shifts, strict=True))
        return _padded(wide * kernel[None, None, None, y, x], edges)

    every = lax.optimization_barrier(reduce(add, (product(y, x) for y, x in _places(kernel))))
    edges = tuple(
        (before - far, after - far) for (before, after), far in zip(padding, reach, strict=True)
    )
    return _padded(every, edges)[:, :: strides[0], :: strides[1]]


def _padded(maps: Float[Array, "B H W U"], padding: Pairs) -> Float[Array, "B h w U"]:
    """Put zeros around maps, or take places away where their number is negative."""
    edges = [(0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)]
    return lax.pad(maps, jnp.zeros((), maps.dtype), edges)


def _output_sides(
    padded: Float[Array, "B H W U"],
    kernel: Float[Array, "kh kw U"],
    strides: tuple[int, int],
    dilation: int,
) -> list[int]:
    sides = zip(padded.shape[1:3], kernel.shape[:2], strides, strict=True)
    return [(side - (places - 1) * dilation - 1) // stride + 1 for side, places, stride in sides]


def _places(kernel: Float[Array, "kh kw U"]) -> list[tuple[int, int]]:
    return [(y, x) for y in range(kernel.shape[0]) for x in range(kernel.shape[1])]
