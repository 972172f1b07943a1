"""Arguments of commands, as the tests write them."""

from collections.abc import Mapping
from typing import Any


def words(*command: str, options: Mapping[str, Any]) -> list[str]:
    """Write a command and its options: True is a flag, lists are many values, None is left out."""
    result = list(command)
    for name, value in options.items():
        if value is not None:
            values = value if isinstance(value, list) else [] if value is True else [value]
            result += [f"--{name.replace('_', '-')}", *map(str, values)]
    return result
