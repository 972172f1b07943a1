"""Tables of a dissection, as CSV files and as text for a terminal."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxdissect.experiments.dissection import Dissection

Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Header and rows of a table."""

_BEST_UNITS = 10


def write_concepts_csv(path: str | Path, dissection: Dissection) -> None:
    """Write one row per layer and detected concept: by category, then most units first."""
    concepts = dissection.vocabulary
    rows = [
        (name, concepts.names[concept], concepts.categories[concept], units)
        for name, layer in dissection.layers.items()
        for concept, units in layer.concept_counts().items()
    ]
    write_csv(path, ("layer", "concept", "category", "units"), rows)


def write_layers_csv(path: str | Path, dissection: Dissection) -> None:
    """Write one row per layer and category: its detectors, and the concepts they detect."""
    rows = [
        (name, category, number.units, number.concepts)
        for name, layer in dissection.layers.items()
        for category, number in layer.category_counts().items()
    ]
    write_csv(path, ("layer", "category", "detectors", "concepts"), rows)


def layer_table(dissection: Dissection) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Header and rows: detectors of every layer, by category with (distinct concepts)."""
    header = ("layer", "units", "detectors", "concepts", *dissection.vocabulary.category_names)
    rows = []
    for name, layer in dissection.layers.items():
        found = layer.category_counts()
        units, concepts = (sum(number[i] for number in found.values()) for i in (0, 1))
        cells = (f"{number.units} ({number.concepts})" for number in found.values())
        rows.append((name, layer.num_units, units, concepts, *cells))
    return header, rows


def best_unit_table(dissection: Dissection) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Header and rows: the ten detectors of all layers with the highest IoU, best first."""
    names, kinds = dissection.vocabulary.names, dissection.vocabulary.categories
    best = sorted(
        (-layer.best_iou[unit], order, int(unit), int(layer.best_concept[unit]), name)
        for order, (name, layer) in enumerate(dissection.layers.items())
        for unit in layer.detectors()[:_BEST_UNITS]
    )[:_BEST_UNITS]
    rows = [
        (name, unit, f"{-negative:.3f}", names[concept], kinds[concept])
        for negative, _, unit, concept, name in best
    ]
    return ("layer", "unit", "IoU", "concept", "category"), rows


def summary(dissection: Dissection) -> str:
    """Tabulate the detectors of every layer and the best units of all, as text."""
    header, rows = layer_table(dissection)
    lines = [
        f"Detectors, units with IoU > {next(iter(dissection.layers.values())).min_iou:g}; "
        "by category, with (distinct concepts):",
        "",
        *aligned([header, *rows]),
    ]
    header, rows = best_unit_table(dissection)
    if rows:
        lines += ["", "Best units:", "", *aligned([header, *rows])]
    return "\n".join(lines)


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a header and rows."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a list of objects, one per row; JSON knows no infinity, which becomes null."""
    objects = [
        {name: None if _is_unknown(cell) else cell for name, cell in zip(header, row, strict=True)}
        for row in rows
    ]
    text = json.dumps(objects, indent=1, allow_nan=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")


def _is_unknown(cell: Any) -> bool:
    return isinstance(cell, float) and not math.isfinite(cell)


def write_parquet(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write columns of numbers or text."""
    import pyarrow
    from pyarrow import parquet

    columns = zip(*rows, strict=True) if rows else ((),) * len(header)
    parquet.write_table(pyarrow.table(dict(zip(header, map(list, columns), strict=True))), path)


WRITERS = {"csv": write_csv, "json": write_json, "parquet": write_parquet}
"""How tables are written, by the ending of the file."""


def rounded(rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Write numbers with fractions in four digits."""
    return [tuple(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) for row in rows]


def aligned(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lay out rows in columns, numbers to the right."""
    columns = [[str(cell) for cell in column] for column in zip(*rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    to_right = [len(column) > 1 and column[1][:1].isdigit() for column in columns]
    for cells in zip(*columns, strict=True):
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, to_right, strict=True)
        )
        yield ("  " + "  ".join(padded)).rstrip()
