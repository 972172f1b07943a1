"""What a site says of all units in a line each, and of layers in a few numbers.

Shapes: C concepts including "none", U units.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdissect.dissection.result import LayerDissection
from jaxdissect.report.data_files import rounded
from jaxdissect.report.site_run import SiteRun

STRIP = 4
"""First top images of a unit, as grids show them."""


def layer_summaries(run: SiteRun) -> list[dict[str, Any]]:
    """Count units, detectors and concepts of every layer."""
    found = []
    for name, layer in run.dissection.layers.items():
        counts = layer.category_counts()
        found.append(
            {
                "name": name,
                "units": layer.num_units,
                "detectors": sum(number.units for number in counts.values()),
                "concepts": sum(number.concepts for number in counts.values()),
                "by_category": {category: list(number) for category, number in counts.items()},
            }
        )
    return found


def unit_columns(run: SiteRun) -> dict[str, list[Any]]:
    """Make the columns of the table of all units, by layer, then unit.

    Photographs are positions of the first top images; those of a run without photographs, too.
    """
    columns: dict[str, list[Any]] = {}
    for index, (name, layer) in enumerate(run.dissection.layers.items()):
        for column, values in _layer_columns(run, index, name, layer).items():
            columns.setdefault(column, []).extend(values)
    if not run.effects:
        del columns["importance"], columns["importance_class"]
    return columns


def _layer_columns(
    run: SiteRun, index: int, name: str, layer: LayerDissection
) -> dict[str, Sequence[Any]]:
    number = layer.num_units
    first, second = _two(layer.ranking(2))
    units = np.arange(number)
    effects = run.effects.get(name)
    effect_of = [None if effects is None else effects.units.get(unit) for unit in range(number)]
    has_images = layer.top_examples.shape[1] > 0
    return {
        "layer": [index] * number,
        "unit": units.tolist(),
        "concept": first.tolist(),
        "iou": rounded(layer.iou[first, units], 6),
        "threshold": rounded(layer.thresholds, 6),
        "active": rounded(layer.active_fraction, 6),
        "concept_2": second.tolist(),
        "iou_2": rounded(layer.iou[second, units], 6),
        "peak": rounded(layer.top_values[:, 0], 6) if has_images else [None] * number,
        "photo": layer.top_examples[:, 0].tolist() if has_images else [None] * number,
        "importance": [
            None if effect is None or effect.importance is None else round(effect.importance, 6)
            for effect in effect_of
        ],
        "importance_class": [None if effect is None else effect.needed_by for effect in effect_of],
    }


def _two(ranking: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best and the second concept; a vocabulary may have one alone."""
    return ranking[0], ranking[1] if len(ranking) > 1 else np.zeros_like(ranking[0])
