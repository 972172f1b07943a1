"""Workloads and studies of the benchmark that take no time: right, wrong, and failing ones."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.gate import equal, within
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
        work=Work(products=0.0, operations=sizes.number, bytes=8.0 * sizes.number, counted="sums"),
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
        tables=[ResultTable(title="Ones", columns=("a", "b"), rows=((np.float32(1.5), None),))],
        gates={"one": within(found, 1.0, tolerance, reason="rounding", against="one")},
        data={"rates": np.asarray([roofs.bytes, np.inf]), "empty": []},
    )


STUDY = Study(name="ones", summary="Is one one?", sizes=ToySizes, measure=measure_toy)
WORKLOADS = {DOUBLING.name: DOUBLING}
STUDIES = {STUDY.name: STUDY}
