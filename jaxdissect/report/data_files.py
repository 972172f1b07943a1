"""The data of a site as scripts, since browsers read no other files of a page opened from disk."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdissect.arrays.names import printable_lines

_NUMBERS = (int, float)


def write_data(path: Path, kind: str, key: str, payload: Any) -> None:
    """Write a script that hands data to the page.

    Args:
        path: The file; folders are made as needed.
        kind: What the data are.
        key: Which of them.
        payload: JSON values. Texts are made printable, line by line; numbers that are not finite
            are unknown.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = (json.dumps(part, ensure_ascii=True) for part in (kind, key))
    # ASCII, so that neither the encoding nor a line separator within a text matters.
    values = json.dumps(_plain(payload), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    path.write_text(f"jaxdissectPage.receive({', '.join(parts)}, {values});\n", encoding="ascii")


def rounded(values: Sequence[Any] | np.ndarray, digits: int) -> list[float | None]:
    """Round numbers to some significant digits; None for what is not finite."""
    return [
        float(f"{value:.{digits}g}") if math.isfinite(value) else None
        for value in (values.tolist() if isinstance(values, np.ndarray) else values)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else printable_lines(value)
    if isinstance(value, dict):
        return {
            name if name.isascii() and name.isprintable() else printable_lines(name): _plain(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        if all(type(item) in _NUMBERS for item in value):  # millions, without a call for each
            return [None if item != item or abs(item) == math.inf else item for item in value]
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
