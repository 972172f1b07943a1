"""Strong and weak scaling, and the processes of their own in which processors are divided."""

import os

import pytest

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.children import ChildProblem, available_cores, child
from jaxdissect.bench.studies.dissecting import Timed
from jaxdissect.bench.studies.scaling import (
    SCALING,
    STRONG,
    WEAK,
    Place,
    ScalingSizes,
    _identical,
    _row,
)

ROOFS = Roofs(products={"default": 1.0}, operations=1.0, bytes=1.0)  # which scaling does not need


def places(*numbers):
    return [
        Place(number, min(number, 2), lambda images, batch: Timed(1.0, "a")) for number in numbers
    ]


def test_speed_is_compared_within_rounds():
    # The machine was ten times as slow in the second round.
    turns = {
        (STRONG, 1): [Timed(8.0, "a"), Timed(80.0, "a"), Timed(8.0, "a")],
        (STRONG, 4): [Timed(5.0, "a"), Timed(50.0, "a"), Timed(5.0, "a")],
        (WEAK, 1): [Timed(8.0, "a"), Timed(80.0, "a"), Timed(8.0, "a")],
        (WEAK, 4): [Timed(20.0, "b"), Timed(200.0, "b"), Timed(20.0, "b")],
    }
    four = places(4)[0]
    strong, weak = _row(STRONG, four, turns), _row(WEAK, four, turns)
    assert strong["faster"] == pytest.approx(1.6) and strong["efficiency"] == pytest.approx(0.8)
    assert weak["faster"] == pytest.approx(1.6) and weak["efficiency"] == pytest.approx(0.8)


def test_another_answer_anywhere_fails():
    turns = {(STRONG, 1): [Timed(1.0, "a")], (STRONG, 2): [Timed(1.0, "a")]}
    assert _identical(turns, (1, 2), {}).passed
    assert not _identical(turns, (1, 2), {"4 parts of the processor": "b"}).passed
    turns[STRONG, 2].append(Timed(1.0, "c"))
    assert not _identical(turns, (1, 2), {}).passed


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"devices": (2, 4)}, "`devices` (=(2, 4)) must begin with 1"),
        ({"devices": (1, 1)}, "must be different numbers"),
        ({"images": 0}, "`images` (=0) must be at least 1"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, words):
    with pytest.raises(ValueError) as refused:
        ScalingSizes(**sizes)
    assert words in str(refused.value)


def test_more_devices_than_there_can_be_are_refused():
    with pytest.raises(ValueError, match="must be at most"):
        SCALING.measure(ScalingSizes(devices=(1, 1000)), ROOFS)


def test_a_child_has_its_own_devices_and_cores_and_says_what_is_wrong():
    with child(3, cores=1) as process:
        assert process.ask("children:available_devices") == 3
        if hasattr(os, "sched_setaffinity"):
            assert process.ask("children:available_cores") == available_cores()[:1]
        with pytest.raises(ChildProblem, match="3 devices failed.*no_such_function"):
            process.ask("children:no_such_function")
        with pytest.raises(ChildProblem):  # it has ended
            process.ask("children:available_cores")


@pytest.mark.slow
def test_a_small_scaling_is_measured_to_the_end():
    sizes = ScalingSizes(
        devices=(1, 2),
        images=8,
        batch_size=2,
        units=8,
        layers=1,
        concepts=16,
        channels=2,
        side=16,
        hidden=8,
        depth=1,
        rounds=2,
    )
    found = SCALING.measure(sizes, ROOFS)
    assert all(gate.passed for gate in found.gates.values()), found.gates
    assert found.gates["the same answer on every number of devices"].fingerprint
    assert [row[:2] for row in found.tables[0].rows] == [
        ("strong", 1),
        ("strong", 2),
        ("weak", 1),
        ("weak", 2),
    ]
