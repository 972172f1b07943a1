"""What programs wrap around the names of weights when they save them, and taking it off."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from jaxdissect.networks.weights.stored import Refused

T = TypeVar("T")

DICTIONARIES = ("state_dict", "model_state_dict", "model")
"""Under which checkpoints keep the weights, beside the epoch, the optimiser and so on."""

PREFIXES = ("module", "_orig_mod", *DICTIONARIES)
"""Left before every name by PyTorch's parallel training, by its compiler, and by checkpoints that
were flattened."""


def unwrapped(content: Any, is_weights: Callable[[Any], bool]) -> Any:
    """Find the dictionary of weights in a checkpoint, however deep it is wrapped.

    Args:
        content: What a file holds.
        is_weights: Whether a value is an array.

    Raises:
        Refused: If there are several.
    """
    for _ in range(len(DICTIONARIES)):
        inside = {
            name: content[name]
            for name in DICTIONARIES
            if type(content) is dict and type(content.get(name)) is dict
        }
        found = {n: value for n, value in inside.items() if _holds_weights(value, is_weights)}
        if len({id(value) for value in found.values()}) > 1:
            raise Refused(
                f"holds several dictionaries of weights, {' and '.join(found)}; save one of them "
                "alone"
            )
        inside = found or inside
        if not inside:
            break
        content = next(iter(inside.values()))
    return content


def _holds_weights(value: Any, is_weights: Callable[[Any], bool], depth: int = 0) -> bool:
    if type(value) is not dict or depth > len(DICTIONARIES):
        return False
    return any(map(is_weights, value.values())) or any(
        _holds_weights(value.get(name), is_weights, depth + 1) for name in DICTIONARIES
    )


def plain_names(arrays: Mapping[str, T]) -> dict[str, T]:
    """Take off what a program has put before the names.

    That is a prefix such as `module.` or `model.` that all names share, again and again; and of a
    flattened checkpoint, everything but its `state_dict.` or `model_state_dict.`.
    """
    result = dict(arrays)
    for name in DICTIONARIES[:2]:
        if any(key.startswith(f"{name}.") for key in result):
            result = {key: array for key, array in result.items() if key.startswith(f"{name}.")}
    while prefix := next(filter(lambda prefix: _is_shared(prefix, result), _ALL_PREFIXES), ""):
        result = {name.removeprefix(prefix): array for name, array in result.items()}
    return result


_ALL_PREFIXES = tuple(f"{name}{mark}" for name in PREFIXES for mark in "./")


def _is_shared(prefix: str, names: Iterable[str]) -> bool:
    names = list(names)
    return bool(names) and all(n.startswith(prefix) and len(n) > len(prefix) for n in names)


def shared_prefix(names: Iterable[str]) -> str:
    """Find the longest beginning, up to a point, that all names share."""
    return os.path.commonprefix(list(names)).rpartition(".")[0]
