"""What every device finds in a batch of examples to show of units.

Shapes: B batch, h w cells of a layer, P pixels of the label grid, Q of them in masks, K labels per
pixel, U units, D concepts, G scopes, M inner edges of bins, k top images, m mistakes.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int32

from jaxdissect.arrays import bit_masks
from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection import mistakes
from jaxdissect.dissection.layer_counts import Layers
from jaxdissect.engine import device_states
from jaxdissect.stats import counting, int64_counter, quantile


class LayerColumns(NamedTuple):
    """What to look at in a layer, for all devices alike.

    Attributes:
        units: Which units [U].
        thresholds: t_u [U].
        inner_edges: Between the bins of the histogram [M, U].
        top_examples: Positions of the examples to show of each unit [U, k].
        concepts: Place of each unit's concept among all that are looked for [U]; D for none.
        scopes: Place of the concept's scope [U]; G where all pixels count.
    """

    units: Array
    thresholds: Array
    inner_edges: Array
    top_examples: Array
    concepts: Array
    scopes: Array


class LabelIds(NamedTuple):
    """Which labels are looked for: ids of concepts [D], and of scopes [G]."""

    concepts: Array
    scopes: Array


class TopState(NamedTuple):
    """What was found of the top images of units; zeros where an example was not met yet."""

    peaks: Array
    places: Array
    masks: Array


class LayerState(NamedTuple):
    """What was found in a layer so far."""

    top: TopState
    above: int64_counter.Int64Counter
    false_positives: mistakes.MistakeState
    false_negatives: mistakes.MistakeState


class _Found(NamedTuple):
    """What is found of each example [B, ...] of a layer; None where there are no labels."""

    peaks: Array
    places: Array
    masks: Array
    false_positives: mistakes.MistakeCounts | None
    false_negatives: mistakes.MistakeCounts | None


def init(columns: LayerColumns, *, num_mistakes: int, mask_size: Shape) -> LayerState:
    """Nothing found."""
    units, number = columns.top_examples.shape
    mask_bytes = bit_masks.num_bytes(mask_size)
    top = TopState(
        jnp.zeros((units, number), jnp.float32),
        jnp.zeros((units, number), jnp.int32),
        jnp.zeros((units, number, mask_bytes), jnp.uint8),
    )
    worst = [mistakes.init(units, num_mistakes, mask_bytes) for _ in range(2)]
    return LayerState(top, int64_counter.zeros(columns.inner_edges.shape), *worst)


def merge(a: LayerState, b: LayerState) -> LayerState:
    """Join what two parts of the data have found; every example lies in one of them."""
    return LayerState(
        jax.tree.map(jnp.add, a.top, b.top),
        int64_counter.merge(a.above, b.above),
        mistakes.merge(a.false_positives, b.false_positives),
        mistakes.merge(a.false_negatives, b.false_negatives),
    )


@partial(jax.jit, static_argnames=("layers", "mask_pixels", "mesh"), donate_argnums=0)
def update(
    states: dict[str, LayerState],
    columns: dict[str, LayerColumns],
    ids: LabelIds,
    maps: dict[str, Array],
    labels: Array | None,
    example: Array,
    weight: Array,
    *,
    layers: Layers,
    mask_pixels: tuple[int, ...] | None,
    mesh: Mesh | None,
) -> tuple[dict[str, LayerState], Array | None]:
    """Look at a batch, on every device at its own examples.

    Args:
        states: What each device has found so far [D, ...].
        columns: What to look at.
        ids: Which labels to look for.
        maps: Maps [B, h, w, units of the layer].
        labels: Labels [B, ..., K] of the pixels; None to look at top images only.
        example: Positions of the examples in the data set [B].
        weight: Which examples count [B].
        layers: How the layers are read.
        mask_pixels: Pixels of the label grid that masks hold; None for all.
        mesh: Devices.

    Returns:
        The states, and where each concept is [B, D, bytes].
    """

    def see(states: Any, batch: Any, shared: Any) -> Any:
        maps, labels, example, weight = batch
        columns, ids = shared

        def at_once(maps: Any, labels: Any, weight: Array) -> Any:
            present = None if labels is None else _present(labels, ids)
            found = {
                name: _look(layer, maps[name], present, weight, columns[name], mask_pixels)
                for name, layer in layers
            }
            bits = None if present is None else _packed(present[0][..., :-1], mask_pixels)
            own = {name: part[0] for name, part in found.items()}, bits
            return own, {name: part[1] for name, part in found.items()}

        def one_by_one(maps: Any, labels: Any, weight: Array) -> Any:
            """Look at example by example: on CPU, where one fits the cache."""

            def look(one: Any) -> Any:
                own, counts = at_once(*jax.tree.map(lambda leaf: leaf[None], one))
                return jax.tree.map(lambda leaf: leaf[0], own), counts

            own, counts = lax.map(look, (maps, labels, weight))
            return own, jax.tree.map(lambda leaf: leaf.sum(axis=0), counts)

        (found, bits), above = lax.platform_dependent(
            maps, labels, weight, cpu=one_by_one, default=at_once
        )
        states = {
            name: _join(states[name], found[name], above[name], columns[name], example, weight)
            for name, _ in layers
        }
        return states, bits

    with jax.named_scope("examples of units"):
        batch = (maps, labels, example, weight)
        return device_states.locally(see, mesh)(states, batch, (columns, ids))


def _present(labels: Array, ids: LabelIds) -> tuple[Bool[Array, "B P _"], Bool[Array, "B P _"]]:
    """Find where concepts, and scopes, are; the last column of each is for units without one."""
    labels = labels.reshape(len(labels), -1, labels.shape[-1]).astype(jnp.int32)

    def where(wanted: Array) -> Array:
        return (labels[..., None] == wanted.reshape(1, 1, 1, -1)).any(axis=2)

    concepts, scopes = where(ids.concepts), where(ids.scopes)
    nowhere = jnp.zeros((*concepts.shape[:2], 1), bool)
    return jnp.concatenate([concepts, nowhere], -1), jnp.concatenate([scopes, ~nowhere], -1)


def _packed(pixels: Bool[Array, "B P U"], mask_pixels: tuple[int, ...] | None) -> Array:
    if mask_pixels is not None:
        pixels = pixels[:, np.array(mask_pixels)]
    return bit_masks.pack_units(pixels)


def _look(
    layer: Any,
    maps: Array,
    present: Any,
    weight: Array,
    columns: LayerColumns,
    mask_pixels: tuple[int, ...] | None,
) -> tuple[_Found, Array | None]:
    """Look at a layer of some examples; what is counted of all of them comes apart."""
    maps = jnp.take(maps, columns.units, axis=-1).astype(jnp.float32)
    pixels = layer.on_grid(maps)
    pixels = pixels.reshape(len(pixels), -1, pixels.shape[-1])
    active = quantile.exceeds(pixels, columns.thresholds[None, None])
    peaks, places = peaks_and_places(maps)
    masks = _packed(active, mask_pixels)
    if present is None:
        return _Found(peaks, places, masks, None, None), None
    concepts, scopes = present
    concept = jnp.take(concepts, columns.concepts, axis=-1)
    within = None if scopes.shape[-1] == 1 else jnp.take(scopes, columns.scopes, axis=-1)
    has_concept = columns.concepts < concepts.shape[-1] - 1
    wrong = (
        mistakes.false_positives(active & has_concept[None, None], concept, within),
        mistakes.false_negatives(active, concept),
    )
    counted = jnp.where(weight[:, None, None], pixels, jnp.nan)
    above = counting.counts_above(counted.reshape(-1, pixels.shape[-1]), columns.inner_edges)
    return _Found(peaks, places, masks, *wrong), above


def peaks_and_places(maps: Array) -> tuple[Array, Int32[Array, "B U"]]:
    """Find the highest activation [B, U] of maps [B, h, w, U], and the cell, row by row, it is in.

    Of several such cells it is the one nearest, by rows and columns, to the middle of them all.
    """
    _, height, width, _ = maps.shape
    peaks = maps.max(axis=(1, 2))
    is_peak = maps == peaks[:, None, None]
    number = is_peak.sum(axis=(1, 2), keepdims=True, dtype=jnp.int32)
    distance = jnp.zeros(maps.shape, jnp.int32)
    for shape in ((1, height, 1, 1), (1, 1, width, 1)):
        index = jnp.arange(max(shape), dtype=jnp.int32).reshape(shape)
        total = jnp.where(is_peak, index, 0).sum(axis=(1, 2), keepdims=True, dtype=jnp.int32)
        distance += jnp.abs(number * index - total)  # from the mean, times the number
    distance = jnp.where(is_peak, distance, np.iinfo(np.int32).max)
    flat = distance.reshape(len(maps), height * width, -1)
    return peaks, jnp.argmin(flat, axis=1).astype(jnp.int32)


def _join(
    state: LayerState,
    found: _Found,
    above: Array | None,
    columns: LayerColumns,
    example: Array,
    weight: Array,
) -> LayerState:
    met = (columns.top_examples[..., None] == example[None, None]) & weight[None, None]
    row = jnp.argmax(met, axis=-1)
    is_met = met.any(axis=-1)

    def shown(array: Array, before: Array) -> Array:
        """Take what was found of the example that each place shows, if it has come."""
        by_unit = jnp.swapaxes(array, 0, 1)
        places = row.reshape(*row.shape, *(1,) * (array.ndim - 2))
        taken = jnp.take_along_axis(by_unit, places, axis=1)
        return jnp.where(is_met.reshape(places.shape), taken, before)

    top = TopState(*map(shown, (found.peaks, found.places, found.masks), state.top))
    if above is None or found.false_positives is None or found.false_negatives is None:
        return state._replace(top=top)
    return LayerState(
        top,
        int64_counter.add(state.above, above),
        mistakes.update(state.false_positives, found.false_positives, found.masks, example, weight),
        mistakes.update(state.false_negatives, found.false_negatives, found.masks, example, weight),
    )
