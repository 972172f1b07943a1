"""Tables of interventions in generators: what goes, what comes, where, and how sure that is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.commands.output.table_files import Rows
from jaxdissect.generators.causality import CausalEffect
from jaxdissect.generators.insertion import Insertion
from jaxdissect.generators.optimise import UnitStrengths
from jaxdissect.generators.realism import Realism
from jaxdissect.generators.removal import Removal

SHOWN_PLACES = 8
"""Number of the best and of the worst places that are listed and shown."""


# --- removal --------------------------------------------------------------------------------------


def single_table(singles: Removal, concept: int, iou: Float[np.ndarray, "U"]) -> Rows:
    """One row per unit, best IoU first: what its removal alone does to a concept."""
    place = np.argsort(np.argsort(-iou, kind="stable"), kind="stable")
    rows = []
    for unit in np.argsort(-iou, kind="stable").tolist():
        gained = singles.gained(unit, number=1)
        rows.append(
            (
                unit,
                int(place[unit]) + 1,
                float(iou[unit]),
                float(singles.mean_change[unit, concept]),
                float(singles.standard_error[unit, concept]),
                float(singles.fraction_left[unit, concept]),
                float(singles.fraction_band[unit, concept]),
                concept_name(singles.vocabulary, int(gained[0])) if len(gained) else "",
                float(singles.mean_change[unit, gained[0]]) if len(gained) else 0.0,
            )
        )
    header = (
        *("unit", "rank by IoU", "IoU", "pixels changed per image", "standard error"),
        *("fraction left", "99% band", "gains most", "pixels gained per image"),
    )
    return header, rows


def set_table(removal: Removal, concept: int, ranking: Int[np.ndarray, "_"]) -> Rows:
    """One row per number of removed units: what is left of a concept, and how sure that is."""
    left, band = removal.fraction_left[:, concept], removal.fraction_band[:, concept]
    rows = [
        (
            number,
            int(ranking[number - 1]) if number else "",
            float(removal.mean_after[place, concept]),
            float(left[place]),
            float(band[place]),
        )
        for place, number in enumerate(removal.num_removed.tolist())
    ]
    return ("units removed", "last unit", "pixels per image", "fraction left", "99% band"), rows


def change_table(removal: Removal) -> Rows:
    """One row per number of removed units and concept whose area changes in some image."""
    rows = [
        (
            int(removal.num_removed[place]),
            concept_name(removal.vocabulary, concept),
            removal.vocabulary.categories[concept],
            float(removal.mean_before[concept]),
            float(removal.mean_change[place, concept]),
            float(removal.standard_error[place, concept]),
        )
        for place, concept in np.argwhere(removal.changes.squares > 0).tolist()
    ]
    header = ("units removed", "concept", "category", "pixels per image before")
    return (*header, "pixels changed per image", "standard error"), rows


def replaced_table(removal: Removal, concept: int) -> Rows:
    """One row per number of removed units and what stands where the concept was, most first."""
    rows = []
    numbers = removal.num_removed.tolist()
    for number, counts in zip(numbers, removal.in_place_of(concept), strict=True):
        order = np.argsort(-counts, kind="stable")
        rows += [
            (
                number,
                concept_name(removal.vocabulary, int(other)),
                removal.vocabulary.categories[other],
                float(counts[other] / len(removal.before)),
                float(counts[other] / counts.sum()),
            )
            for other in order[: np.count_nonzero(counts)]
        ]
    header = ("units removed", "in its place", "category", "pixels per image", "share")
    return header, rows


def image_table(removal: Removal, concept: int) -> Rows:
    """One row per image and number of removed units: pixels of the concept that are left."""
    left = removal.area_left(concept)
    rows = [
        (example, number, int(removal.before[example, concept]), int(left[place, example]))
        for example in range(left.shape[1])
        for place, number in enumerate(removal.num_removed.tolist())
    ]
    return ("example", "units removed", "pixels before", "pixels left"), rows


# --- insertion ------------------------------------------------------------------------------------


def context_table(insertion: Insertion, concept: int, *, min_samples: int = 2) -> Rows:
    """One row per context, most samples first: how many pixels one insertion adds there."""
    known, number = insertion.vocabulary, insertion.number
    clustered, band = insertion.clustered_error(concept), insertion.added_band(concept)
    rows = [
        (
            concept_name(known, context) if context else "anything",
            known.categories[context] if context else "",
            int(number[context]),
            int((insertion.contexts == context).any(axis=(1, 2)).sum())
            if context
            else len(insertion.before),
            float(insertion.mean_change[context, concept]),
            float(insertion.standard_error[context, concept]),
            float(clustered[context]),
            float(insertion.added_area(concept)[context]),
            float(band[context]),
        )
        for context in np.argsort(-number, kind="stable").tolist()
        if number[context] >= min_samples
    ]
    header = (
        *("was there", "category", "samples", "images", "pixels added"),
        *("standard error", "standard error by images"),
        *("added over mean area", "99% band"),
    )
    return header, rows


def cell_table(insertion: Insertion, concept: int) -> Rows:
    """One row per cell of the layer: how many pixels an insertion there adds."""
    added = insertion.added_at(concept)
    error = added.std(axis=0, ddof=1) / np.sqrt(len(added)) if len(added) > 1 else None
    rows = [
        (int(y), int(x), float(mean), float(error[i]) if error is not None else float("inf"))
        for i, ((y, x), mean) in enumerate(
            zip(insertion.cells, added.mean(axis=0, dtype=np.float64), strict=True)
        )
    ]
    return ("row", "column", "pixels added", "standard error"), rows


def place_table(insertion: Insertion, concept: int) -> Rows:
    """One row per place where most is added, or least: images, cells, and what was there."""
    added = insertion.added_at(concept)
    rows = [
        (
            end,
            int(example),
            *(int(part) for part in insertion.cells[cell]),
            int(added[example, cell]),
            "; ".join(
                concept_name(insertion.vocabulary, int(context))
                for context in insertion.contexts[example, cell]
                if context
            ),
        )
        for end, worst in (("best", False), ("worst", True))
        for example, cell in insertion.best_places(concept, SHOWN_PLACES, worst=worst)
    ]
    return ("place", "example", "row", "column", "pixels added", "was there"), rows


def side_effect_table(insertion: Insertion) -> Rows:
    """One row per concept whose area insertions change in some image, greatest change first."""
    mean, error = insertion.mean_change[0], insertion.error_by_image
    order = np.argsort(-np.abs(mean), kind="stable")
    rows = [
        (
            concept_name(insertion.vocabulary, int(concept)),
            insertion.vocabulary.categories[concept],
            float(insertion.mean_before[concept]),
            float(mean[concept]),
            float(error[concept]),
        )
        for concept in order
        if insertion.changes.squares[0, concept]
    ]
    header = ("concept", "category", "pixels per image before", "pixels changed per insertion")
    return (*header, "standard error by images"), rows


# --- sets of units --------------------------------------------------------------------------------


def strength_table(learned: UnitStrengths, iou: Float[np.ndarray, "U"]) -> Rows:
    """One row per unit, strongest first: what was learned, and the IoU."""
    rank = np.argsort(np.argsort(-iou, kind="stable"), kind="stable")
    rows = [
        (unit, place, float(learned.strengths[unit]), float(iou[unit]), int(rank[unit]) + 1)
        for place, unit in enumerate(learned.ranking.tolist(), 1)
    ]
    return ("unit", "rank", "strength", "IoU", "rank by IoU"), rows


def step_table(learned: UnitStrengths) -> Rows:
    """One row per step of learning."""
    rows = [
        (step, float(effect), float(loss))
        for step, (effect, loss) in enumerate(zip(learned.effects, learned.losses, strict=True), 1)
    ]
    return ("step", "effect of the batch", "loss"), rows


def effect_table(
    effect: CausalEffect, removal: Removal, sizes: Sequence[int], rankings: Sequence[str]
) -> Rows:
    """One row per ranking and number of units: effects, and how they differ from the first one's.

    Sets, of both results, are those of the first ranking in the order of sizes, then of the next.
    """
    number = len(sizes)
    left, band = (
        table[:, effect.concept] for table in (removal.fraction_left, removal.fraction_band)
    )
    rows = []
    for r, name in enumerate(rankings):
        mine = range(r * number, (r + 1) * number)
        apart = effect.difference(mine, range(number))
        for i, k in enumerate(mine):
            rows.append(
                (
                    name,
                    sizes[i],
                    *(float(part[k]) for part in effect.effect),
                    *(float(part[i]) for part in apart),
                    *(float(part[k]) for part in effect.insertion),
                    *(float(part[k]) for part in effect.ablation),
                    float(left[k]),
                    float(band[k]),
                )
            )
    header = (
        *("ranking", "units", "effect", "standard error"),
        *(f"more than by {rankings[0]}", "error of the difference"),
        *("by insertion", "error of insertion", "by ablation", "error of ablation"),
        *("fraction left without them", "99% band"),
    )
    return header, rows


# --- artifacts ------------------------------------------------------------------------------------


def artifact_table(singles: Realism) -> Rows:
    """One row per unit, costliest first: the distance to real images without it."""
    whole = float(singles.baseline.mean())
    rows = [
        (unit, place, float(singles.distances[:, unit].mean()), float(singles.cost[unit]), whole)
        for place, unit in enumerate(singles.ranking.tolist(), 1)
    ]
    return ("unit", "rank", "distance without it", "cost", "distance with all"), rows


def realism_table(judged: Realism, names: Sequence[str], sizes: Sequence[int]) -> Rows:
    """One row per kind of set and number of units: distances on other images."""
    rows = [("all units", 0, float(judged.baseline.mean()), 0.0, 0.0)]
    rows += [
        (
            names[i],
            sizes[i],
            float(judged.distances[:, i].mean()),
            float(judged.cost[i]),
            float(judged.standard_error[i]),
        )
        for i in range(len(judged.keep))
    ]
    return ("removed", "units", "distance", "fall of the distance", "standard error"), rows


# --- names ----------------------------------------------------------------------------------------


def concept_name(known: Vocabulary, concept: int) -> str:
    """Name a concept, 0 as none."""
    return known.names[concept] if concept else "none"
