"""How results, sources and vocabularies show themselves: in a few lines, whatever they hold.

A dataclass or named tuple takes `__repr__ = short_repr` in its body.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

_MOST_ITEMS, _LONGEST = 4, 60  # of a sequence, and characters of a value


def short_repr(self: Any) -> str:
    """Name the class and its fields: arrays by type and shape, of long sequences the first items.

    Args:
        self: A dataclass or named tuple; this is a method that classes take.
    """
    if dataclasses.is_dataclass(self):
        names = [field.name for field in dataclasses.fields(self) if field.repr]
    else:
        names = list(self._fields)
    shown = (f"{name}={_field(getattr(self, name))}" for name in names)
    return f"{type(self).__name__}({', '.join(shown)})"


def _field(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{_items(map(_item, value), len(value))}}}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and not _is_record(value):
        return f"({_items(map(_item, value), len(value))})"
    return _item(value)


def _items(shown: Iterable[str], number: int) -> str:
    more = [f"… {number} in all"] if number > _MOST_ITEMS else []
    return ", ".join([*islice(shown, _MOST_ITEMS), *more])


def _item(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
        return f"{value.dtype}[{', '.join(map(str, shape))}]"
    if _is_record(value) or isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return f"{type(value).__name__}(…)" if not _is_plain(value) else _cut(repr(value))
    return _cut(repr(value))


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or hasattr(value, "_fields")


def _is_plain(value: Any) -> bool:
    """Whether a value is a short row of numbers or texts, such as a size."""
    return (
        isinstance(value, tuple)
        and len(value) <= _MOST_ITEMS
        and all(isinstance(item, int | float | str) for item in value)
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
