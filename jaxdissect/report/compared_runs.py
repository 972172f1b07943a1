"""What a site says of two runs side by side."""

from typing import Any

from jaxdissect.dissection.comparison import ComparedSide, DetectedConcept, compare
from jaxdissect.dissection.result import Dissection
from jaxdissect.report.site_run import SiteRun

_RULE = (
    "Units are matched by concept: the detectors of a concept on both sides are paired in the "
    "order of their IoU with it. All layers of a run count together."
)


def comparison_data(a: SiteRun, b: SiteRun) -> dict[str, Any]:
    """Compare two runs; why they cannot be compared stands in `refused`."""
    try:
        limit = max(layer.min_iou for run in (a, b) for layer in run.dissection.layers.values())
        found = compare(a.dissection, b.dissection, names=(a.name, b.name), min_iou=limit)
    except ValueError as problem:
        return {"rule": _RULE, "notes": [], "refused": str(problem), "matched": []}
    layers = [{name: index for index, name in enumerate(run.dissection.layers)} for run in (a, b)]
    return {
        "rule": _RULE,
        "notes": list(found.notes),
        "refused": None,
        "min_iou": limit,
        "a": _side(found.a),
        "b": _side(found.b),
        "both": len(found.both),
        "only_a": [_concept(concept, a.dissection) for concept in found.only_a],
        "only_b": [_concept(concept, b.dissection) for concept in found.only_b],
        "matched": [
            [
                *(layers[0][pair.layer_a], pair.unit_a),
                *(layers[1][pair.layer_b], pair.unit_b),
                pair.shared_examples,
                *(round(pair.iou_a, 6), round(pair.iou_b, 6), pair.concept, pair.category),
            ]
            for pair in found.matched
        ],
    }


def _side(side: ComparedSide) -> dict[str, Any]:
    return {
        "units": side.units,
        "detectors": side.detectors,
        "concepts": side.concepts,
        "by_category": {name: list(number) for name, number in side.by_category.items()},
    }


def _concept(found: DetectedConcept, result: Dissection) -> list[Any]:
    place = list(result.layers).index(found.layer)
    return [found.concept, found.category, found.detectors, place, found.unit, round(found.iou, 6)]
