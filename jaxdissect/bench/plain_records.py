"""Dataclasses as plain values of JSON and YAML, and back again with every type checked."""

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

Record = TypeVar("Record")

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON has no such numbers; where a number is expected, these words stand for them."""


def to_plain(value: Any) -> Any:
    """Turn a value into dictionaries with text as keys, lists, text, numbers and None.

    Args:
        value: Of dataclasses, mappings, sequences, arrays and single values, one in the other.

    Raises:
        TypeError: If a value of another kind is in it.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _plain_number(float(value))
    if hasattr(value, "__array__"):  # also arrays and single values of JAX
        return to_plain(np.asarray(value).tolist())
    raise TypeError(f"{type(value).__name__} is neither a record nor a plain value: {value!r:.100}")


def _plain_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def from_plain(kind: type[Record], value: Any, *, where: str, strict: bool = True) -> Record:
    """Make a record of plain values.

    Args:
        kind: A dataclass.
        value: Its fields by name; those that are left out take their defaults. A float may be
            given as an integer, a tuple as a list.
        where: What the value is, for messages, such as "row 3 (forward)".
        strict: Refuse names that are no fields; they are skipped otherwise.

    Raises:
        ValueError: If the value is of another shape or type than the fields; the message names the
            possible ones. Also if the record itself refuses it.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} (={value!r:.100}) must have keys and values")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # pyright: ignore
    if strict:
        refuse_unknown(value, fields, where=where)
    types_of = _types_of(kind)
    given = {
        name: _converted(types_of[name], value[name], f"{where}: `{name}`", strict)
        for name in fields
        if name in value
    }
    missing = [
        name
        for name, field in fields.items()
        if name not in given
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: `{'`, `'.join(missing)}` must be given")
    try:
        return kind(**given)
    except ValueError as problem:
        raise ValueError(f"{where}: {problem}") from problem


def refuse_unknown(value: Mapping[Any, Any], known: Any, *, where: str) -> None:
    """Refuse keys that nobody reads, which may be misspelled.

    Args:
        value: What was given.
        known: The possible keys.
        where: What the value is, for messages.

    Raises:
        ValueError: If there is a key that is not known.
    """
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        raise ValueError(
            f"{where}: there is no `{'`, `'.join(unknown)}`; possible: {', '.join(known) or 'none'}"
        )


@functools.cache
def _types_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _converted(kind: Any, value: Any, where: str, strict: bool) -> Any:
    """Check a value, and make it what the type says; raises ValueError if it cannot be that."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _of_any(get_args(kind), value, where, strict)
    if origin is Literal:
        if value in get_args(kind) and type(value) in map(type, get_args(kind)):
            return value
        raise ValueError(
            f"{where} (={value!r:.100}) must be one of: {', '.join(map(str, get_args(kind)))}"
        )
    if origin is tuple:
        return _tuple(get_args(kind), value, where, strict)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} (={value!r:.100}) must have keys and values")
        inner = get_args(kind)[1]
        return {
            key: _converted(inner, item, f"{where}, {key}", strict) for key, item in value.items()
        }
    if dataclasses.is_dataclass(kind):
        return from_plain(kind, value, where=where, strict=strict)  # pyright: ignore
    return _single(kind, value, where)


def _of_any(kinds: tuple[Any, ...], value: Any, where: str, strict: bool) -> Any:
    problems = []
    # An integer stays one where it may: float comes last, and before text, for its words.
    for kind in sorted(kinds, key=lambda kind: (kind is str, kind is float)):
        try:
            return _converted(kind, value, where, strict)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError(problems[0] if len(set(problems)) == 1 else "; or ".join(problems))


def _tuple(kinds: tuple[Any, ...], value: Any, where: str, strict: bool) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} (={value!r:.100}) must be a list")
    if kinds[-1:] == (...,):
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where} (={value!r:.100}) must have {len(kinds)} values")
    return tuple(
        _converted(kind, item, f"{where}, value {number}", strict)
        for number, (kind, item) in enumerate(zip(kinds, value, strict=True), start=1)
    )


_CALLED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _single(kind: Any, value: Any, where: str) -> Any:
    if kind is type(None) or kind is None:
        if value is None:
            return None
        raise ValueError(f"{where} (={value!r:.100}) must be left out")
    if kind is float and isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{where} (={value!r:.100}) must be {_CALLED.get(kind, kind)}")
    return value
