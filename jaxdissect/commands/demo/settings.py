"""The settings of the parts of the demonstration, for those who read results of their commands."""

from typing import Any

from jaxdissect.commands.output.settings import provenance


def command_of(options: Any, **described: Any) -> dict[str, Any]:
    """Return the options of the demonstration with those that the command of a part has besides.

    Args:
        options: The options of the demonstration, a dataclass.
        described: Options of the command whose results a part is like, as JSON values.

    Returns:
        The key `command`, for `write_settings`.
    """
    return {"command": {**provenance(options)["command"], **described}}
