import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxdissect.bench.checking.gate import equal
from jaxdissect.bench.measuring.row import measure
from jaxdissect.bench.workload import Prepared, Program, Work, Workload
from jaxdissect.engine.devices import data_mesh

WORK = Work(products=2.0 * 8**3, operations=0.0, bytes=2.0 * 4 * 8**2, counted="by the formula")


@pytest.fixture(autouse=True)
def _a_machine_that_is_always_as_fast(monkeypatch):
    monkeypatch.setattr("jaxdissect.bench.measuring.row.probe", lambda: 0.5)


@dataclass(frozen=True)
class Sizes:
    size: int = 8
    precision: str = "default"


@jax.jit
def squared(values):
    return values @ values


def values(sizes):
    return jnp.arange(sizes.size**2, dtype=jnp.float32).reshape(sizes.size, -1) % 3


def check(answer):
    expected = np.asarray(values(Sizes())).astype(int)
    return equal(np.asarray(answer).astype(int), expected @ expected, against="NumPy")


def prepare(sizes):
    program = Program(function=squared, arguments=(values(sizes),))
    return Prepared(images=4, work=WORK, check=check, program=program)


def measured(prepare, **options):
    workload = Workload(name="square", summary="Squares.", sizes=Sizes, prepare=prepare)
    return measure("a row", workload, Sizes(), seconds=0.02, least_repeats=3, **options)


def test_a_program_is_compiled_timed_checked_and_counted():
    row = measured(prepare)
    assert row.problem == ""
    assert (row.name, row.workload, row.images, row.devices) == ("a row", "square", 4, 1)
    assert row.sizes == {"size": 8, "precision": "default"}
    assert row.work == WORK
    assert row.analysed is not None and row.analysed.products == WORK.products
    assert row.timing is not None and len(row.timing.seconds) >= 3
    assert min(row.timing.seconds) > 0 and row.timing.first > 0
    assert row.timing.compile_cold is not None and row.timing.compile_cold > 0
    assert row.timing.compile_cached is not None and row.timing.compile_cached > 0
    assert row.memory is not None and row.memory.arguments == row.memory.outputs == 4 * 64
    assert row.memory.peak > 0
    assert row.gate is not None and row.gate.passed and row.gate.fingerprint
    assert row.probe == (0.5, 0.5)


def test_a_wrong_answer_fails_the_gate_however_fast():
    def wrong(sizes):
        program = Program(function=jax.jit(lambda x: x), arguments=(values(sizes),))
        return Prepared(images=4, work=WORK, check=check, program=program)

    row = measured(wrong)
    assert row.problem == "" and row.timing is not None
    assert row.gate is not None and not row.gate.passed


class Counting:
    """A run that answers how often it has run, and can say so only then."""

    def __init__(self):
        self.runs, self.checked = 0, []
        self.notes: dict[str, Any] = {"kind": "counting"}

    def run(self):
        self.runs += 1
        self.notes["runs"] = self.runs
        return self.runs

    def check(self, answer):
        self.checked.append(answer)
        return equal(np.array(answer), np.array(answer), against="itself")

    def prepared(self, sizes=None):
        return Prepared(images=1, work=WORK, check=self.check, run=self.run, notes=self.notes)


def test_what_is_checked_is_the_answer_of_a_timed_run():
    counting = Counting()
    row = measured(lambda sizes: counting.prepared())
    assert row.problem == ""
    assert counting.checked == [counting.runs]
    assert row.timing is not None
    assert counting.runs >= 2 + len(row.timing.seconds) * row.timing.runs_per_repeat
    assert row.analysed is None
    assert row.notes == {
        "kind": "counting",
        "runs": counting.runs,
        "cost_analysis": "not one program",
    }


def test_work_of_runs_may_be_counted_by_their_maker():
    prepared = dataclasses.replace(Counting().prepared(), analysed=lambda: WORK)
    assert measured(lambda sizes: prepared).analysed == WORK


def test_what_xla_cannot_count_is_told():
    def looped(sizes):
        function = jax.jit(lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 0, squared, squared(x)))
        return dataclasses.replace(
            prepare(sizes), program=Program(function=function, arguments=(values(sizes),))
        )

    row = measured(looped)
    assert row.problem == "" and row.analysed is None
    assert "how many turns" in row.notes["cost_analysis"]


def test_what_cannot_be_prepared_is_a_problem_of_its_row():
    def without_memory(sizes):
        raise MemoryError("RESOURCE_EXHAUSTED:\n  out of memory")

    row = measured(without_memory)
    assert row.problem == "MemoryError: RESOURCE_EXHAUSTED: out of memory"
    assert row.timing is None and row.gate is None and row.work is None
    assert row.probe == (0.5, 0.5)


def test_what_was_measured_before_a_failure_remains():
    def unchecked(answer):
        raise ValueError("no oracle")

    row = measured(lambda sizes: dataclasses.replace(prepare(sizes), check=unchecked))
    assert row.problem == "ValueError: no oracle"
    assert row.timing is not None and row.gate is None and row.work == WORK


def test_an_interruption_passes_through():
    def interrupted(sizes):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(interrupted)


def test_devices_that_take_part_are_counted():
    mesh = data_mesh(4)
    assert mesh is not None

    def spread(sizes):
        arguments = jax.device_put(
            values(sizes), NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
        )
        return dataclasses.replace(
            prepare(sizes), program=Program(function=squared, arguments=(arguments,))
        )

    assert measured(spread).devices == 4
    told = dataclasses.replace(Counting().prepared(), devices=2)
    assert measured(lambda sizes: told).devices == 2


def test_a_trace_is_kept_where_it_is_wanted(tmp_path):
    row = measured(prepare, trace=tmp_path / "trace")
    assert row.problem == ""
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))
    assert "longest programs" in row.notes
