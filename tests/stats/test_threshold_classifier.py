"""One number as a detector of a class: against brute force over every threshold and every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import golden

from jaxdissect.stats import threshold_classifier


def brute_force(values, is_own):
    """Best balanced accuracy over all thresholds, and AUROC over all pairs."""
    thresholds = np.concatenate([[-np.inf], values])
    hits = (values[is_own][None] > thresholds[:, None]).mean(1)
    alarms = (values[~is_own][None] > thresholds[:, None]).mean(1)
    own, other = values[is_own][:, None], values[~is_own][None]
    return ((hits + 1 - alarms) / 2).max(), ((own > other) + 0.5 * (own == other)).mean()


# Few different values, so that ties abound, and some neighbours in float32.
NUMBERS = st.sampled_from([-2.5, -1.0, 0.0, 1.0, float(np.nextafter(np.float32(1), 2)), 3e38])


@st.composite
def problems(draw):
    number, columns = draw(st.integers(2, 14)), draw(st.integers(1, 4))
    values = draw(hnp.arrays(np.float32, (number, columns), elements=NUMBERS))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=number, max_size=number)))
    labels[:2] = [0, 2]  # two classes at least; class 4 is never there
    return values, labels


@settings(max_examples=150, deadline=None)
@given(problems())
def test_best_of_all_thresholds(problem):
    values, labels = problem
    found = threshold_classifier.fit(values, labels, 5)
    for c in range(5):
        own = labels == c
        if not own.any():
            assert (found.balanced_accuracy[:, c] == 0.5).all() and (found.auroc[:, c] == 0.5).all()
            assert np.isposinf(found.threshold[:, c]).all()
            continue
        columns = np.arange(values.shape[1])
        reached = threshold_classifier.evaluate(
            values[:, columns], labels, np.full(len(columns), c), found.threshold[:, c]
        )
        for u in columns:
            best, auroc = brute_force(values[:, u], own)
            np.testing.assert_allclose(found.balanced_accuracy[u, c], best, atol=1e-12)
            np.testing.assert_allclose(found.auroc[u, c], auroc, atol=1e-12)
            # The threshold itself does what is said of it.
            np.testing.assert_allclose(reached[u], best, atol=1e-12)


def test_of_equally_good_thresholds_the_highest():
    values = np.array([[4], [3], [2], [1]], np.float32)
    labels = np.array([1, 0, 1, 0])
    found = threshold_classifier.fit(values, labels, 2)
    assert found.threshold[0, 1] == 3.5 and found.balanced_accuracy[0, 1] == 0.75
    # Nothing is better than no threshold: it lets nothing through.
    assert found.threshold[0, 0] == 4 - 0.5 * 0 and found.balanced_accuracy[0, 0] == 0.5


def test_many_columns_are_cut_into_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (40, 7)).astype(np.float32)
    labels = rng.integers(0, 3, 40)
    whole = threshold_classifier.fit(values, labels, 3)
    monkeypatch.setattr(threshold_classifier, "_BLOCK", 90)
    for a, b in zip(whole, threshold_classifier.fit(values, labels, 3), strict=True):
        np.testing.assert_array_equal(a, b)


def test_order_of_examples_does_not_matter():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9, (40, 3)).astype(np.float32)
    labels, order = rng.integers(0, 3, 40), rng.permutation(40)
    whole = threshold_classifier.fit(values, labels, 3)
    for a, b in zip(whole, threshold_classifier.fit(values[order], labels[order], 3), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", ["a", "b"])
def test_rule_of_the_reference(case):
    arrays, _ = golden.load(f"single_unit_threshold_{case}")
    values, positive = arrays["values"], arrays["is_positive"]
    threshold, accuracy = threshold_classifier.reference_threshold(values, positive)
    assert threshold == arrays["thresh"]
    np.testing.assert_allclose(accuracy, arrays["acc"], rtol=1e-6)
    found = threshold_classifier.fit(values[:, None], positive.astype(np.int32), 2)
    assert found.balanced_accuracy[0, 1] >= accuracy - 1e-12


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.ones((3, 1)), [1, 1, 1], "two classes or more"),
        (np.ones((0, 1)), [], "two classes or more"),
        (np.ones((2, 1)), [0, 3], r"`labels` \(=3\)"),
        (np.ones((2, 1)), [-1, 2], r"`labels` \(=-1\)"),
        (np.ones((2, 1)), [0, 1, 1], "as many"),
        (np.array([[1], [np.nan]]), [0, 1], "`values` must be finite"),
    ],
)
def test_what_cannot_be_detected(values, labels, message):
    with pytest.raises(ValueError, match=message):
        threshold_classifier.fit(values.astype(np.float32), np.array(labels, int), 3)


def test_what_cannot_be_judged():
    values, labels = np.ones((2, 1), np.float32), np.array([1, 1])
    for c in (0, 1):
        with pytest.raises(ValueError, match="some, but not only"):
            threshold_classifier.evaluate(values, labels, np.array([c]), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="at least as many others"):
        threshold_classifier.reference_threshold(values[:, 0], np.array([True, True]))
    with pytest.raises(ValueError, match="all lie below"):
        threshold_classifier.reference_threshold(
            np.array([0, 1], np.float32), np.array([True, False])
        )
