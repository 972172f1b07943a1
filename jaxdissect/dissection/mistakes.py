"""The examples on which units and their concepts disagree most: a statistic with pictures.

Shapes: B batch, P pixels of the label grid, U units, m kept examples. Masks have a bit for each
pixel (see `jaxdissect.arrays.bit_masks`).

Two kinds of mistakes are ranked alike. A unit is wrong where it is active outside its concept (a
false positive), and where it is not active on its concept (a false negative). An example counts
the more, the more of its pixels are wrong; but first come those that are wrong altogether: without
any pixel of the concept, or without any active pixel on it. Equals are ranked by position, so that
the result does not depend on the order of the examples or on how they are split.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int32, UInt8

_NOWHERE = np.iinfo(np.int32).max


class MistakeCounts(NamedTuple):
    """How wrong units are in examples.

    Attributes:
        pixels: How many pixels of the label grid are wrong.
        ranks: By these, greatest first, examples are ranked; 0 where nothing is wrong.
    """

    pixels: Int32[Array, "B U"]
    ranks: Int32[Array, "B U"]


class MistakeState(NamedTuple):
    """The worst examples so far, and where the units are active in them."""

    ranks: Int32[Array, "U m"]
    examples: Int32[Array, "U m"]
    pixels: Int32[Array, "U m"]
    masks: UInt8[Array, "U m bytes"]


def false_positives(
    active: Bool[Array, "B P U"], concept: Bool[Array, "B P U"], within: Bool[Array, "B P U"] | None
) -> MistakeCounts:
    """Count the active pixels outside the concept.

    Args:
        active: Where each unit is active.
        concept: Where its concept is; nowhere in all examples for units without one.
        within: Which pixels count against the concept; None for all.
    """
    outside = active & ~concept
    outside = outside if within is None else outside & within
    return _counts(outside, alone=~concept.any(axis=1))


def false_negatives(active: Bool[Array, "B P U"], concept: Bool[Array, "B P U"]) -> MistakeCounts:
    """Count the pixels of the concept on which the unit is not active.

    Args:
        active: Where each unit is active.
        concept: Where its concept is.
    """
    return _counts(concept & ~active, alone=~(concept & active).any(axis=1))


def _counts(wrong: Bool[Array, "B P U"], *, alone: Bool[Array, "B U"]) -> MistakeCounts:
    pixels = wrong.sum(axis=1, dtype=jnp.int32)
    first = jnp.where(alone & (pixels > 0), wrong.shape[1], 0)
    return MistakeCounts(pixels, pixels + first)


def init(num_units: int, number: int, mask_bytes: int) -> MistakeState:
    """No examples seen."""
    shape = (num_units, number)
    return MistakeState(
        jnp.zeros(shape, jnp.int32),
        jnp.full(shape, _NOWHERE, jnp.int32),
        jnp.zeros(shape, jnp.int32),
        jnp.zeros((*shape, mask_bytes), jnp.uint8),
    )


def update(
    state: MistakeState,
    counts: MistakeCounts,
    masks: UInt8[Array, "B U bytes"],
    examples: Int32[Array, "B"],
    weight: Bool[Array, "B"],
) -> MistakeState:
    """Compare the worst with a batch.

    Args:
        state: Worst so far.
        counts: How wrong the units are.
        masks: Where they are active.
        examples: Position of each example in the data set.
        weight: Which examples count.
    """
    wrong = (counts.ranks.T > 0) & weight[None]
    new = MistakeState(
        jnp.where(wrong, counts.ranks.T, 0),
        jnp.where(wrong, examples[None], _NOWHERE),
        jnp.where(wrong, counts.pixels.T, 0),
        jnp.where(wrong[..., None], jnp.swapaxes(masks, 0, 1), 0).astype(jnp.uint8),
    )
    return merge(state, new)


def merge(a: MistakeState, b: MistakeState) -> MistakeState:
    """Join the worst of two parts of the data; as many are kept as `a` has."""
    number = a.ranks.shape[1]
    ranks, examples, pixels, masks = (
        jnp.concatenate(pair, axis=1) for pair in zip(a, b, strict=True)
    )
    places = lax.broadcasted_iota(jnp.int32, ranks.shape, 1)
    ranks, examples, pixels, places = lax.sort(
        (-ranks, examples, pixels, places), dimension=1, num_keys=2
    )
    masks = jnp.take_along_axis(masks, places[:, :number, None], axis=1)
    return MistakeState(-ranks[:, :number], examples[:, :number], pixels[:, :number], masks)
