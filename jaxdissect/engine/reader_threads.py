"""Threads that read examples while the device computes, and that nobody has to wait for."""

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_PATIENCE = 5.0  # seconds to wait for what is being read


class ReaderThreads:
    """Threads that call functions in the order in which they are given.

    Unlike those of `concurrent.futures` they never keep a process alive: a source that hangs, on a
    network drive for example, does not keep Ctrl+C or an error elsewhere from ending it.

    Args:
        number: How many; they start with the first call.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def submit(
        self,
        function: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> "Future[Result]":
        """Call a function in one of the threads, after those given before have begun."""
        future: Future[Result] = Future()

        def call() -> None:
            if self._closed.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as problem:
                future.set_exception(problem)

        self._calls.put(call)
        if len(self._threads) < self._number:
            if not self._threads:
                _open.add(self)
            thread = threading.Thread(
                target=_work, args=(self._calls,), name="jaxdissect-reader", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        return future

    def stop(self) -> None:
        """Cancel the calls that have not begun, and wait for none."""
        self._closed.set()
        _open.discard(self)
        for _ in self._threads:
            self._calls.put(None)

    def join(self, until: float) -> None:
        """Wait for the calls that have begun, until a time of `time.monotonic`."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(until - time.monotonic(), 0))


def close(*every: ReaderThreads, patience: float | None = None) -> None:
    """Cancel the calls that have not begun, and wait a while for the others.

    Args:
        every: Whose calls.
        patience: Seconds; some, if it is left out.
    """
    for threads in every:
        threads.stop()
    until = time.monotonic() + (_PATIENCE if patience is None else patience)
    for threads in every:
        threads.join(until)


def _work(calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # with what it read


def num_cores() -> int:
    """Count the processor cores that this process may use."""
    with contextlib.suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_open: "weakref.WeakSet[ReaderThreads]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Let no thread run into the end of the interpreter, as far as it can be helped."""
    close(*_open, patience=1.0)
