"""An extension of griffe: entries of docstrings that describe several parameters at once.

The docstrings here say `low, high: Ends of the brackets.` where two parameters are one idea. Griffe
takes that for the name of one parameter, so each gets an entry of its own before it reads them.
"""

import re
from typing import Any

from griffe import Extension, Object

_SECTION = re.compile(r"^(Args|Attributes):\n((?: {4}.*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)+):((?:.*\n?)(?:^ {5,}.*\n?|^\n)*)", re.MULTILINE)


def separated(docstring: str) -> str:
    """Repeat what an entry says of several parameters for each of them.

    Args:
        docstring: A docstring of Google's style, without the indentation of its code.
    """
    return _SECTION.sub(
        lambda section: f"{section[1]}:\n{_ENTRY.sub(_each, section[2])}", docstring
    )


def _each(entry: re.Match[str]) -> str:
    text = entry[2] if entry[2].endswith("\n") else f"{entry[2]}\n"
    return "".join(f"    {name}:{text}" for name in entry[1].split(", "))


class JointParameters(Extension):
    """Separates the entries of all docstrings."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Separate the entries of one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = separated(obj.docstring.value)
