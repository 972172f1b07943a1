"""Tables of an attack: its images, and how far the peaks of units change."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdissect.attacks import AttackStudy, GroupChange, PeakChanges, most_changed
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.attack_summary import attack_facts, attack_line, important_line
from jaxdissect.commands.output.table_files import Rows, finite_or_none


def image_table(study: AttackStudy, names: Sequence[str]) -> Rows:
    """One row per attacked image; `names` are those of all classes."""
    header = (
        *("example", "class", "classified as", "target", "success", "L2 distance"),
        *("constant", "iterations"),
    )
    found = study.attacked
    rows = [
        (
            int(study.examples[i]),
            *(names[classes[i]] for classes in (study.labels, study.sources, study.targets)),
            bool(found.success[i]),
            float(found.distance[i]) if found.success[i] else None,
            float(found.constant[i]),
            int(found.iterations[i]),
        )
        for i in range(len(study.images))
    ]
    return header, rows


def group_table(groups: Sequence[GroupChange]) -> Rows:
    """One row per group of units: how far their peaks change, and how surely.

    Of the two 99% intervals the first takes all pairs of an image and a unit as independent, as the
    paper does; the second only the images, and is the one to judge by.
    """
    header = (
        *("important to", "pairs", "mean change of peaks"),
        *("99% ±, pairs as independent", "99% ±, by image"),
    )
    return header, [
        (group.name, group.pairs, *(map(finite_or_none, group[2:]) if group.pairs else (None,) * 3))
        for group in groups
    ]


def unit_table(study: AttackStudy, peaks: PeakChanges) -> Rows:
    """One row per unit, those that change most first."""
    target = study.target
    place = np.argsort(study.ranking, kind="stable")
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
            bool(study.important[unit, target]),
            float(study.damage[unit, target]),
        )
        for unit in most_changed(change).tolist()
    ]


def summary(study: AttackStudy, groups: Sequence[GroupChange], names: Sequence[str]) -> str:
    """Success, distance and changes of units, as text."""
    header, rows = group_table(groups)
    return "\n".join(
        [
            attack_line(study, names),
            important_line(study, names),
            f"Peaks of the units of {study.layer} that are important to the target, to the source, "
            "and all others:",
            "",
            *table_files.aligned([header, *table_files.three_decimals(rows)]),
        ]
    )


def facts(
    study: AttackStudy, groups: Sequence[GroupChange], names: Sequence[str]
) -> dict[str, Any]:
    """How the attack went, over all images and by groups of units, as JSON values."""
    return {**attack_facts(study, names), "groups": [_group_facts(group) for group in groups]}


def _group_facts(group: GroupChange) -> dict[str, Any]:
    measured = ("mean", "interval", "interval_by_image")
    found = {name: finite_or_none(getattr(group, name)) for name in measured}
    return {**group._asdict(), **(found if group.pairs else dict.fromkeys(measured))}
