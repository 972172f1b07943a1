"""How results show themselves: in a line of text, and as small tables where a notebook asks.

Names come from elsewhere: they are made printable and escaped. No network runs here.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from jaxdissect.arrays.concepts import NONE
from jaxdissect.arrays.names import listed, printable, shortened

if TYPE_CHECKING:
    from jaxdissect.dissection.comparison import Comparison, DetectedConcept
    from jaxdissect.dissection.result import Dissection, LayerDissection
    from jaxdissect.dissection.unit import Unit

_MOST_ROWS, _MOST_CONCEPTS, _LONGEST_NAME = 10, 5, 60


def number(count: int, what: str, *, several: str | None = None) -> str:
    """Write a number of things: "1 unit", "1,280 units"."""
    return f"{count:,} {what if count == 1 else several or f'{what}s'}"


def name(text: str) -> str:
    """Make a name printable, and no longer than it can be read."""
    return shortened(printable(text), _LONGEST_NAME)


# --- a line of text -------------------------------------------------------------------------------


def layer_line(layer: "LayerDissection") -> str:
    """Say how many units of a layer are detectors, and of how many concepts."""
    counts = layer.concept_counts()
    detect = "detects" if layer.num_units == 1 else "detect"
    return (
        f"{name(layer.name)!r}: {sum(counts.values()):,} of "
        f"{number(layer.num_units, 'unit')} {detect} "
        f"{number(len(counts), 'concept')} with IoU > {layer.min_iou:g}"
    )


def dissection_line(result: "Dissection") -> str:
    """Name the layers of a result, and say what was dissected and how."""
    layers = listed([repr(name(layer)) for layer in result.layers], most=4)
    units = number(sum(layer.num_units for layer in result.layers.values()), "unit")
    return "; ".join([f"layers {layers}: {units}", *_conditions(result.settings)])


def _conditions(settings: Mapping[str, Any]) -> list[str]:
    said = []
    if "preset" in settings:
        said.append(f"preset {name(str(settings['preset']))}")
    if "examples" in settings:
        said.append(number(int(settings["examples"]), "image"))
    return said


def unit_line(unit: "Unit") -> str:
    """Name a unit, and say what it matches best."""
    place = f"{name(unit.layer)!r}, unit {unit.unit}"
    if unit.concept == NONE:
        return f"{place}: no concept"
    below = "" if unit.detects else ", no detector"
    return f"{place}: {name(unit.concept)} ({name(unit.category)}), IoU {unit.iou:.3f}{below}"


def comparison_line(comparison: "Comparison") -> str:
    """Say how many detectors and concepts two sides have, and how many of these both."""
    sides = (
        f"{name(side.name)!r}: {side.detectors:,} of {number(side.units, 'unit')} detect "
        f"{number(side.concepts, 'concept')}"
        for side in (comparison.a, comparison.b)
    )
    shared = f"{number(len(comparison.both), 'concept')} in both"
    notes = [number(len(comparison.notes), "note")] if comparison.notes else []
    return "; ".join([*sides, shared, *notes])


# --- tables ---------------------------------------------------------------------------------------


def dissection_html(result: "Dissection") -> str:
    """Show detectors and distinct concepts of every layer, by category."""
    categories = result.vocabulary.category_names
    layers = list(result.layers.values())
    header = ["layer", "units", "detectors", "concepts", *map(name, categories)]
    rows = []
    for layer in layers[: 3 * _MOST_ROWS]:
        counts = layer.category_counts()
        rows.append(
            [
                name(layer.name),
                f"{layer.num_units:,}",
                f"{sum(units for units, _ in counts.values()):,}",
                f"{sum(concepts for _, concepts in counts.values()):,}",
                *(f"{counts[kind].units} ({counts[kind].concepts})" for kind in categories),
            ]
        )
    caption = "; ".join(["Dissection", *_conditions(result.settings)])
    below = ["By category: detectors, and distinct concepts in parentheses."]
    return _page(_table(caption, header, rows, left=1), [*_left_out(layers, rows, "layer"), *below])


def layer_html(layer: "LayerDissection") -> str:
    """Show the best detectors of a layer."""
    detectors = layer.detectors()
    names, categories = layer.vocabulary.names, layer.vocabulary.categories
    rows = []
    for unit in detectors[:_MOST_ROWS]:
        concept = layer.best_concept[unit]
        rows.append(
            [
                name(names[concept]),
                name(categories[concept]),
                f"{unit}",
                f"{layer.best_iou[unit]:.3f}",
                f"{layer.active_fraction[unit]:.2%}",
            ]
        )
    header = ["concept", "category", "unit", "IoU", "active"]
    caption = f"Layer {layer_line(layer)}"
    return _page(_table(caption, header, rows, left=2), _left_out(detectors, rows, "detector"))


def unit_html(unit: "Unit") -> str:
    """Show the concepts that a unit matches best, and when it is active."""
    scores = [score for score in unit.scores if score.iou > 0]
    rows = [
        [name(score.concept), name(score.category), f"{score.iou:.3f}"]
        for score in scores[:_MOST_CONCEPTS]
    ]
    detects = "a detector" if unit.detects else "no detector"
    caption = f"Unit {unit.unit} of layer {name(unit.layer)}: {detects}"
    top = listed([str(example) for example in unit.top_examples], most=_MOST_ROWS)
    below = [
        f"Active above {unit.threshold:.4g}, on {unit.active_fraction:.2%} of all pixels.",
        f"Top images: {top}.",
    ]
    table = _table(caption, ["concept", "category", "IoU"], rows, left=2)
    return _page(table, [*_left_out(scores, rows, "concept"), *below])


def comparison_html(comparison: "Comparison") -> str:
    """Show counts side by side, concepts that only one side has, and the best matched units."""
    sides = comparison.a, comparison.b
    header = ["", *(name(side.name) for side in sides)]
    rows = [
        [what, *(f"{getattr(side, what):,}" for side in sides)]
        for what in ("units", "detectors", "concepts")
    ]
    for kind in comparison.a.by_category:
        counts = [side.by_category[kind] for side in sides]
        rows.append([name(kind), *(f"{count.units} ({count.concepts})" for count in counts)])
    parts = [_table("Comparison", header, rows, left=1)]
    pairs = [
        [
            name(pair.concept),
            name(pair.category),
            *(_place(pair.layer_a, pair.unit_a, comparison.a.layers), f"{pair.iou_a:.3f}"),
            *(_place(pair.layer_b, pair.unit_b, comparison.b.layers), f"{pair.iou_b:.3f}"),
        ]
        for pair in comparison.matched[:_MOST_ROWS]
    ]
    if pairs:
        columns = ["concept", "category"]
        for side in sides:
            columns += [f"unit of {name(side.name)}", "IoU"]
        caption = f"Matched units: {len(comparison.matched):,} pairs"
        parts.append(_table(caption, columns, pairs, left=2))
    below = [
        *_left_out(comparison.matched, pairs, "pair"),
        f"Only in {name(sides[0].name)}: {_some(comparison.only_a)}.",
        f"Only in {name(sides[1].name)}: {_some(comparison.only_b)}.",
        *map(printable, comparison.notes),
    ]
    return _page("".join(parts), below)


def _place(layer: str, unit: int, layers: Sequence[str]) -> str:
    return f"{unit}" if len(layers) == 1 else f"{name(layer)} {unit}"


def _some(concepts: Sequence["DetectedConcept"]) -> str:
    shown = [name(found.concept) for found in concepts]
    return listed(shown, most=_MOST_ROWS) if shown else "none"


def _left_out(all_of_them: Any, rows: Sequence[Any], what: str) -> list[str]:
    more = len(all_of_them) - len(rows)
    return [f"And {number(more, f'more {what}')}."] if more > 0 else []


def _table(caption: str, header: Iterable[str], rows: Iterable[Sequence[str]], *, left: int) -> str:
    """Make a table of texts, of which the first columns stand left and the others right."""

    def cells(tag: str, texts: Iterable[str]) -> str:
        return "".join(
            f'<{tag} style="text-align: {"left" if column < left else "right"}">{escape(text)}'
            f"</{tag}>"
            for column, text in enumerate(texts)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<table><caption style="text-align: left">{escape(caption)}</caption>'
        f"<thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _page(tables: str, sentences: Iterable[str]) -> str:
    return f"<div>{tables}{''.join(f'<p>{escape(text)}</p>' for text in sentences)}</div>"
