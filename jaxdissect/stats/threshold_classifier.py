"""Classifiers of one number: its best threshold for a class, balanced accuracy and AUROC, exactly.

Letters: n examples, U columns (usually peak activations of units), N classes, D classifiers.

A column predicts a class where it exceeds a threshold t, strictly. Balanced accuracy is the mean of
the accuracies on examples of the class and on all others, so that 0.5 is chance. The area under the
ROC curve is the chance that an example of the class has a greater value than one of another class,
equal values counted half (Fawcett, "An introduction to ROC analysis", 2006).

All columns and all classes are looked at together. Between two examples of a class, thresholds only
gain other examples, so the best one lies just below an example of the class: n candidates for all
classes of a column, not n for each. With every column sorted once, and its order split by classes,
the counts at all of them are places in these orders. Counts are integers; nothing is binned.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int64

from jaxdissect.arrays.representation import short_repr

_BLOCK = 2**21  # values that are looked at together: some tens of megabytes


class ThresholdClassifiers(NamedTuple):
    """The best classifier that every column makes for every class.

    Attributes:
        threshold: Best t; of equally good ones the highest. Half way between the two examples that
            it parts, as far as float32 allows. Infinite for classes without examples.
        balanced_accuracy: With this threshold, in [0.5, 1].
        auroc: In [0, 1].
    """

    threshold: Float32[np.ndarray, "U N"]
    balanced_accuracy: Float64[np.ndarray, "U N"]
    auroc: Float64[np.ndarray, "U N"]

    __repr__ = short_repr


def fit(
    values: Float32[np.ndarray, "n U"], labels: Int[np.ndarray, "_"], num_classes: int
) -> ThresholdClassifiers:
    """Choose the best threshold of every column for every class.

    Args:
        values: Finite.
        labels: Class of each example, in [0, N). For a single yes or no, 0 and 1.
        num_classes: N.

    Returns:
        The classifiers; for classes without examples, balanced accuracy and AUROC are 0.5.

    Raises:
        ValueError: If there are examples of less than two classes, a label is out of range, or a
            value is not finite.
    """
    present, sizes = _classes(values, labels, num_classes)
    # Integers of two bytes are sorted fast, by counting.
    places = np.searchsorted(present, labels)
    places = places.astype(np.int16) if len(present) < 2**15 else places
    width = max(1, _BLOCK // len(values))
    parts = [
        _fit_block(values[:, start : start + width], places, sizes)
        for start in range(0, values.shape[1], width)
    ]
    shape = (values.shape[1], num_classes)
    found = ThresholdClassifiers(
        np.full(shape, np.inf, np.float32), np.full(shape, 0.5), np.full(shape, 0.5)
    )
    for whole, columns in zip(found, zip(*parts, strict=True), strict=True):
        whole[:, present] = np.concatenate(columns, axis=1).T
    return found


def evaluate(
    values: Float32[np.ndarray, "n D"],
    labels: Int[np.ndarray, "n"],
    classes: Int[np.ndarray, "D"],
    thresholds: Float32[np.ndarray, "D"],
) -> Float64[np.ndarray, "D"]:
    """Measure classifiers on other examples than their thresholds were chosen with.

    Args:
        values: Values of the column of each classifier.
        labels: Class of each example.
        classes: Class that each classifier predicts.
        thresholds: Its threshold.

    Returns:
        Balanced accuracies.

    Raises:
        ValueError: If a class has no examples, or all.
    """
    own = labels[:, None] == classes[None]
    alone = [int(classes[i]) for i in np.flatnonzero(own.all(axis=0) | ~own.any(axis=0))]
    if alone:
        raise ValueError(
            f"`labels` must have some, but not only, examples of `classes` {alone[:5]}"
        )
    active = values > thresholds[None]
    hits = (active & own).sum(axis=0) / own.sum(axis=0)
    rejections = (~active & ~own).sum(axis=0) / (~own).sum(axis=0)
    return (hits + rejections) / 2


def reference_threshold(
    values: Float32[np.ndarray, "n"], is_positive: Bool[np.ndarray, "n"]
) -> tuple[float, float]:
    """Choose a threshold by the rule of the paper's code, for parity.

    As many others as there are examples of the class are taken evenly from all others in ascending
    order; the threshold is the first example of the class that no longer lies below the other at
    the same place from the top. There, an example is predicted if it reaches the threshold.

    Args:
        values: Values of one column.
        is_positive: Which examples are of the class.

    Returns:
        The threshold and its balanced accuracy.

    Raises:
        ValueError: If there are no examples of the class, or fewer others than these, or all of
            them lie below.
    """
    own, others = np.sort(values[is_positive]), np.sort(values[~is_positive])
    if not 0 < len(own) <= len(others):
        raise ValueError(
            f"`is_positive` must have examples of the class (={len(own)}), and at least as many "
            f"others (={len(others)})"
        )
    few = others[:: len(others) // len(own)][: len(own)][::-1]
    place = int((own < few).sum())
    if place == len(own):
        raise ValueError("`values` of the class all lie below the others")
    threshold = own[place]
    accuracy = ((own >= threshold).mean() + (others < threshold).mean()) / 2
    return float(threshold), float(accuracy)


# --- how it is done -------------------------------------------------------------------------------


def _classes(
    values: np.ndarray, labels: np.ndarray, num_classes: int
) -> tuple[Int64[np.ndarray, "C"], Int64[np.ndarray, "C"]]:
    """Check arguments; return the classes with examples, and how many examples each has."""
    if len(values) != len(labels):
        raise ValueError(f"`labels` (={len(labels)}) must be as many as `values` (={len(values)})")
    if not np.isfinite(values).all():
        raise ValueError("`values` must be finite")
    present, sizes = np.unique(labels, return_counts=True)
    if len(present) and not 0 <= present[0] <= present[-1] < num_classes:
        wrong = present[0] if present[0] < 0 else present[-1]
        raise ValueError(f"`labels` (={wrong}) must lie in [0, {num_classes})")
    if len(present) < 2:
        raise ValueError(
            f"`labels` must have examples of two classes or more, and all {len(labels)} are of "
            f"class {', '.join(map(str, present)) or 'none'}: there is nothing to distinguish"
        )
    return present.astype(np.int64), sizes.astype(np.int64)


def _fit_block(
    values: np.ndarray, places: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, balanced accuracies and AUROC [C, U] of some columns for the classes present.

    Rows of the arrays here are examples: first by descending value in every column, then by class
    and within it by descending value. So examples of a class are the same rows in every column.
    """
    number = len(values)
    descending = np.argsort(-values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, descending, axis=0)
    first, last = _runs(ordered)
    by_class = np.argsort(places[descending], axis=0, kind="stable")
    mine, reached, above = (
        np.take_along_axis(rows, by_class, axis=0) for rows in (ordered, last + 1, first)
    )
    starts = np.cumsum(sizes) - sizes
    # Rows of each example's class: where it begins, and how many.
    begin, size = (np.repeat(rows, sizes)[:, None] for rows in (starts, sizes))
    own_first, own_last = _runs(mine, starts)
    own_reached, own_above = own_last + 1 - begin, own_first - begin

    # If an example is the last that a threshold lets through: hits * others - alarms * size.
    others = number - size
    gain = own_reached * others - (reached - own_reached) * size
    best = np.maximum.reduceat(gain, starts, axis=0)
    rows = np.arange(number)[:, None]
    chosen = np.minimum.reduceat(
        np.where(gain == np.repeat(best, sizes, axis=0), rows, number), starts, axis=0
    )
    lowest_in = np.take_along_axis(mine, chosen, axis=0)
    highest_out = np.take_along_axis(
        ordered, np.minimum(np.take_along_axis(reached, chosen, axis=0), number - 1), axis=0
    )
    middle = highest_out / 2 + lowest_in / 2
    middle = np.where((middle >= highest_out) & (middle < lowest_in), middle, highest_out)
    # Where no threshold is better than none at all, nothing is let through.
    threshold = np.where(best > 0, middle, ordered[:1])
    pairs = (sizes * (number - sizes))[:, None]
    accuracy = 0.5 + np.maximum(best, 0) / (2 * pairs)

    # Twice the pairs that an example wins: others strictly below it, and those equal.
    below = others - (reached - own_reached)
    equal = (reached - above) - (own_reached - own_above)
    won = np.add.reduceat(2 * below + equal, starts, axis=0)
    return threshold, accuracy, won / (2 * pairs)


def _runs(
    ordered: np.ndarray, starts: np.ndarray | None = None
) -> tuple[Int64[np.ndarray, "n U"], Int64[np.ndarray, "n U"]]:
    """First and last row of the run of equal values that each row lies in; runs end at `starts`."""
    number = len(ordered)
    rows = np.arange(number)[:, None]
    begins = np.ones(ordered.shape, bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    if starts is not None:
        begins[starts] = True
    first = np.maximum.accumulate(np.where(begins, rows, 0), axis=0)
    ends = np.ones_like(begins)
    ends[:-1] = begins[1:]
    last = np.minimum.accumulate(np.where(ends, rows, number)[::-1], axis=0)[::-1]
    return first, last
