"""The settings file of a command: what its results came from and their main figures, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jaxdissect.arrays.names import printable
from jaxdissect.commands.output.folder import SETTINGS_FILES


def write_settings(path: Path, options: Any, facts: Mapping[str, Any]) -> None:
    """Write the version of jaxdissect, the options of a command, and facts about its results.

    Args:
        path: The file, whose name is one of `SETTINGS_FILES`: it marks the folder as results.
        options: The options, a dataclass.
        facts: JSON values by name.

    Raises:
        ValueError: If the file has another name.
    """
    if path.name not in SETTINGS_FILES:
        raise ValueError(f"`path` (={path}) must be named one of: {', '.join(SETTINGS_FILES)}")
    settings = {**provenance(options), **facts}
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def provenance(options: Any) -> dict[str, Any]:
    """Return the version of jaxdissect and the options of a command as JSON values.

    Options of where and how networks run are left out, but for those that change results.

    Args:
        options: The options, a dataclass.

    Returns:
        The keys `jaxdissect` and `command`.
    """
    values = asdict(options)
    values |= options.computing.of_results() if values.pop("computing", None) else {}
    return {"jaxdissect": version("jaxdissect"), "command": _plain(values)}


def all_options(options: Any) -> dict[str, Any]:
    """Return all options of a command as JSON values, also those of no result.

    Args:
        options: The options, a dataclass.
    """
    values = asdict(options)
    return _plain(values | values.pop("computing", {}))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return printable(str(value)) if isinstance(value, str | Path) else value
