"""Load a file of weights for any linen module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.weights.files import FilePath, open_weights
from jaxdissect.networks.weights.filling import FileOptions, Layouts, read_values
from jaxdissect.networks.weights.flattening import Maps
from jaxdissect.networks.weights.mapping import NATIVE, naming_of
from jaxdissect.networks.weights.module_tree import Place
from jaxdissect.networks.weights.renaming import Names
from jaxdissect.networks.weights.stored import Arrays

Path = tuple[str, ...]


def load_linen_weights(
    module: Any,
    path: FilePath,
    inputs: Any,
    *,
    names: Names = None,
    unused: Sequence[str] = (),
    flattened: Maps | None = None,
    unflattened: Maps | None = None,
    layouts: Layouts | None = None,
    dtype: Any = None,
    **call_arguments: Any,
) -> dict[str, Any]:
    """Read the variables of any linen module from a file of weights.

    Modules are found by the paths that they have in `variables["params"]`, but for lists: what
    linen calls "blocks_0" if `blocks` is a list is "blocks.0", and "layers_0" of an `nn.Sequential`
    is "0". Where a module has another name, as "Conv_0" has, `names` says so. All else is as in
    `load_weights`, which see.

    Args:
        module: A linen module.
        path: File that `read_weights` reads: .pth, .pt, .bin, .safetensors, .npz.
        inputs: Inputs of the module, or their `jax.ShapeDtypeStruct`: only with them a linen module
            has variables. Nothing is computed.
        names: Names in the file by path here, or a function from the path of a module to its name.
        unused: Names in the file that are not to be loaded.
        flattened: Layers that read maps in a row: their channels, rows and columns, or None.
        unflattened: Layers whose outputs are maps in a row, in the same way.
        layouts: Functions from the array of the file, for what the kind of layer does not decide.
        dtype: Floating dtype of all variables; by default each has that of the module.
        **call_arguments: Further arguments of the module, such as `train=False`.

    Returns:
        Variables by collection, "params" and "batch_stats", as `module.init` gives them:
        ``LinenNetwork(module, variables, train=False)`` makes a network of them.

    Raises:
        ValueError: If arrays are missing, unexpected, misshapen, or no floats: one message lists
            all, with the nearest names, before any number is read. If a layer may read or make maps
            in a row and `flattened` or `unflattened` does not say so, an option names what does not
            exist, or the file is damaged.
        TypeError: If `module` is no linen module, or an option is of a wrong type.
        OSError: If the file cannot be opened.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    if not isinstance(module, nn.Module):
        way = "for an nnx module, there is `load_weights`" if isinstance(module, nnx.Module) else ""
        raise TypeError(
            f"`module` (={type(module).__name__}) must be a linen module{': ' if way else ''}{way}"
        )
    variables, layers = _traced(module, inputs, call_arguments)
    flat = flatten_dict(variables)
    places = {
        keys: Place(keys[1:], tuple(layers.get(keys[1:end]) for end in range(1, len(keys))), value)
        for keys, value in flat.items()
    }
    order = {keys: number for number, keys in enumerate(layers)}
    in_order = sorted(places.values(), key=lambda place: order.get(place.keys[:-1], -1))
    options = FileOptions(names, unused, flattened, unflattened, layouts)
    with open_weights(path) as arrays:
        arrays = _without_collections(arrays, tuple(variables))
        values = read_values(
            in_order,
            arrays,
            source=str(path),
            native=naming_of(arrays) is NATIVE,
            dtype=dtype,
            options=options,
        )
    return unflatten_dict({keys: values[place.path] for keys, place in places.items()})


def _traced(
    module: nn.Module, inputs: Any, call_arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[Path, nn.Module]]:
    """Find the variables of a module, abstractly, and its submodules in the order of calls."""
    layers: dict[Path, nn.Module] = {}

    def intercept(
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        holder: Any = context.module
        while isinstance(holder, nn.Module):
            layers.setdefault(holder.path, holder)
            holder = holder.parent
        return call(*arguments, **keywords)

    def initialise(inputs: Any) -> Any:
        with nn.intercept_methods(intercept):
            return module.init(jax.random.key(0), inputs, **call_arguments)

    return dict(jax.eval_shape(initialise, inputs)), layers


def _without_collections(arrays: Arrays, collections: Sequence[str]) -> Arrays:
    """Take off what flax puts before names: "params/Conv_0/kernel" is "Conv_0.kernel"."""
    dotted = {name.replace("/", "."): array for name, array in arrays.items()}
    if not dotted or not all(name.partition(".")[0] in collections for name in dotted):
        return arrays
    return {name.partition(".")[2]: array for name, array in dotted.items()}
