"""Let contenders take turns in one process, and compare how long they take.

A turn runs each of them once, in an order that is reversed in every second turn, so that neither a
machine that becomes slower nor what the one before leaves behind favours anybody. Contenders that
take less than `LEAST_SECONDS` run several times in a turn.

The ratio of two contenders is that of their medians. Its interval is made of the ratios within the
turns, whose state of the machine both share: order statistics hold the median of any distribution
with a chance that the binomial distribution tells (the sign test, turned into an interval).
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import jax

from jaxdissect.bench.others.libraries import first_line
from jaxdissect.bench.others.match import Contender

LEAST_SECONDS = 0.02
"""How long a contender runs in a turn at least: clocks and dispatching count little then."""

IN_FLIGHT = 4
"""Answers of a contender that an accelerator may have to compute at the same time; a processor
gets one after the other, since it would run several at once on its cores."""

_PAUSE = 0.02  # Threads of the one before may wait for more to do, and keep cores busy meanwhile.
_MOST_CALLS = 1000


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long a contender took.

    Attributes:
        first: Its first run, with all that is only done once.
        seconds: Of one whole run, of every turn.
        cpu_seconds: The same of all threads of the process together.
        calls: Runs in a turn.
        steps: Of the last run; None where there are none.
        answer: Of the last run, which was timed.
    """

    first: float
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    calls: int
    steps: float | None
    answer: Any

    @property
    def median(self) -> float:
        """Median over the turns."""
        return median(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long one takes as another.

    Attributes:
        value: Of the medians.
        low: Lower end of the interval.
        high: Upper end of it.
        chance: That the interval holds the true one, if turns do not depend on each other.
    """

    value: float
    low: float
    high: float
    chance: float


def take_turns(
    contenders: Sequence[Contender],
    *,
    turns: int,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], Any] = time.sleep,
) -> tuple[dict[str, Times], dict[str, str]]:
    """Time contenders in turns.

    Args:
        contenders: Those that take part; names must differ.
        turns: How many turns there are at most.
        seconds: Turns end once they took as long together, but not before the third.
        clock: Tells seconds.
        pause: Waits.

    Returns:
        Times by name, and why others could not run, by name.

    Raises:
        ValueError: If there are no turns or two contenders have the same name.
    """
    if turns < 1:
        raise ValueError(f"`turns` (={turns}) must be at least 1")
    names = [contender.name for contender in contenders]
    if len(set(names)) < len(names):
        raise ValueError(f"`contenders` (={names}) must have different names")
    runners: dict[str, _Runner] = {}
    problems: dict[str, str] = {}
    for contender in contenders:
        try:
            runners[contender.name] = _Runner(contender, clock)
        except Exception as problem:  # of a library that was never tried here
            problems[contender.name] = _said(problem)
    begin = clock()
    for turn in range(turns):
        order = list(runners)
        for name in reversed(order) if turn % 2 else order:
            pause(_PAUSE)
            try:
                runners[name].run()
            except Exception as problem:
                problems[name] = _said(problem)
                del runners[name]
        if turn >= 2 and clock() - begin > seconds:
            break
    return {name: runner.times() for name, runner in runners.items()}, problems


class _Runner:
    """A contender that has run before; what is only done once is done."""

    def __init__(self, contender: Contender, clock: Callable[[], float]) -> None:
        self.contender, self.clock = contender, clock
        self.first, self.calls = 0.0, 1
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.answer: Any = None
        self.first, _ = self._timed()
        again, _ = self._timed()
        self.calls = min(math.ceil(LEAST_SECONDS / max(again, 1e-9)), _MOST_CALLS)

    def run(self) -> None:
        """Take a turn."""
        wall, cpu = self._timed()
        self.seconds.append(wall / self.contender.share)
        self.cpu_seconds.append(cpu / self.contender.share)

    def times(self) -> Times:
        """Tell what was found."""
        steps = self.contender.steps
        return Times(
            first=self.first,
            seconds=tuple(self.seconds),
            cpu_seconds=tuple(self.cpu_seconds),
            calls=self.calls,
            steps=None if steps is None else float(steps()),
            answer=self.answer,
        )

    def _timed(self) -> tuple[float, float]:
        run, wait = self.contender.run, self.contender.wait
        in_flight = 1 if jax.default_backend() == "cpu" else IN_FLIGHT
        self.answer = None  # what was computed before takes no memory
        begin, begin_cpu = self.clock(), time.process_time()
        for call in range(1, self.calls + 1):
            self.answer = run()
            if call % in_flight == 0:
                wait(self.answer)
        wait(self.answer)
        wall, cpu = self.clock() - begin, time.process_time() - begin_cpu
        return wall / self.calls, cpu / self.calls


def ratio(ours: Sequence[float], theirs: Sequence[float], *, chance: float = 0.95) -> Ratio:
    """Compare the times of the same turns.

    Args:
        ours: Seconds of the one that is divided by, of every turn.
        theirs: Seconds of the other.
        chance: With which the interval should hold the true ratio at least. Fewer than six turns
            cannot give 95%: the interval is from the least to the greatest ratio then, and its own
            `chance` says what that is worth.

    Raises:
        ValueError: If there are no turns, or not as many of both.
    """
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"`ours` ({len(ours)}) and `theirs` ({len(theirs)}) must have equal turns")
    floor = 1e-9  # clocks may not tell less apart
    found = sorted(
        max(their, floor) / max(our, floor) for our, their in zip(ours, theirs, strict=True)
    )
    number = len(found)
    outside, left_out = 2 * 0.5**number, 0
    while left_out + 1 < (number + 1) // 2:
        more = outside + 2 * math.comb(number, left_out + 1) * 0.5**number
        if more > 1 - chance:
            break
        outside, left_out = more, left_out + 1
    value = max(median(theirs), floor) / max(median(ours), floor)
    # The ratio of medians is not the median ratio, and few turns may set them apart.
    low, high = min(found[left_out], value), max(found[-1 - left_out], value)
    return Ratio(value=value, low=low, high=high, chance=max(0.0, 1 - outside))


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {first_line(problem)}"
