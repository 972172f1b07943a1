"""What was measured beside what was published.

A verdict is one of `WITHIN`, `OUTSIDE`, `MISSING`, `UNPUBLISHED`, `UNCONFIRMED`, or why nothing can
be compared, as after a reduced run.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxdissect.reproduction.experiment import KNOWN, Experiment, PublishedFigure
from jaxdissect.reproduction.procedures.procedure import Measured

WITHIN = "within tolerance"
OUTSIDE = "OUTSIDE of tolerance"
MISSING = "NOT MEASURED"
UNPUBLISHED = "no published figure"
UNCONFIRMED = "not compared: published figure unconfirmed"

HEADER = (
    *("experiment", "quantity", "what", "published", "unit", "tolerance", "measured", "verdict"),
    *("known", "source", "reason of tolerance"),
)


class Compared(NamedTuple):
    """A quantity, as published and as measured.

    Attributes:
        quantity: Its name.
        published: What was published; None if nothing was.
        measured: What was measured; None if it could not be.
        verdict: How they compare, see above.
    """

    quantity: str
    published: PublishedFigure | None
    measured: float | None
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """An experiment that has run.

    Attributes:
        experiment: The experiment.
        settings: Settings that it ran with.
        compared: Its quantities: those with a published figure first, in the order of its file.
        comparable: Why nothing can be compared; "" if it can.
        problem: Why it did not run to its end; "" if it did.
    """

    experiment: Experiment
    settings: dict[str, Any]
    compared: tuple[Compared, ...]
    comparable: str
    problem: str = ""

    @property
    def is_reproduced(self) -> bool:
        """Whether it ran, and nothing that can be compared is outside of tolerance or missing."""
        return not self.problem and not {OUTSIDE, MISSING} & {row.verdict for row in self.compared}

    def number_of(self, verdict: str) -> int:
        """Count the quantities of a verdict."""
        return sum(row.verdict == verdict for row in self.compared)


def compare_with_published(
    experiment: Experiment, settings: dict[str, Any], measured: Measured, comparable: str
) -> Outcome:
    """Lay measured quantities beside published ones.

    Args:
        experiment: What has run.
        settings: With which settings.
        measured: What was measured.
        comparable: Why nothing can be compared; "" if it can.
    """
    rows = [
        Compared(
            figure.quantity,
            figure,
            measured.get(figure.quantity),
            comparable or _verdict(figure, measured.get(figure.quantity)),
        )
        for figure in experiment.figures
    ]
    published = {figure.quantity for figure in experiment.figures}
    rows += [
        # So that a figure of random weights is never taken for one of the experiment.
        Compared(name, None, value, comparable or UNPUBLISHED)
        for name, value in measured.items()
        if name not in published
    ]
    return Outcome(experiment, settings, tuple(rows), comparable)


def without_result(experiment: Experiment, settings: dict[str, Any], problem: str) -> Outcome:
    """Say of an experiment that it did not run to its end.

    Args:
        experiment: The experiment.
        settings: With which settings it began.
        problem: What was wrong.
    """
    missing = (Compared(figure.quantity, figure, None, MISSING) for figure in experiment.figures)
    return Outcome(experiment, settings, tuple(missing), "", problem)


def _verdict(figure: PublishedFigure, measured: float | None) -> str:
    if not figure.is_compared:
        return UNCONFIRMED
    if measured is None or not math.isfinite(measured):
        return MISSING
    # What differs by the tolerance, but for how decimals are stored, is within.
    near = abs(measured - figure.value) <= figure.tolerance * (1 + 1e-9) + 1e-12
    return WITHIN if near else OUTSIDE


def outcome_rows(outcomes: Iterable[Outcome]) -> list[tuple[Any, ...]]:
    """Write outcomes as rows of a table with `HEADER`; what is not known is None."""
    rows = []
    for outcome in outcomes:
        for quantity, figure, measured, verdict in outcome.compared:
            name = outcome.experiment.name
            if figure is None:
                rows.append((name, quantity, *[None] * 4, measured, verdict, None, None, None))
                continue
            rows.append(
                (
                    *(name, quantity, figure.text, figure.value, figure.unit, figure.tolerance),
                    *(measured, verdict, KNOWN[figure.known], figure.source, figure.reason),
                )
            )
    return rows
