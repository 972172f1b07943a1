"""How accuracies change between two conditions on the same images, with confidence intervals.

All that an interval needs is how many images were classified as a class before and after, and how
many both times, so that its cost does not grow with the number of images.

Letters: S conditions, N classes, n images.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import accuracy
from jaxdissect.stats.intervals import Interval, paired_interval

Measure = Callable[[accuracy.Accuracy], np.ndarray]


class PairedAccuracy(NamedTuple):
    """Counts of the same images, classified under two conditions.

    Attributes:
        before: Counts of all images before, [N], or for each condition, [S, N].
        after: Counts of all images after, under each condition, [S, N].
        unchanged: Counts of the images that were classified as the same class both times, [S, N].
    """

    before: accuracy.Accuracy
    after: accuracy.Accuracy
    unchanged: accuracy.Accuracy

    __repr__ = short_repr


def count(
    before: Integer[np.ndarray, "*S n"],
    after: Integer[np.ndarray, "S n"],
    labels: Integer[np.ndarray, "n"],
    num_classes: int,
) -> PairedAccuracy:
    """Count predictions.

    Args:
        before: The class that every image was classified as before, [n], or one row for each
            condition.
        after: The same under each condition.
        labels: The class of every image, in [0, N).
        num_classes: N; predictions beyond are counted as of no class.

    Returns:
        The counts; confidence is not known from predictions, and 0.

    Raises:
        ValueError: If a label is not in [0, N).
    """
    if ((labels < 0) | (labels >= num_classes)).any():
        raise ValueError(f"`labels` must lie in [0, {num_classes})")
    whole = _counts(np.atleast_2d(before), labels, num_classes)
    if before.ndim == 1:
        whole = accuracy.Accuracy(whole.true, *(number[0] for number in whole[1:]))
    unchanged = np.where(after == before, after, -1)
    return PairedAccuracy(
        whole, *(_counts(classes, labels, num_classes) for classes in (after, unchanged))
    )


def change(counts: PairedAccuracy, measure: Measure, *, level: float = 0.99) -> Interval:
    """Find the change of a measure with its interval.

    Args:
        counts: Counts of the same images before and after.
        measure: One of the functions in `MEASURES`, of `jaxdissect.stats.accuracy`.
        level: Chance that an interval holds the true change; see `jaxdissect.stats.intervals`.

    Returns:
        Changes, after minus before: [S, N], or [S] of the accuracy over all classes. Of a class
        without images nothing is known, and its interval is as wide as can be.

    Raises:
        ValueError: If no interval is known of changes of the measure, or `level` is not between 0
            and 1.
    """
    if measure not in MEASURES:
        name = getattr(measure, "__name__", repr(measure))
        known = ", ".join(f"accuracy.{known.__name__}" for known in MEASURES)  # pyright: ignore
        raise ValueError(f"`measure` (={name}) has no interval; these have: {known}")
    return MEASURES[measure](counts, level)


# --- measures -------------------------------------------------------------------------------------


class _Changed(NamedTuple):
    """Numbers of images [S, N] that a class has gained and lost, and numbers of all [N] or [S, N].

    Those of the class become classified as it, and all others no longer.
    """

    gained: Int64[np.ndarray, "S N"]
    lost: Int64[np.ndarray, "S N"]
    whole: Int64[np.ndarray, "..."]


def _own(counts: PairedAccuracy) -> _Changed:
    """Images of the class itself."""
    both = counts.unchanged.correct
    return _Changed(counts.after.correct - both, counts.before.correct - both, counts.before.true)


def _other(counts: PairedAccuracy) -> _Changed:
    """Images of all other classes; gained are those that are no longer classified as the class."""
    wrong_before, wrong_after, both = (x.predicted - x.correct for x in counts)
    whole = counts.before.true.sum(axis=-1, keepdims=True) - counts.before.true
    return _Changed(wrong_before - both, wrong_after - both, whole)


def _recall(counts: PairedAccuracy, level: float) -> Interval:
    return paired_interval(*_own(counts), level=level)


def _true_negative_rate(counts: PairedAccuracy, level: float) -> Interval:
    return paired_interval(*_other(counts), level=level)


def _balanced_accuracy(counts: PairedAccuracy, level: float) -> Interval:
    """Half the sum of what was measured on different images: squared distances add up (MOVER)."""
    own, other = _recall(counts, level), _true_negative_rate(counts, level)
    difference = (own.estimate + other.estimate) / 2
    below, above = (
        np.hypot(own[end] - own.estimate, other[end] - other.estimate) / 2 for end in (1, 2)
    )
    return Interval(difference, difference - below, difference + above)


def _single_class_accuracy(counts: PairedAccuracy, level: float) -> Interval:
    own, other = _own(counts), _other(counts)
    return paired_interval(*(a + b for a, b in zip(own, other, strict=True)), level=level)


def _overall_accuracy(counts: PairedAccuracy, level: float) -> Interval:
    return paired_interval(*(x.sum(axis=-1) for x in _own(counts)), level=level)


MEASURES: Mapping[Measure, Callable[[PairedAccuracy, float], Interval]] = {
    accuracy.recall: _recall,
    accuracy.true_negative_rate: _true_negative_rate,
    accuracy.balanced_accuracy: _balanced_accuracy,
    accuracy.single_class_accuracy: _single_class_accuracy,
    accuracy.overall_accuracy: _overall_accuracy,
}
"""The measures whose changes have intervals."""


def _counts(
    predictions: Integer[np.ndarray, "S n"], labels: Integer[np.ndarray, "n"], num_classes: int
) -> accuracy.Accuracy:
    """Count predictions [S, n]; those beyond [0, N) count as none."""
    shape = (len(predictions), num_classes)
    predicted, correct = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for condition, classes in enumerate(predictions):
        known = classes[(classes >= 0) & (classes < num_classes)]
        predicted[condition] = np.bincount(known, minlength=num_classes)
        correct[condition] = np.bincount(labels[classes == labels], minlength=num_classes)
    true = np.bincount(labels, minlength=num_classes).astype(np.int64)
    return accuracy.Accuracy(true, predicted, correct, np.zeros_like(correct))
