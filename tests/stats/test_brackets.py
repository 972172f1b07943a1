"""Counts beside brackets and values inside them against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdissect.stats import brackets, int64_counter

update = jax.jit(brackets.update)


def case(seed, pixels, units=5, number=2):
    """Values with many ties, zeros and subnormals, labels, and brackets of every kind."""
    rng = np.random.default_rng(seed)
    samples = np.round(rng.standard_normal((pixels, units)) * 4).astype(np.float32) / 4
    samples[rng.random(samples.shape) < 0.2] = 0
    samples[rng.random(samples.shape) < 0.1] = 1e-40
    labels = rng.integers(0, 300, (pixels, number)).astype(np.int16)
    low = rng.choice([-np.inf, -0.25, 0, 0.25, 1], units).astype(np.float32)
    high = np.maximum(low, rng.choice([0, 0.25, 1.5, np.inf], units)).astype(np.float32)
    return samples, labels, low, high, rng.random(pixels) < 0.8


def oracle(samples, labels, low, high, weight):
    samples = np.where(np.abs(samples) < np.finfo(np.float32).tiny, np.float32(0), samples)[weight]
    pixels, units = np.nonzero((samples > low) & (samples <= high))
    counts = [(samples > high).sum(axis=0), (samples > low).sum(axis=0)]
    counts.append((samples >= low).sum(axis=0))
    return counts, rows(samples[pixels, units], units, labels[weight][pixels])


def rows(values, units, labels):
    """What was collected, in an order of its own."""
    table = np.column_stack([units, values, labels]).astype(np.float64)
    return table[np.lexsort(table.T)]


def assert_right(state, expected):
    result = brackets.finalize(state)
    for left, right in zip(result[2:5], expected[0], strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(rows(result.values, result.units, result.labels), expected[1])


def start(low, high, capacity=2000, number=2):
    return brackets.init(jnp.asarray(low), jnp.asarray(high), capacity=capacity, num_labels=number)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([(1, 5), (37, 2000), (64, 320), (245, 1300)]))
def test_oracle(seed, size):
    pixels, capacity = size  # few shapes, so that few programs compile
    samples, labels, low, high, weight = case(seed, pixels)
    expected = oracle(samples, labels, low, high, weight)
    state = update(start(low, high, capacity), samples, labels, weight)
    assert_right(state, expected)


def test_many_values_take_more_rounds(monkeypatch):
    monkeypatch.setattr(brackets, "_CHUNKS", (7, 7))
    samples, labels, low, high, weight = case(1, 400)
    low[:], high[:] = -np.inf, np.inf
    halves = [slice(0, 130), slice(130, 400)]
    expected = oracle(samples, labels, low, high, weight)
    state = start(low, high, len(expected[1]))
    for half in halves:
        state = jax.jit(brackets.update)(state, samples[half], labels[half], weight[half])
    assert_right(state, expected)


def test_devices_collect_apart():
    samples, labels, low, high, weight = case(6, 400)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("data")
    states = jax.tree.map(lambda x: jnp.stack([x] * 4), start(low, high))

    def step(states, *batch):
        state = brackets.update(jax.tree.map(lambda x: x[0], states), *batch)
        return jax.tree.map(lambda x: x[None], state)

    step = jax.shard_map(step, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)
    states = jax.jit(step)(states, samples, labels, weight)
    a, b, c, d = (jax.tree.map(lambda x, i=i: x[i], states) for i in range(4))
    assert min(a.used, b.used, c.used, d.used) > 0
    merged = brackets.merge(brackets.merge(a, b), brackets.merge(c, d))
    assert_right(merged, oracle(samples, labels, low, high, weight))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_split_and_merge(order):
    samples, labels, low, high, weight = case(2, 300)
    parts = [slice(0, 100), slice(100, 200), slice(200, 300)]
    states = [update(start(low, high), samples[p], labels[p], weight[p]) for p in parts]
    a, b, c = (states[i] for i in order)
    expected = oracle(samples, labels, low, high, weight)
    assert_right(brackets.merge(brackets.merge(a, b), c), expected)
    assert_right(brackets.merge(a, brackets.merge(b, c)), expected)


def test_too_many_values_are_refused():
    samples, labels, low, high, weight = case(3, 300)
    low[:], high[:] = -np.inf, np.inf
    inside = len(oracle(samples, labels, low, high, weight)[1])
    small = update(start(low, high, 50), samples, labels, weight)
    with pytest.raises(ValueError, match=f"^{inside} values lie .* `capacity` was 50"):
        brackets.finalize(small)
    for state in (update(small, samples, labels, weight), brackets.merge(small, small)):
        with pytest.raises(ValueError, match=f"^{2 * inside} values lie .* `capacity` was 50"):
            brackets.finalize(state)
    third = update(start(low, high, inside - 1), samples, labels, weight)
    with pytest.raises(ValueError, match=f"`capacity` was {inside - 1}"):
        brackets.finalize(third)


def test_closed_brackets_collect_nothing():
    samples, labels, low, _, weight = case(4, 245)
    state = update(start(low, low, 0), samples, labels, weight)
    assert_right(state, oracle(samples, labels, low, low, weight))
    assert len(brackets.finalize(state).values) == 0


def test_nan_is_nowhere():
    samples = np.array([[np.nan], [1], [np.inf], [-np.inf]], np.float32)
    labels, weight = np.zeros((4, 2), np.int16), np.ones(4, bool)
    low, high = np.array([-np.inf], np.float32), np.array([5], np.float32)
    state = update(start(low, high), samples, labels, weight)
    assert_right(state, oracle(samples, labels, low, high, weight))
    counters = state.above_high, state.above_low, state.at_least_low
    assert [int64_counter.to_int64(counter).item() for counter in counters] == [1, 2, 3]


def test_jit_and_vmap_equal_eager():
    samples, labels, low, high, weight = map(jnp.asarray, case(5, 131))
    eager = brackets.update(start(low, high), samples, labels, weight)
    jitted = update(start(low, high), samples, labels, weight)
    stacked = jax.vmap(brackets.update, in_axes=(None, 0, None, None))(
        start(low, high), jnp.stack([samples, -samples]), labels, weight
    )
    for state in (jitted, jax.tree.map(lambda x: x[0], stacked)):
        jax.tree.map(np.testing.assert_array_equal, state, eager)
    second = jax.tree.map(lambda x: x[1], stacked)
    expected = oracle(*map(np.asarray, (-samples, labels, low, high, weight)))
    assert_right(second, expected)
