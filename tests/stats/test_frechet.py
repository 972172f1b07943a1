"""Fréchet distance between sets of features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdissect.stats.frechet import frechet_distance
from jaxdissect.stats.moments import Moments


def moments_of(features):
    """Moments of the rows, in float64."""
    mean = features.mean(axis=0)
    covariance = np.atleast_2d(np.cov(features.T))
    return Moments(len(features), mean, mean, covariance, features.T @ features / len(features))


def draw(seed, number, size, scale=1.0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(number, size)) @ generator.normal(size=(size, size)) * scale


def test_distance_of_one_feature_is_that_of_means_and_deviations():
    a, b = draw(0, 50, 1), 3 + draw(1, 60, 1, 2.0)
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(moments_of(a), moments_of(b)) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), size=st.integers(1, 12))
def test_distance_agrees_with_the_root_of_the_product(seed, size):
    a, b = moments_of(draw(seed, 40, size)), moments_of(draw(seed + 1, 40, size) + 0.5)
    values = np.linalg.eigvals(a.covariance @ b.covariance)
    cross = np.sqrt(np.maximum(values.real, 0)).sum()
    apart = np.square(a.mean_a - b.mean_a).sum()
    expected = apart + np.trace(a.covariance + b.covariance) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9, abs=1e-9)


def test_distance_of_equal_sets_is_zero_even_if_they_are_degenerate():
    features = draw(3, 5, 8)  # fewer samples than features
    assert frechet_distance(moments_of(features), moments_of(features)) < 1e-10
    moved = moments_of(features + 2.0)
    assert frechet_distance(moments_of(features), moved) == pytest.approx(4 * 8)


def test_distance_refuses_other_features():
    with pytest.raises(ValueError, match="2 features, and `b` has 3"):
        frechet_distance(moments_of(draw(0, 9, 2)), moments_of(draw(0, 9, 3)))
