"""Batches and folding: nothing lost, nothing twice, resumable, same result on several devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.engine.batching import Joined, Stored, batches
from jaxdissect.engine.folding import fold, map_batches
from jaxdissect.stats import int64_counter


def source(number):
    return [{"x": np.full((2, 2), i, np.int32)} for i in range(number)]


@functools.partial(jax.jit, donate_argnums=0)
def step(state, batch):
    values = jnp.where(batch["weight"][:, None, None], batch["x"], 0)
    return int64_counter.add(state, values.sum(dtype=jnp.int32)), values.max(axis=(1, 2))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 50])
def test_every_example_once(batch_size):
    seen = []
    for batch in batches(source(7), batch_size):
        assert batch["x"].shape == (batch_size, 2, 2)
        assert (batch["x"][:, 0, 0] == batch["example"]).all()
        seen += batch["example"][batch["weight"]].tolist()
    assert seen == list(range(7))


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_fold_counts_the_last_partial_batch_exactly(batch_size):
    received, heard = [], []
    state = fold(
        step,
        int64_counter.zeros(()),
        source(7),
        batch_size=batch_size,
        receive=lambda batch, output: received.append((batch["weight"].sum(), output.max())),
        progress=lambda *event: heard.append(event),
        description="adding",
    )
    assert int64_counter.to_int64(state) == 4 * sum(range(7))
    assert sum(weight for weight, _ in received) == 7 and received[-1][1] == 6
    steps = -(-7 // batch_size)
    assert heard == [("adding", min(batch_size * step, 7), 7) for step in range(steps + 1)]


def test_stopping_and_resuming_changes_nothing():
    whole = fold(step, int64_counter.zeros(()), source(11), batch_size=2)
    checkpoints = {}

    class KilledError(Exception):
        pass

    def save_then_die(number, state):
        checkpoints[number] = jax.tree.map(np.asarray, state)
        if number == 8:
            raise KilledError

    with pytest.raises(KilledError):
        fold(step, int64_counter.zeros(()), source(11), batch_size=2, after_step=save_then_die)
    state = jax.tree.map(jnp.asarray, checkpoints[8])
    resumed = fold(step, state, source(11), batch_size=2, start=8)
    assert int64_counter.to_int64(resumed) == int64_counter.to_int64(whole)


@pytest.mark.parametrize("axis_type", list(jax.sharding.AxisType))
@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 4)])
def test_any_mesh_and_batch_give_the_same_state(axis_type, shape):
    mesh = jax.make_mesh(
        shape, ("data", "model")[: len(shape)], axis_types=(axis_type,) * len(shape)
    )
    found = np.zeros(10, np.int32)

    def receive(batch, output):
        found[batch["example"][batch["weight"]]] = np.asarray(output)[batch["weight"]]

    for batch_size in (1, 3, 50):
        state = fold(
            step,
            int64_counter.zeros(()),
            source(10),
            batch_size=batch_size,
            receive=receive,
            mesh=mesh,
        )
        assert int64_counter.to_int64(state) == 4 * sum(range(10))
        np.testing.assert_array_equal(found, np.arange(10))


def test_no_step_waits_for_the_results_of_the_one_before_and_few_run_at_once():
    events = []

    def noted(state, batch):
        events.append("step")
        return state, batch["x"].sum(axis=(1, 2))

    fold(
        noted,
        None,
        source(6),
        batch_size=1,
        receive=lambda batch, output: events.append(f"result {batch['example'][0]}"),
    )
    running = np.cumsum([1 if event == "step" else -1 for event in events])
    assert running.max() == 3 and running[-1] == 0
    assert events[:3] == ["step"] * 3 and events[3] == "result 0"


def test_a_wrong_result_is_found_before_anything_of_it_is_saved():
    saved = []

    def receive(batch, output):
        if batch["example"][0] == 4:
            raise ValueError("wrong")

    def is_due(done):
        return done >= 4

    options = {"receive": receive, "is_due": is_due, "batch_size": 1}
    with pytest.raises(ValueError, match="wrong"):
        fold(
            step,
            int64_counter.zeros(()),
            source(9),
            after_step=lambda done, state: saved.append(done),
            **options,
        )
    assert saved == [4]


def test_stored_and_joined_sources():
    stored = Stored({"y": np.arange(5)})
    joined = Joined(source(5), stored)
    assert len(joined) == 5 and joined[3]["y"] == 3 and joined[3]["x"][0, 0] == 3
    first = next(batches(joined, 3))
    assert first["y"].tolist() == [0, 1, 2] and first["x"][:, 0, 0].tolist() == [0, 1, 2]


def test_errors_of_the_source_arrive():
    broken = [*source(3), {"x": np.zeros((9, 2), np.int32)}]
    with pytest.raises(ValueError, match=r"'x' of example 3 has shape \(9, 2\)"):
        list(batches(broken, 4))
    with pytest.raises(ValueError, match="'x' of example 1 is missing"):
        list(batches([{"x": np.zeros(1)}, {}], 4))
    with pytest.raises(ValueError, match="`source` has no examples"):
        list(batches([], 4))
    with pytest.raises(ValueError, match=r"`batch_size` \(=0\)"):
        list(batches(source(3), 0))


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_mapped_batches_come_in_order(batch_size):
    received = []
    map_batches(
        jax.jit(lambda batch: batch["x"].max(axis=(1, 2)) + 1),
        source(7),
        batch_size=batch_size,
        receive=lambda batch, output: received.extend(np.asarray(output)[batch["weight"]]),
    )
    assert received == list(range(1, 8))


def test_batches_are_placed_as_the_caller_has_set_jax():
    seen = []

    def step(state, batch):
        seen.append(batch["value"].dtype)
        return state, None

    source = Stored({"value": np.zeros(3, np.float64)})
    for is_wide, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(is_wide):
            fold(step, None, source, batch_size=2)
        assert set(seen) == {np.dtype(dtype)}
        seen.clear()
