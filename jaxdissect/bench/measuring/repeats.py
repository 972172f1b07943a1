"""Run something again and again, and take the time of every repeat.

A repeat is several runs where one is too short for the clock. Devices that work beside the host
get them one after another without waiting for each, so that what is timed is the device, not the
way to it; few are under way at a time, since each has its answer in memory. A processor gets the
next when the last has ended: it would run both at once.
"""

import gc
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax

LEAST_SECONDS = 0.03
"""How long a repeat takes at least: a thousand times what starting and waiting once costs."""

MOST_RUNS = 10_000
"""Most runs in a repeat."""

UNDER_WAY = 8
"""Most runs that a device is given before the first of them has ended."""

_SHARE_OF_MEMORY = 8  # the answers of runs under way take no more than this part
_SHORTEST = 1e-9  # seconds: what a clock cannot tell from nothing


class Repeats(NamedTuple):
    """Times of runs.

    Attributes:
        seconds: Of one run, every repeat in order; above 0.
        runs_per_repeat: Runs that were timed together, of which `seconds` are the mean.
        answer: What the very last timed run has returned, ready.
    """

    seconds: tuple[float, ...]
    runs_per_repeat: int
    answer: Any


def repeat(
    run: Callable[[], Any],
    *,
    seconds: float,
    least_repeats: int = 3,
    expected: float | None = None,
    under_way: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Repeats:
    """Time runs until some time is over, with as many repeats as are wanted at least.

    Args:
        run: Starts a run and returns its answer, a pytree of arrays that may still be computed.
            It must have run before: nothing is left out of the times.
        seconds: How long it may take; a repeat that has begun ends.
        least_repeats: How many repeats there are at least, however long they take.
        expected: Seconds of a run, where an earlier one has shown that; if they are enough for a
            repeat, no run is needed to find how many are.
        under_way: Most runs at a time; `runs_under_way()` where None.
        clock: Gives seconds.

    Raises:
        ValueError: If `seconds` is negative or `least_repeats` is below 1.
    """
    if not seconds >= 0:
        raise ValueError(f"`seconds` (={seconds}) must not be negative")
    if least_repeats < 1:
        raise ValueError(f"`least_repeats` (={least_repeats}) must be at least 1")
    under_way = runs_under_way() if under_way is None else under_way
    with _rarely_collected():
        aim = min(LEAST_SECONDS, seconds / least_repeats)
        known = expected is not None and expected >= aim
        runs = 1 if known else _runs_per_repeat(run, aim, under_way, clock)
        times: list[float] = []
        answer = None
        begun = clock()
        while len(times) < least_repeats or clock() - begun < seconds:
            answer = None  # or two answers would take memory
            start = clock()
            answer = _several(run, runs, under_way)
            times.append(max((clock() - start) / runs, _SHORTEST))
    return Repeats(tuple(times), runs, answer)


def runs_under_way(answer: Any = None) -> int:
    """Tell how many runs are given to the devices of this process at a time.

    Args:
        answer: Of such a run: where it is large, fewer are under way.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return 1
    memory = (device.memory_stats() or {}).get("bytes_limit")
    size = max(_on_devices(answer).values(), default=0)
    if not memory or not size:
        return UNDER_WAY
    return int(min(max(memory // _SHARE_OF_MEMORY // size, 1), UNDER_WAY))


def _on_devices(answer: Any) -> Counter[Any]:
    """Count the bytes that an answer takes on each device."""
    sizes: Counter[Any] = Counter()
    for leaf in jax.tree.leaves(answer):
        if isinstance(leaf, jax.Array):
            for shard in leaf.addressable_shards:
                sizes[shard.device] += shard.data.nbytes
    return sizes


def _several(run: Callable[[], Any], runs: int, under_way: int) -> Any:
    """Run several times and wait for all; returns the last answer."""
    answers: deque[Any] = deque()
    for _ in range(runs - 1):
        answers.append(run())
        if len(answers) >= under_way:
            jax.block_until_ready(answers.popleft())
    last = run()
    jax.block_until_ready((list(answers), last))
    return last


def _runs_per_repeat(
    run: Callable[[], Any], aim: float, under_way: int, clock: Callable[[], float]
) -> int:
    """Find how many runs take `aim` seconds."""
    runs = 1
    while True:
        start = clock()
        _several(run, runs, under_way)
        taken = clock() - start
        if taken >= 0.5 * aim or runs >= MOST_RUNS:
            return min(max(math.ceil(runs * aim / max(taken, _SHORTEST)), 1), MOST_RUNS)
        # Times of a few short runs say little, so the number grows by no more than ten times.
        runs = min(math.ceil(runs * min(10.0, aim / max(taken, _SHORTEST))), MOST_RUNS)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Keep Python's collector from looking through all that was there before, in a timed run."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
