"""Changes of accuracies on the same images: counts, and how often intervals hold the truth."""

import numpy as np
import pytest

from jaxdissect.stats import accuracy, paired_accuracy

N = 4
DRAWS = 1500


@pytest.fixture(scope="module")
def drawn():
    random = np.random.default_rng(0)
    labels = random.integers(0, N, 60)
    before = np.where(random.uniform(size=60) < 0.8, labels, random.integers(0, N, 60))
    after = np.where(random.uniform(size=(3, 60)) < 0.6, before, random.integers(0, N, (3, 60)))
    return labels, before, after


def coverage(counts, measure, true):
    found = paired_accuracy.change(counts, measure)
    assert (found.low < found.high).all()
    return ((found.low <= true + 1e-9) & (true - 1e-9 <= found.high)).mean(axis=0).min()


def test_changes_are_differences_of_the_measures(drawn):
    labels, before, after = drawn
    counts = paired_accuracy.count(before, after, labels, N)
    for measure in paired_accuracy.MEASURES:
        found = paired_accuracy.change(counts, measure)
        expected = measure(counts.after) - measure(counts.before)
        np.testing.assert_allclose(found.estimate, expected, atol=1e-15)
        assert (found.low < found.estimate).all() and (found.estimate < found.high).all()
        narrow = paired_accuracy.change(counts, measure, level=0.9)
        assert (narrow.high - narrow.low < found.high - found.low).all()


def test_counts_of_unchanged_images(drawn):
    labels, before, after = drawn
    counts = paired_accuracy.count(before, after, labels, N)
    for c in range(N):
        same = (after == c) & (before == c)
        np.testing.assert_array_equal(counts.unchanged.predicted[:, c], same.sum(axis=1))
        own = (same & (labels == c)).sum(axis=1)
        np.testing.assert_array_equal(counts.unchanged.correct[:, c], own)
    rows = paired_accuracy.count(np.tile(before, (3, 1)), after, labels, N)
    np.testing.assert_array_equal(rows.before.correct, np.tile(counts.before.correct, (3, 1)))


def test_a_class_without_images_is_not_known():
    counts = paired_accuracy.count(np.array([0, 1]), np.array([[0, 0]]), np.array([0, 1]), 3)
    found = paired_accuracy.change(counts, accuracy.recall)
    assert (found.estimate[0, 2], found.low[0, 2], found.high[0, 2]) == (0, -1, 1)


def test_what_has_no_interval_is_refused(drawn):
    labels, before, after = drawn
    counts = paired_accuracy.count(before, after, labels, N)
    with pytest.raises(ValueError, match=r"`measure` \(=precision\).* accuracy.recall"):
        paired_accuracy.change(counts, accuracy.precision)
    with pytest.raises(ValueError, match="`labels`"):
        paired_accuracy.count(before, after, labels - 1, N)


# The true loss of recall, from 90%, of the first of ten classes.
@pytest.mark.parametrize(
    ("images", "loss"),
    [(100, 0.01), (100, 0.03), (50, 0.02), (20, 0.05), (200, 0.02), (10, 0.1), (3, 0.1), (1, 0.3)],
)
def test_coverage_where_few_images_change(images, loss):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), images)
    shape = (300, len(labels))
    wrong = random.uniform(size=shape) < 0.1
    before = np.where(wrong, (labels + random.integers(1, 10, shape)) % 10, labels)
    hit = (labels == 0) & ~wrong & (random.uniform(size=shape) < loss / 0.9)
    after = np.where(hit, random.integers(1, 10, shape), before)
    counts = paired_accuracy.count(before, after, labels, 10)
    changes = {
        accuracy.balanced_accuracy: np.eye(10)[0] * -loss / 2 - (1 - np.eye(10)[0]) * loss / 162,
        accuracy.true_negative_rate: (1 - np.eye(10)[0]) * -loss / 81,
        accuracy.overall_accuracy: -loss / 10,
    }
    for measure, true in changes.items():
        assert coverage(counts, measure, true) >= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 3, 2, 3), (1, 40, 3, 200), (50, 50, 50, 50)])
@pytest.mark.parametrize("changed", [0.002, 0.02, 0.2, 0.9])
@pytest.mark.parametrize("design", ["within classes", "over all"])
def test_coverage_with_few_and_with_unequal_images(sizes, changed, design):
    """Any share of images may change, in either direction, and be drawn in either way."""
    random = np.random.default_rng(0)
    share = np.array(sizes) / sum(sizes)
    # chances[label, before, after]
    confusion = 0.2 / N + 0.8 * np.eye(N)
    other = random.dirichlet(np.ones(N), (N, N))
    chances = confusion[:, :, None] * ((1 - changed) * np.eye(N) + changed * other)
    was, is_ = chances.sum(axis=2), chances.sum(axis=1)
    recall = np.diagonal(is_ - was)
    others = share[:, None] * (1 - np.eye(N))
    specificity = -(others * (is_ - was)).sum(axis=0) / others.sum(axis=0)
    if design == "within classes":
        cells = np.stack(
            [random.multinomial(n, chances[c].reshape(-1), DRAWS) for c, n in enumerate(sizes)], 1
        )
    else:
        every = (share[:, None, None] * chances).reshape(-1)
        cells = random.multinomial(sum(sizes), every, DRAWS)
    cells = cells.reshape(DRAWS, N, N, N)
    own = np.arange(N)

    def counted(table):
        true = cells.sum(axis=(2, 3))
        return accuracy.Accuracy(true, table.sum(axis=1), table[:, own, own], np.zeros_like(true))

    counts = paired_accuracy.PairedAccuracy(
        counted(cells.sum(axis=3)),
        counted(cells.sum(axis=2)),
        counted(np.diagonal(cells, axis1=2, axis2=3)),
    )
    assert coverage(counts, accuracy.recall, recall) >= 0.975
    assert coverage(counts, accuracy.true_negative_rate, specificity) >= 0.975
    assert coverage(counts, accuracy.balanced_accuracy, (recall + specificity) / 2) >= 0.975
    assert coverage(counts, accuracy.overall_accuracy, share @ recall) >= 0.975
