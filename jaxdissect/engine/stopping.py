"""Stop a long computation where it can resume, when its process is asked to end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable


class Stopped(KeyboardInterrupt):
    """A computation was asked to stop, and has saved how far it came."""


@runtime_checkable
class Stoppable(Protocol):
    """A progress that knows whether the process is asked to end, as that of the command line."""

    def until_saved(self) -> AbstractContextManager[Callable[[], bool]]:
        """Hold signals back; what it gives tells whether one has come."""
        ...


@contextmanager
def held_back(progress: Any) -> Iterator[Callable[[], bool]]:
    """Let nothing interrupt the steps of a computation that saves where it is.

    Args:
        progress: What the computation reports to; other objects than `Stoppable` hold nothing back.

    Yields:
        What tells whether the computation is to save where it is, and to raise `Stopped`.
    """
    if isinstance(progress, Stoppable):
        with progress.until_saved() as is_asked:
            yield is_asked
    else:
        yield lambda: False
