"""Top examples and moments: oracle, reference, and invariance to splitting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden

from jaxdissect.stats import moments, topk


def run_topk(data, k, batches):
    state = topk.init(data.shape[1], k)
    for rows in batches:
        weight = np.array([*np.ones(len(rows), bool), False])
        values = np.concatenate([data[rows], np.full((1, data.shape[1]), 1e9)]).astype(np.float32)
        examples = np.array([*rows, 7], np.int32)
        state = topk.update(state, *map(jnp.asarray, (values, examples, weight)))
    return topk.finalize(state)


@pytest.mark.parametrize(
    "name", ["topk_basic", "topk_compress_smallest", "topk_fewer_than_k", "topk_ties"]
)
def test_golden_topk(name):
    arrays, meta = golden.load(name)
    data = (
        arrays["data"]
        if "data" in arrays
        else golden.recipe().array(meta["data_seed"], (meta["n"], meta["depth"]))
    )
    if meta["ties_rounded_to_half"]:
        data = np.round(data * 2) / 2
    sign = 1 if meta["largest"] else -1
    batches = np.array_split(np.arange(len(data)), max(1, len(data) // meta["batch"]))
    best = run_topk(sign * data, meta["k"], batches)
    np.testing.assert_array_equal(sign * best.values, arrays["values"])
    if not meta["ties_rounded_to_half"]:
        np.testing.assert_array_equal(best.examples, arrays["index"])


def test_topk_ties_go_to_the_first_example_in_any_order():
    data = np.random.default_rng(0).integers(0, 4, (60, 3)).astype(np.float32)
    expected = np.argsort(-data, axis=0, kind="stable")[:8].T
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(60)
        best = run_topk(data, 8, np.array_split(order, seed + 1))
        np.testing.assert_array_equal(best.examples, expected)


def test_equal_values_are_ranked_by_what_comes_with_them():
    rng = np.random.default_rng(3)
    data, ties = (rng.integers(0, 3, (50, 4)) for _ in range(2))
    expected = [
        sorted(range(50), key=lambda row: (-data[row, unit], -ties[row, unit], row))[:9]
        for unit in range(4)
    ]
    for seed in range(3):
        states = []
        order = np.random.default_rng(seed).permutation(50)
        for rows in np.array_split(order, seed + 2):
            state = topk.update(
                topk.init(4, 9),
                jnp.asarray(data[rows], jnp.float32),
                jnp.asarray(rows, jnp.int32),
                jnp.asarray(rows != order[0]),
                ties=jnp.asarray(ties[rows], jnp.int32),
            )
            states.append(state)
        best = topk.finalize(functools.reduce(topk.merge, states))
        for unit in range(4):
            without = [row for row in expected[unit] if row != order[0]]
            assert list(best.examples[unit])[: len(without)] == without


def test_topk_merge():
    data = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
    parts = []
    for rows in np.array_split(np.arange(40), 3):
        state = topk.init(3, 5)
        parts.append(
            topk.update(
                state,
                jnp.asarray(data[rows]),
                jnp.asarray(rows, jnp.int32),
                jnp.ones(len(rows), bool),
            )
        )
    merged = topk.finalize(topk.merge(parts[2], topk.merge(parts[0], parts[1])))
    np.testing.assert_array_equal(merged.examples, np.argsort(-data, axis=0)[:5].T)
    with pytest.raises(ValueError, match=r"`k` \(=0\)"):
        topk.init(3, 0)


update_moments = jax.jit(moments.update)


def run_moments(a, b, batch):
    state = moments.init(a.shape[1], b.shape[1])
    for first in range(0, len(a), batch):
        rows = slice(first, first + batch)
        padded = [
            np.concatenate([x[rows], np.full((2, x.shape[1]), 1e6, np.float32)]) for x in (a, b)
        ]
        weight = np.arange(len(padded[0])) < len(a[rows])
        left, right = (jnp.asarray(side) for side in padded)
        state = update_moments(state, left, right, jnp.asarray(weight))
    return moments.finalize(state)


@pytest.mark.parametrize("name", ["moments_batch1", "moments_batch10"])
def test_golden_moments(name):
    arrays, meta = golden.load(name)
    a, b = arrays["a"], arrays["b"]
    aa, ab, bb = (run_moments(x, y, meta["batch"]) for x, y in ((a, a), (a, b), (b, b)))
    n = len(a)
    np.testing.assert_allclose(aa.mean_a, arrays["mean"], atol=1e-5)
    np.testing.assert_allclose(np.diag(aa.covariance), arrays["exact_variance"], rtol=1e-5)
    np.testing.assert_allclose(
        aa.covariance * (n - 1) / n, arrays["exact_covariance_ddof0"], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(aa.second_moment, arrays["second_moment"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        moments.correlation(ab, aa, bb), arrays["exact_cross_correlation"], atol=1e-5
    )
    on_a, on_b = (a > 1).astype(float), (b > 0).astype(float)
    shared = on_a.T @ on_b
    union = on_a.sum(0)[:, None] + on_b.sum(0)[None] - shared
    np.testing.assert_allclose(shared / union, arrays["pair_iou"], rtol=1e-5)


def test_moments_far_from_zero_and_in_any_split():
    data = (1e4 + np.random.default_rng(0).standard_normal((500, 2))).astype(np.float32)
    for batch in (1, 7, 500):
        result = run_moments(data, data, batch)
        np.testing.assert_allclose(
            result.covariance, np.cov(data.T.astype(np.float64)), rtol=1e-2, atol=1e-2
        )
    assert run_moments(data[:1], data[:1], 1).covariance.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("batch", [1, 7, 16, 64])
def test_constant_columns_correlate_with_nothing(batch):
    random = np.random.default_rng(0)
    a = np.full((300, 3), 0.1, np.float32)
    a[:, 1], a[:, 2] = 3.3, random.normal(size=300)
    b = random.dirichlet(np.ones(4), 300).astype(np.float32)
    aa, ab, bb = (run_moments(x, y, batch) for x, y in ((a, a), (a, b), (b, b)))
    correlation = moments.correlation(ab, aa, bb)
    np.testing.assert_array_equal(correlation[:2], np.zeros((2, 4)))
    np.testing.assert_allclose(correlation[2], np.corrcoef(a[:, 2], b.T)[0, 1:], atol=1e-5)
