"""The settings file of a command: what its results came from and their main figures, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jaxdissect.arrays.names import printable
from jaxdissect.commands.output.folder import SETTINGS_FILES
from jaxdissect.report.command_line import command_line

_COMMANDS = "jaxdissect.commands."


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
        The keys `jaxdissect`, `command`, and, of a command of the command line, `command_line`.
    """
    values = asdict(options)
    values |= options.computing.of_results() if values.pop("computing", None) else {}
    found = {"jaxdissect": version("jaxdissect"), "command": _plain(values)}
    if (words := _words(type(options))) is not None:
        found["command_line"] = command_line(
            words, found["command"], defaults=_defaults(type(options))
        )
    return found


def _words(kind: type) -> str | None:
    """Name the command whose options these are: its folder, and the file of a subcommand."""
    if not kind.__module__.startswith(_COMMANDS):
        return None
    folder, file = kind.__module__.removeprefix(_COMMANDS).split(".")
    return folder if file == "command" else f"{folder} {file}"


def _defaults(kind: type) -> dict[str, Any]:
    """Return the default of every option that has one, as a JSON value."""
    found = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    found |= found.pop("computing").of_results() if "computing" in found else {}
    return _plain(found)


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
