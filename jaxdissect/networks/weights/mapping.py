"""Put named arrays into a network, after checking every name and shape.

The networks here have the structure of the published ones, so that a parameter's path in the
module tree is its name in the published file, up to what PyTorch calls it and how it lays it out:

    here                                    in PyTorch
    kernel  [kh, kw, I, O] or [I, O]        weight        [O, I, kh, kw] or [O, I]
    scale   [U] of batch normalisation      weight        [U]
    mean, var                               running_mean, running_var
    bias, and all others                    the same; matrices are transposed
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.weights.stored import Arrays as Arrays
from jaxdissect.networks.weights.stored import brief
from jaxdissect.networks.weights.wrappers import shared_prefix

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_PYTORCH_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


MOST_LISTED = 40
"""Names of a kind that a message lists."""


class Naming(NamedTuple):
    """How a file names and lays out what a network calls `path` and shapes `shape`.

    Attributes:
        name: From the dotted path of a parameter to the name in the file.
        axes: From the number of axes to the axes of the file, so that
            ``here.transpose(axes) == in_file``.
    """

    name: Callable[[str], str]
    axes: Callable[[int], tuple[int, ...]]

    def shape(self, shape: Shape) -> Shape:
        """Shape in the file."""
        return tuple(shape[axis] for axis in self.axes(len(shape)))

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """Lay an array out as in the file."""
        return np.transpose(array, self.axes(array.ndim))

    def from_file(self, array: np.ndarray) -> np.ndarray:
        """Lay an array of the file out as here."""
        return np.transpose(array, np.argsort(self.axes(array.ndim)))


def _pytorch_name(path: str) -> str:
    module, _, own = path.rpartition(".")
    return ".".join([module, _PYTORCH_NAMES.get(own, own)]) if module else own


NATIVE = Naming(name=lambda path: path, axes=lambda ndim: tuple(range(ndim)))
"""Of the files that jaxdissect writes."""

_PYTORCH_AXES = {2: (1, 0), 4: (3, 2, 0, 1)}

PYTORCH = Naming(name=_pytorch_name, axes=lambda ndim: _PYTORCH_AXES.get(ndim, tuple(range(ndim))))
"""Of PyTorch's state dictionaries."""


def naming_of(arrays: Mapping[str, Any]) -> Naming:
    """Find the naming that a file follows: ours has kernels, PyTorch's has weights."""
    ours = any(name.endswith("kernel") for name in arrays)
    return NATIVE if ours and not any(name.endswith("weight") for name in arrays) else PYTORCH


def pytorch_shapes(arrays: Arrays) -> dict[str, Shape]:
    """Names and shapes as in PyTorch, for arrays of either naming."""
    if naming_of(arrays) is PYTORCH:
        return {name: array.shape for name, array in arrays.items()}
    return {PYTORCH.name(name): PYTORCH.shape(array.shape) for name, array in arrays.items()}


def parameters(module: nnx.Module) -> dict[str, Any]:
    """All arrays of a module that belong in a file, by dotted path."""
    state = nnx.state(module, nnx.Not(nnx.RngState))
    return {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(state)}


def with_parameters(
    build: Callable[[], nnx.Module],
    arrays: Arrays,
    *,
    source: str = "`arrays`",
    dtype: Any = jnp.float32,
) -> Any:
    """Build a module with given parameters.

    Args:
        build: Makes the module; only shapes are computed, no random values.
        arrays: Every parameter, in the naming of PyTorch or of jaxdissect. Counters
            `num_batches_tracked` are passed over, and a prefix that all names have, or all lack,
            if with it or without they are exactly those of the module.
        source: What to call the arrays in messages, such as the path of their file.
        dtype: Floating dtype of all parameters.

    Returns:
        The module, in evaluation mode.

    Raises:
        ValueError: If arrays are missing, left over, misshapen, or no floats; one message lists
            them, `MOST_LISTED` of each. If `dtype` is no floating dtype.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"`dtype` (={dtype}) must be a floating dtype")
    module = nnx.eval_shape(build)
    naming = naming_of(arrays)
    arrays = {
        name: array for name, array in arrays.items() if not name.endswith("num_batches_tracked")
    }
    definition, streams, state = nnx.split(module, nnx.RngState, ...)
    flat = {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(state)}
    expected = {naming.name(name): naming.shape(leaf.shape) for name, (_, leaf) in flat.items()}
    arrays = _with_names(arrays, expected)
    _check_arrays(arrays, expected, source=source)

    def filled(name: str) -> jax.Array:
        return jnp.asarray(naming.from_file(np.asarray(arrays[naming.name(name)])), dtype)

    state = [(path, leaf.replace(filled(name))) for name, (path, leaf) in flat.items()]
    module = nnx.merge(definition, streams, nnx.from_flat_state(state))
    module.eval()
    return module


def _with_names(arrays: Arrays, expected: Mapping[str, Shape]) -> Arrays:
    """Give arrays the names that are expected, if all that differs is a prefix of all of them."""
    for longer, shorter in ((arrays, expected), (expected, arrays)):
        shared = shared_prefix(longer)
        for end in [place for place, mark in enumerate(f"{shared}.") if mark == "."]:
            prefix = f"{shared}."[: end + 1]
            if {name.removeprefix(prefix) for name in longer} == set(shorter):
                if longer is arrays:
                    return {name.removeprefix(prefix): array for name, array in arrays.items()}
                return {f"{prefix}{name}": array for name, array in arrays.items()}
    return arrays


def _check_arrays(arrays: Arrays, expected: Mapping[str, Shape], *, source: str) -> None:
    """Compare every name, shape and dtype with what a network expects.

    Raises:
        ValueError: If anything differs; the message lists it all, up to `MOST_LISTED` of a kind.
    """
    missing = [f"{name} {list(expected[name])}" for name in expected if name not in arrays]
    unexpected = [f"{brief(n)} {brief(a.shape)}" for n, a in arrays.items() if n not in expected]
    misshapen = [
        f"{name}: expected {list(shape)}, got {brief(arrays[name].shape)}"
        for name, shape in expected.items()
        if name in arrays and arrays[name].shape != shape
    ]
    no_floats = [
        f"{name}: {arrays[name].dtype}"
        for name in expected
        if name in arrays and not jnp.issubdtype(arrays[name].dtype, jnp.floating)
    ]
    problems = {
        "missing": missing,
        "unexpected": unexpected,
        "misshapen": misshapen,
        "no floating-point numbers": no_floats,
    }
    if any(problems.values()):
        prefix = shared_prefix(arrays)
        every = f"; every name of its arrays begins with {brief(prefix)}." if prefix else ""
        lists = [
            "\n".join([f"{len(lines)} {what}:", *_cut(lines)])
            for what, lines in problems.items()
            if lines
        ]
        raise ValueError("\n".join([f"{source} does not fit the network{every}", *lists]))


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return [f"  {line}" for line in lines[:MOST_LISTED]] + (
        [f"  ... and {more} more"] if more > 0 else []
    )
