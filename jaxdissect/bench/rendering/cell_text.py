"""How numbers and other cells of tables are written: three digits that matter."""

import math
from typing import Any

from jaxdissect.bench.study import Cell

MISSING = "–"
"""Stands where nothing was measured, or there is nothing to measure."""


def cell_text(cell: Cell) -> str:
    """Write a cell: integers in full, other numbers with three digits that matter."""
    if cell is None:
        return MISSING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return number_text(cell)
    return cell


def number_text(value: float) -> str:
    """Write a number with three digits that matter, from a hundred on without decimals."""
    if not math.isfinite(value):
        return "infinite" if math.isinf(value) else "not a number"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    size = abs(rounded)
    if size >= 1e7 or size < 1e-4:
        return f"{value:.2e}"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}"


def scaled_text(value: float, unit: str) -> str:
    """Write a number with the prefix that suits it, such as "24.1 GB/s"."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def bytes_text(size: int | None) -> str:
    """Write a size in memory in binary units, such as "24.0 GiB"."""
    if size is None:
        return MISSING
    for exponent, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << exponent:
            return f"{size / (1 << exponent):.1f} {unit}"
    return f"{size} B"


def values_text(values: dict[str, Any]) -> str:
    """Write sizes on one line, exactly, such as "batch 8, precision bfloat16"."""
    return ", ".join(f"{name} {_value_text(value)}" for name, value in values.items())


def notes_text(notes: dict[str, Any]) -> str:
    """Write notes on one line, such as "passes: 2; seconds by pass: 0.0331, 0.0298"."""
    return "; ".join(f"{name}: {_note_text(value)}" for name, value in notes.items())


def _value_text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"  # sizes are exact, and not rounded as results are
    if isinstance(value, str | int | float | bool) or value is None:
        return cell_text(value) or "none"
    if isinstance(value, dict):
        return "(" + values_text(value) + ")"
    if isinstance(value, list | tuple):
        return " and ".join(_value_text(item) for item in value) or "none"
    return str(value)


def _note_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return cell_text(int(value))
    if isinstance(value, str | int | float | bool) or value is None:
        return cell_text(value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_nested_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_nested_text(item) for item in value) or "none"
    return str(value)


def _nested_text(value: Any) -> str:
    text = _note_text(value)
    return f"({text})" if isinstance(value, dict | list | tuple) else text
