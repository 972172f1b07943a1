"""Tables of a dissection."""

from jaxdissect.commands.output.table_files import Rows, aligned
from jaxdissect.dissection.result import Dissection

_BEST_UNITS = 10


def concept_table(dissection: Dissection) -> Rows:
    """One row per layer and detected concept: by category, then most units first."""
    concepts = dissection.vocabulary
    rows = [
        (name, concepts.names[concept], concepts.categories[concept], units)
        for name, layer in dissection.layers.items()
        for concept, units in layer.concept_counts().items()
    ]
    return ("layer", "concept", "category", "units"), rows


def category_table(dissection: Dissection) -> Rows:
    """One row per layer and category: its detectors, and the concepts they detect."""
    rows = [
        (name, category, number.units, number.concepts)
        for name, layer in dissection.layers.items()
        for category, number in layer.category_counts().items()
    ]
    return ("layer", "category", "detectors", "concepts"), rows


def layer_table(dissection: Dissection) -> Rows:
    """One row per layer: its detectors, by category with (distinct concepts)."""
    header = ("layer", "units", "detectors", "concepts", *dissection.vocabulary.category_names)
    rows = []
    for name, layer in dissection.layers.items():
        found = layer.category_counts()
        units, concepts = (sum(number[i] for number in found.values()) for i in (0, 1))
        cells = (f"{number.units} ({number.concepts})" for number in found.values())
        rows.append((name, layer.num_units, units, concepts, *cells))
    return header, rows


def best_unit_table(dissection: Dissection) -> Rows:
    """One row for each of the ten detectors of all layers with the highest IoU, best first."""
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
