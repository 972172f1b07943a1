"""Accuracy of single classes: an oracle, the reference, and counts that merge in any order."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdissect.stats import accuracy

N, S = 4, 3  # classes, conditions


def chances(predictions):
    """A probability for every prediction, a whole number of steps."""
    return ((np.arange(predictions.shape[1]) * 977 + predictions * 31) % 65537 / 65536).astype("f4")


def oracle(predictions, labels):
    """Counts of image after image."""
    true = np.zeros(N, np.int64)
    predicted, correct, confidence = np.zeros((3, S, N), np.int64)
    for image, label in enumerate(labels):
        true[label] += 1
        for condition in range(S):
            found = predictions[condition, image]
            predicted[condition, found] += 1
            correct[condition, found] += found == label
            confidence[condition, label] += int(chances(predictions)[condition, image] * 65536)
    return accuracy.Accuracy(true, predicted, correct, confidence)


def counted(predictions, labels, weight=None, given=None):
    weight = np.ones(len(labels), bool) if weight is None else weight
    given = chances(np.asarray(predictions)) if given is None else given
    arrays = (predictions, given, labels, weight)
    return accuracy.update(accuracy.init(N, S), *map(jnp.asarray, arrays))


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.int64
        np.testing.assert_array_equal(a, b)


def draws(number, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, N, (S, number)).astype("i4"), random.integers(0, N, number)


def test_counts_equal_the_oracle():
    predictions, labels = draws(200)
    assert_same(
        accuracy.finalize(counted(predictions, labels.astype("i4"))), oracle(predictions, labels)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_counts_do_not_depend_on_order_batches_or_padding(seed, cuts):
    random = np.random.default_rng(seed)
    predictions, labels = draws(12, seed)
    order = random.permutation(12)
    whole = None
    places = sorted({0, 12, *cuts})
    for first, last in zip(places, places[1:], strict=False):
        chosen = order[first:last]
        padded = np.concatenate([chosen, random.integers(0, 12, 12 - len(chosen))])
        weight = np.arange(12) < len(chosen)
        given = chances(predictions)[:, padded]
        part = counted(predictions[:, padded], labels[padded].astype("i4"), weight, given)
        whole = part if whole is None else accuracy.merge(whole, part)
    assert whole is not None
    assert_same(accuracy.finalize(whole), oracle(predictions, labels))


def test_labels_beyond_the_classes_do_not_count():
    predictions = jnp.zeros((S, 3), jnp.int32)
    found = accuracy.finalize(counted(predictions, jnp.array([0, -1, N], jnp.int32)))
    assert found.true.tolist() == [1, 0, 0, 0]
    assert found.correct[0].tolist() == [1, 0, 0, 0]


def test_rates_are_those_of_the_definition():
    predictions, labels = draws(50, seed=3)
    labels[labels == 2] = 1  # no image of class 2
    predictions[1][predictions[1] == 3] = 0  # never predicted under condition 1
    counts = oracle(predictions, labels)
    for condition in range(S):
        for label in range(N):
            is_it, said = labels == label, predictions[condition] == label
            recall = said[is_it].mean() if is_it.any() else 0.0
            negative = (~said)[~is_it].mean()
            expected = {
                accuracy.precision: is_it[said].mean() if said.any() else 0.0,
                accuracy.recall: recall,
                accuracy.true_negative_rate: negative,
                accuracy.single_class_accuracy: (is_it == said).mean(),
                accuracy.balanced_accuracy: (recall + negative) / 2,
                accuracy.confidence: chances(predictions).astype("f8")[condition][is_it].mean()
                if is_it.any()
                else 0.0,
            }
            for rate, value in expected.items():
                assert rate(counts)[condition, label] == pytest.approx(value, abs=1e-12)
        right = (predictions[condition] == labels).mean()
        assert accuracy.overall_accuracy(counts)[condition] == pytest.approx(right)


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_sizes_must_be_positive(sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        accuracy.init(*sizes)
