"""The stages of a dissection as workloads: their answers are right, and wrong ones do not pass."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxdissect.arrays.resampling import clamp_border, pixel_centers, resample
from jaxdissect.bench.workloads import counting, drawn_values, overlap, thresholds
from jaxdissect.bench.workloads.dissection_gate import resampled_in_numpy

TINY: dict[str, Any] = {"images": 3, "units": 20, "grid": 8}
STAGES = [
    (counting.COUNTING, counting.CountingSizes(**TINY, candidates=3)),
    (counting.COUNTING, counting.CountingSizes(**TINY, candidates=3, form="sums")),
    (counting.COUNTING, counting.CountingSizes(**TINY, candidates=3, form="xla")),
    (counting.COLLECTING, counting.CollectingSizes(**TINY, channels=2, share=0.1)),
    (overlap.OVERLAP, overlap.OverlapSizes(**TINY, concepts=9, channels=3, labels_per_image=4)),
    (overlap.OVERLAP, overlap.OverlapSizes(**TINY, concepts=300, channels=2, by_image=False)),
]


def run_of(prepared):
    assert prepared.run is not None
    return prepared.run


def answered(workload, sizes):
    prepared = workload.prepare(sizes)
    program = prepared.program
    return prepared, program.function(*program.arguments)


@pytest.mark.parametrize("workload, sizes", STAGES)
def test_answers_are_right_and_changed_ones_are_not(workload, sizes):
    prepared, answer = answered(workload, sizes)
    gate = prepared.check(answer)
    assert gate.passed and len(gate.fingerprint) == 64
    assert prepared.work.operations > 0 and prepared.work.bytes > 0
    # One count of the first unit, which is among those that are checked.
    leaves, tree = jax.tree.flatten(answer)
    for place, leaf in enumerate(leaves):
        if leaf.ndim == 2 and leaf.shape[1] == sizes.units:
            changed = list(leaves)
            changed[place] = leaf.at[0, 0].add(1)
            wrong = prepared.check(jax.tree.unflatten(tree, changed))
            assert not wrong.passed and wrong.fingerprint != gate.fingerprint


def test_forms_of_counting_have_one_fingerprint():
    prints = {
        prepared.check(answer).fingerprint
        for prepared, answer in (answered(*stage) for stage in STAGES[:3])
    }
    assert len(prints) == 1


def test_values_that_are_missing_are_found():
    prepared, answer = answered(*STAGES[3])
    used = int(answer.used)
    assert used > 0
    assert not prepared.check(answer._replace(used=answer.used - 1)).passed
    wrong = answer.labels.at[used // 2].add(1)
    other = prepared.check(answer._replace(labels=wrong))
    assert other.fingerprint != prepared.check(answer).fingerprint


def test_drawn_values_are_the_same_in_numpy():
    ours = np.asarray(drawn_values.drawn_values(1000, 7))
    chosen = np.array([0, 3, 6])
    assert np.array_equal(ours[:, chosen], drawn_values.drawn_columns(1000, 7, chosen))
    assert 0.45 < (ours > 0).mean() < 0.55
    for share in (0.3, 0.01):
        above = (ours > drawn_values.level(share)).mean()
        assert abs(above - share) < 5 * (share / ours.size) ** 0.5


def test_counting_in_numpy_counts_a_label_once_in_a_pixel():
    labels = np.array([[2, 2, 0], [1, 2, 1], [0, 0, 0]], np.int32)
    active = np.array([[True, False], [True, True], [True, False]])
    distinct = drawn_values.distinct_labels(labels)
    shared, concept = drawn_values.count_in_numpy(active, distinct, 4)
    assert concept.tolist() == [3, 1, 2, 0]
    assert shared.T.tolist() == [[3, 1, 2, 0], [1, 1, 1, 0]]


def test_sorted_threshold_is_the_least_that_few_exceed():
    columns = np.arange(200, dtype=np.float32)[:, None][::-1]
    assert drawn_values.sorted_threshold(columns, 0.01).tolist() == [197]
    assert drawn_values.sorted_threshold(np.zeros((50, 1), np.float32), 0.01).tolist() == [0]


@pytest.mark.parametrize("side", (2, 4, 8, 16, 32))
def test_resampling_in_numpy_is_that_of_the_library(side):
    maps = np.random.default_rng(0).integers(0, 200, (2, side, side, 3)).astype(np.float32)
    expected = resample(
        jax.numpy.asarray(maps), (8, 8), alignment=pixel_centers, border=clamp_border
    )
    found = resampled_in_numpy(maps, (8, 8))
    assert found is not None and np.array_equal(found, expected)


def test_resampling_in_numpy_is_refused_where_it_rounds():
    assert resampled_in_numpy(np.full((1, 2, 2, 1), 0.3, np.float32), (8, 8)) is None
    assert resampled_in_numpy(np.ones((1, 3, 3, 1), np.float32), (7, 7)) is None


THRESHOLDS = thresholds.ThresholdsSizes(images=5, batch_size=2, units=6, cells=2, grid=8)


def test_thresholds_are_right_and_changed_ones_are_not():
    prepared = thresholds.prepare(THRESHOLDS)
    answer = run_of(prepared)()
    assert prepared.check(answer).passed
    answer[0] = np.nextafter(answer[0], np.float32(np.inf))
    assert not prepared.check(answer).passed
    assert prepared.notes["passes over kept maps"] >= 1


@pytest.mark.slow
def test_thresholds_are_the_same_whatever_the_batch():
    gates = [
        prepared.check(run_of(prepared)())
        for prepared in (
            thresholds.prepare(dataclasses.replace(THRESHOLDS, images=40, batch_size=size))
            for size in (2, 5, 40)
        )
    ]
    assert all(gate.passed for gate in gates)
    assert len({gate.fingerprint for gate in gates}) == 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: counting.CountingSizes(candidates=0), r"`candidates` \(=0\)"),
        (lambda: counting.CountingSizes(images=10**4), "2\\*\\*31"),
        (lambda: counting.CollectingSizes(share=0.5), r"`share` \(=0.5\)"),
        (lambda: overlap.OverlapSizes(concepts=1), r"`concepts` \(=1\)"),
        (lambda: thresholds.ThresholdsSizes(cells=13), r"`grid` \(=56\)"),
        (
            lambda: counting.prepare_counting(counting.CountingSizes(**TINY, form="pallas")),
            "needs a GPU or TPU",
        ),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
