"""Read the values of all arrays of a network from a file, after checking every name and shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.networks.weights.fitting import Expected, Found, fitted
from jaxdissect.networks.weights.flattening import Maps, arranged, questions, sizes_of
from jaxdissect.networks.weights.layouts import Stored
from jaxdissect.networks.weights.module_tree import Place
from jaxdissect.networks.weights.renaming import (
    ADVICE,
    Names,
    check_names,
    check_paths,
    stored_places,
    usual_name,
)
from jaxdissect.networks.weights.stored import Arrays

Layouts = Mapping[str, Callable[[np.ndarray], np.ndarray]]
"""By the path of an array here, from the array of the file to it."""


class FileOptions(NamedTuple):
    """What a user says of a file; see `load_weights`."""

    names: Names = None
    unused: Sequence[str] = ()
    flattened: Maps | None = None
    unflattened: Maps | None = None
    layouts: Layouts | None = None


def read_values(
    places: Sequence[Place],
    arrays: Arrays,
    *,
    source: str,
    native: bool,
    dtype: Any = None,
    options: FileOptions | None = None,
    in_order: bool = True,
) -> dict[str, jax.Array]:
    """Read the values of arrays.

    Args:
        places: Every array of a network, by every path that leads to it.
        arrays: Those of the file.
        source: What to call the file in messages.
        native: Whether the file has the naming of jaxdissect, not PyTorch's.
        dtype: Floating dtype of all; by default each has that of the network.
        options: What the user says of the file; None where it follows the network's own names.
        in_order: Whether the places are in the order of definition, or of calls.

    Returns:
        Values by path, the same for all paths of an array; none for what the file may lack.

    Raises:
        ValueError: If the arrays do not fit, or in two ways; the message lists all.
        TypeError: If an option is of a wrong type.
    """
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"`dtype` (={dtype}) must be a floating dtype")
    asked = options is not None
    options = options or FileOptions()
    _check_options(options, [place.path for place in places])
    groups: dict[int, list[Place]] = {}
    for place in places:
        groups.setdefault(id(place.value), []).append(place)
    kernels = {place.layer for place in places if place.keys[-1] == "kernel"}

    def stored(place: Place) -> tuple[Stored, ...]:
        found = tuple(stored_places(place, options.names, native=native))
        change = (options.layouts or {}).get(place.path)
        if native:
            return found
        if change is not None:
            return (Stored(usual_name(place, options.names), None, change),)
        if asked and place.keys[-1] == "weight" and len(place.value.shape) > 1:
            return ()  # of a layer of the user's, who may have it as flax would, or as PyTorch
        has_kernel = place.layer in kernels
        return tuple(
            arranged(
                place,
                one,
                options.flattened or {},
                options.unflattened or {},
                has_kernel=has_kernel,
            )
            for one in found
        )

    expected = [
        Expected(
            same[0].path,
            tuple(same[0].value.shape),
            same[0].value.dtype,
            tuple(map(stored, same)),
            optional=same[0].is_optional,
        )
        for same in groups.values()
    ]
    advice = ADVICE if asked else ""
    found = fitted(arrays, expected, source=source, unused=options.unused, advice=advice)
    if asked and not native:
        layers = sizes_of(same[0] for same in groups.values())
        question = questions(
            layers, options.flattened or {}, options.unflattened or {}, in_order=in_order
        )
        if question:
            raise ValueError(f"{source} {question}")

    values = {}
    for same, one in zip(groups.values(), expected, strict=True):
        if one.path in found:
            value = _read_one(found[one.path], source)
            is_float = jnp.issubdtype(one.dtype, jnp.floating)
            own = dtype if dtype is not None and is_float else one.dtype
            value = jax.device_put(value.astype(own))  # cast here, where it compiles nothing
            values |= {place.path: value for place in same}
    return values


def _read_one(found: Sequence[Found], source: str) -> np.ndarray:
    """Read an array, and make sure that others which stand for the same are equal."""
    first, *others = (one.read() for one in found)
    for one, other in zip(found[1:], others, strict=True):
        if not np.array_equal(first, other):
            raise ValueError(
                f"{source} does not fit the network, where {found[0].stored.name} and "
                f"{one.stored.name} are one array: they differ"
            )
    return first


def _check_options(options: FileOptions, paths: Sequence[str]) -> None:
    """Check what a user says of a file, but for what only its arrays can tell.

    Raises:
        ValueError: If it has a path that nothing here has.
        TypeError: If it is of a wrong type.
    """
    check_names(options.names, paths)
    if isinstance(options.unused, str) or not all(isinstance(n, str) for n in options.unused):
        raise TypeError('`unused` must be a list of names in the file, such as ["head"]')
    for argument in ("flattened", "unflattened", "layouts"):
        given = getattr(options, argument) or {}
        if not isinstance(given, Mapping):
            raise TypeError(f"`{argument}` (={given!r}) must be a mapping from paths here")
        check_paths(argument, given, paths)
    if strangers := [path for path in options.layouts or {} if path not in paths]:
        raise ValueError(f"`layouts` has {strangers[0]!r}, which is a module, and no array")
