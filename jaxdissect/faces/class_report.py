"""Tables and figures of a class study: which classes need which units."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxdissect.experiments import importance
from jaxdissect.experiments.class_study import ClassStudy
from jaxdissect.faces import charts, tables
from jaxdissect.stats import accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""Header and rows of a table."""

_MOST_SHOWN = 20  # classes in a figure or on the terminal, those that lose most


def full_names(names: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """Name the classes that have no name by their number."""
    return (*names, *(f"class {number}" for number in range(len(names), num_classes)))


# --- tables ---------------------------------------------------------------------------------------


def unit_table(study: ClassStudy, estimate: Float[np.ndarray, "U N"], names: Sequence[str]) -> Rows:
    """One row per unit and class: damage of the single removal, and what was estimated."""
    balanced = study.singles.damage()
    confidence = study.singles.damage(accuracy.confidence)
    place = np.argsort(study.ranking, axis=1, kind="stable")
    rows = [
        (
            unit,
            name,
            int(place[c, unit]) + 1,
            float(balanced[unit, c]),
            float(confidence[unit, c]),
            float(estimate[unit, c]),
        )
        for unit in range(len(balanced))
        for c, name in enumerate(names)
    ]
    header = (
        *("unit", "class", "rank", "balanced accuracy lost", "confidence lost"),
        "log-probability lost, estimated",
    )
    return header, rows


def class_table(study: ClassStudy, names: Sequence[str]) -> Rows:
    """One row per class: its most important units, and what they and all others do to it."""
    header = ["class", "images", "most important units", "all units"]
    header += [f"without its {size}" for size in study.sizes]
    header += [f"with its {size} alone" for size in study.sizes]
    counts = study.sets.baseline.true
    top = study.ranking[:, : importance.NUM_TOP]
    return tuple(header), [
        (name, int(counts[c]), " ".join(map(str, top[c])), *map(float, _own(study)[:, c]))
        for c, name in enumerate(names)
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
        *("class", "units removed", "without the most important", "all classes, then"),
        *("without the least important", "all classes, then"),
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
    found = importance.improvements(study.singles.damage())
    return ("unit", "class", "balanced accuracy gained"), [
        (unit, names[c], gain) for unit, c, gain in found
    ]


def summary(study: ClassStudy, names: Sequence[str]) -> str:
    """What the removals do, over all classes and to the classes that lose most, as text."""
    overall = float(accuracy.overall_accuracy(study.sets.baseline))
    header, rows = class_table(study, names)
    own = _own(study)
    shown = [rows[c] for c in np.argsort(own[1] - own[0], kind="stable")[:_MOST_SHOWN]]
    printed = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in shown]
    mean = ("mean of all", "", "", *(f"{value:.3f}" for value in own.mean(axis=1)))
    return "\n".join(
        [
            f"Accuracy over all classes {overall:.3f} (removals computed by {study.sets.way}).",
            "Balanced accuracy of each class, without its most important units and with these "
            "alone (chance 0.5):",
            "",
            *tables.aligned([header, *printed, mean]),
        ]
    )


def write_settings(
    path: Path, study: ClassStudy, estimate: Float[np.ndarray, "U N"], provenance: Mapping[str, Any]
) -> None:
    """Write how the study was made and its figures over all classes, as JSON."""
    damage = study.singles.damage(accuracy.confidence)
    correlations = [
        importance.rank_correlation(a, b) for a, b in zip(damage.T, estimate.T, strict=True)
    ]
    own = _own(study).mean(axis=1)
    facts = {
        **provenance,
        "layer": study.sets.layer,
        "units": study.ranked_by.shape[0],
        "classes": study.ranked_by.shape[1],
        "images": {"ranked with": len(study.singles.labels), "measured": len(study.sets.labels)},
        "way": study.sets.way,
        "accuracy over all classes": float(accuracy.overall_accuracy(study.sets.baseline)),
        "mean balanced accuracy": {
            "all units": float(own[0]),
            **{f"without {n}": float(x) for n, x in zip(study.sizes, own[1:], strict=False)},
            **{f"{n} alone": float(x) for n, x in zip(study.sizes[::-1], own[::-1], strict=False)},
        },
        "rank correlation of estimated and measured importance": float(np.mean(correlations)),
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


# --- figures --------------------------------------------------------------------------------------


def class_figure(study: ClassStudy, names: Sequence[str]) -> "Figure":
    """Draw balanced accuracies of the classes that lose most: whole, without, alone."""
    own = _own(study)
    order = np.argsort(own[1] - own[0], kind="stable")[:_MOST_SHOWN]
    size = study.sizes[-1]
    middle = len(study.sizes)
    return charts.bar_figure(
        [names[int(c)] for c in order],
        {
            "all units": own[0, order],
            f"without its {size}": own[middle, order],
            f"its {size} alone": own[-1, order],
        },
        title=f"The {size} most important units of each class",
        unit="balanced accuracy (chance 0.5)",
    )


def curve_figure(study: ClassStudy, names: Sequence[str]) -> "Figure":
    """Draw balanced accuracy against the number of units removed, from either end."""
    own = study.curves(accuracy.balanced_accuracy)
    curves = {
        f"{names[c]}, {end}": own[k, i, :, c]
        for k, c in enumerate(study.curve_classes)
        for i, end in enumerate(("most important first", "least important first"))
    }
    return charts.curve_figure(
        range(1, own.shape[2] + 1),
        curves,
        title="Removing more and more units",
        across="units removed",
        up="balanced accuracy",
    )


class Interpretability(NamedTuple):
    """Importance of units against the IoU of their best concepts."""

    study: ClassStudy
    iou: Float[np.ndarray, "U"]

    def groups(self) -> importance.Groups:
        """Units by the number of classes to which they are important."""
        important = importance.is_important(self.study.ranked_by)
        return importance.by_number_of_classes(important, self.iou)

    def table(self) -> Rows:
        """Both groupings, a row per group."""
        by_classes = self.groups()
        by_damage = importance.by_mean_damage(self.study.ranked_by, self.iou)
        header = ("grouped by", "value", "units", "mean IoU", "standard error")
        return header, [
            (name, float(value), int(number), float(mean), float(error))
            for name, found in (
                ("classes to which a unit is important", by_classes),
                ("mean damage to all classes", by_damage),
            )
            for value, number, mean, error, _ in zip(*found, strict=True)
        ]

    def figure(self) -> "Figure":
        """Draw the mean IoU of units that are important to 0, 1, 2, ... classes."""
        found = self.groups()
        there = found.number > 0
        last = len(found.value) - 1
        names = [
            f"{i}{' or more' if i == last else ''} classes ({number} units)"
            for i, number in enumerate(found.number)
        ]
        return charts.bar_figure(
            [name for name, any_unit in zip(names, there, strict=True) if any_unit],
            {"IoU": found.mean[there]},
            errors={"IoU": np.nan_to_num(found.standard_error[there])},
            title="Units that are important to many classes",
            unit="mean IoU with the best concept, and its standard error",
        )


# --- parts ----------------------------------------------------------------------------------------


def _own(study: ClassStudy) -> Float[np.ndarray, "1+2Z N"]:
    """Balanced accuracy of each class: all units, without its n for all n, with these alone."""
    measure = accuracy.balanced_accuracy
    grids = (study.without_best(measure), study.with_best_alone(measure))
    own = [np.diagonal(grid, axis1=1, axis2=2) for grid in grids]
    return np.concatenate([measure(study.sets.baseline)[None], *own])
