"""How often units are active where concepts are: exact counts of shared pixels.

Letters: P pixels, K labels per pixel, C concepts, U units. Label 0 means "none"; row 0 of every
table belongs to it.

A pixel that carries several labels counts once for each of them; carrying the same label twice
changes nothing.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Int32, Int64

from jaxdissect.stats import wide

# Pixels counted together on CPU: the block stays in cache, and its counts fit a uint16.
_BLOCK_PIXELS = 4096


class AgreementState(NamedTuple):
    """Counts of pixels.

    Attributes:
        intersection: Pixels of each concept on which each unit is active.
        unit: Pixels on which each unit is active.
        concept: Pixels of each concept.
        total: All pixels.
    """

    intersection: wide.Wide  # [C, U]
    unit: wide.Wide  # [U]
    concept: wide.Wide  # [C]
    total: wide.Wide  # []


class AgreementCounts(NamedTuple):
    """The same counts on the host, as int64."""

    intersection: Int64[np.ndarray, "C U"]
    unit: Int64[np.ndarray, "U"]
    concept: Int64[np.ndarray, "C"]
    total: int


def init(num_concepts: int, num_units: int) -> AgreementState:
    """No pixels seen; `num_concepts` includes "none"."""
    return AgreementState(
        wide.zeros((num_concepts, num_units)),
        wide.zeros((num_units,)),
        wide.zeros((num_concepts,)),
        wide.zeros(),
    )


def update(
    state: AgreementState,
    active: Bool[Array, "P U"],
    labels: Int32[Array, "P K"],
    weight: Bool[Array, "P"],
) -> AgreementState:
    """Count pixels; those with weight False do not count.

    Args:
        state: Counts so far.
        active: Where each unit is above its threshold.
        labels: Ids in [0, C), 0 for none; ids beyond that must have been refused before.
        weight: Which pixels count.
    """
    num_concepts = state.concept.low.shape[0]
    active = active & weight[:, None]
    labels = jnp.where(weight[:, None], without_repeats(labels), 0)
    intersection, concept = lax.platform_dependent(
        active,
        labels,
        cpu=lambda a, b: _count_by_rows(a, b, num_concepts),
        default=lambda a, b: _count_by_products(a, b, num_concepts),
    )
    return AgreementState(
        wide.add(state.intersection, intersection.at[0].set(0)),
        wide.add(state.unit, active.sum(axis=0, dtype=jnp.int32)),
        wide.add(state.concept, concept.at[0].set(0)),
        wide.add(state.total, weight.sum(dtype=jnp.int32)),
    )


def merge(a: AgreementState, b: AgreementState) -> AgreementState:
    """Join the counts of two parts of the data."""
    return AgreementState(*(wide.merge(left, right) for left, right in zip(a, b, strict=True)))


def finalize(state: AgreementState) -> AgreementCounts:
    """Bring the counts to the host."""
    intersection, unit, concept, total = (wide.to_int64(counter) for counter in state)
    return AgreementCounts(intersection, unit, concept, int(total))


def without_repeats(labels: Int[Array, "*pixels K"]) -> Int[Array, "*pixels K"]:
    """Replace every repetition of a label within one pixel by 0."""
    number = labels.shape[-1]
    same = labels[..., :, None] == labels[..., None, :]
    earlier = np.tril(np.ones((number, number), bool), k=-1)
    earlier = earlier.reshape((1,) * (labels.ndim - 1) + earlier.shape)
    return jnp.where((same & earlier).any(axis=-1), 0, labels)


def _count_by_rows(active: Array, labels: Array, num_concepts: int) -> tuple[Array, Array]:
    """Add every pixel's row of active units to the rows of its labels: fastest on CPU."""
    pixels, number = labels.shape
    blocks = -(-pixels // _BLOCK_PIXELS)
    rows = -(-pixels // blocks)
    padding = ((0, blocks * rows - pixels), (0, 0))
    # One more column, always active, counts the concept's own pixels on the way.
    active = jnp.pad(active.astype(jnp.uint16), ((0, 0), (0, 1)), constant_values=1)
    active = jnp.pad(active, padding).reshape(blocks, rows, -1)
    labels = jnp.pad(labels, padding).reshape(blocks, rows, number)

    def count(total: Array, block: tuple[Array, Array]) -> tuple[Array, None]:
        active, labels = block
        found = jnp.zeros(total.shape, jnp.uint16)
        for channel in range(number):
            found = found.at[labels[:, channel]].add(active, mode="promise_in_bounds")
        return total + found.astype(jnp.int32), None

    start = jnp.zeros((num_concepts, active.shape[-1]), jnp.int32)
    total, _ = lax.scan(count, start, (active, labels))
    return total[:, :-1], total[:, -1]


def _count_by_products(active: Array, labels: Array, num_concepts: int) -> tuple[Array, Array]:
    """Multiply label indicators with active units on the matrix units of an accelerator."""
    ids = jnp.arange(num_concepts, dtype=labels.dtype)
    # int8 operands need an int32 result, or the products themselves would wrap.
    present = (labels[:, :, None] == ids[None, None]).any(axis=1).astype(jnp.int8)
    intersection = lax.dot_general(
        present,
        active.astype(jnp.int8),
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.int32,
    )
    return intersection, present.sum(axis=0, dtype=jnp.int32)
