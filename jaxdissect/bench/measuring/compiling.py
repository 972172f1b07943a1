"""How long programs take to compile: with nothing kept, and from the persistent cache.

All of it counts that a first call waits for: tracing, lowering and compiling. A folder of its own
stands in for the persistent cache, so that what earlier runs have kept makes nothing look quick.
What a backend has learned in this process, such as which kernels are fastest, remains.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxdissect.bench.measuring.repeats import runs_under_way

_EVENTS = "/jax/core/compile/"  # how the names of events begin that are tracing and compiling


class Compiled(NamedTuple):
    """A compiled program, and how long it took.

    Attributes:
        program: To be called with the same arguments.
        cold: Seconds with nothing kept.
        cached: Seconds from the persistent cache.
    """

    program: Any
    cold: float
    cached: float


class FirstRuns(NamedTuple):
    """What the first two runs took.

    Attributes:
        first: Seconds of the first run, without compiling.
        second: The same of the second.
        cold: Seconds of compiling in the first run, with nothing kept.
        cached: The same of the second, from the persistent cache.
        under_way: How many runs may be under way at a time.
    """

    first: float
    second: float
    cold: float
    cached: float
    under_way: int


def compile_twice(function: Any, arguments: tuple[Any, ...]) -> Compiled:
    """Compile a function from `jax.jit` with nothing kept, and again from the cache.

    Programs of this process that were compiled before are forgotten.
    """
    with _empty_cache():
        begun = time.perf_counter()
        program = function.lower(*arguments).compile()
        cold = time.perf_counter() - begun
        jax.clear_caches()
        begun = time.perf_counter()
        function.lower(*arguments).compile()
        cached = time.perf_counter() - begun
    return Compiled(program, cold, cached)


def run_twice(run: Callable[[], Any]) -> FirstRuns:
    """Run something with nothing kept, and again from the cache, and tell compiling from running.

    Programs of this process that were compiled before are forgotten.
    """
    with _empty_cache():
        first, cold, _ = _run(run)
        jax.clear_caches()
        second, cached, under_way = _run(run)
    return FirstRuns(first, second, cold, cached, under_way)


def _run(run: Callable[[], Any]) -> tuple[float, float, int]:
    """Run once; returns seconds of running, of compiling, and how many may be under way."""
    with compiling_told() as spans:
        begun = time.perf_counter()
        answer = jax.block_until_ready(run())
        taken = time.perf_counter() - begun
    compiling = min(covered(spans), taken)
    return taken - compiling, compiling, runs_under_way(answer)


@contextmanager
def compiling_told() -> Iterator[list[tuple[float, float]]]:
    """Collect when anything is traced, lowered or compiled: begin and end, in seconds."""
    spans: list[tuple[float, float]] = []
    lock = threading.Lock()

    def listen(event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
        if event.startswith(_EVENTS):
            with lock:
                spans.append((start_time, end_time))

    jax.monitoring.register_event_time_span_listener(listen)
    try:
        yield spans
    finally:
        jax.monitoring.unregister_event_time_span_listener(listen)


def covered(spans: list[tuple[float, float]]) -> float:
    """Measure how much time spans cover, of which some lie in others or in other threads."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Let the persistent cache be an empty folder that keeps everything, and forget programs."""
    settings: dict[str, Any] = {
        "jax_enable_compilation_cache": True,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_compilation_cache_max_size": -1,
    }
    with tempfile.TemporaryDirectory(prefix="jaxdissect-bench-") as folder:
        settings["jax_compilation_cache_dir"] = folder
        before = {name: getattr(jax.config, name) for name in settings}
        try:
            for name, value in settings.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()  # it reads its settings once
            jax.clear_caches()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
