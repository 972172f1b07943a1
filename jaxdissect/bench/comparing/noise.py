"""What can make a row slower although its program is as fast as before.

Two runs of a benchmark differ by more than the scatter of their repeats shows, since repeats of one
row share the moment and the process. What is measured of it is used here:

- the scatter of the repeats, which depend on those before them;
- drift within a row: whether its second half took longer than its first;
- how much a small fixed computation, timed before and after every row, varied within each run;
- how much slower this computation and the roof that binds the row were in the new run. That much of
  a change is put down to the machine. A row may follow the machine by half as much or by one and a
  half times, so half of it is uncertain;
- and the one thing that two runs cannot show, how much a row changes from process to process with
  where its arrays lie: 2%.

All are on the scale of logarithms, where they add up as squares.
"""

import math
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.record import Row, Run
from jaxdissect.bench.rendering.row_figures import row_figures, row_precision

PROCESS = 0.02
"""Standard deviation of the logarithm of a row's time from process to process."""

FOLLOWS = 0.5
"""Standard error of how closely a row follows the machine: 0 is exactly."""

_MANY = 60  # degrees of freedom of what many rows or roofs have shown
_NORMAL = 1.2533  # standard error of a median over that of a mean
_USUAL, _USUAL_WEIGHT = 0.3, 10  # correlation of repeats with those before, worth as many repeats
_TENTHS = 2.563  # standard deviations between the 10th and the 90th percentile


@dataclass(frozen=True)
class Change:
    """How a row changed, on the scale of logarithms.

    Attributes:
        change: Of its median: 0.1 took 10% longer, about.
        machine: How much of that the machine explains; above 0 for a machine that was slower.
        most: How much it would have explained at most.
        error: Standard error of what remains.
        degrees: Degrees of freedom of that error.
    """

    change: float
    machine: float
    most: float
    error: float
    degrees: int


def row_change(
    old: Row, new: Row, old_run: Run, new_run: Run, *, unsteady: tuple[float, float]
) -> Change | None:
    """Tell how the time of a row changed, and how uncertain that is.

    Args:
        old, new: The same row of two runs, both timed.
        old_run, new_run: The runs, for what they show of the machine.
        unsteady: `unsteadiness` of the runs.

    Returns:
        The change, or None where a single repeat says nothing of its scatter.
    """
    assert old.timing is not None and new.timing is not None
    times = [np.log(row.timing.seconds) for row in (old, new) if row.timing is not None]
    if min(map(len, times)) < 2:
        return None
    scatters = [_median_error(samples) for samples in times]
    hints = _machine_changes(old, new, old_run, new_run)
    squares = [error**2 for error, _ in scatters]
    others = 2 * PROCESS**2 + sum(moment**2 for moment in unsteady)
    others += (FOLLOWS * max(map(abs, hints))) ** 2
    total = sum(squares) + others
    # Welch and Satterthwaite
    spread = sum(
        square**2 / degrees for square, (_, degrees) in zip(squares, scatters, strict=True)
    )
    degrees = total**2 / (spread + others**2 / _MANY)
    change = median(times[1].tolist()) - median(times[0].tolist())
    # Whatever lies between two hints may be the machine.
    explained = min(max(change, min(hints)), max(hints))
    return Change(change, explained, max(hints), math.sqrt(total), max(int(degrees), 1))


def _median_error(samples: np.ndarray) -> tuple[float, int]:
    """Standard error of the median of repeats that depend on those before, and its degrees."""
    number = len(samples)
    spread = float(np.std(samples, ddof=1))
    if number >= 10:  # rare long repeats do not move a median
        low, high = np.percentile(samples, (10, 90))
        spread = min(spread, float(high - low) / _TENTHS)
    centered = samples - samples.mean()
    variance = float((centered**2).sum())
    tied = float((centered[1:] * centered[:-1]).sum()) / variance if variance > 0 else 0.0
    # Few repeats say little of how much they depend on each other: then it is what is usual.
    tied = min(max((number * tied + _USUAL_WEIGHT * _USUAL) / (number + _USUAL_WEIGHT), 0.0), 0.9)
    error = _NORMAL * spread / math.sqrt(max(number * (1 - tied) / (1 + tied), 1.0))
    if number >= 4:
        half = number // 2
        drift = abs(median(samples[half:].tolist()) - median(samples[:half].tolist())) / 2
        error = max(error, drift)
    return error, number - 1


def unsteadiness(run: Run) -> float:
    """Tell how much a machine varied during a run, as a standard deviation of logarithms.

    It is that of the fixed computation beside the rows, or half of what the roofs changed.
    """
    probes = [math.log(seconds) for row in run.rows for seconds in row.probe if seconds > 0]
    spread = 0.0
    if len(probes) >= 10:
        low, high = np.percentile(probes, (5, 95))
        spread = float(high - low) / 3.29
    elif len(probes) > 1:
        spread = float(np.std(probes, ddof=1))
    drifts = [abs(_log_ratio(run.roofs_after.bytes, run.roofs.bytes)) / 2]
    before, after = run.roofs.products.get("default"), run.roofs_after.products.get("default")
    if before is not None and after is not None:
        drifts.append(abs(_log_ratio(after, before)) / 2)
    return max(spread, fmean(drifts))


def _machine_changes(old: Row, new: Row, old_run: Run, new_run: Run) -> list[float]:
    """How much slower the machine was: by the computation beside the row, and by its roof."""
    changes = []
    probes = [[seconds for seconds in row.probe if seconds > 0] for row in (old, new)]
    if all(probes):
        changes.append(fmean(map(math.log, probes[1])) - fmean(map(math.log, probes[0])))
    figures = row_figures(old, old_run.roofs)
    if figures is not None and figures.bound:
        rates = [
            [_rate(roofs, figures.bound, old) for roofs in (run.roofs, run.roofs_after)]
            for run in (old_run, new_run)
        ]
        if all(rate > 0 for pair in rates for rate in pair):
            changes.append(fmean(map(math.log, rates[0])) - fmean(map(math.log, rates[1])))
    return changes or [0.0]


def _rate(roofs: Roofs, kind: str, row: Row) -> float:
    if kind == "products":
        return roofs.products.get(row_precision(row, roofs), 0.0)
    return roofs.operations if kind == "operations" else roofs.bytes


def _log_ratio(one: float, other: float) -> float:
    return math.log(one / other) if one > 0 and other > 0 else 0.0
