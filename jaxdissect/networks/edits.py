"""Edits: change the output of single units, by arrays to be batched, differentiated and composed.

Letters: B batch, h w layer grid, T tokens, U units, k chosen units.

An edit replaces a layer's activations a by a * keep + add. Both halves are broadcast against the
activations from the right, so [U] edits units everywhere, [h, w, U] units at places, and
[B, h, w, U] each example. Because an edit is a pytree of two arrays, `jax.vmap` over
edits runs many interventions at once while everything upstream of the layer is computed once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Key, Num, PyTree

from jaxdissect.arrays.representation import short_repr


class Edit(NamedTuple):
    """Replace activations a by a * keep + add."""

    keep: Array  # broadcasts from the right against the activations; 1 leaves them alone
    add: Array  # likewise; 0 leaves them alone

    __repr__ = short_repr


Units = Int[Array, "k"] | Int[np.ndarray, "k"] | Sequence[SupportsIndex]


def apply_edit(activations: Float[Array, "*a"], edit: Edit) -> Float[Array, "*a"]:
    """Compute a * keep + add in the dtype of the activations.

    Args:
        activations: Output of a layer, [B, h, w, U] or [B, T, U].
        edit: Its halves have any shape that broadcasts, from the right, to that of `activations`.

    Returns:
        Edited activations, same shape and dtype. A keep of 0 does not silence infinities or NaN.

    Raises:
        ValueError: If a half of `edit` does not fit.
    """
    keep = _aligned("edit.keep", edit.keep, activations)
    add = _aligned("edit.add", edit.add, activations)
    return activations * keep + add


def ablate(units: Units, num_units: int) -> Edit:
    """Set units to zero everywhere (the unit removal of Bau et al. 2020).

    Args:
        units: Which units, each in [0, num_units).
        num_units: Units of the layer, U.

    Raises:
        ValueError: If `units` are not integers in range; ranges of traced units are not checked.
    """
    chosen = _chosen(units, num_units)
    return Edit(jnp.ones(num_units).at[chosen].set(0.0), jnp.zeros(num_units))


def keep_units(mask: Bool[Array, "U"]) -> Edit:
    """Set every unit to zero where `mask` is False; the mask may be traced."""
    return Edit(mask.astype(jnp.float32), jnp.zeros(mask.shape))


def insert(
    units: Units,
    values: Float[Array, "k"] | float,
    num_units: int,
    *,
    where: Float[Array, "*places"] | None = None,
) -> Edit:
    """Set units to given values: a * (1 - where) + value * where for those units.

    Args:
        units: Which units, each in [0, num_units).
        values: One value for each of `units`, or one for all.
        num_units: Units of the layer, U.
        where: Strength in [0, 1] at places, [h, w], [B, h, w], or [T]; everywhere when None.

    Raises:
        ValueError: If `units` are not integers in range, or `values` are not as many.
    """
    chosen = _chosen(units, num_units)
    values = jnp.asarray(values, jnp.float32)
    if values.shape not in ((), chosen.shape):
        raise ValueError(
            f"`values` (={values.shape}) must be one number, or one for each of the "
            f"{chosen.shape[0]} `units`"
        )
    selected = jnp.zeros(num_units).at[chosen].set(1.0)
    target = jnp.zeros(num_units).at[chosen].set(values)
    if where is None:
        return Edit(1.0 - selected, target)
    strength = where.astype(jnp.float32)[..., None]
    rank = strength.ndim
    return Edit(1.0 - strength * _lift(selected, rank), strength * _lift(target, rank))


def replace_by_mean(units: Units, means: Float[Array, "U"]) -> Edit:
    """Set units to their mean, which removes their information but not their usual strength.

    Args:
        units: Which units, each in [0, U).
        means: Mean activation of every unit of the layer.

    Raises:
        ValueError: If `units` are not integers in range.
    """
    chosen = _chosen(units, means.shape[0])
    return insert(chosen, means.astype(jnp.float32)[chosen], means.shape[0])


def add_noise(
    key: Key[Array, ""],
    units: Units,
    num_units: int,
    scale: Float[Array, "k"] | Float[Array, ""] | float,
    shape: tuple[int, ...],
) -> Edit:
    """Add normal noise of standard deviation `scale` to units.

    Args:
        key: Random key; the same key gives the same noise.
        units: Which units, each in [0, num_units).
        num_units: Units of the layer, U.
        scale: Standard deviation for each of `units`, or one for all.
        shape: Shape of the noise, that of the activations ([B, h, w, U] or [B, T, U]) or without
            the batch axis, for noise shared by all examples.

    Raises:
        ValueError: If `units` or `scale` do not fit, or `shape` does not end in `num_units`.
    """
    if shape[-1:] != (num_units,):
        raise ValueError(f"`shape` (={shape}) must end in `num_units` (={num_units})")
    scales = insert(units, scale, num_units).add
    noise = jax.random.normal(key, shape, jnp.float32)
    return Edit(jnp.ones(num_units), noise * _lift(scales, len(shape)))


def compose(first: Edit, second: Edit) -> Edit:
    """Join two edits of one layer into the edit that applies `first`, then `second`.

    (a k1 + a1) k2 + a2 = a (k1 k2) + (a1 k2 + a2)
    """
    rank = max(jnp.ndim(half) for half in (*first, *second))
    keep_first, add_first = (_lift(half, rank) for half in first)
    keep_second, add_second = (_lift(half, rank) for half in second)
    return Edit(keep_first * keep_second, add_first * keep_second + add_second)


def mask_params(params: PyTree, layer: str, keep: Num[Array, "U"] | Bool[Array, "U"]) -> PyTree:
    """Multiply the parameters that make a layer's units by `keep`: ablation by masked parameters.

    The kernel's output columns, the bias and, where the layer ends in a normalisation, its scale
    and bias are multiplied. With `keep` in {0, 1} a masked unit is exactly zero, as after
    `keep_units`, and stays zero through a ReLU. A normalisation under `layer` must come after the
    kernel; their order cannot be read from parameters.

    Args:
        params: nnx State, linen variables, or nested dicts that name leaves kernel, bias, scale.
        layer: Dotted path of the layer, such as "features.conv5_3". Linen's collection name
            ("params") is left out.
        keep: Factor of each output unit of the layer.

    Returns:
        Parameters of the same structure.

    Raises:
        ValueError: If there is not exactly one kernel under `layer`, or the layer's units are not
            as many as `keep`.
    """
    num_units = keep.shape[0]
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    paths = [_dotted(path) for path, _ in leaves]
    own = [_name_below(path, layer) for path in paths]
    if own.count("kernel") != 1:
        kernels = [path for path in paths if path.endswith("kernel")]
        raise ValueError(
            f"`layer` (={layer!r}) must have exactly one kernel under its path, "
            f"found {own.count('kernel')}; kernels: {', '.join(kernels) or 'none'}"
        )
    masked = []
    for (_, leaf), name in zip(leaves, own, strict=True):
        if name in ("kernel", "bias", "scale"):
            if leaf.shape[-1] != num_units or (name != "kernel" and leaf.ndim != 1):
                raise ValueError(
                    f"`keep` (=({num_units},)) must have one factor for each output unit of "
                    f"{layer!r}, whose {name} is {leaf.shape}"
                )
            leaf = leaf * _lift(keep.astype(leaf.dtype), leaf.ndim)
        masked.append(leaf)
    return jax.tree_util.tree_unflatten(structure, masked)


def _aligned(name: str, half: Array, activations: Array) -> Array:
    half = jnp.asarray(half)
    fits = half.ndim <= activations.ndim and all(
        size in (1, whole)
        for size, whole in zip(half.shape[::-1], activations.shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"`{name}` (={half.shape}) must broadcast to the activations (={activations.shape})"
        )
    return _lift(half.astype(activations.dtype), activations.ndim)


def _lift(array: Array, rank: int) -> Array:
    return jnp.reshape(array, (1,) * (rank - jnp.ndim(array)) + jnp.shape(array))


def _chosen(units: Any, num_units: int) -> Int[Array, "k"]:
    chosen = units if isinstance(units, jax.Array) else np.asarray(units)
    if chosen.size == 0:
        chosen = np.zeros(0, np.int32)
    if chosen.ndim != 1 or not jnp.issubdtype(chosen.dtype, jnp.integer):
        raise ValueError(
            f"`units` (={chosen.dtype}{list(chosen.shape)}) must be a row of integers; "
            "for a mask use `keep_units`"
        )
    if not isinstance(chosen, Tracer):
        wrong = [int(unit) for unit in chosen if not 0 <= unit < num_units]
        if wrong:
            raise ValueError(f"`units` must be in [0, {num_units}), got {wrong}")
    return jnp.asarray(chosen, jnp.int32)


def _dotted(path: tuple[Any, ...]) -> str:
    if path and isinstance(path[-1], jax.tree_util.GetAttrKey):
        path = path[:-1]  # nnx variables and linen boxes hold their array in an attribute
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _name_below(path: str, layer: str) -> str | None:
    below = path.startswith((f"{layer}.", f"params.{layer}."))
    return path.rsplit(".", 1)[-1] if below else None
