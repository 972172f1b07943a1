"""Tables of attacks and defences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxdissect.attacks.defence import DefenceCurve
from jaxdissect.attacks.effect_on_units import Group, Peaks, most_changed
from jaxdissect.classifiers import importance
from jaxdissect.commands.options.attack import Case
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.table_files import Rows


def image_table(case: Case) -> Rows:
    """One row per attacked image."""
    header = (
        *("example", "class", "taken for", "target", "success", "L2 distance"),
        *("constant", "iterations"),
    )
    found = case.attacked
    rows = [
        (
            int(case.examples[i]),
            *(case.names[classes[i]] for classes in (case.labels, case.sources, case.targets)),
            bool(found.success[i]),
            float(found.distance[i]) if found.success[i] else None,
            float(found.constant[i]),
            int(found.iterations[i]),
        )
        for i in range(len(case.images))
    ]
    return header, rows


def group_table(groups: Sequence[Group]) -> Rows:
    """One row per group of units: how far their peaks moved."""
    header = ("important to", "pairs", "mean change of peaks", "99% ±", "99% ±, by image")
    return header, [
        (group.name, group.pairs, group.mean, *map(_finite, group[3:])) for group in groups
    ]


def unit_table(case: Case, peaks: Peaks) -> Rows:
    """One row per unit, those that changed most first."""
    target = int(case.targets[0])
    place = np.argsort(importance.ranking(case.damage)[target], kind="stable")
    change, rise = peaks.change, peaks.after.astype(np.float64) - peaks.before
    header = (
        *("unit", "mean change of peak", "mean rise of peak", "mean peak before"),
        *("rank for the target", "important to the target", "damage to the target"),
    )
    return header, [
        (
            unit,
            float(change[:, unit].mean()),
            float(rise[:, unit].mean()),
            float(peaks.before[:, unit].mean()),
            int(place[unit]) + 1,
            bool(case.important[unit, target]),
            float(case.damage[unit, target]),
        )
        for unit in most_changed(change).tolist()
    ]


def defence_table(curves: Mapping[str, DefenceCurve]) -> Rows:
    """One row per defence and number of units."""
    header = ("deactivated", "units", *_MEASURES)
    return header, [
        (name, int(row[0]), *(_finite(value) for value in row[1:]))
        for name, curve in curves.items()
        for row in zip(*curve, strict=True)
    ]


_MEASURES = (
    "accuracy",
    "accuracy under transferred attack",
    "success of transferred attack",
    "accuracy under adaptive attack",
    "success of adaptive attack",
    "median L2 distance of adaptive attack",
)


def summary(case: Case, groups: Sequence[Group]) -> str:
    """Success, distance and changes of units, as text."""
    header, rows = group_table(groups)
    printed = table_files.three_decimals(rows)
    return "\n".join(
        [
            attack_line(case),
            f"Peaks of the units of {case.layer} that are important to the target, to the source, "
            "and all others:",
            "",
            *table_files.aligned([header, *printed]),
        ]
    )


def defence_summary(case: Case, curves: Mapping[str, DefenceCurve]) -> str:
    """What the defences do, as text."""
    header, rows = defence_table(curves)
    printed = table_files.three_decimals(rows)
    return "\n".join([attack_line(case), "", *table_files.aligned([header, *printed])])


def attack_line(case: Case) -> str:
    """How the attack went, in one line."""
    found = case.attacked
    median = f"{_median_distance(case):.3f}" if found.success.any() else "none"
    return (
        f"{int(found.success.sum())} of {len(found.success)} images are taken for "
        f"{case.names[case.targets[0]]}; median L2 distance {median}."
    )


def facts(case: Case, groups: Sequence[Group]) -> dict[str, Any]:
    """How the attack went and its figures over all images and groups, as JSON values."""
    return {
        **attack_facts(case),
        "groups": [{**group._asdict(), **_finite_intervals(group)} for group in groups],
    }


def attack_facts(case: Case) -> dict[str, Any]:
    """Figures of an attack over all images, as JSON values."""
    found = case.attacked
    return {
        "layer": case.layer,
        "units": case.damage.shape[0],
        "classes": case.damage.shape[1],
        "target": case.names[case.targets[0]],
        "attacked images": len(found.success),
        "success": float(found.success.mean()),
        "median L2 distance": _median_distance(case) if found.success.any() else None,
        "gradient steps": int(found.iterations.sum()),
    }


def _median_distance(case: Case) -> float:
    return float(np.median(case.attacked.distance[case.attacked.success]))


def _finite_intervals(group: Group) -> dict[str, Any]:
    return {name: _finite(getattr(group, name)) for name in ("interval", "interval_by_image")}


def _finite(value: float) -> float | None:
    """JSON and tables have no infinity."""
    return float(value) if np.isfinite(value) else None
