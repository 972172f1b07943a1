"""What a result came from, as JSON values."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any


def provenance(options: Any) -> dict[str, Any]:
    """Tell the version of jaxdissect, and the options of a command (a dataclass)."""
    given = {name: _plain(value) for name, value in asdict(options).items()}
    return {"jaxdissect": version("jaxdissect"), "command": given}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
