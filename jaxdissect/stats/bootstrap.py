"""Paired bootstrap: confidence intervals of differences that were measured on the same images.

Images are drawn again with replacement, the same ones before and after, so that what is common to
both does not count as uncertainty.

Letters: n images, N classes, S conditions, R draws.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt8

from jaxdissect.stats.accuracy import Accuracy


class Interval(NamedTuple):
    """A difference (after minus before) with its confidence interval.

    Attributes:
        difference: On the images as they are.
        low, high: Ends of the interval.
    """

    difference: Float64[np.ndarray, "*d"]
    low: Float64[np.ndarray, "*d"]
    high: Float64[np.ndarray, "*d"]


def draw_weights(num_images: int, num_draws: int, *, seed: int = 0) -> UInt8[np.ndarray, "n R"]:
    """How often each image is drawn, in every draw of `num_images` images."""
    random = np.random.default_rng(seed)
    chances = np.full(num_images, 1 / num_images)
    weights = np.empty((num_images, num_draws), np.uint8)
    for draw in range(num_draws):  # one by one: they need eight bytes until they are stored
        # That an image is drawn more than 255 times has a chance below 1e-500.
        weights[:, draw] = random.multinomial(num_images, chances)
    return weights


def weighted_counts(
    predictions: Integer[np.ndarray, "n"],
    labels: Integer[np.ndarray, "n"],
    weights: UInt8[np.ndarray, "n R"],
    num_classes: int,
) -> Accuracy:
    """Count every draw: [R, N] each; confidence is not known from predictions, and 0."""
    right = predictions == labels
    correct = _by_class(labels[right], weights[right], num_classes)
    predicted = _by_class(predictions, weights, num_classes)
    true = _by_class(labels, weights, num_classes)
    return Accuracy(true, predicted, correct, np.zeros_like(correct))


def paired_bootstrap(
    before: Integer[np.ndarray, "n"],
    after: Integer[np.ndarray, "S n"],
    labels: Integer[np.ndarray, "n"],
    num_classes: int,
    measure: Callable[[Accuracy], np.ndarray],
    *,
    level: float = 0.99,
    num_draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Find intervals for differences of a measure between conditions and the baseline.

    Args:
        before: Predictions with all units in place.
        after: Predictions under each condition.
        labels: The class of every image.
        num_classes: N.
        measure: A measure of `jaxdissect.stats.accuracy`, per class or over all classes.
        level: Share of the draws that lie in the interval.
        num_draws: R.
        seed: Seed of the draws.

    Returns:
        Differences [S, N], or [S] for a measure over all classes.

    Raises:
        ValueError: If there are no images, or `level` or `num_draws` makes no sense.
    """
    if len(labels) < 1:
        raise ValueError("`labels` has no images")
    if not 0 < level < 1 or num_draws < 1:
        raise ValueError(
            f"`level` (={level}) must be between 0 and 1, `num_draws` (={num_draws}) at least 1"
        )
    # The first draw is the images as they are.
    weights = draw_weights(len(labels), num_draws, seed=seed)
    weights = np.concatenate([np.ones((len(labels), 1), np.uint8), weights], axis=1)
    counts = weighted_counts(before, labels, weights, num_classes)
    start = measure(counts)
    tails = (1 - level) / 2, (1 + level) / 2
    found = []
    for predictions in after:
        # Most images are classified as before: only the others change the counts.
        other = np.flatnonzero(predictions != before)
        drawn = weights[other], num_classes
        gained = weighted_counts(predictions[other], labels[other], *drawn)
        lost = weighted_counts(before[other], labels[other], *drawn)
        changed = counts._replace(
            predicted=counts.predicted + gained.predicted - lost.predicted,
            correct=counts.correct + gained.correct - lost.correct,
        )
        change = measure(changed) - start
        found.append((change[0], *np.quantile(change[1:], tails, axis=0)))
    return Interval(*(np.array(part) for part in zip(*found, strict=True)))


def _by_class(
    classes: Integer[np.ndarray, "m"], weights: UInt8[np.ndarray, "m R"], num_classes: int
) -> Int64[np.ndarray, "R N"]:
    """Sum the weights of the images of each class."""
    sums = np.zeros((num_classes, weights.shape[1]), np.int64)
    if len(classes):
        order = np.argsort(classes, kind="stable")
        there, first = np.unique(classes[order], return_index=True)
        sums[there] = np.add.reduceat(weights[order], first, axis=0, dtype=np.int64)
    return sums.T
