"""How PyTorch names and lays out the parameters of every kind of layer.

A kernel whose sides are equal fits in several ways, so the kind of its layer decides, never its
shape:

    here                                                          in PyTorch
    kernel  [*k, I, O] of a convolution, also grouped             weight  [O, I, *k]
    kernel  [*k, I, O] of a transposed convolution                weight  [I, O, *k], k reversed
    kernel  [*k, O, I] of one with `transpose_kernel`             weight  [I, O, *k]
    kernel  [I, O] of a linear map                                weight  [O, I]
    kernel  [*I, *O] of LinearGeneral, DenseGeneral, or Einsum    weight  [prod O, prod I]
    embedding [N, U]                                              weight  [N, U]
    scale, mean, var of normalisation                             weight, running_mean, running_var
    negative_slope [] of PReLU                                    weight  [1]
    slope [U] of a PReLU for every unit                           weight  [U]
    query, key, value of attention                                in_proj_weight, or qkv.weight, ...
    bias, and all others                                          the same

A layer of the user's own is taken as flax would have it: channels out are the last axis of a
`kernel`, channels in the one before.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flax import linen as nn
from flax import nnx

from jaxdissect.networks.weights.stored import Shape


class Stored(NamedTuple):
    """An array of a file.

    Attributes:
        name: Its name.
        shape: Its shape; None if only `from_file` knows.
        from_file: From the array of the file to that of the network.
    """

    name: str
    shape: Shape | None
    from_file: Callable[[np.ndarray], np.ndarray]


def stored_as_here(name: str, shape: Shape) -> Stored:
    """Describe an array that is laid out in the file as it is here."""
    return Stored(name, shape, lambda array: array)


def stored_by_kind(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    """Find where PyTorch keeps a parameter of a layer.

    Args:
        owner: The layer, an nnx or linen module.
        own: What the layer calls the parameter.
        shape: Its shape here.

    Returns:
        The names that it may have below that of the layer, likeliest first; none if the kind of
        layer does not decide the layout.
    """
    find = next((find for kinds, find in _KINDS if isinstance(owner, kinds)), _of_own_layer)
    return find(owner, own, shape)


def stored_in_attention(owner: Any, part: str, own: str, shape: Shape) -> tuple[Stored, ...]:
    """Find where PyTorch keeps a parameter of multi-head attention.

    Args:
        owner: What may be attention.
        part: Its part, such as "query".
        own: "kernel" or "bias".
        shape: Its shape here: kernels [I, heads, d] and, of the output, [heads, d, O].

    Returns:
        As `stored_by_kind`, below the name of the attention; none if it is something else.
    """
    if not isinstance(owner, _ATTENTION) or own not in ("kernel", "bias"):
        return ()
    end = "weight" if own == "kernel" else "bias"

    def alone(name: str) -> Stored:
        return _flattened(name, shape, inputs=len(shape) - 1 if part == "out" else 1, own=own)

    if part == "out":
        return tuple(alone(f"{name}.{end}") for name in ("out_proj", "proj", "out"))
    if part not in _PROJECTIONS:
        return ()
    place, letter = _PROJECTIONS.index(part), part[0]
    units = math.prod(shape[-2:])
    fused = (3 * units, shape[0]) if own == "kernel" else (3 * units,)

    def from_fused(array: np.ndarray) -> np.ndarray:
        return array[place * units : (place + 1) * units].T.reshape(shape)

    together = (
        *(Stored(f"in_proj_{end}", fused, from_fused), Stored(f"qkv.{end}", fused, from_fused)),
    )
    apart = tuple(
        alone(name) for name in (f"{letter}_proj_{end}", f"{letter}_proj.{end}", f"{letter}.{end}")
    )
    same_heads = getattr(owner, "num_kv_heads", owner.num_heads) == owner.num_heads
    return (*(together if same_heads else ()), *apart, alone(f"{part}.{end}"))


_PROJECTIONS = ("query", "key", "value")
_ATTENTION = (nnx.MultiHeadAttention, nn.MultiHeadDotProductAttention)


def _permuted(name: str, shape: Shape, axes: tuple[int, ...]) -> Stored:
    """An array of which ``here.transpose(axes) == in_file``."""
    return Stored(
        name,
        tuple(shape[axis] for axis in axes),
        lambda array: np.transpose(array, np.argsort(axes)),
    )


def kernel_axes(ndim: int) -> tuple[int, ...]:
    """Axes [O, I, *k] of a kernel [*k, I, O]; of others, those that there are."""
    return (ndim - 1, ndim - 2, *range(ndim - 2)) if ndim > 1 else tuple(range(ndim))


def _flattened(name: str, shape: Shape, *, inputs: int, own: str) -> Stored:
    """A linear map of several axes, the first of which are inputs, as one of two."""
    if own == "bias":
        return Stored(name, (math.prod(shape),), lambda array: array.reshape(shape))
    sizes = math.prod(shape[:inputs]), math.prod(shape[inputs:])
    return Stored(name, sizes[::-1], lambda array: array.T.reshape(shape))


def _of_own_layer(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    if own == "kernel":
        return (_permuted("weight", shape, kernel_axes(len(shape))),)
    names = dict.fromkeys((own, PYTORCH_NAMES.get(own, own)))
    return tuple(stored_as_here(name, shape) for name in names)


PYTORCH_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
    "slope": "weight",
}
"""What PyTorch calls the arrays of most layers."""


def _of_transposed_convolution(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    if own != "kernel":
        return _of_own_layer(owner, own, shape)
    last = len(shape) - 1
    if owner.transpose_kernel:
        return (_permuted("weight", shape, kernel_axes(len(shape))),)
    window = tuple(range(last - 1))
    plain = _permuted("weight", shape, (last - 1, last, *window))
    return (plain._replace(from_file=lambda array: np.flip(plain.from_file(array), window)),)


def _of_linear_general(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    batch = getattr(owner, "batch_axis", None) or getattr(owner, "batch_dims", ())
    if batch or own not in ("kernel", "bias"):
        return () if own in ("kernel", "bias") else _of_own_layer(owner, own, shape)
    name = "weight" if own == "kernel" else "bias"
    return (_flattened(name, shape, inputs=_summed_by_general(owner), own=own),)


def _summed_by_general(owner: Any) -> int:
    return len(owner.axis) if isinstance(owner.axis, tuple | list) else 1


def _of_einsum(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    if own == "bias" and owner.einsum_str is not None:
        return (_flattened("bias", shape, inputs=0, own="bias"),)
    split = _axes_of_einsum(owner) if own == "kernel" else None
    if split is None:
        return ()
    summed, made = split
    axes = (*made, *summed)
    sizes = tuple(shape[axis] for axis in axes)
    file_shape = math.prod(sizes[: len(made)]), math.prod(sizes[len(made) :])

    def from_file(array: np.ndarray) -> np.ndarray:
        return np.transpose(array.reshape(sizes), np.argsort(axes))

    return (Stored("weight", file_shape, from_file),)


def _axes_of_einsum(owner: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Find the kernel's axes that are summed over, and those that are made; None if others are."""
    if owner.einsum_str is None:
        return None
    operands, outputs = owner.einsum_str.replace(" ", "").split("->")
    inputs, kernel = (letters.replace("...", "") for letters in operands.split(","))
    summed = [letter for letter in inputs if letter in kernel and letter not in outputs]
    made = [letter for letter in outputs if letter in kernel and letter not in inputs]
    if sorted(summed + made) != sorted(kernel):
        return None
    return tuple(map(kernel.index, summed)), tuple(map(kernel.index, made))


def summed_axes(owner: Any, shape: Shape) -> tuple[int, ...] | None:
    """Find the axes of a kernel that a linear map of any axes sums over; None of other layers."""
    if isinstance(owner, nnx.LinearGeneral | nn.DenseGeneral):
        return tuple(range(_summed_by_general(owner)))
    if isinstance(owner, nnx.Einsum | nn.Einsum):
        split = _axes_of_einsum(owner)
        return None if split is None or not split[0] else split[0]
    return None


def is_attention(owner: Any) -> bool:
    """Whether a layer is multi-head attention of flax, whose parts are linear maps of heads."""
    return isinstance(owner, _ATTENTION)


def _of_embedding(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    return _as_here("weight" if own == "embedding" else own, shape)


def _of_normalisation(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    # PyTorch normalises over [C, h, w] where there are several axes, which may be [h, w, C] here.
    return _as_here(PYTORCH_NAMES.get(own, own), shape) if len(shape) == 1 else ()


def _of_prelu(owner: Any, own: str, shape: Shape) -> tuple[Stored, ...]:
    return (Stored("weight", (1,), lambda array: array.reshape(shape)),)


_KINDS: tuple[tuple[Any, Callable[[Any, str, Shape], tuple[Stored, ...]]], ...] = (
    ((nnx.ConvTranspose, nn.ConvTranspose), _of_transposed_convolution),
    ((nnx.LinearGeneral, nn.DenseGeneral), _of_linear_general),
    ((nnx.Einsum, nn.Einsum), _of_einsum),
    ((nnx.Embed, nn.Embed), _of_embedding),
    (
        (
            *(nnx.BatchNorm, nnx.LayerNorm, nnx.GroupNorm, nnx.RMSNorm, nnx.InstanceNorm),
            *(nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm),
        ),
        _of_normalisation,
    ),
    ((nnx.PReLU, nn.PReLU), _of_prelu),
    ((nn.ConvLocal,), lambda owner, own, shape: () if own == "kernel" else _as_here(own, shape)),
)


def _as_here(own: str, shape: Shape) -> tuple[Stored, ...]:
    return (stored_as_here(own, shape),)
