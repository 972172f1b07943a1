"""Tables of defences: accuracy by the number of deactivated units."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxdissect.attacks import AttackStudy, DefenceCurve, DefenceMeasure
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.attack_summary import attack_line, important_line
from jaxdissect.commands.output.table_files import Rows, finite_or_none
from jaxdissect.stats.intervals import Interval

_MEASURES: Mapping[DefenceMeasure, str] = {
    "clean": "accuracy",
    "transferred": "accuracy under transferred attack",
    "transferred_success": "success of transferred attack",
    "adaptive": "accuracy under adaptive attack",
    "adaptive_success": "success of adaptive attack",
}
_SHORT: Mapping[DefenceMeasure, str] = {
    "clean": "accuracy",
    "transferred": "transferred attack",
    "adaptive": "adaptive attack",
    "adaptive_success": "success of adaptive",
}
_CHANGES: tuple[DefenceMeasure, ...] = ("clean", "transferred", "adaptive")
_DISTANCE = "median L2 distance of adaptive attack"


class Defence(NamedTuple):
    """A defence against attacks of one kind.

    Attributes:
        choice: Which units are deactivated, as the option names it.
        goal: "targeted" or "untargeted": what the attacks want.
        order: The units in the order in which they are deactivated; None where they are random.
        curve: What was measured.
    """

    choice: str
    goal: str
    order: Int[np.ndarray, "U"] | None
    curve: DefenceCurve


def defence_table(defences: Sequence[Defence], study: AttackStudy) -> Rows:
    """One row per defence, kind of attack, and number of units, with 99% intervals."""
    header = ["deactivated", "attack", "units", "units that damage the target", "draws of masks"]
    for name in _MEASURES.values():
        header += [name, *(f"{name} ({end})" for end in ("low", "high", "deviation of draws"))]
    for measure in _CHANGES:
        name = f"change of {_MEASURES[measure]} by the defence"
        header += [f"{name}{end}" for end in ("", " (low)", " (high)")]
    rows = []
    for choice, goal, order, curve in defences:
        columns = []
        for measure in _MEASURES:
            columns += [*curve.interval(measure), curve.spread(measure)]
        for measure in _CHANGES:
            columns += curve.change(measure)
        draws = curve.outcomes["clean"].shape[1]
        rows += [
            (
                *(choice, goal, size, _damaging(study, order, size), draws),
                *(finite_or_none(value) for value in measured),
            )
            for size, *measured in zip(curve.sizes.tolist(), *columns, curve.distances, strict=True)
        ]
    return (*header, _DISTANCE), rows


def _damaging(study: AttackStudy, order: Int[np.ndarray, "U"] | None, size: int) -> int | None:
    """Count those of the deactivated units whose removal damages the target at all."""
    return None if order is None else int((study.damage[order[:size], study.target] > 0).sum())


def summary(study: AttackStudy, defences: Sequence[Defence], names: Sequence[str]) -> str:
    """How the attack went, and the accuracy of every defence, as text; `names` are those of all
    classes."""
    lines = [attack_line(study, names), important_line(study, names)]
    for goal in dict.fromkeys(defence.goal for defence in defences):
        shown = [defence for defence in defences if defence.goal == goal]
        header = ("deactivated", "units", *_SHORT.values(), "distance")
        rows = [
            (defence.choice, size, *cells, float(distance))
            for defence in shown
            for size, *cells, distance in zip(
                defence.curve.sizes.tolist(),
                *(_cells(defence.curve.interval(measure)) for measure in _SHORT),
                defence.curve.distances,
                strict=True,
            )
        ]
        before, attacked = (
            shown[0].curve.undefended[measure].mean() for measure in ("clean", "transferred")
        )
        lines += [
            "",
            f"Accuracies against {goal} attacks, with 99% intervals for other images and other "
            f"draws of random masks; without a defence {before:.3f}, attacked {attacked:.3f}:",
            "",
            *table_files.aligned([header, *table_files.three_decimals(rows)]),
        ]
    return "\n".join(lines)


def _cells(interval: Interval) -> list[str]:
    return [
        f"{estimate:.3f} [{low:.2f}, {high:.2f}]"
        for estimate, low, high in zip(*interval, strict=True)
    ]
