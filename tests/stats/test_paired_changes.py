"""Exact sums of changes: any split and order, errors without cancellation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxdissect.stats import paired_changes


@given(st.integers(0, 2**31), st.integers(0, 30), st.integers(0, 30))
def test_changes_are_exact_sums(seed, first, second):
    random = np.random.RandomState(seed)
    samples = random.randint(-500, 500, (first + second, 3)) * random.randint(0, 2, 3)
    groups = np.stack([random.randint(-1, 3, len(samples)), random.randint(3, 5, len(samples))], 1)
    whole, a, b = (paired_changes.init(6, 3) for _ in range(3))
    paired_changes.add(whole, groups, samples)
    paired_changes.add(b, groups[first:], samples[first:])
    paired_changes.add(a, groups[:first], samples[:first])
    for other in (paired_changes.merge(a, b), paired_changes.merge(b, a)):
        for array, expected in zip(other, whole, strict=True):
            np.testing.assert_array_equal(array, expected)
    mean, error = paired_changes.mean(whole), paired_changes.standard_error(whole)
    for group in range(6):
        members = samples[(groups == group).any(axis=1)]
        assert whole.number[group] == len(members)
        np.testing.assert_array_equal(whole.sums[group], members.sum(axis=0))
        if len(members) > 1:
            np.testing.assert_allclose(mean[group], members.mean(axis=0), rtol=1e-12)
            expected = members.std(axis=0, ddof=1) / np.sqrt(len(members))
            np.testing.assert_allclose(error[group], expected, rtol=1e-12)
        else:
            assert np.isinf(error[group]).all()
    assert not mean[5].any()


def test_standard_errors_do_not_cancel():
    samples = 65536 * 65536 // 8 - np.array([[0, 3], [1, 3], [2, 3]])
    seen = paired_changes.init(1, 2)
    paired_changes.add(seen, np.zeros((3, 1), int), samples)
    np.testing.assert_allclose(paired_changes.standard_error(seen), [[1 / 3**0.5, 0]], rtol=1e-15)


def test_relative_changes():
    found = paired_changes.relative(
        np.array([[0.0, 2.0, -1.0, 0.0]]), np.array([0.0, 0.0, 4.0, 4.0])
    )
    assert found.tolist() == [[0, np.inf, -0.25, 0]]
