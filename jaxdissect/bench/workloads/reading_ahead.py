"""Reading ahead: data and computing that both take a while, at the same time.

A source that takes some milliseconds for a batch and a step that takes some more are folded: in
all it should take little more than the longer of the two. Both sleep, so that the time is that of
the engine and not of the machine.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Work, Workload
from jaxdissect.bench.workloads.drawn_values import at_least
from jaxdissect.engine.folding import fold


@dataclass(frozen=True, kw_only=True)
class ReadingAheadSizes:
    """Sizes of `reading-ahead`.

    Attributes:
        steps: Batches of one example.
        read_ms: Milliseconds that the source sleeps for a batch.
        step_ms: Milliseconds that a step sleeps.
    """

    steps: int = 40
    read_ms: float = 20.0
    step_ms: float = 25.0

    def __post_init__(self) -> None:
        at_least(steps=self.steps)
        for name, value in (("read_ms", self.read_ms), ("step_ms", self.step_ms)):
            if not 0 <= value <= 10_000:
                raise ValueError(f"`{name}` (={value}) must be at least 0 and at most 10000")


class Slow:
    """A source that sleeps for every batch."""

    def __init__(self, number: int, seconds: float) -> None:
        self.number, self.seconds = number, seconds

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": np.int32(index)}

    def read(self, first: int, last: int) -> dict[str, Any]:
        """Sleep, and return the items from `first` up to, not including, `last`."""
        time.sleep(self.seconds)
        return {"x": np.arange(first, last, dtype=np.int32)}


def prepare(sizes: ReadingAheadSizes) -> Prepared:
    """Make a slow source and a slow step."""
    source = Slow(sizes.steps, sizes.read_ms / 1e3)

    def step(seen: tuple[int, ...], batch: dict[str, Any]) -> tuple[tuple[int, ...], Any]:
        time.sleep(sizes.step_ms / 1e3)
        return (*seen, int(batch["x"][0])), ()

    def run() -> np.ndarray:
        seen: tuple[int, ...] = ()
        return np.array(fold(step, seen, source, batch_size=1))

    def check(answer: np.ndarray) -> Gate:
        return gate.equal(answer, np.arange(sizes.steps), against="every example once, in order")

    longer = max(sizes.read_ms, sizes.step_ms)
    return Prepared(
        images=sizes.steps,
        work=Work(
            products=0.0,
            operations=0.0,
            bytes=0.0,
            counted="nothing: both sleep. The row should take little more than the longer of both",
        ),
        check=check,
        run=run,
        notes={
            "longer of both (s)": round(sizes.steps * longer / 1e3, 4),
            "one after the other (s)": round(
                sizes.steps * (sizes.read_ms + sizes.step_ms) / 1e3, 4
            ),
        },
        devices=1,
    )


READING_AHEAD = Workload(
    name="reading-ahead",
    summary="A slow source and a slow step, which should take little more than the longer of both.",
    sizes=ReadingAheadSizes,
    prepare=prepare,
)
