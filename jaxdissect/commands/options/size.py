"""Sizes on the command line: a height and a width, or one number for both."""

from collections.abc import Sequence
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def _read(words: Sequence[str]) -> tuple[int, int]:
    numbers = [int(word) for word in words if word.lstrip("-").isdecimal()]
    if len(numbers) != len(words) or len(words) not in (1, 2):
        raise ValueError(f"must be H W or one number for both, not {' '.join(words) or 'nothing'}")
    return numbers[0], numbers[-1]


def _is_size(value: object) -> bool:
    return value is None or isinstance(value, tuple)


def _words(value: tuple[int, int] | None) -> list[str]:
    return [] if value is None else [str(number) for number in value]


_SPECIFICATION = PrimitiveConstructorSpec(
    nargs="*",
    metavar="H [W]",
    instance_from_str=_read,
    is_instance=_is_size,
    str_from_instance=_words,
)

Size = Annotated[tuple[int, int], _SPECIFICATION]
"""Height and width in pixels or cells; `224` means `224 224`."""

OptionalSize = Annotated[tuple[int, int] | None, _SPECIFICATION]
"""A size that may be left out."""
