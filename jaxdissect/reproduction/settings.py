"""Settings of a procedure: a dataclass, filled from the words of a configuration file."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """Fill a dataclass with settings; lists become tuples.

    Args:
        kind: The dataclass, whose fields are bool, int, float, str, tuples or mappings of these.
        given: Values by the names of its fields.

    Raises:
        ValueError: If a setting is unknown, missing or of another type; the message says which
            there are.
    """
    known: dict[str, Any] = {field.name: field for field in fields(kind)}  # pyright: ignore
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown settings {', '.join(unknown)}; there are: {', '.join(known)}")
    missing = [n for n, field in known.items() if n not in given and field.default is MISSING]
    if missing:
        raise ValueError(f"settings {', '.join(missing)} are missing")
    return kind(**{name: _value(known[name], value) for name, value in given.items()})


def _value(field: Any, value: Any) -> Any:
    """Check a value by the type of its field, which stands there as a class or its name."""
    wanted = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "str": isinstance(value, str),
        "tuple": isinstance(value, list),
        "Mapping": isinstance(value, dict),
    }
    kind = wanted.partition("[")[0]
    if not fits[kind]:
        raise ValueError(f"setting `{field.name}` (={value!r}) must be of type {kind}")
    if isinstance(value, list):
        return tuple(value)
    return float(value) if kind == "float" else value
