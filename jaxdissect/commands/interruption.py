"""End the process of a command when it is interrupted: always, soon, in one line, cleanly.

Ctrl+C (SIGINT) and SIGTERM, as `timeout` and `kill` send it, are raised as `Interrupted` where the
command is, so that whatever it holds open is closed. Python loses an exception that is raised in
certain places (a callback of the garbage collector, an import): it is raised again. And compiled
code ends before anything is raised: a thread ends the process all the same, after `GRACE` seconds
or with the second signal.
A computation with checkpoints holds signals back (`until_saved`): it ends its step and saves where
it is, for which it has `GRACE_TO_SAVE` seconds. The second signal ends it at once, where the last
saved state is what it resumes from.
This module imports next to nothing, so that it can watch over the imports of all others.
"""

import _thread
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What is said of them."""

GRACE = 5.0
"""Seconds that a command has to close what it holds open."""

GRACE_TO_SAVE = 900.0
"""Seconds that a computation has to end a step, which may be an attack on many images, and save."""

RESUMES = "; the same command resumes"
"""What is said if all that was computed is saved."""

_MOMENT = 0.1  # seconds

_LOST = 0  # among the numbers of signals: the exception that was raised last is lost


class _Held:
    """Signals that are held back in this process."""

    depth = 0
    number = 0


@contextmanager
def until_saved() -> Iterator[Callable[[], bool]]:
    """Hold signals back while steps run that can be saved.

    Yields:
        What tells whether a signal has come: time to save and to end.

    Raises:
        Interrupted: If one has come, in the end, and nothing else was raised.
    """
    _Held.depth += 1
    try:
        yield lambda: bool(_Held.number)
    finally:
        _Held.depth -= 1
    if _Held.number and not _Held.depth:
        raise Interrupted(_Held.number)


def held_signal() -> int:
    """Return the signal that was held back, or 0."""
    return _Held.number


class Interrupted(KeyboardInterrupt):
    """A signal has come.

    Attributes:
        number: Which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALS[signal.Signals(number)])
        self.number = number


def end_when_interrupted() -> None:
    """Let signals end the process at once, as long as there is nothing to close: in imports."""
    _handle(lambda number, frame: end(number))


def raise_when_interrupted(clean: Callable[[], None]) -> None:
    """Let signals raise `Interrupted`, and end the process if that has no effect.

    Args:
        clean: Removes what must not stay, called in another thread before such an end.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, clean), daemon=True).start()
    sys.unraisablehook = partial(_notice_lost, writer)
    _handle(_raise)


def end(number: int, *, more: str = "") -> NoReturn:
    """Say that the process was interrupted and end it, with no more code of any library."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, RuntimeError, AttributeError):
            pass  # closed, or the signal came while it was being written to
    try:
        shown = "\x1b[?25h" if os.isatty(2) else ""  # the cursor, which a bar may have hidden
        os.write(2, f"{shown}jaxdissect: {SIGNALS[signal.Signals(number)]}{more}\n".encode())
    finally:
        os._exit(128 + number)


def _raise(number: int, frame: FrameType | None) -> None:
    if _Held.depth and not _Held.number:
        _Held.number = number
    else:
        raise Interrupted(number)


def _handle(handler: Callable[[int, FrameType | None], object]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        # `nohup` and shells start processes that must not be interrupted.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _notice_lost(writer: int, problem: Any) -> None:
    if issubclass(problem.exc_type, Interrupted):
        os.write(writer, bytes([_LOST]))
    else:
        sys.__unraisablehook__(problem)


def _watch(reader: int, clean: Callable[[], None]) -> None:
    number = repeated = 0
    deadline = float("inf")
    while True:
        left = None if deadline == float("inf") else max(deadline - time.monotonic(), 0)
        if not select.select([reader], [], [], left)[0]:
            break
        byte = os.read(reader, 1)[0]
        if byte == _LOST:
            repeated += 1
            time.sleep(_MOMENT)  # raised before the hook returns, it would be lost again
            _thread.interrupt_main(signal.Signals(number))
        elif byte in list(SIGNALS):
            if repeated:
                repeated -= 1
            elif number:
                break
            else:
                grace = GRACE_TO_SAVE if _Held.depth else GRACE
                number, deadline = byte, time.monotonic() + grace
    clean()
    end(number)
