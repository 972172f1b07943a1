"""Projections to many devices are arithmetic; and the whole study, once."""

import numpy as np
import pytest

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.collectives import Collective
from jaxdissect.bench.studies.fits import line
from jaxdissect.bench.studies.projection import (
    FAST,
    PROJECTION,
    SLOW,
    ProjectionSizes,
    Sending,
    Sent,
    project,
)

ROOFS = Roofs(
    products={"highest": 1e11, "default": 1e11, "bfloat16": 1e11}, operations=1e10, bytes=1e9
)
SIZES = ProjectionSizes(images=(10, 20), batch_size=10)
SENT = Sent(
    compiled_for=2,
    sending=(
        Sending(
            program="join",
            runs=3.0,
            operations=(Collective(name="gather", kind="all-gather", bytes=2_000_000),),
        ),
    ),
    silent=("step",),
)


def fitted(fixed, each):
    return line((10, 20), np.array([[fixed + 10 * each, fixed + 20 * each]] * 2))


def test_a_projection_is_put_together_from_its_parts():
    found = project(SIZES, fitted(2.0, 0.01), SENT, ROOFS, devices=4, images=1001)
    steps = 26  # of 10 images on each of 4 devices, the last of them not full
    assert found.computing == pytest.approx((2 + 0.1 * steps,) * 2)
    received = 3 * 3 * 1e6
    for seconds, network in zip(found.joining, (FAST, SLOW), strict=True):
        assert seconds == pytest.approx(
            received / network.bytes + 3 * 3 * network.latency + 3 * received / ROOFS.bytes
        )
    alone = 2 + 0.1 * 101
    assert found.efficiency[1] == pytest.approx(alone / (4 * found.whole[0]))
    assert found.efficiency[0] == pytest.approx(alone / (4 * found.whole[1]))
    assert found.room == 4e6


def test_groups_of_processes_grow_with_machines_not_devices():
    gather = Collective(name="gather", kind="all-gather", bytes=400, members=2)
    operations = Sending(program="rows", runs=1.0, operations=(gather,))
    sent = Sent(compiled_for=4, sending=(operations,), silent=())
    assert sent.received(256) == 31 * 200  # of 32 machines
    assert sent.received(8) == 0
    assert sent.received(256, programs="others") == 0


def test_one_device_joins_nothing():
    found = project(SIZES, fitted(2.0, 0.01), SENT, ROOFS, devices=1, images=1000)
    assert found.joining == (0, 0) and found.room == 0
    assert found.efficiency == pytest.approx((1, 1))


def test_fixed_costs_limit_what_many_devices_gain():
    few, many = (
        project(SIZES, fitted(1.0, 0.01), SENT, ROOFS, devices=devices, images=10_000)
        for devices in (8, 256)
    )
    assert many.efficiency[1] < few.efficiency[0]


def test_time_that_does_not_grow_is_no_ground_for_a_projection():
    with pytest.raises(ValueError, match="does not grow with `images`"):
        project(SIZES, fitted(2.0, -0.01), SENT, ROOFS, devices=4, images=1000)


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"devices": ()}, "`devices` (=()) must be numbers from 1 on that increase"),
        ({"images": (8,)}, "`images` (=(8,)) must be two or more"),
        ({"compiled_for": (4,)}, "`compiled_for` (=(4,)) must be two or more"),
        ({"compiled_for": (2, 4)}, "even numbers from 4 on"),
        ({"rounds": 1}, "`rounds` (=1) must be at least 2"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, words):
    with pytest.raises(ValueError) as refused:
        ProjectionSizes(**sizes)
    assert words in str(refused.value)


@pytest.mark.slow
def test_a_small_projection_is_made_to_the_end():
    sizes = ProjectionSizes(
        images=(8, 64),
        batch_size=4,
        units=16,
        layers=1,
        concepts=32,
        channels=2,
        side=16,
        hidden=8,
        depth=1,
        rounds=2,
        devices=(1, 2, 256),
    )
    found = PROJECTION.measure(sizes, ROOFS)
    assert all(gate.passed for gate in found.gates.values()), found.gates
    paper, sent = found.tables
    assert [row[:2] for row in paper.rows] == [
        (images, devices) for images in sizes.data_sets for devices in sizes.devices
    ]
    assert "not measured" in paper.title and "Assumed" in paper.note
    programs = {row[0]: row for row in sent.rows}
    received = programs["jit__collapsed"][3]
    assert isinstance(received, float)
    assert received * 2**20 > 32 * 16 * 8, "at least the counts of all units and concepts"
    assert "jit__everywhere" in programs, "what settles thresholds is brought to every host"
    assert "jit_count" in sent.note, "what counts in every step sends nothing"
