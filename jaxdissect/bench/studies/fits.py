"""Laws that are fitted to measured times, with intervals that say how well they are known.

Every size is measured in every round, so that a machine which is slow for a while is slow for all
sizes of that round. A round gives one fit, and the interval is that of the mean of the rounds'
fits: repeats of one size are not independent of each other, rounds nearly are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
"""Chance that an interval holds what it is of."""

# Student's t, by degrees of freedom; the last serves for more, where it is a little wide.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
_SURELY = (318.31, 22.327, 10.215, 7.173, 5.893, 5.208, 4.785, 4.501, 4.297, 4.144, 4.025, 3.930)


class Estimate(NamedTuple):
    """A fitted number.

    Attributes:
        value: Mean over the rounds.
        low, high: Ends of its interval; infinite where there was one round.
        surely_above: It is above this with a chance of 99.9%: for verdicts, of which there are
            many.
    """

    value: float
    low: float
    high: float
    surely_above: float = -np.inf

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


class Line(NamedTuple):
    """``seconds = fixed + each * number``.

    Attributes:
        fixed: What does not depend on the number.
        each: What every one of them costs.
        rounds: The same two of every round, whose errors go together.
    """

    fixed: Estimate
    each: Estimate
    rounds: tuple[tuple[float, float], ...]


def estimate(values: Sequence[int | float]) -> Estimate:
    """Take the mean of independent values, with its interval by Student's t."""
    found = np.asarray(values, np.float64)
    mean, number = float(found.mean()), len(found)
    if number < 2:
        return Estimate(mean, -np.inf, np.inf)
    place = min(number - 1, len(_STUDENT)) - 1
    error = float(found.std(ddof=1)) / number**0.5
    wide = _STUDENT[place] * error
    return Estimate(mean, mean - wide, mean + wide, mean - _SURELY[place] * error)


def exponent(numbers: Sequence[int | float], rounds: Float[np.ndarray, "rounds sizes"]) -> Estimate:
    """Fit p of ``seconds ~ number ** p``: 1 is linear, less is better.

    Args:
        numbers: Of every size, different and above 0.
        rounds: Seconds, above 0.
    """
    along = np.log(np.asarray(numbers, np.float64))
    centred = along - along.mean()
    slopes = (centred * np.log(rounds)).sum(1) / (centred**2).sum()
    return estimate(slopes.tolist())


def last_exponent(
    numbers: Sequence[int | float], rounds: Float[np.ndarray, "rounds sizes"]
) -> Estimate:
    """Fit the same to the two largest sizes alone, where fixed costs hide least."""
    return exponent(numbers[-2:], np.asarray(rounds)[:, -2:])


def line(numbers: Sequence[int | float], rounds: Float[np.ndarray, "rounds sizes"]) -> Line:
    """Fit a line to the seconds of every round; its errors count in proportion to the seconds."""
    along = np.asarray(numbers, np.float64)
    found = []
    for seconds in np.asarray(rounds, np.float64):
        weights = 1 / seconds
        columns = np.stack([np.ones_like(along), along], 1) * weights[:, None]
        found.append(np.linalg.lstsq(columns, seconds * weights, rcond=None)[0])
    fixed, each = (values.tolist() for values in np.array(found).T)
    return Line(estimate(fixed), estimate(each), tuple(zip(fixed, each, strict=True)))
