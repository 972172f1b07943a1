"""Measure a workload: compile it, time it, check a timed answer, and compare it with its work.

A row never raises: what goes wrong stands in it, and everything that was measured until then.
"""

import dataclasses
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax

from jaxdissect.bench.measuring.analysis import NotCounted, analyse
from jaxdissect.bench.measuring.compiling import FirstRuns, compile_twice, run_twice
from jaxdissect.bench.measuring.peaks import PeakOfRow
from jaxdissect.bench.measuring.probe import probe
from jaxdissect.bench.measuring.repeats import repeat, runs_under_way
from jaxdissect.bench.measuring.traces import longest_programs
from jaxdissect.bench.problems import in_words
from jaxdissect.bench.record import Memory, Row, Timing
from jaxdissect.bench.workload import Prepared, Program, Work, Workload

Sizes = TypeVar("Sizes")

_PROGRAMS = 5  # of a trace, those that take longest


def measure(
    name: str,
    workload: Workload[Sizes],
    sizes: Sizes,
    *,
    seconds: float = 2.0,
    least_repeats: int = 5,
    trace: Path | None = None,
) -> Row:
    """Measure a workload of given sizes.

    Args:
        name: Of the row, unique in its suite.
        workload: What is measured.
        sizes: How large it is.
        seconds: How long it is timed.
        least_repeats: How often it is timed at least, however long that takes.
        trace: Folder for a trace by `jax.profiler` of one more run, which is not timed; the notes
            then say what took longest in it.

    Returns:
        The row. Whatever failed stands in its `problem`.
    """
    found: dict[str, Any] = {}
    problem = ""
    try:
        found["probe"] = (probe(),)
        _measure(workload, sizes, seconds, least_repeats, trace, found)
    except Exception as error:  # of any kind: a row must not end the suite
        problem = in_words(error)
    jax.clear_caches()  # programs of this row, and what they hold, are not needed again
    gc.collect()
    try:
        found["probe"] = (*found.get("probe", ()), probe())
    except Exception as error:
        problem = problem or in_words(error)
    row = Row(
        name=name,
        workload=workload.name,
        sizes=dataclasses.asdict(sizes),  # pyright: ignore[reportArgumentType]
        devices=found.pop("devices", 1),
        images=found.pop("images", 0),
        work=found.pop("work", None),
        analysed=found.pop("analysed", None),
        timing=found.pop("timing", None),
        memory=found.pop("memory", None),
        gate=found.pop("gate", None),
        probe=found.pop("probe", ()),
        notes=found.pop("notes", {}),
        problem=problem,
    )
    return row


def _measure(
    workload: Workload[Sizes],
    sizes: Sizes,
    seconds: float,
    least_repeats: int,
    trace: Path | None,
    found: dict[str, Any],
) -> None:
    """Fill in what is found, bit by bit, so that a failure leaves what was found before."""
    prepared = workload.prepare(sizes)
    found |= {"images": prepared.images, "work": prepared.work, "notes": dict(prepared.notes)}
    peak = PeakOfRow()
    if prepared.program is not None:
        run, first, compiled = _compiled(prepared.program)
    else:
        assert prepared.run is not None  # `Prepared` sees to it
        run, compiled = prepared.run, None
        first = run_twice(run)
    repeats = repeat(
        run,
        seconds=seconds,
        least_repeats=least_repeats,
        expected=first.second,
        under_way=first.under_way,
    )
    found["timing"] = Timing(
        seconds=repeats.seconds,
        runs_per_repeat=repeats.runs_per_repeat,
        first=first.first,
        compile_cold=first.cold,
        compile_cached=first.cached,
    )
    found["memory"] = _memory(compiled, peak)
    found["devices"] = _devices(prepared, repeats.answer)
    found["notes"] |= prepared.notes  # some are known only after a run
    found["gate"] = prepared.check(repeats.answer)
    del repeats
    found["analysed"], why = _analysed(prepared, compiled)
    if why:
        found["notes"].setdefault("cost_analysis", why)
    if trace is not None:
        with jax.profiler.trace(str(trace)):
            jax.block_until_ready(run())
        found["notes"]["longest programs"] = [
            [name, round(seconds, 6)] for name, seconds in longest_programs(trace)[:_PROGRAMS]
        ]


def _compiled(program: Program) -> tuple[Callable[[], Any], FirstRuns, Any]:
    """Compile a program and run it twice; returns what runs it, what that took, and itself."""
    compiled = compile_twice(program.function, program.arguments)

    def run() -> Any:
        return compiled.program(*program.arguments)

    first, _, answer = repeat(run, seconds=0.0, least_repeats=1, expected=0.0)
    under_way = runs_under_way(answer)
    del answer
    second, _, _ = repeat(run, seconds=0.0, least_repeats=1, expected=0.0)
    taken = FirstRuns(first[0], second[0], compiled.cold, compiled.cached, under_way)
    return run, taken, compiled.program


def _memory(compiled: Any, peak: PeakOfRow) -> Memory:
    """Find what a program takes, of which each device has its part, and the peak."""
    sizes = None
    if compiled is not None:
        try:
            sizes = compiled.memory_analysis()
        except Exception:  # a backend that cannot tell
            sizes = None
    return Memory(
        arguments=getattr(sizes, "argument_size_in_bytes", None),
        outputs=getattr(sizes, "output_size_in_bytes", None),
        temporary=getattr(sizes, "temp_size_in_bytes", None),
        peak=peak.process(),
        in_row=peak.row(),
        before=peak.before,
    )


def _devices(prepared: Prepared, answer: Any) -> int:
    """Count the devices that take part: those that hold the arguments, or the answer."""
    if prepared.devices is not None:
        return prepared.devices
    values = prepared.program.arguments if prepared.program is not None else answer
    holders = {
        device
        for leaf in jax.tree.leaves(values)
        if isinstance(leaf, jax.Array)
        for device in leaf.devices()
    }
    return max(len(holders), 1)


def _analysed(prepared: Prepared, compiled: Any) -> tuple[Work | None, str]:
    """Count the work by XLA's analysis; or tell why it cannot be counted."""
    try:
        if prepared.program is not None:
            return analyse(prepared.program.function, prepared.program.arguments, compiled), ""
        if prepared.analysed is not None:
            return prepared.analysed(), ""
    except NotCounted as reason:
        return None, str(reason)
    except Exception as error:
        return None, in_words(error)
    return None, "not one program"
