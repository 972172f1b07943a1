"""Workloads and studies of the benchmark that take no time: right, wrong, and failing ones."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from support.bench_runs import CPU, made_up_run

from jaxdissect.bench import run as running
from jaxdissect.bench.checking.gate import equal, within
from jaxdissect.bench.record import Memory, Row, Timing
from jaxdissect.bench.study import Found, ResultTable, Study
from jaxdissect.bench.workload import Prepared, Program, Work, Workload


@dataclass(frozen=True, kw_only=True)
class ToySizes:
    number: int = 8
    scale: float = 1.0
    kind: Literal["right", "wrong", "failing"] = "right"
    halves: tuple[int, ...] = (1, 2)
    limit: int | None = None
    twice: bool = False

    def __post_init__(self):
        if self.number < 1:
            raise ValueError(f"`number` (={self.number}) must be at least 1")


def prepare(sizes):
    if sizes.kind == "failing":
        raise MemoryError("more than this device has")
    numbers = jnp.arange(sizes.number, dtype=jnp.int32)
    expected = 2 * np.arange(sizes.number)
    if sizes.kind == "wrong":
        expected[-1] += 1
    return Prepared(
        images=sizes.number,
        work=Work(
            products=0.0, operations=1.0 * sizes.number, bytes=8.0 * sizes.number, counted="sums"
        ),
        check=lambda answer: equal(answer, expected, against="NumPy"),
        program=Program(function=jax.jit(lambda x: x + x), arguments=(numbers,)),
        notes={"halves": np.asarray(sizes.halves)},
    )


DOUBLING = Workload(name="doubling", summary="Add to itself.", sizes=ToySizes, prepare=prepare)


def measure_toy(sizes, roofs):
    if sizes.kind == "failing":
        raise RuntimeError("no such operation\n  on this device")
    found, tolerance = 1.0 + (sizes.kind == "wrong"), 1e-6
    return Found(
        tables=[ResultTable(title="Ones", columns=("a", "b"), rows=((1.5, None),))],
        gates={"one": within(found, 1.0, tolerance, reason="rounding", against="one")},
        data={"rates": np.asarray([roofs.bytes, np.inf]), "empty": []},
    )


STUDY = Study(name="ones", summary="Is one one?", sizes=ToySizes, measure=measure_toy)


def measure(name, workload, sizes, *, seconds, least_repeats, trace):
    """Stand in for that of the benchmark, which times for seconds and compiles everything anew."""
    prepared, problem = None, ""
    try:
        prepared = workload.prepare(sizes)
    except Exception as raised:
        problem = f"{type(raised).__name__}: {raised}"
    if trace is not None:
        trace.mkdir(parents=True)
    timing = Timing(
        seconds=tuple(0.001 + seconds for _ in range(least_repeats)),
        runs_per_repeat=1,
        first=0.002,
        compile_cold=0.5,
        compile_cached=None,
    )
    return Row(
        name=name,
        workload=workload.name,
        sizes=dataclasses.asdict(sizes),
        devices=1,
        images=0 if prepared is None else prepared.images,
        work=None if prepared is None else prepared.work,
        analysed=None,
        timing=None if prepared is None else timing,
        memory=Memory(arguments=1, outputs=1, temporary=None, peak=10),
        gate=None if prepared is None else prepared.check(run_once(prepared.program)),
        notes={} if prepared is None else prepared.notes,
        problem=problem,
    )


def run_once(program):
    return program.function(*program.arguments)


def stand_in(monkeypatch):
    """Let runs of suites take no time: no roofs are measured, and rows only once."""
    monkeypatch.setattr(running, "measure", measure)
    monkeypatch.setattr(running, "measure_roofs", lambda *, seconds: made_up_run().roofs)
    monkeypatch.setattr(running, "read_machine", lambda: CPU)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


WORKLOADS = {DOUBLING.name: DOUBLING}
STUDIES = {STUDY.name: STUDY}
