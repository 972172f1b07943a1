"""Paired bootstrap: counts of draws, intervals by plain resampling, and no doubt about equals."""

import numpy as np
import pytest

from jaxdissect.stats import accuracy
from jaxdissect.stats.bootstrap import draw_weights, paired_bootstrap, weighted_counts

N, n, S = 4, 60, 3


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    labels = random.integers(0, N, n)
    before = np.where(random.uniform(size=n) < 0.8, labels, random.integers(0, N, n))
    after = np.where(random.uniform(size=(S, n)) < 0.6, before, random.integers(0, N, (S, n)))
    return labels, before, after


def test_weighted_counts_are_those_of_repeated_images(drawn):
    labels, before, _ = drawn
    weights = draw_weights(n, 5, seed=1)
    assert (weights.sum(axis=0) == n).all() and weights.max() > 1
    found = weighted_counts(before, labels, weights, N)
    for draw, times in enumerate(weights.T):
        chosen = np.repeat(np.arange(n), times)
        label, said = labels[chosen], before[chosen]
        assert found.true[draw].tolist() == np.bincount(label, minlength=N).tolist()
        assert found.predicted[draw].tolist() == np.bincount(said, minlength=N).tolist()
        right = np.bincount(label[said == label], minlength=N)
        assert found.correct[draw].tolist() == right.tolist()


def test_intervals_are_quantiles_of_differences_on_the_same_images(drawn):
    labels, before, after = drawn
    found = paired_bootstrap(
        before, after, labels, N, accuracy.overall_accuracy, level=0.9, num_draws=200, seed=3
    )
    weights = draw_weights(n, 200, seed=3)
    for condition in range(S):
        right, was = after[condition] == labels, before == labels
        assert found.difference[condition] == pytest.approx(right.mean() - was.mean())
        changes = (weights.T * (right.astype(int) - was)).sum(axis=1) / n
        low, high = np.quantile(changes, [0.05, 0.95])
        assert found.low[condition] == pytest.approx(low)
        assert found.high[condition] == pytest.approx(high)


def test_balanced_accuracy_has_an_interval_for_every_class(drawn):
    labels, before, after = drawn
    found = paired_bootstrap(before, after, labels, N, accuracy.balanced_accuracy)
    assert found.difference.shape == (S, N)
    assert (found.low <= found.difference).all() and (found.difference <= found.high).all()
    assert (found.low < found.high).all()


def test_what_does_not_change_is_certain(drawn):
    labels, before, _ = drawn
    found = paired_bootstrap(before, before[None], labels, N, accuracy.balanced_accuracy)
    for end in found:
        np.testing.assert_array_equal(end, np.zeros((1, N)))


@pytest.mark.parametrize("options", [{"level": 1.0}, {"num_draws": 0}])
def test_options_that_make_no_sense(drawn, options):
    labels, before, after = drawn
    with pytest.raises(ValueError, match="`level`"):
        paired_bootstrap(before, after, labels, N, accuracy.overall_accuracy, **options)
    nothing = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="no images"):
        paired_bootstrap(nothing, nothing[None], nothing, N, accuracy.overall_accuracy)
