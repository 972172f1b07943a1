"""Measure a few steps of a computation and stop: how long would it take?"""

from datetime import timedelta
from typing import Any

from jaxdissect.engine.meter import Meter, MeteredPass
from jaxdissect.engine.progress import Progress

_WARM = 2  # steps that compile, or run while the first ones still do
_MEASURED = 3


class DryRun(Meter):
    """A meter that ends a computation by raising `Measured`, once it has seen enough steps.

    Args:
        wrapped: What shows the progress, or nothing.
    """

    def __init__(self, *wrapped: Progress) -> None:
        super().__init__(*wrapped)

    def begin(self, description: str, source: Any, total: int, *, start: int = 0) -> MeteredPass:
        """Begin a pass, whose first steps are measured."""
        return _FirstSteps(self, description, source, total, start=start)


class Measured(Exception):
    """A dry run has seen enough; the text says what it has found."""


class _FirstSteps(MeteredPass):
    """A pass that ends after a few steps; one that has fewer is run."""

    def __init__(
        self, meter: Meter, description: str, source: Any, total: int, *, start: int
    ) -> None:
        super().__init__(meter, description, source, total, start=start)
        self._reached_at: list[tuple[int, float]] = []

    def reached(self, done: int) -> None:
        super().reached(done)
        self._reached_at.append((done, self._meter.clock()))
        if len(self._reached_at) < _WARM + _MEASURED:
            return
        (first, begun), (last, ended) = self._reached_at[_WARM - 1], self._reached_at[-1]
        each = (ended - begun) / (last - first)
        whole = timedelta(seconds=round(each * self._total))
        raise Measured(
            f"images: {self._total:,} ({self._source})\n"
            f"pass: {self._description}; one step of {(last - first) // _MEASURED} images takes "
            f"{each * (last - first) / _MEASURED:.3g} s, measured over {_MEASURED}\n"
            f"time: about {whole} for this pass; passes that follow take about as long where they "
            "run the network\n"
            f"so far: {self.figures()}"
        )
