"""The command line of a run, put together from the options that its results keep."""

import shlex
from collections.abc import Mapping
from typing import Any

_OF_NO_RESULT = frozenset(("overwrite", "quiet", "page"))
"""Options of what happens beside the results, which a line to copy goes without."""


def command_line(
    words: str, options: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None
) -> str:
    """Write the command that has these options, as a shell takes it.

    Args:
        words: The command, such as "generate dissect".
        options: Values of its options by name, as JSON values.
        defaults: Those that need not be written. Without them every option that has a value is
            written, but for switches that are off.
    """
    written = ["jaxdissect", *words.split()]
    for name, value in options.items():
        if name in _OF_NO_RESULT or value is None:
            continue
        if defaults is not None and name in defaults and value == defaults[name]:
            continue
        written += _option(name, value, defaults)
    return " ".join(map(shlex.quote, written))


def _option(name: str, value: Any, defaults: Mapping[str, Any] | None) -> list[str]:
    word = name.replace("_", "-")
    if value is True:
        return [f"--{word}"]
    if value is False:
        return [f"--no-{word}"] if defaults is not None else []
    if not isinstance(value, list | tuple):
        return [f"--{word}", str(value)]
    return [f"--{word}", *map(str, value)] if value or defaults is not None else []
