"""Tables of a study of styles: which units are sensitive to shapes, and which to textures."""

from typing import Any

import numpy as np

from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.table_files import Rows
from jaxdissect.stats import region_overlap
from jaxdissect.styles.style_study import LayerStyle, StyleStudy

_MOST_SHOWN = 5


def unit_table(study: StyleStudy) -> Rows:
    """One row per unit: its concept under both styles, and how far its regions agree."""
    header = (
        *("layer", "unit", "concept", "category"),
        *("concept IoU on originals", "concept IoU on stylised images"),
        *("IoU of both styles", "score as in the reference", "sensitive to"),
        *("threshold on originals", "threshold on stylised images"),
        *("pixels under both", "pixels on originals", "pixels on stylised images"),
    )
    rows: list[tuple[Any, ...]] = []
    fraction = float(study.settings["fraction"])
    for layer in study.layers.values():
        kinds = dict.fromkeys(layer.shape_sensitive.tolist(), "shape")
        kinds |= dict.fromkeys(layer.texture_sensitive.tolist(), "texture")
        score = region_overlap.reference_score(layer.pixels, fraction=fraction)
        concepts = layer.original.best_concept
        columns = (
            *(layer.concept_iou[0], layer.concept_iou[1], layer.iou, score),
            *(layer.original.thresholds, layer.stylised.thresholds),
            *(layer.pixels.both, layer.pixels.first, layer.pixels.second),
        )
        for unit, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            concept = concepts[unit]
            names = (study.vocabulary.names[concept], study.vocabulary.categories[concept])
            kind = kinds.get(unit, "")
            rows.append((layer.name, unit, *names, *values[:4], kind, *values[4:]))
    return header, rows


def layer_table(study: StyleStudy) -> Rows:
    """One row per layer: how its interpretable units divide, and how far they agree."""
    header = (
        *("layer", "units", "interpretable", "shape-sensitive", "texture-sensitive"),
        *("mean IoU of both styles", "by chance"),
        *("mean concept IoU on originals", "on stylised images"),
    )
    rows = [
        (
            layer.name,
            layer.original.num_units,
            int(layer.is_interpretable.sum()),
            len(layer.shape_sensitive),
            len(layer.texture_sensitive),
            _mean(layer.iou[layer.is_interpretable]),
            _mean(region_overlap.chance_iou(layer.pixels)[layer.is_interpretable]),
            *(_mean(row[layer.is_interpretable]) for row in layer.concept_iou),
        )
        for layer in study.layers.values()
    ]
    return header, rows


def category_table(study: StyleStudy) -> Rows:
    """One row per layer and category of concepts: what the change of style does to its units."""
    header = (
        *("layer", "category", "units", "shape-sensitive", "mean IoU of both styles"),
        *("mean concept IoU on originals", "on stylised images"),
    )
    rows = [
        (
            layer.name,
            category,
            int(units.sum()),
            int((units & (layer.iou > layer.min_style_iou)).sum()),
            _mean(layer.iou[units]),
            *(_mean(row[units]) for row in layer.concept_iou),
        )
        for layer in study.layers.values()
        for category, units in _by_category(layer).items()
        if units.any()
    ]
    return header, rows


def summary(study: StyleStudy) -> str:
    """How the units of every layer divide, and the last layer's extremes, as text."""
    last = list(study.layers.values())[-1]
    header, rows = layer_table(study)
    lines = [
        f"Units with a concept (IoU > {last.original.min_iou:g}); those that are active at the "
        f"same places in both styles (IoU > {last.min_style_iou:g}) are shape-sensitive:",
        "",
        *table_files.aligned([header, *table_files.three_decimals(rows)]),
    ]
    header, rows = category_table(study)
    lines += [
        "",
        *table_files.aligned([header, *table_files.three_decimals(rows)]),
    ]
    for kind, units in (("shape", last.shape_sensitive), ("texture", last.texture_sensitive)):
        names = (
            f"{unit} {study.vocabulary.names[last.original.best_concept[unit]]} "
            f"({last.iou[unit]:.2f})"
            for unit in units[:_MOST_SHOWN]
        )
        lines += ["", f"{last.name}, most {kind}-sensitive: {', '.join(names) or 'none'}"]
    return "\n".join(lines)


def facts(study: StyleStudy) -> dict[str, Any]:
    """How the study was made, and the lists of units by layer, as JSON values."""
    lists = {
        layer.name: {
            "shape-sensitive": layer.shape_sensitive.tolist(),
            "texture-sensitive": layer.texture_sensitive.tolist(),
        }
        for layer in study.layers.values()
    }
    return {**study.settings, "layers": lists}


def _by_category(layer: LayerStyle) -> dict[str, np.ndarray]:
    """Interpretable units by the category of their concept."""
    known = layer.original
    kinds = np.array(known.vocabulary.categories)[known.best_concept]
    return {
        category: layer.is_interpretable & (kinds == category)
        for category in known.vocabulary.category_names
    }


def _mean(values: np.ndarray) -> float | None:
    """Average over units; None where there are none."""
    return float(values.mean()) if values.size else None
