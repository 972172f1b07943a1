"""Intervals in closed form: known values, exact coverage over whole grids, never of width zero."""

import itertools
import math

import numpy as np
import pytest

from jaxdissect.stats import intervals

LEVEL = 0.99


def test_clopper_pearson_against_its_definition():
    """Each end leaves half of 1% to as many or more, and to as few or fewer, successes."""
    part, whole = np.array([1, 3, 5, 0, 5]), np.array([7, 40, 5, 300, 5])
    found = intervals.proportion_interval(part, whole)

    def at_most(k: int, n: int, p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    for k, n, low, high in zip(part.tolist(), whole.tolist(), found.low, found.high, strict=True):
        assert 1 - at_most(k - 1, n, low) == pytest.approx(0.005) if k else low == 0
        assert at_most(k, n, high) == pytest.approx(0.005) if k < n else high == 1
    np.testing.assert_allclose(found.estimate, part / whole)


def test_nothing_is_known_of_no_images():
    assert intervals.proportion_interval(0, 0) == (0, 0, 1)
    assert intervals.paired_interval(0, 0, 0) == (0, -1, 1)


def test_student_t_of_tables():
    found = intervals.student_t(np.array([[0, 1, 2], [3, 31, 10**7]]))
    expected = [[np.inf, np.inf, 63.657], [9.925, 2.750, 2.576]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(intervals.student_t(6, level=0.95), 2.5706, rtol=1e-4)


@pytest.mark.parametrize("whole", [1, 2, 3, 5, 12])
def test_exact_coverage_of_paired_intervals(whole):
    """Every possible outcome is weighed with its chance, over a grid of all pairs of rates."""
    gained, lost = np.array(
        [(g, lost) for g in range(whole + 1) for lost in range(whole + 1 - g)]
    ).T
    found = intervals.paired_interval(gained, lost, whole, level=LEVEL)
    assert (found.high - found.low > 0.9 / whole).all()
    rest = whole - gained - lost
    factorial = np.array([float(math.factorial(i)) for i in range(whole + 1)])
    ways = factorial[whole] / (factorial[gained] * factorial[lost] * factorial[rest])
    rates = sorted({0, 0.1 / whole, 0.5 / whole, *(i / whole for i in range(1, min(whole, 9)))})
    rates += [r for r in (0.3, 0.6, 0.9, 1.0) if r not in rates]
    covered = [
        (ways * up**gained * down**lost * max(1 - up - down, 0.0) ** rest)[
            (found.low <= up - down + 1e-9) & (up - down - 1e-9 <= found.high)
        ].sum()
        for up, down in itertools.product(rates, rates)
        if up + down <= 1
    ]
    assert min(covered) > 0.985 and np.mean(covered) > 0.99


def test_paired_intervals_are_symmetric_and_in_range():
    gained, lost = np.array([0, 3, 40, 0]), np.array([0, 1, 2, 40])
    found = intervals.paired_interval(gained, lost, 40 + np.array([60, 60, 2, 0]))
    swapped = intervals.paired_interval(lost, gained, 40 + np.array([60, 60, 2, 0]))
    np.testing.assert_allclose(found.low, -swapped.high)
    np.testing.assert_allclose(found.high, -swapped.low)
    assert (found.low >= -1).all() and (found.high <= 1).all()
    assert (found.low < found.estimate)[:3].all() and (found.high > found.estimate).all()


def test_arguments_that_make_no_sense():
    for wrong in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="`part`"):
            intervals.proportion_interval(*wrong)
    with pytest.raises(ValueError, match="`gained` and `lost`"):
        intervals.paired_interval(2, 2, 3)
    with pytest.raises(ValueError, match="`level`"):
        intervals.proportion_interval(1, 2, level=99.0)
