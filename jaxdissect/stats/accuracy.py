"""Accuracy class by class: exact counts of predicted and of true classes.

Letters: B batch, S conditions (such as sets of removed units), N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, judge
single classes by balanced accuracy: the mean of the accuracies on images of the class and on all
others, so that 0.5 is chance for every class. Where the reference gives NaN for 0/0 (no image of a
class, or none predicted), the rates here are 0, and so are the halves of a balanced accuracy. Of a
class without images (`Accuracy.true` is 0) nothing is known: leave it out of means over classes.

Where nearly all images are classified correctly, accuracy hardly changes with the loss of one unit.
Confidence, the mean probability that a classifier gives to the class of an image, does; it is
summed in whole steps of 2^-16, so that it too is exact in any order.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int32, Int64, Integer

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter


class AccuracyState(NamedTuple):
    """Counts so far."""

    true: int64_counter.Int64Counter  # [N]
    predicted: int64_counter.Int64Counter  # [S, N]
    correct: int64_counter.Int64Counter  # [S, N]
    confidence: int64_counter.Int64Counter  # [S, N], in steps


class Accuracy(NamedTuple):
    """Counts of images.

    Attributes:
        true: Images of each class.
        predicted: Images that were classified as each class, under each condition.
        correct: Those of them that are of that class.
        confidence: Sum of the probabilities of each class over the images of it, in steps of
            1 / `STEPS`.
    """

    true: Int64[np.ndarray, "*T N"]
    predicted: Int64[np.ndarray, "*S N"]
    correct: Int64[np.ndarray, "*S N"]
    confidence: Int64[np.ndarray, "*S N"]

    __repr__ = short_repr


STEPS = 2**16
"""Steps in which probabilities are summed."""


def init(num_classes: int, num_conditions: int) -> AccuracyState:
    """No images seen."""
    if min(num_classes, num_conditions) < 1:
        raise ValueError(
            f"`num_classes` (={num_classes}) and `num_conditions` (={num_conditions}) must be at "
            "least 1"
        )
    shape = (num_conditions, num_classes)
    by_class, conditional = (
        int64_counter.zeros((num_classes,)),
        (int64_counter.zeros(shape) for _ in range(3)),
    )
    return AccuracyState(by_class, *conditional)


def update(
    state: AccuracyState,
    predictions: Integer[Array, "S B"],
    confidences: Float[Array, "S B"],
    labels: Integer[Array, "B"],
    weight: Bool[Array, "B"],
) -> AccuracyState:
    """Count a batch.

    Args:
        state: Counts so far.
        predictions: Class that each image was classified as, under each condition; beyond [0, N) it
            counts as none.
        confidences: Probability in [0, 1] that the classifier gives to the class of each image.
        labels: Class of each image; beyond [0, N) the image does not count.
        weight: Which images count.

    Raises:
        ValueError: If there are more than `int64_counter.MOST_AMOUNTS` images.
    """
    num_classes = state.true.low.shape[0]
    predictions, labels = predictions.astype(jnp.int32), labels.astype(jnp.int32)
    # Predictions of images that are of no class would make rates leave [0, 1].
    weight = weight & (labels >= 0) & (labels < num_classes)

    def add_up(classes: Int32[Array, "B"], amounts: Int32[Array, "B"]) -> Int32[Array, "N"]:
        sums = jnp.zeros(num_classes, jnp.int32)
        return sums.at[classes].add(amounts, mode="drop", wrap_negative_indices=False)

    by_condition = jax.vmap(add_up)
    counted = jnp.broadcast_to(weight.astype(jnp.int32), predictions.shape)
    everywhere = jnp.broadcast_to(labels, predictions.shape)
    right = predictions == everywhere
    steps = jnp.round(confidences * STEPS).astype(jnp.int32)
    return AccuracyState(
        int64_counter.add(state.true, add_up(labels, counted[0])),
        int64_counter.add(state.predicted, by_condition(predictions, counted)),
        int64_counter.add(state.correct, by_condition(predictions, jnp.where(right, counted, 0))),
        jax.vmap(int64_counter.add_at)(state.confidence, everywhere, counted * steps),
    )


def merge(a: AccuracyState, b: AccuracyState) -> AccuracyState:
    """Join two parts of the images."""
    return AccuracyState(*(int64_counter.merge(x, y) for x, y in zip(a, b, strict=True)))


def finalize(state: AccuracyState) -> Accuracy:
    """Bring the counts to the host."""
    return Accuracy(*(int64_counter.to_int64(counts) for counts in state))


def precision(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Of the images that were classified as a class, the share that is of it."""
    return _share(counts.correct, counts.predicted)


def recall(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Of the images of a class, the share that was classified as it."""
    return _share(counts.correct, counts.true)


def true_negative_rate(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Of the images of all other classes, the share that was not classified as a class."""
    return _share(_true_negatives(counts), _total(counts) - counts.true)


def single_class_accuracy(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Of all images, the share that is correctly classified as a class or as another."""
    return _share(counts.correct + _true_negatives(counts), _total(counts))


def balanced_accuracy(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Mean of recall and true-negative rate, the paper's accuracy of a single class."""
    return (recall(counts) + true_negative_rate(counts)) / 2


def confidence(counts: Accuracy) -> Float64[np.ndarray, "*S N"]:
    """Mean probability that the classifier gives to a class on the images of it."""
    return _share(counts.confidence, counts.true * STEPS)


def overall_accuracy(counts: Accuracy) -> Float64[np.ndarray, "*S"]:
    """Of all images, the share that was classified correctly."""
    return _share(counts.correct.sum(axis=-1), counts.true.sum(axis=-1))


def _true_negatives(counts: Accuracy) -> Int64[np.ndarray, "*S N"]:
    return _total(counts) - counts.true - (counts.predicted - counts.correct)


def _total(counts: Accuracy) -> Int64[np.ndarray, "*S 1"]:
    return counts.true.sum(axis=-1, keepdims=True)


def _share(
    part: np.ndarray | np.int64, whole: np.ndarray | np.int64
) -> Float64[np.ndarray, "*shape"]:
    return np.asarray(part / np.maximum(whole, 1))  # of arrays without axes NumPy makes scalars
