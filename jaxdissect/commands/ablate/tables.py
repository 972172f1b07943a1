"""Tables of a class study: which classes need which units."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.class_correlation import ClassCorrelation, positive_shares
from jaxdissect.classifiers.class_study import ClassStudy
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.table_files import Rows
from jaxdissect.stats import accuracy, auroc

MOST_SHOWN = 20
"""Classes in a figure or on the terminal, those that lose most."""


def unit_table(
    study: ClassStudy,
    estimate: Float[np.ndarray, "U N"],
    correlation: ClassCorrelation,
    names: Sequence[str],
) -> Rows:
    """One row per unit and class: what the single removal does, how sure, and what was estimated.

    Units are ranked on the images to rank with; what they do is measured on the others.
    """
    place = np.argsort(study.ranking, axis=1, kind="stable").T
    own = study.single_intervals(accuracy.balanced_accuracy)
    whole, without = study.auroc_counts
    columns: dict[str, np.ndarray] = {
        "rank": place + 1,
        "balanced accuracy lost when ranked": study.ranking_removals.damage(),
        "balanced accuracy lost": 0.0 - own.estimate,
        "99% from": 0.0 - own.high,
        "99% to": 0.0 - own.low,
        "confidence lost": study.judging_removals.damage(measure=accuracy.confidence),
        "AUROC lost": auroc.auroc(whole)[None] - auroc.auroc(without),
        "margin lost": auroc.mean_margin(whole)[None] - auroc.mean_margin(without),
        "log-probability lost, estimated": estimate,
        "correlation of peak and probability": correlation.correlation,
    }
    rows = [
        (unit, name, *(column[unit, c].item() for column in columns.values()))
        for unit in range(len(place))
        for c, name in enumerate(names)
    ]
    return ("unit", "class", *columns), rows


def class_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class: its most important units, and what they and all others do to it."""
    header = ["class", "images", "most important units", "all units"]
    header += [f"without its {size}" for size in study.sizes]
    header += [f"with its {size} alone" for size in study.sizes]
    counts = study.set_removals.baseline.true
    top = study.ranking[:, : importance.NUM_TOP]
    own = study.own_balanced_accuracies()
    return tuple(header), [
        (name, int(counts[c]), " ".join(map(str, top[c])), *map(float, own[:, c]))
        for c, name in enumerate(names)
    ]


def rate_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class, with all units: all the rates that its counts give."""
    counts = study.judging_removals.baseline
    whole, _ = study.auroc_counts
    columns = {
        "precision": accuracy.precision(counts),
        "recall": accuracy.recall(counts),
        "accuracy": accuracy.single_class_accuracy(counts),
        "true-negative rate": accuracy.true_negative_rate(counts),
        "balanced accuracy": accuracy.balanced_accuracy(counts),
        "confidence": accuracy.confidence(counts),
        "AUROC": auroc.auroc(whole),
        "mean margin": auroc.mean_margin(whole),
    }
    header = ("class", "images", "predicted", "correct", *columns)
    numbers = counts.true, counts.predicted, counts.correct
    rows = [
        (name, *(int(x[c]) for x in numbers), *(float(x[c]) for x in columns.values()))
        for c, name in enumerate(names)
    ]
    total = (int(x.sum()) for x in numbers)
    return header, [*rows, ("all", *total, *(float(x.mean()) for x in columns.values()))]


def important_table(
    study: ClassStudy, names: Sequence[str], iou: Float[np.ndarray, "U"] | None
) -> Rows:
    """One row per unit: to which classes it is important, those with the most first."""
    important = importance.is_important(study.ranked_by)
    number = important.sum(axis=1)
    mean = study.ranked_by.mean(axis=1, dtype=np.float64)
    header = ("unit", "classes", "mean balanced accuracy lost", "names of classes")
    rows = [
        (
            unit,
            int(number[unit]),
            float(mean[unit]),
            "; ".join(names[c] for c in np.flatnonzero(important[unit]).tolist()),
        )
        for unit in np.lexsort((-mean, -number)).tolist()
    ]
    if iou is None:
        return header, rows
    return (*header, "best IoU"), [(*row, float(iou[row[0]])) for row in rows]


def importance_table(study: ClassStudy, iou: Float[np.ndarray, "U"]) -> Rows:
    """Units in groups of like importance, with the IoU of their best concepts."""
    important = importance.is_important(study.ranked_by)
    header = ("grouped by", "value", "units", "mean IoU", "standard error")
    size = importance.group_size(len(iou))
    return header, [
        (name, float(value), int(number), float(mean), float(error))
        for name, found in (
            (
                "classes to which a unit is important",
                importance.by_number_of_classes(important, iou),
            ),
            (
                "mean damage to all classes",
                importance.by_mean_damage(study.ranked_by, iou, size=size),
            ),
        )
        for value, number, mean, error, _ in zip(*found, strict=True)
    ]


def set_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class, size and half: what the set does to its class and to all, and how sure."""
    own = study.intervals(accuracy.balanced_accuracy)
    every = study.intervals(accuracy.overall_accuracy)
    rows, condition = [], 0
    for kind in ("removed", "alone"):
        for size in study.sizes:
            for c, name in enumerate(names):
                changes = (
                    *(float(end[condition, c]) for end in own),
                    *(float(end[condition]) for end in every),
                )
                rows.append((name, size, kind, *changes))
                condition += 1
    ends = ("", ", 99% from", ", 99% to")
    columns = (
        f"change of {what}{end}"
        for what in ("balanced accuracy", "accuracy over all classes")
        for end in ends
    )
    return ("class", "units", "removed or alone", *columns), rows


def curve_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class and number of units: balanced accuracy without the most, the least."""
    own = study.curves(accuracy.balanced_accuracy)
    every = study.curves(accuracy.overall_accuracy)
    header = (
        *("class", "units removed"),
        *("without the most important", "all classes without the most important"),
        *("without the least important", "all classes without the least important"),
    )
    return header, [
        (
            names[c],
            number + 1,
            *(
                float(value)
                for end in range(2)
                for value in (own[k, end, number, c], every[k, end, number])
            ),
        )
        for k, c in enumerate(study.curve_classes)
        for number in range(own.shape[2])
    ]


def improvement_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per unit whose single removal improves a class, greatest gain first."""
    found = importance.improvements(study.judging_removals.damage())
    return ("unit", "class", "balanced accuracy gained"), [
        (unit, names[c], gain) for unit, c, gain in found
    ]


def summary(study: ClassStudy, names: Sequence[str]) -> str:
    """What the removals do, over all classes and to the classes that lose most, as text."""
    overall = float(accuracy.overall_accuracy(study.set_removals.baseline))
    header, rows = class_table(study, names)
    own = study.own_balanced_accuracies()
    shown = [rows[c] for c in np.argsort(own[1] - own[0], kind="stable")[:MOST_SHOWN]]
    printed = table_files.three_decimals(shown)
    mean = ("mean of all", "", "", *(f"{value:.3f}" for value in own.mean(axis=1)))
    return "\n".join(
        [
            f"Accuracy over all classes {overall:.3f} "
            f"(removals computed by {study.set_removals.method}).",
            "Balanced accuracy of each class, without its most important units and with these "
            "alone (chance 0.5):",
            "",
            *table_files.aligned([header, *printed, mean]),
        ]
    )


def facts(
    study: ClassStudy, estimate: Float[np.ndarray, "U N"], correlation: ClassCorrelation
) -> dict[str, Any]:
    """How the study was made and its figures over all classes, as JSON values."""
    whole, _ = study.auroc_counts
    own = study.own_balanced_accuracies().mean(axis=1)
    number = len(study.sizes)
    without, alone = own[1 : 1 + number], own[1 + number :]
    shares = positive_shares(correlation.correlation, importance.is_important(study.ranked_by))
    return {
        "layer": study.set_removals.layer,
        "units": study.ranked_by.shape[0],
        "classes": study.ranked_by.shape[1],
        "images": {
            "ranked with": len(study.ranking_removals.labels),
            "measured": len(study.set_removals.labels),
        },
        "way": study.set_removals.method,
        "accuracy over all classes": float(accuracy.overall_accuracy(study.set_removals.baseline)),
        "accuracy of the first n guesses": correlation.top_n_accuracy.tolist(),
        "mean AUROC": float(auroc.auroc(whole).mean()),
        "mean margin": float(auroc.mean_margin(whole).mean()),
        "mean balanced accuracy": {
            "all units": float(own[0]),
            **{f"without {n}": float(x) for n, x in zip(study.sizes, without, strict=True)},
            **{f"{n} alone": float(x) for n, x in zip(study.sizes, alone, strict=True)},
        },
        "rank correlation of estimated and measured importance": importance.mean_rank_correlation(
            study.ranking_removals.damage(measure=accuracy.confidence), estimate
        ),
        "positive correlations of peak and probability": {
            "of important units": shares.important,
            "of other units": shares.other,
        },
    }
