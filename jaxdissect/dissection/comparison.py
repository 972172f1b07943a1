"""Compare two dissections: what the units of two networks, layers or checkpoints detect.

Shapes: C concepts including "none", U units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.arrays.concepts import CATEGORIES, NONE
from jaxdissect.arrays.names import listed, printable
from jaxdissect.dissection.notebook_view import comparison_html, comparison_line, number
from jaxdissect.dissection.result import CategoryCount, Dissection, LayerDissection

_Concept = tuple[str, str]  # name and category


class ComparedSide(NamedTuple):
    """What was found on one side of a comparison, by the concepts that both sides know.

    Attributes:
        name: What the side is called.
        layers: Names of its layers.
        units: Units of all its layers.
        detectors: How many of them are detectors.
        concepts: Distinct concepts that these detect.
        by_category: Detectors and distinct concepts of every category.
    """

    name: str
    layers: tuple[str, ...]
    units: int
    detectors: int
    concepts: int
    by_category: dict[str, CategoryCount]


class DetectedConcept(NamedTuple):
    """A concept with detectors on one side of a comparison.

    Attributes:
        concept, category: The concept.
        detectors: How many units detect it.
        layer, unit: The best of them.
        iou: IoU of that unit with the concept.
    """

    concept: str
    category: str
    detectors: int
    layer: str
    unit: int
    iou: float


class MatchedUnits(NamedTuple):
    """Two detectors of one concept, one of each side.

    Attributes:
        concept, category: What both detect.
        layer_a, unit_a, iou_a: The unit of `a` and its IoU with the concept.
        layer_b, unit_b, iou_b: The unit of `b`.
        shared_examples: How many images are among the top images of both; None where the numbers of
            labelled pixels show that the sides were not dissected on the same images.
    """

    concept: str
    category: str
    layer_a: str
    unit_a: int
    iou_a: float
    layer_b: str
    unit_b: int
    iou_b: float
    shared_examples: int | None


@dataclass(frozen=True)
class Comparison:
    """Two dissections side by side, see `compare`.

    Attributes:
        a, b: What was found on each side.
        min_iou: A unit is called a detector of its best concept above this IoU.
        both: Concepts with detectors on both sides, as (name, category), by category.
        only_a, only_b: Concepts with detectors on one side alone, by category; both sides know
            them.
        matched: Pairs of detectors of one concept, those with the highest IoU first, by the lower
            of their two.
        notes: What differs between the sides besides the units, and how far that limits the
            comparison; one sentence each.
    """

    a: ComparedSide
    b: ComparedSide
    min_iou: float
    both: tuple[tuple[str, str], ...]
    only_a: tuple[DetectedConcept, ...]
    only_b: tuple[DetectedConcept, ...]
    matched: tuple[MatchedUnits, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Comparison({comparison_line(self)})"

    def _repr_html_(self) -> str:
        return comparison_html(self)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One table row per pair of matched units."""
        return (pair._asdict() for pair in self.matched)


def compare(
    a: Dissection | LayerDissection,
    b: Dissection | LayerDissection,
    *,
    names: Sequence[str] | None = None,
    min_iou: float | None = None,
) -> Comparison:
    """Compare what the units of two networks, checkpoints, or layers detect.

    All layers of a side count together; `a.only("layer4")` or `a["layer4"]` is one of them. The
    concepts are those that both vocabularies have, by name and category: every unit is taken for
    the best of these alone.

    Units are matched by concept: for every concept that has detectors on both sides, its detectors
    are paired in the order of their IoU with it, the best of `a` with the best of `b`, the second
    with the second, as long as there are two; of equals, earlier layers and units come first.
    Nothing is assumed about the numbers of units, which mean nothing between two networks.

    Args:
        a, b: Results of `dissect`.
        names: What the two are called in what is written; the names of the layers, where they are
            layers of different names, else a and b.
        min_iou: A unit is called a detector above this IoU, on both sides; needed where the results
            have different limits.

    Raises:
        ValueError: If the results have no concept in common, were scored by presets of different
            fractions or scopes, or have different limits of IoU and `min_iou` is not given.
    """
    sides = [_as_dissection(side) for side in (a, b)]
    called = _names(a, b, names)
    limit = _common_limit(sides, called, min_iou)
    shared = _shared_concepts(sides, called)
    notes, same_images = _differences(sides, called, shared)
    sides = [_among(side, shared, limit) for side in sides]
    in_a, in_b = (_detected(side) for side in sides)
    order = _by_category(shared)
    both = tuple(concept for concept in order if concept in in_a and concept in in_b)
    matched = [
        MatchedUnits(
            *concept,
            *first,
            *second,
            _shared_examples(sides, first, second) if same_images else None,
        )
        for concept in both
        for first, second in zip(in_a[concept], in_b[concept], strict=False)
    ]
    matched.sort(key=lambda pair: -min(pair.iou_a, pair.iou_b))  # stable: equals by category
    return Comparison(
        a=_summary(called[0], sides[0], in_a, order),
        b=_summary(called[1], sides[1], in_b, order),
        min_iou=limit,
        both=both,
        only_a=_without(in_b, in_a, order),
        only_b=_without(in_a, in_b, order),
        matched=tuple(matched),
        notes=tuple(notes),
    )


class _Detector(NamedTuple):
    layer: str
    unit: int
    iou: float


_Detected = dict[_Concept, list[_Detector]]  # of every detected concept, best first


def _as_dissection(side: Dissection | LayerDissection) -> Dissection:
    if isinstance(side, LayerDissection):
        return Dissection({side.name: side}, side.vocabulary)
    return side


def _names(a: Any, b: Any, names: Sequence[str] | None) -> tuple[str, str]:
    if names is not None:
        if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
            raise ValueError(f"`names` (={names!r}) must be two different names")
        return names[0], names[1]
    layers = isinstance(a, LayerDissection) and isinstance(b, LayerDissection)
    return (printable(a.name), printable(b.name)) if layers and a.name != b.name else ("a", "b")


def _common_limit(
    sides: Sequence[Dissection], called: tuple[str, str], min_iou: float | None
) -> float:
    if min_iou is not None:
        return min_iou
    limits = [sorted({layer.min_iou for layer in side.layers.values()}) for side in sides]
    if len({limit for own in limits for limit in own}) > 1:
        said = " and ".join(
            f"{', '.join(f'{limit:g}' for limit in own)} in {name}"
            for own, name in zip(limits, called, strict=True)
        )
        raise ValueError(
            f"`min_iou` must be given, since the results call units detectors above an IoU of "
            f"{said}: `compare(a, b, min_iou={max(limits[0] + limits[1]):g})`"
        )
    return limits[0][0]


def _concepts(side: Dissection) -> list[_Concept]:
    return list(zip(side.vocabulary.names, side.vocabulary.categories, strict=True))


def _shared_concepts(sides: Sequence[Dissection], called: tuple[str, str]) -> list[_Concept]:
    """Concepts of both vocabularies, in the order of the first."""
    known = set(_concepts(sides[1]))
    shared = [concept for concept in _concepts(sides[0])[1:] if concept in known]
    if not shared:
        some = [listed([printable(name) for name in side.vocabulary.names[1:]]) for side in sides]
        raise ValueError(
            f"`a` and `b` have no concept in common: {called[0]} knows {some[0]}; {called[1]} "
            f"knows {some[1]}; dissect both with one labeler"
        )
    return shared


def _differences(
    sides: Sequence[Dissection], called: tuple[str, str], shared: Sequence[_Concept]
) -> tuple[list[str], bool]:
    """Refuse what cannot be compared, and say what else differs and whether it is the images."""
    notes = []
    settings = [side.settings for side in sides]
    for key, what in (("fraction", "fractions of active pixels"), ("scope", "scopes")):
        values = [own.get(key) for own in settings]
        if None not in values and values[0] != values[1]:
            raise ValueError(
                f"`a` and `b` cannot be compared: their presets have other {what}, {values[0]} in "
                f"{called[0]} and {values[1]} in {called[1]}; dissect both with one `preset`"
            )
    presets = [printable(str(own.get("preset", "unknown"))) for own in settings]
    if presets[0] != presets[1]:
        notes.append(
            f"Presets are {presets[0]} in {called[0]} and {presets[1]} in {called[1]}, with the "
            "same fraction and scope; borders or scores may differ."
        )
    kinds = [str(own.get("thresholds", "order statistics")) for own in settings]
    if "given" in kinds:
        given = " and ".join(called[side] for side in (0, 1) if kinds[side] == "given")
        notes.append(
            f"Thresholds of {given} were given, and not found in its images: units may be active "
            "on another fraction of the pixels."
        )
    elif None in [own.get("fraction") for own in settings]:
        notes.extend(_other_activity(sides, called))
    for side, name, other in zip(sides, called, called[::-1], strict=True):
        own = [concept for concept in _concepts(side)[1:] if concept not in set(shared)]
        if own:
            some = listed([printable(concept) for concept, _ in own])
            notes.append(
                f"{number(len(own), 'concept')} of {name} {_are(len(own))} unknown to {other} and "
                f"{_are(len(own))} left out: {some}."
            )
            if settings[0].get("scope", "all_pixels") != "all_pixels":
                notes.append("They still decide which pixels count against other concepts.")
    same_images = True
    for key, what in (("examples", "numbers of images"), ("grid", "label grids")):
        values = [own.get(key) for own in settings]
        if None not in values and values[0] != values[1]:
            same_images = False
            said = [" x ".join(map(str, v)) if isinstance(v, Sequence) else v for v in values]
            notes.append(
                f"The {what} differ: {said[0]} in {called[0]} and {said[1]} in {called[1]}."
            )
    pixels = [_pixels(side, shared) for side in sides]
    if (pixels[0] != pixels[1]).any():
        same_images = False
        differ = int((pixels[0] != pixels[1])[1:].sum())
        notes.append(
            f"{differ} of {number(len(shared), 'concept')} {'has' if differ == 1 else 'have'} "
            "other numbers of pixels: images or labels differ, so that a difference of IoU may "
            "come from them."
        )
    return notes, same_images


def _other_activity(sides: Sequence[Dissection], called: tuple[str, str]) -> list[str]:
    """Say so where units are active on another part of the pixels, as by another preset."""
    most = [
        max(float(layer.active_fraction.max(initial=0)) for layer in side.layers.values())
        for side in sides
    ]
    if np.isclose(*most, rtol=0.05):
        return []
    return [
        f"Units are active on at most {most[0]:.2%} of all pixels in {called[0]} and {most[1]:.2%} "
        f"in {called[1]}: the presets may differ, which layers alone do not tell."
    ]


def _pixels(side: Dissection, shared: Sequence[_Concept]) -> np.ndarray:
    """Pixels in all, and of each shared concept."""
    counts = next(iter(side.layers.values())).counts.concept
    place = {concept: i for i, concept in enumerate(_concepts(side))}
    return counts[[0, *(place[concept] for concept in shared)]]


def _among(side: Dissection, shared: Sequence[_Concept], limit: float) -> Dissection:
    """Let only some concepts compete, at another limit."""
    kept = set(shared) | {(NONE, NONE)}
    rows = np.array([concept in kept for concept in _concepts(side)])[:, None]
    return replace(
        side,
        layers={
            name: replace(
                layer,
                min_iou=limit,
                iou=layer.iou if rows.all() else np.where(rows, layer.iou, 0),
            )
            for name, layer in side.layers.items()
        },
    )


def _detected(side: Dissection) -> _Detected:
    """Detectors of every detected concept, best first."""
    concepts = _concepts(side)
    found: _Detected = {}
    for name, layer in side.layers.items():
        for unit in np.sort(layer.detectors()):
            concept = concepts[layer.best_concept[unit]]
            detector = _Detector(name, int(unit), float(layer.best_iou[unit]))
            found.setdefault(concept, []).append(detector)
    return {
        concept: sorted(detectors, key=lambda detector: -detector.iou)
        for concept, detectors in found.items()
    }


def _by_category(concepts: Sequence[_Concept]) -> list[_Concept]:
    categories = list(dict.fromkeys((*CATEGORIES, *(category for _, category in concepts))))
    return sorted(concepts, key=lambda concept: categories.index(concept[1]))


def _without(
    other: _Detected, own: _Detected, order: Sequence[_Concept]
) -> tuple[DetectedConcept, ...]:
    """Concepts that one side detects and the other does not, each with its best unit."""
    return tuple(
        DetectedConcept(*concept, len(own[concept]), *own[concept][0])
        for concept in order
        if concept in own and concept not in other
    )


def _shared_examples(sides: Sequence[Dissection], a: _Detector, b: _Detector) -> int:
    tops = [
        side[unit.layer].top_examples[unit.unit] for side, unit in zip(sides, (a, b), strict=True)
    ]
    return len(np.intersect1d(*tops))


def _summary(
    name: str,
    side: Dissection,
    detected: _Detected,
    order: Sequence[_Concept],
) -> ComparedSide:
    by_category = {}
    for category in dict.fromkeys(category for _, category in order):
        own = [units for (_, kind), units in detected.items() if kind == category]
        by_category[category] = CategoryCount(sum(map(len, own)), len(own))
    return ComparedSide(
        name,
        tuple(side.layers),
        sum(layer.num_units for layer in side.layers.values()),
        sum(map(len, detected.values())),
        len(detected),
        by_category,
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
