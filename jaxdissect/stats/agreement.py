"""How often units are active where concepts are: exact counts of shared pixels.

Letters: P pixels, K labels per pixel, C concepts, U units. Label 0 means "none", so row 0 of every
table is free; it counts all pixels.

A pixel that carries several labels counts once for each of them; carrying the same label twice
changes nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Int32, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.stats import int64_counter

# Pixels counted together on CPU: the block stays in cache, and its counts fit a uint16.
_BLOCK_PIXELS = 4096

# And by products: float32 has every integer up to twice as many.
_PRODUCT_PIXELS = 2**23

# And of many concepts: room for them is set aside even where slots are enough for all.
_PRODUCT_PIXELS_OF_MANY = 2**17

# Labels that are told apart in a block of pixels; an image has about 65.
_SLOTS = 128


class AgreementState(NamedTuple):
    """Counts of pixels; row 0 stands for every pixel, whatever its labels.

    Attributes:
        intersection: Pixels of each concept on which each unit is active.
        concept: Pixels of each concept.
    """

    intersection: int64_counter.Int64Counter  # [C, U]
    concept: int64_counter.Int64Counter  # [C]


class AgreementCounts(NamedTuple):
    """The same counts on the host, as int64."""

    intersection: Int64[np.ndarray, "C U"]
    concept: Int64[np.ndarray, "C"]

    __repr__ = short_repr

    @property
    def unit(self) -> Int64[np.ndarray, "U"]:
        """Pixels on which each unit is active."""
        return self.intersection[0]

    @property
    def total(self) -> int:
        """All pixels."""
        return int(self.concept[0])


class BatchCounts(NamedTuple):
    """Counts of one batch, before they join the state."""

    intersection: Int32[Array, "C U"]
    concept: Int32[Array, "C"]


def init(num_concepts: int, num_units: int) -> AgreementState:
    """No pixels seen; `num_concepts` includes "none"."""
    return AgreementState(
        int64_counter.zeros((num_concepts, num_units)), int64_counter.zeros((num_concepts,))
    )


def count(
    active: Bool[Array, "P U"],
    labels: Int32[Array, "P K"],
    weight: Bool[Array, "P"],
    *,
    num_concepts: int,
    image_pixels: int | None = None,
) -> BatchCounts:
    """Count pixels; those with weight False do not count.

    Args:
        active: Where each unit is above its threshold.
        labels: Ids in [0, C), 0 for none, no id twice in one pixel (see `without_repeats`). Ids
            beyond that must have been refused before.
        weight: Which pixels count; fewer than 2**31 of them.
        num_concepts: C, including "none".
        image_pixels: How many pixels in a row belong to one image and so have few different
            labels: only the speed depends on it.
    """
    # Unlabelled places go to a row past the end, which is dropped.
    labels = jnp.where((labels == 0) | ~weight[:, None], num_concepts, labels)
    active = active & weight[:, None]
    size = _PRODUCT_PIXELS if num_concepts <= _SLOTS else _PRODUCT_PIXELS_OF_MANY
    by_products = partial(_in_blocks, partial(_count_by_products, num_concepts), size)
    if num_concepts > _SLOTS:
        by_products = partial(_count_in_slots, num_concepts, image_pixels, by_products)
    intersection = lax.platform_dependent(
        active,
        labels,
        cpu=partial(_in_blocks, partial(_count_by_rows, num_concepts), _BLOCK_PIXELS),
        default=by_products,
    )
    concept = jnp.zeros(num_concepts, jnp.int32).at[labels.reshape(-1)].add(1, mode="drop")
    return BatchCounts(intersection, concept.at[0].set(weight.sum(dtype=jnp.int32)))


def add(state: AgreementState, counts: BatchCounts) -> AgreementState:
    """Add the counts of a batch to the state."""
    return AgreementState(
        int64_counter.add(state.intersection, counts.intersection),
        int64_counter.add(state.concept, counts.concept),
    )


def update(
    state: AgreementState,
    active: Bool[Array, "P U"],
    labels: Int32[Array, "P K"],
    weight: Bool[Array, "P"],
) -> AgreementState:
    """Count pixels into the state.

    Args:
        state: Counts so far.
        active: Where each unit is above its threshold.
        labels: Ids in [0, C), 0 for none; they may repeat within a pixel.
        weight: Which pixels count; fewer than 2**31 of them.
    """
    num_concepts = state.concept.low.shape[0]
    return add(state, count(active, without_repeats(labels), weight, num_concepts=num_concepts))


def merge(a: AgreementState, b: AgreementState) -> AgreementState:
    """Join the counts of two parts of the data."""
    return AgreementState(
        int64_counter.merge(a.intersection, b.intersection),
        int64_counter.merge(a.concept, b.concept),
    )


def finalize(state: AgreementState) -> AgreementCounts:
    """Bring the counts to the host."""
    return AgreementCounts(
        int64_counter.to_int64(state.intersection), int64_counter.to_int64(state.concept)
    )


def without_repeats(labels: Int[Array, "*pixels K"]) -> Int[Array, "*pixels K"]:
    """Replace every repetition of a label within one pixel by 0."""
    number = labels.shape[-1]
    same = labels[..., :, None] == labels[..., None, :]
    earlier = np.tril(np.ones((number, number), bool), k=-1)
    earlier = earlier.reshape((1,) * (labels.ndim - 1) + earlier.shape)
    return jnp.where((same & earlier).any(axis=-1), 0, labels)


def _in_blocks(count: Callable[..., Array], size: int, active: Array, labels: Array) -> Array:
    """Count blocks of at most `size` pixels, and add them up."""
    if len(active) <= size:
        return count(active, labels)
    blocks = _blocks(size, active, labels)
    table = jax.eval_shape(count, *(block[0] for block in blocks))
    return lax.scan(
        lambda total, block: (total + count(*block), None),
        jnp.zeros(table.shape, table.dtype),
        blocks,
    )[0]


def _blocks(size: int, active: Array, labels: Array) -> tuple[Array, Array]:
    """Divide pixels into as many blocks of at most `size` as it takes."""
    blocks = max(1, -(-len(active) // size))
    padding = ((0, -len(active) % blocks), (0, 0))  # none is active on these
    active = jnp.pad(active, padding).reshape(blocks, -1, active.shape[1])
    # A repeated label: that it may be new to the block would cost a slot.
    labels = jnp.pad(labels, padding, mode="edge").reshape(blocks, -1, labels.shape[1])
    return active, labels


def _count_by_rows(num_concepts: int, active: Array, labels: Array) -> Array:
    """Add every pixel's row of active units to the rows of its labels: fastest on CPU."""
    # Byte pairs halve the traffic, and a block is too small to overflow them.
    rows = lax.optimization_barrier(active.astype(jnp.uint16))
    found = jnp.zeros((num_concepts + 1, active.shape[1]), jnp.uint16)
    # Every pixel also belongs to row 0; a sum over the rows would be several times slower.
    everything = jnp.zeros_like(labels[:, 0])
    for ids in (everything, *labels.T):
        found = found.at[ids].add(rows, mode="promise_in_bounds")
    return found[:-1].astype(jnp.int32)


def _count_by_products(num_concepts: int, active: Array, labels: Array) -> Array:
    """Multiply label indicators with active units on the matrix units of an accelerator."""
    ids = jnp.arange(num_concepts, dtype=labels.dtype)
    present = (labels[:, :, None] == ids[None, None]).any(axis=1)
    present = present.at[:, 0].set(True)
    # Products of 0 and 1 summed in float32 are exact. Of int8, XLA on GPUs gets some sums wrong.
    found = lax.dot_general(
        present.astype(jnp.bfloat16),
        active.astype(jnp.bfloat16),
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )
    return found.astype(jnp.int32)


def _count_in_slots(
    num_concepts: int,
    image_pixels: int | None,
    otherwise: Callable[[Array, Array], Array],
    active: Array,
    labels: Array,
) -> Array:
    """Multiply indicators of just the labels that are present in each block of pixels."""
    size = image_pixels or _BLOCK_PIXELS
    whole = len(active) % size == 0 and size <= _PRODUCT_PIXELS
    active_blocks, label_blocks = _blocks(size if whole else _BLOCK_PIXELS, active, labels)
    number = len(label_blocks)
    block = jnp.arange(number)[:, None]
    present = jnp.zeros((number, num_concepts + 1), bool)
    present = present.at[block, label_blocks.reshape(number, -1)].set(True)
    present = present.at[:, 0].set(True).at[:, -1].set(False)
    slots = jnp.where(present, jnp.cumsum(present, axis=1, dtype=jnp.int32) - 1, _SLOTS)

    def count(active: Array, labels: Array) -> Array:
        concepts = jnp.broadcast_to(jnp.arange(num_concepts + 1)[None], slots.shape)
        concepts = (
            jnp.full((number, _SLOTS), num_concepts).at[block, slots].set(concepts, mode="drop")
        )
        slot = slots[block[..., None], labels]
        indicators = (slot[..., None] == jnp.arange(_SLOTS)[None, None, None]).any(axis=2)
        found = lax.dot_general(
            indicators.at[..., 0].set(True).astype(jnp.bfloat16),  # every pixel is in row 0
            active.astype(jnp.bfloat16),
            (((1,), (1,)), ((0,), (0,))),
            preferred_element_type=jnp.float32,
        )
        table = jnp.zeros((num_concepts, active.shape[-1]), jnp.int32)
        found = found.astype(jnp.int32).reshape(-1, active.shape[-1])
        return table.at[concepts.reshape(-1)].add(found, mode="drop")

    return lax.cond(
        (present.sum(axis=1) <= _SLOTS).all(),
        lambda: count(active_blocks, label_blocks),
        lambda: otherwise(active, labels),
    )
