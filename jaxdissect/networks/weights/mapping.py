"""Put named arrays into an nnx module, after checking every name and shape.

The networks here have the structure of the published ones, so that a parameter's path in the
module tree is its name in the published file, up to what PyTorch calls it and how it lays it out,
which `layouts` knows.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.weights.filling import FileOptions, read_values
from jaxdissect.networks.weights.layouts import PYTORCH_NAMES, kernel_axes
from jaxdissect.networks.weights.module_tree import places_of
from jaxdissect.networks.weights.stored import Arrays as Arrays
from jaxdissect.networks.weights.stored import Shape as Shape
from jaxdissect.networks.weights.stored import brief_list

Shapes = Mapping[str, Shape]


class Naming(NamedTuple):
    """How a file names and lays out the parameters of the networks here.

    Attributes:
        name: From the dotted path of a parameter to the name in the file.
        axes: From the path and the number of axes to the axes of the file, so that
            ``here.transpose(axes) == in_file``.
    """

    name: Callable[[str], str]
    axes: Callable[[str, int], tuple[int, ...]]

    def shape(self, shape: Shape, path: str) -> Shape:
        """Shape in the file."""
        return tuple(shape[axis] for axis in self.axes(path, len(shape)))

    def to_file(self, array: np.ndarray, path: str) -> np.ndarray:
        """Lay an array out as in the file."""
        return np.transpose(array, self.axes(path, array.ndim))


def _pytorch_name(path: str) -> str:
    module, _, own = path.rpartition(".")
    return ".".join([module, PYTORCH_NAMES.get(own, own)]) if module else own


def _pytorch_axes(path: str, ndim: int) -> tuple[int, ...]:
    is_kernel = path.rpartition(".")[2] == "kernel"
    return kernel_axes(ndim) if is_kernel else tuple(range(ndim))


NATIVE = Naming(name=lambda path: path, axes=lambda path, ndim: tuple(range(ndim)))
"""Of the files that jaxdissect writes."""

PYTORCH = Naming(name=_pytorch_name, axes=_pytorch_axes)
"""Of PyTorch's state dictionaries."""


def naming_of(arrays: Mapping[str, Any]) -> Naming:
    """Find the naming that a file follows: ours has kernels, PyTorch's has weights."""
    ours = any(name.rpartition(".")[2] in _ONLY_HERE for name in arrays)
    return NATIVE if ours and not any(name.endswith("weight") for name in arrays) else PYTORCH


_ONLY_HERE = ("kernel", "embedding", "scale")


def pytorch_shapes(arrays: Arrays) -> dict[str, Shape]:
    """Names and shapes as in PyTorch, for arrays of either naming."""
    if naming_of(arrays) is PYTORCH:
        return {name: array.shape for name, array in arrays.items()}
    return {PYTORCH.name(name): PYTORCH.shape(array.shape, name) for name, array in arrays.items()}


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
            them, 40 of each. If `dtype` is no floating dtype.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    return filled(nnx.eval_shape(build), arrays, source=source, dtype=dtype)


def filled(
    module: nnx.Module,
    arrays: Arrays,
    *,
    source: str,
    dtype: Any = None,
    options: FileOptions | None = None,
) -> Any:
    """Copy a module, with values of a file.

    Args:
        module: The module, perhaps abstract, of which nothing is changed.
        arrays: Those of the file. What the module has beside parameters and statistics stays as it
            is if the file has no arrays of these names.
        source: What to call the file in messages.
        dtype: Floating dtype of all; by default each has that of the module.
        options: What the user says of the file; None where it follows the module's own names.

    Returns:
        The module, in evaluation mode.

    Raises:
        ValueError: If the arrays do not fit, or in two ways; one message lists all. If `dtype` is
            no floating dtype.
        TypeError: If an option is of a wrong type.
    """
    places = list(places_of(module))
    # nnx.eval_shape leaves tracers of them behind.
    lost = [p.path for p in places if isinstance(p.value, Tracer | jax.ShapeDtypeStruct)]
    if lost:
        raise ValueError(
            f"`module` is abstract, and lacks the values of {brief_list(lost)}, which are arrays "
            "and no nnx.Variable: give a module that was built"
        )
    values = read_values(
        places,
        arrays,
        source=source,
        native=naming_of(arrays) is NATIVE,
        dtype=dtype,
        options=options,
        in_order=list(vars(module)) != sorted(vars(module)),
    )
    definition, streams, state = nnx.split(module, nnx.RngState, ...)
    flat = []
    for path, leaf in nnx.to_flat_state(state):
        value = values.get(".".join(map(str, path)))
        if value is not None:
            leaf = leaf.replace(value) if isinstance(leaf, nnx.Variable) else value
        flat.append((path, leaf))
    streams = jax.tree.map(_real_stream, streams)
    module = nnx.merge(definition, streams, nnx.from_flat_state(flat), copy=True)
    module.eval()
    return module


def _real_stream(leaf: Any) -> Any:
    """Begin a random number stream that has no values yet, so that the module can be trained."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), leaf.shape)
    return jnp.zeros(leaf.shape, leaf.dtype)
