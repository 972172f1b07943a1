"""All that a site says of single units: scores, images, histogram, mistakes, effects.

Shapes: U units, k top images, m mistakes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdissect.arrays.resampling import pixel_centers
from jaxdissect.dissection.layer_examples import LayerExamples, Mistakes, UnitExamples
from jaxdissect.dissection.result import LayerDissection
from jaxdissect.report.data_files import rounded
from jaxdissect.report.mask_text import mask_texts
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.unit_effects import LayerEffects, UnitEffect
from jaxdissect.report.unit_tables import STRIP
from jaxdissect.stats import scores

BLOCK = 64
"""Units whose details stand in one file."""

_LEAST_IOU = 5e-4
"""Of a concept that is shown of a unit; less would be shown as 0.000."""

_MOST_CONCEPTS = 200
"""Concepts that are shown of a unit, the best ones: vocabularies may have 1,200."""

_MOST_CLASSES = 12
"""Changes of classes that are shown of a unit."""


def strips(run: SiteRun, name: str) -> dict[str, list[Any]]:
    """Show the first top images of every unit of a layer."""
    layer, shown = run.dissection[name], _examples(run, name)
    photos = layer.top_examples[:, :STRIP].tolist()
    if shown is None:
        return {"photos": photos, "masks": [[None] * len(row) for row in photos]}
    examples, found = shown
    masks: list[list[str | None]] = [[None] * len(row) for row in photos]
    first = found.examples[:, :STRIP].tolist()
    texts = _texts(examples, found.masks[:, :STRIP])
    for place, unit in enumerate(found.units.tolist()):
        photos[unit], masks[unit] = first[place], list[str | None](texts[place])
    return {"photos": photos, "masks": masks}


def details(run: SiteRun, name: str) -> Iterator[dict[str, Any]]:
    """Yield all there is to show of the units of a layer, block by block."""
    layer, shown = run.dissection[name], _examples(run, name)
    precision, recall = layer.score(scores.precision), layer.score(scores.recall)
    for first in range(0, layer.num_units, BLOCK):
        units = range(first, min(first + BLOCK, layer.num_units))
        images = {} if shown is None else _images(run, name, *shown, units)
        yield {
            "first": first,
            "units": [
                {
                    "threshold": rounded(layer.thresholds[unit : unit + 1], 6)[0],
                    "scores": _scores(layer, precision, recall, unit),
                    **images.get(unit, _without_images(layer, unit)),
                    **_effect(run.effects.get(name), unit),
                }
                for unit in units
            ],
        }


def _examples(run: SiteRun, name: str) -> tuple[UnitExamples, LayerExamples] | None:
    if run.examples is None or name not in run.examples.layers:
        return None
    return run.examples, run.examples.layers[name]


def _scores(
    layer: LayerDissection, precision: np.ndarray, recall: np.ndarray, unit: int
) -> dict[str, Any]:
    """List the concepts of a unit, best first, as `LayerDissection.ranking` orders them."""
    iou = np.nan_to_num(layer.iou[1:, unit], nan=0.0)
    order = np.argsort(-iou, kind="stable")
    overlapping = order[iou[order] >= _LEAST_IOU] + 1
    order = overlapping[:_MOST_CONCEPTS]
    return {
        "concepts": order.tolist(),
        "more": len(overlapping) - len(order),
        "iou": _thousandths(layer.iou[order, unit] * 10),
        "precision": _thousandths(precision[order, unit]),
        "recall": _thousandths(recall[order, unit]),
    }


def _thousandths(shares: np.ndarray) -> list[int]:
    return np.rint(shares * 1000).astype(int).tolist()


def _without_images(layer: LayerDissection, unit: int) -> dict[str, Any]:
    """What a result that was made without photographs knows of a unit's images."""
    peaks = rounded(layer.top_values[unit], 5)
    return {
        "top": [
            {"photo": photo, "mask": None, "peak": peak, "at": None, "box": None}
            for photo, peak in zip(layer.top_examples[unit].tolist(), peaks, strict=True)
        ],
        "field": None,
        "histogram": None,
        "false_positives": [],
        "false_negatives": [],
    }


def _images(
    run: SiteRun, name: str, examples: UnitExamples, found: LayerExamples, units: range
) -> dict[int, dict[str, Any]]:
    """Show the images of some units; by unit."""
    rows = np.flatnonzero((found.units >= units.start) & (found.units < units.stop))
    top = _top(run.dissection[name], examples, found, rows)
    false_positives = _mistakes(examples, found.false_positives, rows, with_concept=False)
    false_negatives = _mistakes(examples, found.false_negatives, rows, with_concept=True)
    return {
        int(found.units[row]): {
            "top": top[place],
            "field": None if found.field_size is None else list(found.field_size),
            "histogram": _histogram(run.dissection[name], examples, found, row),
            "false_positives": false_positives[place],
            "false_negatives": false_negatives[place],
        }
        for place, row in enumerate(rows.tolist())
    }


def _top(
    layer: LayerDissection, examples: UnitExamples, found: LayerExamples, rows: np.ndarray
) -> list[list[dict[str, Any]]]:
    height, width = examples.image_size
    masks = _texts(examples, found.masks[rows])
    result = []
    for place, row in enumerate(rows.tolist()):
        peaks = rounded(found.peaks[row], 5)
        result.append([])
        for i, photo in enumerate(found.examples[row].tolist()):
            box = None
            if found.boxes is not None and found.field_size is not None:
                ends = found.boxes[row, i] / np.array([width, height, width, height])
                box = np.round(ends, 4).tolist()
            result[-1].append(
                {
                    "photo": photo,
                    "mask": masks[place][i],
                    "peak": peaks[i],
                    "at": _point(layer, found, found.places[row, i]),
                    "box": box,
                }
            )
    return result


def _point(layer: LayerDissection, found: LayerExamples, place: np.ndarray) -> list[float] | None:
    """Find the middle of a layer's cell in the image, [x, y] from 0 to 1, where it is known."""
    if layer.on_grid is None or layer.on_grid.alignment is not pixel_centers:
        return None
    (rows, columns), (row, column) = found.cells, place.tolist()
    return [round((column + 0.5) / columns, 4), round((row + 0.5) / rows, 4)]


def _mistakes(
    examples: UnitExamples, found: Mistakes, rows: np.ndarray, *, with_concept: bool
) -> list[list[dict[str, Any]]]:
    masks = _texts(examples, found.masks[rows])
    concepts = _texts(examples, found.concept_masks[rows]) if with_concept else None
    return [
        [
            {
                "photo": photo,
                "mask": masks[place][i],
                "pixels": int(found.pixels[row, i]),
                "peak": None,
                **({} if concepts is None else {"concept_mask": concepts[place][i]}),
            }
            for i, photo in enumerate(found.examples[row].tolist())
            if photo >= 0
        ]
        for place, row in enumerate(rows.tolist())
    ]


def _histogram(
    layer: LayerDissection, examples: UnitExamples, found: LayerExamples, row: int
) -> dict[str, Any]:
    edges, counts = found.edges[row], found.counts[row]
    threshold = layer.thresholds[found.units[row]]
    return {
        "edges": rounded(edges, 5),
        "counts": counts.tolist(),
        "above": int(counts[edges[:-1] >= threshold].sum()),
        "examples": len(examples.sample),
    }


def _effect(effects: LayerEffects | None, unit: int) -> dict[str, Any]:
    effect = None if effects is None else effects.units.get(unit)
    if effects is None or effect is None:
        return {"importance": None, "removal": None}
    return {
        "importance": _importance(effects, effect),
        "removal": {
            "caption": effects.facts_caption,
            "facts": [list(fact) for fact in effect.facts],
        }
        if effect.facts
        else None,
    }


def _importance(effects: LayerEffects, effect: UnitEffect) -> dict[str, Any] | None:
    if not effect.classes:
        return None
    left = len(effect.classes) - _MOST_CLASSES
    more = f" The {_MOST_CLASSES} of {len(effect.classes)} that lose most." if left > 0 else ""
    return {
        "caption": effects.class_caption + more,
        "rows": [
            [change.name, *rounded(change.change, 5)] for change in effect.classes[:_MOST_CLASSES]
        ],
    }


def _texts(examples: UnitExamples, masks: np.ndarray) -> list[list[str]]:
    """Write packed masks [n, k, bytes] as texts, n lists of k."""
    pixels = examples.mask_size[0] * examples.mask_size[1]
    number, each, _ = masks.shape
    texts = mask_texts(np.unpackbits(masks.reshape(number * each, -1), axis=-1, count=pixels) > 0)
    return [texts[i * each : (i + 1) * each] for i in range(number)]
