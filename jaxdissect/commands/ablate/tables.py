"""Tables of a class study: which classes need which units.

Columns of the files have names that are identifiers, as data frames like them; tables that are
printed have the long form. Classes without images to rank with, or none to measure with, are in no
table (see `ClassStudy.classes`); the summary counts them.
"""

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
from jaxdissect.stats.intervals import Interval

_ENDS = ("", "_low", "_high")  # of a number, and of its 99% interval

MOST_SHOWN = 20
"""Classes in a figure or on the terminal, those that lose most."""


def unit_table(
    study: ClassStudy,
    single: Interval,
    estimate: Float[np.ndarray, "U N"],
    correlation: ClassCorrelation,
    names: Sequence[str],
) -> Rows:
    """One row per unit and class: what the single removal does, how sure, and what was estimated.

    Units are ranked on the images to rank with; what they do is measured on the others. `single`
    are the intervals of these (`ClassStudy.single_intervals` of balanced accuracy). The column
    `margin_lost` is of probabilities (`stats.auroc`); `score_margin_lost_when_ranked`, which ranks
    equal damage, is of scores (`stats.score_margin`).
    """
    place = np.argsort(study.ranking, axis=1).T
    whole, without = study.auroc_counts
    columns: dict[str, np.ndarray] = {
        "rank": place + 1,
        "important": study.important.astype(np.int64),
        "balanced_accuracy_lost_when_ranked": study.ranking_removals.damage(),
        "balanced_accuracy_lost": 0.0 - single.estimate,
        "balanced_accuracy_lost_low": 0.0 - single.high,
        "balanced_accuracy_lost_high": 0.0 - single.low,
        "confidence_lost": study.judging_removals.damage(measure=accuracy.confidence),
        "auroc_lost": auroc.auroc(whole)[None] - auroc.auroc(without),
        "margin_lost": auroc.mean_margin(whole)[None] - auroc.mean_margin(without),
        "score_margin_lost_when_ranked": study.ranking_removals.margin_lost(),
        "log_probability_lost_estimated": estimate,
        "correlation_of_peak_and_probability": correlation.correlation,
    }
    rows = [
        (unit, names[c], *(column[unit, c].item() for column in columns.values()))
        for unit in range(len(place))
        for c in study.classes.tolist()
    ]
    return ("unit", "class", *columns), rows


def class_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class: its most important units, and what they and all others do to it.

    Most important units are only those that damage the class; the last columns count, of the n
    that are removed together, those that do.
    """
    header = ["class", "images", "most_important_units", "all_units"]
    header += [f"without_{size}" for size in study.sizes]
    header += [f"with_{size}_alone" for size in study.sizes]
    header += [f"with_damage_of_{size}" for size in study.sizes]
    images, own = study.set_removals.baseline.true, study.own_balanced_accuracies()
    damaging = [study.num_damaging(size) for size in study.sizes]
    return tuple(header), [
        (
            names[c],
            int(images[c]),
            " ".join(map(str, _most_important(study, c))),
            *map(float, own[:, place]),
            *(int(number[place]) for number in damaging),
        )
        for place, c in enumerate(study.classes.tolist())
    ]


def _most_important(study: ClassStudy, c: int) -> list[int]:
    """List the important units of a class, most important first."""
    units = study.ranking[c]
    return units[study.important[units, c]].tolist()


def rate_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class, with all units: all the rates that its counts give; then their means.

    The last row counts all images, also those of classes that have no row.
    """
    counts = study.judging_removals.baseline
    whole, _ = study.auroc_counts
    columns = {
        "precision": accuracy.precision(counts),
        "recall": accuracy.recall(counts),
        "accuracy": accuracy.single_class_accuracy(counts),
        "true_negative_rate": accuracy.true_negative_rate(counts),
        "balanced_accuracy": accuracy.balanced_accuracy(counts),
        "confidence": accuracy.confidence(counts),
        "auroc": auroc.auroc(whole),
        "mean_margin": auroc.mean_margin(whole),
    }
    header = ("class", "images", "predicted", "correct", *columns)
    numbers, classes = (counts.true, counts.predicted, counts.correct), study.classes
    rows = [
        (names[c], *(int(x[c]) for x in numbers), *(float(x[c]) for x in columns.values()))
        for c in classes.tolist()
    ]
    total = (int(x.sum()) for x in numbers)
    means = (float(x[classes].mean()) for x in columns.values())
    return header, [*rows, ("all", *total, *means)]


def important_table(
    study: ClassStudy, names: Sequence[str], iou: Float[np.ndarray, "U"] | None
) -> Rows:
    """One row per unit: to which classes it is important, those with the most first."""
    important = study.important
    number = important.sum(axis=1)
    mean = study.ranked_by[:, study.classes].mean(axis=1, dtype=np.float64)
    header = ("unit", "classes", "mean_damage", "names_of_classes")
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
    return (*header, "best_iou"), [(*row, float(iou[row[0]])) for row in rows]


def importance_table(study: ClassStudy, iou: Float[np.ndarray, "U"]) -> Rows:
    """Units in groups of like importance, with the IoU of their best concepts."""
    header = ("grouped_by", "value", "units", "mean_iou", "standard_error")
    damage = study.ranked_by[:, study.classes]
    size = importance.group_size(len(iou))
    return header, [
        (name, float(value), int(number), float(mean), float(error))
        for name, found in (
            (
                "classes to which a unit is important",
                importance.by_number_of_classes(study.important, iou),
            ),
            (
                "mean damage to all classes",
                importance.by_mean_damage(damage, iou, size=size),
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
            damaging = study.num_damaging(size)
            for place, c in enumerate(study.classes.tolist()):
                changes = (
                    *(float(end[condition, c]) for end in own),
                    *(float(end[condition]) for end in every),
                )
                rows.append((names[c], size, int(damaging[place]), kind, *changes))
                condition += 1
    columns = (f"{what}{end}" for what in ("change", "overall_change") for end in _ENDS)
    return ("class", "units", "units_with_damage", "removed_or_alone", *columns), rows


def curve_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class and number of units: balanced accuracy without the most, the least."""
    own = study.curves(accuracy.balanced_accuracy)
    every = study.curves(accuracy.overall_accuracy)
    header = (
        *("class", "units_removed"),
        *("without_most_important", "overall_without_most_important"),
        *("without_least_important", "overall_without_least_important"),
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


def improvement_table(study: ClassStudy, single: Interval, names: Sequence[str]) -> Rows:
    """One row per unit whose single removal improves a class, greatest gain first.

    They are found, and ordered, on the images to rank with, where the best of many gains are too
    good to be true; what they gain on the other images stands beside, with the intervals of
    `single` (`ClassStudy.single_intervals` of balanced accuracy).
    """
    ends = (f"gain{end}" for end in _ENDS)
    return ("unit", "class", "gain_when_ranked", *ends), [
        (unit, names[c], gain, *(float(end[unit, c]) for end in single))
        for unit, c, gain in _improvements(study)
    ]


def _improvements(study: ClassStudy) -> list[tuple[int, int, float]]:
    studied = set(study.classes.tolist())
    found = importance.improvements(study.ranking_removals.damage())
    return [row for row in found if row[1] in studied]


def summary(study: ClassStudy, names: Sequence[str]) -> str:
    """What the removals do, over all classes and to the classes that lose most, as text."""
    overall = float(accuracy.overall_accuracy(study.set_removals.baseline))
    _, rows = class_table(study, names)
    header = ("class", "images", "most important units", "all units")
    header += tuple(f"without its {size}" for size in study.sizes)
    header += tuple(f"with its {size} alone" for size in study.sizes)
    own = study.own_balanced_accuracies()
    order = np.argsort(own[1] - own[0], kind="stable")
    shown = [rows[place][: len(header)] for place in order[:MOST_SHOWN]]
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
            "",
            *(_damage_sentence(study, size) for size in study.sizes),
            *_improvement_sentence(study),
            *_absent_sentence(study),
        ]
    )


def _damage_sentence(study: ClassStudy, size: int) -> str:
    """Say how many of the n most important units of each class damage it at all."""
    damaging = study.num_damaging(size)
    return (
        f"Of the {size} most important units of each class, {damaging.sum()} of "
        f"{size * len(damaging)} damage it alone; the others were taken by the margin lost."
        if damaging.sum() < size * len(damaging)
        else f"All of the {size} most important units of each class damage it alone."
    )


def _improvement_sentence(study: ClassStudy) -> list[str]:
    gains = [-study.judging_removals.damage()[unit, c] for unit, c, _ in _improvements(study)]
    if not gains:
        return ["No removal of one unit improves a class on the images to rank with."]
    return [
        f"Of {len(gains)} removals of one unit that improve a class on the images to rank with, "
        f"{np.sum(np.array(gains) > 0)} improve it on the others."
    ]


def _absent_sentence(study: ClassStudy) -> list[str]:
    num_classes, parts = study.ranked_by.shape[1], _absent(study)
    left_out = num_classes - len(study.classes)
    if not left_out:
        return []
    return [
        f"{left_out} of {num_classes} classes are left out: {parts['to rank with']} have no "
        f"images to rank with, {parts['to measure with']} none to measure with."
    ]


def _absent(study: ClassStudy) -> dict[str, int]:
    """Count the classes without images in each part."""
    parts = {"to rank with": study.ranking_removals, "to measure with": study.judging_removals}
    return {use: int((part.baseline.true == 0).sum()) for use, part in parts.items()}


def facts(
    study: ClassStudy,
    single: Interval,
    estimate: Float[np.ndarray, "U N"],
    correlation: ClassCorrelation,
) -> dict[str, Any]:
    """How the study was made and its figures over all classes with images, as JSON values."""
    whole, _ = study.auroc_counts
    classes = study.classes
    own = study.own_balanced_accuracies().mean(axis=1)
    number = len(study.sizes)
    without, alone = own[1 : 1 + number], own[1 + number :]
    shares = positive_shares(correlation.correlation[:, classes], study.important[:, classes])
    confidence_lost = study.ranking_removals.damage(measure=accuracy.confidence)
    return {
        "layer": study.set_removals.layer,
        "units": study.ranked_by.shape[0],
        "classes": study.ranked_by.shape[1],
        "classes left out": {
            "number": study.ranked_by.shape[1] - len(classes),
            **{f"without images {use}": count for use, count in _absent(study).items()},
        },
        "images": {
            "ranked with": len(study.ranking_removals.labels),
            "measured": len(study.set_removals.labels),
        },
        "way": study.set_removals.method,
        "accuracy over all classes": float(accuracy.overall_accuracy(study.set_removals.baseline)),
        "accuracy of the first n guesses": correlation.top_n_accuracy.tolist(),
        "mean AUROC": float(auroc.auroc(whole)[classes].mean()),
        "mean margin": float(auroc.mean_margin(whole)[classes].mean()),
        "mean balanced accuracy": {
            "all units": float(own[0]),
            **{f"without {n}": float(x) for n, x in zip(study.sizes, without, strict=True)},
            **{f"{n} alone": float(x) for n, x in zip(study.sizes, alone, strict=True)},
        },
        "units with damage": {
            f"of the first {n}": int(study.num_damaging(n).sum()) for n in study.sizes
        },
        "improvements": _improvement_facts(study, single),
        "rank correlation of estimated and measured importance": importance.mean_rank_correlation(
            confidence_lost[:, classes], estimate[:, classes]
        ),
        "positive correlations of peak and probability": {
            "of important units": shares.important,
            "of other units": shares.other,
        },
    }


def _improvement_facts(study: ClassStudy, single: Interval) -> dict[str, Any]:
    found = _improvements(study)
    gain, low, _ = (np.array([end[unit, c] for unit, c, _ in found]) for end in single)
    return {
        "when ranked": len(found),
        "mean gain when ranked": float(np.mean([gain for *_, gain in found])) if found else 0.0,
        "mean gain": float(gain.mean()) if found else 0.0,
        "improve again": int((gain > 0).sum()),
        "with an interval above 0": int((low > 0).sum()),
    }
