"""What arrays are called in a file, and how a user says it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from flax import linen as nn
from flax import nnx

from jaxdissect.networks.weights.fitting import begins, nearest
from jaxdissect.networks.weights.layouts import (
    PYTORCH_NAMES,
    Stored,
    stored_as_here,
    stored_by_kind,
    stored_in_attention,
)
from jaxdissect.networks.weights.module_tree import Place

Names = Mapping[str, str] | Callable[[str], str] | None
"""From the path of a module here, with all that lies below it, or of one array, to its name in the
file; or a function from the path of a module to its name."""

ADVICE = (
    '`names={"path here": "name in the file"}` says what a module or an array is called in the '
    'file, `unused=["name in the file"]` which of its arrays have no place here'
)
"""What helps where names differ."""


def check_names(names: Any, paths: Sequence[str]) -> None:
    """Check what a user says of names.

    Args:
        names: What should be `Names`.
        paths: Paths of all arrays here.

    Raises:
        TypeError: If it is something else.
        ValueError: If it has a path that nothing here has.
    """
    if names is None or callable(names):
        return
    if not isinstance(names, Mapping) or not all(
        isinstance(text, str) for pair in names.items() for text in pair
    ):
        raise TypeError(
            "`names` must be a mapping from paths here to names in the file, such as "
            '{"stem": "conv1"}, or a function from the path of a module to its name'
        )
    check_paths("names", names, paths)


def check_paths(argument: str, given: Iterable[str], paths: Sequence[str]) -> None:
    """Check that something here has each of some paths; ValueError names the nearest that has."""
    for path in given:
        if not any(begins(known, path) for known in paths):
            raise ValueError(
                f"`{argument}` has {path!r}, and nothing here is called so"
                f"{nearest(path, with_modules(paths))}"
            )


def with_modules(paths: Sequence[str]) -> list[str]:
    """Add to paths of arrays those of the modules that hold them."""
    parts = [path.split(".") for path in paths]
    return sorted({".".join(part[:count]) for part in parts for count in range(1, len(part) + 1)})


def stored_places(place: Place, names: Names = None, *, native: bool = False) -> Iterator[Stored]:
    """Find where a file may keep an array, likeliest first.

    Args:
        place: The array.
        names: What the user says of names.
        native: Whether the file has the naming of jaxdissect, not PyTorch's.

    Raises:
        TypeError: If `names` is a function that returns no text.
    """
    own, shape = place.keys[-1], tuple(place.value.shape)
    layer = len(place.keys) - 1
    if native:
        ways = [(layer, stored_as_here(own, shape))]
    else:
        ways = [(layer, stored) for stored in stored_by_kind(place.holders[-1], own, shape)]
        if layer and not _is_renamed(place, names):
            within = stored_in_attention(place.holders[-2], place.keys[-2], own, shape)
            ways = [(layer - 1, stored) for stored in within] or ways
    for module, stored in ways:
        yield stored._replace(name=_name(place, names, module, stored.name, native=native))


def usual_name(place: Place, names: Names = None) -> str:
    """Write the name of an array whose layout only the user knows."""
    own = PYTORCH_NAMES.get(place.keys[-1], place.keys[-1])
    return _name(place, names, len(place.keys) - 1, own, native=False)


def _is_renamed(place: Place, names: Names) -> bool:
    """Find out whether the user names the layer of an array, or the array itself."""
    layer = ".".join(place.keys[:-1])
    return isinstance(names, Mapping) and (layer in names or place.path in names)


def _name(place: Place, names: Names, module: int, own: str, *, native: bool) -> str:
    """Write the name of an array of a module, which is at a number of steps from the root."""
    if callable(names):
        path = ".".join(place.keys[:module])
        home = names(path)
        if not isinstance(home, str):
            raise TypeError(f"`names` gives {home!r} for {path!r}, and must give a name")
        return _joined(home, own)
    count = len(place.keys)
    for known in range(count, -1, -1):
        home = (names or {}).get(".".join(place.keys[:known]))
        if home is not None and known == count:
            return home
        if home is not None:
            return _joined(home, *_steps(place, known, module, native), own)
    return _joined(*_steps(place, 0, module, native), own)


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _steps(place: Place, first: int, last: int, native: bool) -> Iterator[str]:
    """Walk from one module to another by the names that the file has for the steps.

    PyTorch has no name for the `layers` of a Sequential, and linen numbers what is in a list.
    """
    for key, holder in zip(place.keys[first:last], place.holders[first:last], strict=True):
        name, _, number = key.rpartition("_")
        if native:
            yield key
        elif isinstance(holder, nnx.Sequential) and key == "layers":
            pass
        elif isinstance(holder, nn.Sequential) and name == "layers":
            yield number
        elif isinstance(holder, nn.Module) and isinstance(vars(holder).get(name), list | tuple):
            yield from (name, number)
        else:
            yield key
