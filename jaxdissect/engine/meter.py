"""How fast passes over the data are, and what they wait for.

A `Meter` is passed to an experiment as its `progress`, wraps another progress, and measures every
pass: examples per second, the share of time spent waiting for data and the source that was waited
for, bytes that moved between host and devices, forward passes of the network, and the peak of the
memory of the devices.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import jax

from jaxdissect.engine.batching import source_name
from jaxdissect.engine.progress import FiguresShown, Progress
from jaxdissect.engine.stopping import Stoppable

_log = logging.getLogger(__name__)

SLOW = 0.2
"""Share of the time waited for data above which a source is named as slow."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class PassFigures:
    """What was measured of a pass, or of all passes together.

    Attributes:
        description: What the pass was for.
        source: What the examples came from.
        examples: Examples that passed; of all passes, those of the largest.
        seconds: How long it took.
        examples_per_second: Examples divided by seconds.
        waiting: Share of the time spent waiting for data, 0 to 1.
        forward_passes: Forward passes of the network per example.
        bytes_moved: Bytes per example that moved between host and devices, either way.
        memory_peak: Greatest number of bytes in use on one device until then; where devices do not
            count them, as processors do not, that of this process.
    """

    description: str
    source: str
    examples: int
    seconds: float
    examples_per_second: float
    waiting: float
    forward_passes: float
    bytes_moved: float
    memory_peak: int

    def __str__(self) -> str:
        figures = [f"{_number(self.examples_per_second)} images/s"]
        if self.waiting >= SLOW:
            figures.append(f"waiting for data {self.waiting:.0%} of the time: {self.source}")
        else:
            figures.append(f"waiting for data {self.waiting:.0%} of the time")
        figures.append(f"{_bytes(self.bytes_moved)} moved per image")
        figures.append(f"{_number(self.forward_passes)} forward passes per image")
        figures.append(f"memory peak {_bytes(self.memory_peak)}")
        return ", ".join(figures)


class MeteredPass:
    """A pass over the data that is measured while it runs; made by `Meter.begin`.

    Whoever runs the pass calls the methods, all in one thread.
    """

    def __init__(
        self, meter: "Meter", description: str, source: Any, total: int, *, start: int
    ) -> None:
        self._meter, self._description, self._total = meter, description, total
        self._source = source_name(source)
        self._begun_at = meter.clock()
        self._start = self._done = start
        self._ended = False
        self._waited = 0.0
        self._bytes = self._seen = 0
        self._forward_passes = 0
        meter.show(description, start, total, "")

    def waited(self, seconds: float) -> None:
        """Add time in which there was nothing to compute, since data was missing."""
        self._waited += seconds

    def reading(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield from an iterator; the time that it takes is time waited for data."""
        iterator, clock = iter(batches), self._meter.clock
        while True:
            begun = clock()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            finally:
                self.waited(clock() - begun)
            yield batch

    def moved(self, number: int) -> None:
        """Add bytes that moved from the host to devices, or back."""
        self._bytes += number

    def ran(self, examples: int, *, forward_passes: int = 1) -> None:
        """Add examples that a step has seen.

        Args:
            examples: How many, in this process.
            forward_passes: How often the network ran for each; 0 where kept activations are read.
        """
        self._seen += examples
        self._forward_passes += forward_passes * examples

    def reached(self, done: int) -> None:
        """Show that so many examples are done, those before `start` among them."""
        self._done = done
        self._meter.show(self._description, done, self._total, self._line())

    def end(self) -> PassFigures:
        """End the pass: its figures are logged and kept by the meter. Only the first end counts."""
        figures = self.figures()
        if not self._ended:
            self._ended = True
            self._meter.keep(figures)
        return figures

    def figures(self) -> PassFigures:
        """Return what is measured until now."""
        examples, seconds = self._done - self._start, self._meter.clock() - self._begun_at
        seen = max(self._seen, 1)
        return PassFigures(
            description=self._description,
            source=self._source,
            examples=examples,
            seconds=seconds,
            examples_per_second=examples / seconds if seconds > 0 else 0.0,
            waiting=min(self._waited / seconds, 1.0) if seconds > 0 else 0.0,
            forward_passes=self._forward_passes / seen,
            bytes_moved=self._bytes / seen,
            memory_peak=memory_peak(),
        )

    def _line(self) -> str:
        seconds = self._meter.clock() - self._begun_at
        if seconds <= 0 or self._done == self._start:
            return ""
        line = f"{_number((self._done - self._start) / seconds)} images/s"
        waiting = min(self._waited / seconds, 1.0)
        if waiting >= SLOW:
            line += f", waiting for data {waiting:.0%} of the time: {self._source}"
        return f"{line}, {_bytes(memory_peak())} peak"


class Meter:
    """A progress that wraps another one and measures every pass over the data.

    Pass it to any experiment as `progress`, and read `summary()` afterwards.

    Attributes:
        passes: The figures of the passes that have ended, in order.
    """

    def __init__(self, *wrapped: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        """Wrap a progress.

        Args:
            wrapped: What shows the progress, or nothing; a `FiguresShown` shows the figures too.
            clock: Gives seconds.
        """
        self.clock = clock
        self.passes: list[PassFigures] = []
        self._wrapped = wrapped
        self._begun_at = clock()

    def __call__(self, description: str, done: int, total: int, /) -> None:
        """Show how far something has come that is not measured."""
        self.show(description, done, total, "")

    def begin(self, description: str, source: Any, total: int, *, start: int = 0) -> MeteredPass:
        """Begin to measure a pass.

        Args:
            description: What the pass is for.
            source: What the examples come from.
            total: How many there are.
            start: How many of them were done before, by a run that was interrupted.
        """
        return MeteredPass(self, description, source, total, start=start)

    def show(self, description: str, done: int, total: int, figures: str) -> None:
        """Pass the progress and the figures on to what shows them."""
        for progress in self._wrapped:
            if isinstance(progress, FiguresShown):
                progress.show_figures(figures)
            progress(description, done, total)

    def until_saved(self) -> AbstractContextManager[Callable[[], bool]]:
        """Hold signals back if what is wrapped does, see `jaxdissect.engine.stopping`."""
        stoppable = [progress for progress in self._wrapped if isinstance(progress, Stoppable)]
        return stoppable[0].until_saved() if stoppable else nullcontext(lambda: False)

    def keep(self, figures: PassFigures) -> None:
        """Log the figures of a pass that has ended, with its `seconds`, and keep them."""
        self.passes.append(figures)
        _log.info(
            "%s: %d images in %.1f s, %s",
            figures.description,
            figures.examples,
            figures.seconds,
            figures,
            extra={"seconds": figures.seconds},
        )

    def summary(self) -> PassFigures:
        """Put the passes that have ended together.

        Examples are those of the largest pass; forward passes and bytes of all passes are divided
        by them. Seconds are those since the meter was made.
        """
        seconds = self.clock() - self._begun_at
        examples = max((part.examples for part in self.passes), default=0)
        waited = sum(part.waiting * part.seconds for part in self.passes)
        slowest = max(self.passes, key=lambda part: part.waiting * part.seconds, default=None)
        return PassFigures(
            description="all passes",
            source="" if slowest is None else slowest.source,
            examples=examples,
            seconds=seconds,
            examples_per_second=examples / seconds if seconds > 0 else 0.0,
            waiting=min(waited / seconds, 1.0) if seconds > 0 else 0.0,
            forward_passes=sum(part.forward_passes * part.examples for part in self.passes)
            / max(examples, 1),
            bytes_moved=sum(part.bytes_moved * part.examples for part in self.passes)
            / max(examples, 1),
            memory_peak=memory_peak(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the summary and the figures of every pass as JSON values."""
        return {
            "summary": asdict(self.summary()),
            "passes": [asdict(figures) for figures in self.passes],
        }


def as_meter(progress: Progress) -> Meter:
    """Return a progress that is a meter, or a new meter around any other."""
    return progress if isinstance(progress, Meter) else Meter(progress)


def memory_peak() -> int:
    """Find the greatest number of bytes in use on one device of this process until now.

    Where no device counts its memory, the greatest resident memory of this process.
    """
    peaks = [
        stats["peak_bytes_in_use"]
        for device in jax.local_devices()
        if (stats := device.memory_stats()) and "peak_bytes_in_use" in stats
    ]
    if peaks:
        return max(peaks)
    try:
        import resource
    except ImportError:  # Windows has no such count
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _number(value: int | float) -> str:
    """Write a number with two or three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(number: int | float) -> str:
    """Write a number of bytes in a unit of its size."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{_number(number)} {unit}"
        number /= 1024
    return f"{_number(number)} GiB"
