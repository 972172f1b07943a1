"""Shared pixels of two conditions: against plain sums, in any parts, and the reference's score."""

import jax.numpy as jnp
import numpy as np
from support import golden

from jaxdissect.stats import region_overlap


def counted(first, second, weight):
    return region_overlap.update(
        region_overlap.init(first.shape[1]),
        jnp.asarray(first),
        jnp.asarray(second),
        jnp.asarray(weight),
    )


def test_counts_are_sums_in_any_parts():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 60, 4)) < 0.4
    first[:, 3] = second[:, 3] = False
    weight = rng.random(60) < 0.8
    parts = [counted(first[s], second[s], weight[s]) for s in (slice(0, 25), slice(25, 60))]
    for state in (
        counted(first, second, weight),
        region_overlap.merge(*parts),
        region_overlap.merge(*parts[::-1]),
    ):
        counts = region_overlap.finalize(state)
        a, b = first[weight], second[weight]
        np.testing.assert_array_equal(counts.both, (a & b).sum(0))
        np.testing.assert_array_equal(counts.first, a.sum(0))
        np.testing.assert_array_equal(counts.second, b.sum(0))
        np.testing.assert_array_equal(counts.union, (a | b).sum(0))
        assert counts.total == weight.sum()
        expected = (a & b).sum(0) / np.maximum((a | b).sum(0), 1)
        np.testing.assert_array_equal(region_overlap.iou(counts), expected)
        assert region_overlap.iou(counts)[3] == 0


def test_score_of_the_reference():
    arrays, _ = golden.load("shapebias_a")
    first, second = (
        arrays[name].transpose(0, 2, 3, 1).reshape(-1, 6) > arrays[level][None]
        for name, level in (("original", "level_original"), ("stylized", "level_stylized"))
    )
    counts = region_overlap.finalize(counted(first, second, np.ones(len(first), bool)))
    np.testing.assert_allclose(counts.both / counts.total, arrays["intersect"], atol=1e-7)
    np.testing.assert_allclose(region_overlap.reference_score(counts), arrays["score"], rtol=1e-5)


def test_score_of_shares_beyond_the_fraction():
    zero = np.zeros(5, np.int64)
    both = np.array([0, 100, 150, 200, 300])
    found = region_overlap.reference_score(
        region_overlap.OverlapCounts(both, zero, zero, 10_000), fraction=0.01
    )
    np.testing.assert_allclose(found, [0, 1, 1, 1, 0])


def test_iou_by_chance():
    sizes = np.array([100, 5000, 0])
    counts = region_overlap.OverlapCounts(sizes, sizes, sizes, 10_000)
    np.testing.assert_allclose(region_overlap.chance_iou(counts), [1 / 199, 1 / 3, 0])
