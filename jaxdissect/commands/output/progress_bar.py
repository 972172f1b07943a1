"""Show the user on stderr what is going on: the plan, and how far each pass over the data is."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from jaxdissect.arrays.names import printable_lines
from jaxdissect.commands.interruption import until_saved
from jaxdissect.engine.folding import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

LINE_SECONDS = 30
"""Between two lines about the progress, where there is no terminal."""

PLAN_LOGGER = "jaxdissect.dissection.run"
"""The logger that announces, before the work begins, what is kept and what is computed again."""

METER_LOGGER = "jaxdissect.engine.meter"
"""The logger that tells the figures of every pass, when it has ended."""

SHOWN_SECONDS = 1.0
"""Figures of shorter passes are not shown; all of them stand in `run.json`."""


_shown: "list[Bars]" = []
"""The bar that is shown, if any."""


def print_meanwhile(text: str) -> None:
    """Print on stdout what is known already; a bar on the terminal is away meanwhile."""
    for bars in _shown:
        bars.stop()
    print(printable_lines(text), flush=True)
    for bars in _shown:
        bars.start()


@contextmanager
def progress_bar(*, quiet: bool = False, console: "Console | None" = None) -> Iterator[Progress]:
    """Show the progress, the plan and the meter of the library while the context is open.

    Args:
        quiet: Show nothing.
        console: Where to show it; stderr when None. A bar is drawn only on a terminal; elsewhere a
            line is written every `LINE_SECONDS`.

    Yields:
        The function to pass to those that take a `progress`.
    """
    if quiet:
        yield _Nothing()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = console or Console(stderr=True)
    with _plan_shown(console):
        if not console.is_terminal:
            yield _Lines(console)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with Bars(*columns, console=console, transient=True) as bars:
            _shown.append(bars)
            try:
                yield _CurrentPass(bars)
            finally:
                _shown.remove(bars)


class _Resumable:
    """Lets computations that save where they are end a step when the process is to end."""

    def until_saved(self) -> AbstractContextManager[Callable[[], bool]]:
        return until_saved()


class _Nothing(_Resumable):
    """Shows nothing."""

    def __call__(self, description: str, done: int, total: int, /) -> None:
        pass


class _Lines(_Resumable):
    """A line now and then about the pass that is running, as in a log."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._pass, self._done = "", 0
        self._begun = 0
        self._begun_at = self._shown_at = time.monotonic()
        self._figures = ""

    def show_figures(self, figures: str, /) -> None:
        """Show these figures at the end of the next line."""
        self._figures = figures

    def __call__(self, description: str, done: int, total: int, /) -> None:
        now = time.monotonic()
        if description != self._pass or done < self._done:
            self._pass, self._begun = description, done
            self._begun_at = now
        self._done = done
        if now - self._shown_at < LINE_SECONDS or not total:
            return
        self._shown_at = now
        line = f"{description}: {done} of {total}, {done / total:.0%}"
        if done > self._begun:
            seconds = (now - self._begun_at) / (done - self._begun) * (total - done)
            line += f", {timedelta(seconds=round(seconds))} left"
        if self._figures:
            line += f", {self._figures}"
        self._console.print(printable_lines(line), markup=False, highlight=False, soft_wrap=True)


class _CurrentPass(_Resumable):
    """One bar, for the pass that is running."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._figures = ""

    def show_figures(self, figures: str, /) -> None:
        """Show these figures behind the bar."""
        self._figures = figures

    def __call__(self, description: str, done: int, total: int, /) -> None:
        current = self._bars.tasks[0] if self._bars.tasks else None
        # A pass begins with nothing done; its estimate of the time must not see the one before.
        if current is None or current.description != description or done < current.completed:
            if current is not None:
                self._bars.remove_task(current.id)
            self._bars.add_task(description, total=total, figures="")
        self._bars.update(self._bars.tasks[0].id, completed=done, figures=self._figures)


class _ConsoleHandler(logging.Handler):
    """Prints log messages above the bar."""

    def __init__(self, console: "Console") -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "seconds", SHOWN_SECONDS) < SHOWN_SECONDS:
            return
        text = printable_lines(record.getMessage())
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _plan_shown(console: "Console") -> Iterator[None]:
    handler = _ConsoleHandler(console)
    loggers = [logging.getLogger(name) for name in (PLAN_LOGGER, METER_LOGGER)]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False  # some library may have set up a log of its own
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
