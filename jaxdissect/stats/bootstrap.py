"""Paired bootstrap: how sure is a difference that was measured on the same images?

Images are drawn again with replacement, the same ones before and after, so that what is common to
both does not count as uncertainty.

Letters: n images, N classes, S conditions, R draws.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer

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


def draw_weights(num_images: int, num_draws: int, *, seed: int = 0) -> Int64[np.ndarray, "R n"]:
    """How often each image is drawn, in every draw of `num_images` images."""
    random = np.random.default_rng(seed)
    chances = np.full(num_images, 1 / num_images)
    return random.multinomial(num_images, chances, size=num_draws)


def weighted_counts(
    predictions: Integer[np.ndarray, "n"],
    labels: Integer[np.ndarray, "n"],
    weights: Int64[np.ndarray, "R n"],
    num_classes: int,
) -> Accuracy:
    """Count every draw: [R, N] each; confidence is not known from predictions, and 0."""

    def count(classes: np.ndarray, images: np.ndarray) -> np.ndarray:
        member = classes[:, None] == np.arange(num_classes)
        # Exact in float64: counts stay far below 2^53.
        return np.rint(weights[:, images] @ member.astype(np.float64)).astype(np.int64)

    everything = np.arange(len(labels))
    right = np.flatnonzero(predictions == labels)
    correct = count(labels[right], right)
    predicted = count(predictions, everything)
    return Accuracy(count(labels, everything), predicted, correct, np.zeros_like(correct))


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
        measure: Of `jaxdissect.stats.accuracy`, per class or over all classes.
        level: Share of the draws that lie in the interval.
        num_draws: R.
        seed: Of the draws.

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
    weights = np.concatenate(
        [np.ones((1, len(labels)), np.int64), draw_weights(len(labels), num_draws, seed=seed)]
    )
    start = measure(weighted_counts(before, labels, weights, num_classes))
    tails = (1 - level) / 2, (1 + level) / 2
    found = []
    for predictions in after:
        change = measure(weighted_counts(predictions, labels, weights, num_classes)) - start
        found.append((change[0], *np.quantile(change[1:], tails, axis=0)))
    return Interval(*(np.array(part) for part in zip(*found, strict=True)))
