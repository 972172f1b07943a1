"""What every device counts in the maps of a batch.

Shapes: B batch, h w cells of a layer, P pixels of the label grid, K labels per pixel, C rows of
labels, U units, W columns of a pass, V those of them that are narrowed, M candidates, S sampled
pixels, D devices.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from jaxdissect.dissection.layer_search import LayerFound, LayerWork
from jaxdissect.engine import device_states
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.layer_reader import all_finite
from jaxdissect.stats import agreement, brackets, counting, int64_counter, quantile, topk

Layers = tuple[tuple[str, LayerOnGrid], ...]
"""How layers are read, as a static argument."""


class LayerColumns(NamedTuple):
    """What to look at in a layer, for all devices alike; see `LayerWork`.

    Attributes:
        units: The unit of each column [W]; None if they are the layer's units in order.
        chosen: Columns that are narrowed [V]; None for all.
        candidates: Values to count above [M, V].
    """

    units: Array | None
    chosen: Array | None
    candidates: Array | None


class LayerState(NamedTuple):
    """What was counted in a layer; None where nothing is.

    Attributes:
        above: Pixels above each candidate [M, V].
        shared: Pixels above the bracket, by label [C, W].
        collected: Values inside the bracket [W].
    """

    above: int64_counter.Int64Counter | None
    shared: agreement.AgreementState | None
    collected: brackets.BracketState | None


def columns_of(work: LayerWork) -> LayerColumns:
    """Bring what a pass is to look at to the devices."""
    arrays = (work.units, work.chosen, work.candidates)
    return LayerColumns(*(None if part is None else jnp.asarray(part) for part in arrays))


def init(
    work: LayerWork, *, num_rows: int, num_labels: int, label_type: type[np.signedinteger]
) -> LayerState:
    """Nothing counted."""
    above = shared = collected = None
    if work.candidates is not None:
        above = int64_counter.zeros(work.candidates.shape)
    if work.low is not None and work.high is not None:
        shared = agreement.init(num_rows, len(work.columns))
        collected = brackets.init(
            jnp.asarray(work.low),
            jnp.asarray(work.high),
            capacity=work.capacity,
            num_labels=num_labels,
            label_type=label_type,
        )
    return LayerState(above, shared, collected)


def merge(a: LayerState, b: LayerState) -> LayerState:
    """Join what two parts of the data have counted."""
    return LayerState(
        None if a.above is None or b.above is None else int64_counter.merge(a.above, b.above),
        None if a.shared is None or b.shared is None else agreement.merge(a.shared, b.shared),
        None
        if a.collected is None or b.collected is None
        else brackets.merge(a.collected, b.collected),
    )


@partial(jax.jit, static_argnames=("layers", "kept", "num_rows", "mesh"), donate_argnums=0)
def count(
    states: dict[str, LayerState],
    columns: dict[str, LayerColumns],
    maps: dict[str, Array],
    labels: Array | None,
    weight: Array,
    *,
    layers: Layers,
    kept: tuple[str, ...],
    num_rows: int,
    mesh: Mesh | None,
) -> dict[str, LayerState]:
    """Count a batch, on every device its own examples.

    Args:
        states: What each device has counted so far [D, ...].
        columns: What to look at.
        maps: Maps [B, ...], fresh or, of the layers `kept`, as they were kept.
        labels: Labels [B, ..., K] of the pixels; None where only candidates are counted.
        weight: Which examples count [B].
        layers: How the layers are read.
        kept: Layers whose maps were kept.
        num_rows: C.
        mesh: Devices.
    """

    def update(states: Any, batch: Any, columns: Any) -> Any:
        maps, labels, weight = batch
        return {
            name: _count_layer(
                states[name],
                columns[name],
                layer,
                name in kept,
                maps[name],
                labels,
                weight,
                num_rows,
            )
            for name, layer in layers
        }, ()

    with jax.named_scope("count"):
        batch = (maps, labels, weight)
        return device_states.locally(update, mesh)(states, batch, columns)[0]


class _Counted(NamedTuple):
    """Counts of one batch, before they join the state."""

    above: Array | None
    shared: agreement.BatchCounts | None
    collected: brackets.BracketState | None


def _count_layer(
    state: LayerState,
    columns: LayerColumns,
    layer: LayerOnGrid,
    was_kept: bool,
    maps: Array,
    labels: Array | None,
    weight: Array,
    num_rows: int,
) -> LayerState:
    pixels = layer.kept_on_grid if was_kept else layer.on_grid
    if labels is not None and state.shared is None:
        labels = None

    def samples_of(maps: Array) -> Array:
        maps = maps if columns.units is None else jnp.take(maps, columns.units, axis=-1)
        samples = pixels(maps)
        return samples.reshape(-1, samples.shape[-1])

    def count_above(samples: Array) -> Array | None:
        if columns.candidates is None:
            return None
        if columns.chosen is not None:
            samples = jnp.take(samples, columns.chosen, axis=-1)
        return counting.counts_above(samples, columns.candidates)

    def share(
        samples: Array, labels: Array, weight: Array, image_pixels: int
    ) -> agreement.BatchCounts:
        assert state.collected is not None
        active = quantile.exceeds(samples, state.collected.high[None])
        return agreement.count(
            active, labels, weight, num_concepts=num_rows, image_pixels=image_pixels
        )

    def one_by_one(collected: Any, maps: Array, labels: Any, weight: Array) -> _Counted:
        """Count example by example: on CPU, where one fits the cache."""

        def step(counted: _Counted, example: Any) -> tuple[_Counted, None]:
            maps, labels, weight = example
            samples = samples_of(maps)
            above = count_above(samples)
            if above is not None and counted.above is not None:
                above = counted.above + jnp.where(weight, above, 0)
            shared, collected = counted.shared, counted.collected
            if labels is not None and collected is not None:
                labels = labels.reshape(-1, labels.shape[-1]).astype(jnp.int32)
                weight = jnp.broadcast_to(weight, labels.shape[:1])
                own = share(samples, labels, weight, len(samples))
                shared = jax.tree.map(jnp.add, shared, own)
                collected = brackets.update(collected, samples, labels, weight)
            return _Counted(above, shared, collected), None

        return lax.scan(step, empty(collected), (maps, labels, weight))[0]

    def at_once(collected: Any, maps: Array, labels: Any, weight: Array) -> _Counted:
        samples = samples_of(maps)
        each = samples.shape[0] // weight.size
        rows = jnp.repeat(weight, each)
        above = count_above(jnp.where(rows[:, None], samples, -jnp.inf))
        shared = None
        if labels is not None and collected is not None:
            labels = labels.reshape(-1, labels.shape[-1]).astype(jnp.int32)
            shared = share(samples, labels, rows, each)
            collected = brackets.update(collected, samples, labels, rows)
        return _Counted(above, shared, collected)

    def empty(collected: Any) -> _Counted:
        above = shared = None
        if columns.candidates is not None:
            above = jnp.zeros(columns.candidates.shape, jnp.int32)
        if state.shared is not None:
            shared = agreement.BatchCounts(
                *(jnp.zeros(counter.low.shape, jnp.int32) for counter in state.shared)
            )
        return _Counted(above, shared, collected)

    found: Any = lax.platform_dependent(
        state.collected, maps, labels, weight, cpu=one_by_one, default=at_once
    )
    return LayerState(
        None if state.above is None else int64_counter.add(state.above, found.above),
        None if state.shared is None else agreement.add(state.shared, found.shared),
        found.collected,
    )


# --- states of all devices ------------------------------------------------------------------------


def finalize(states: LayerState, mesh: Mesh | None) -> LayerFound:
    """Bring what all devices [D, ...] have counted to the host."""
    above = shared = collected = None
    if states.above is not None:
        merged = device_states.collapse(states.above, int64_counter.merge, mesh)
        above = int64_counter.to_int64(merged)
    if states.shared is None or states.collected is None:
        return LayerFound(above, None, None, None, None, None, None, None, True)
    shared = agreement.finalize(device_states.collapse(states.shared, agreement.merge, mesh))
    collected = device_states.gather(states.collected, mesh)
    above_high, above_low, at_least_low = (
        int64_counter.to_int64(counter).sum(axis=0)
        for counter in (collected.above_high, collected.above_low, collected.at_least_low)
    )
    capacity = collected.values.shape[1]
    used = [int(number) for number in collected.used]
    parts = (collected.values, collected.units, collected.labels)
    values, places, labels = (
        np.concatenate(
            [own[: min(number, capacity)] for own, number in zip(part, used, strict=True)]
        )
        for part in parts
    )
    # As if one device had collected them, so that the passes do not depend on their number.
    complete = sum(used) <= capacity
    return LayerFound(
        above, shared, above_high, above_low, at_least_low, values, places, labels, complete
    )


# --- the first pass over all data -----------------------------------------------------------------


class Seen(NamedTuple):
    """What the host is told of the maps of a batch, by layer.

    Attributes:
        finite: Whether all activations of each example are finite [B].
        sample: Some pixels of each example [B, S, U].
    """

    finite: dict[str, Array]
    sample: dict[str, Array]


class Sampling(NamedTuple):
    """Which pixels of an example are sampled; a static argument.

    Attributes:
        lattice: Rows and columns, evenly spread, that are looked at.
        number: How many of their pixels are taken, others of every example.
    """

    lattice: tuple[int, int]
    number: int


@partial(
    jax.jit, static_argnames=("layers", "keep", "sampled", "sampling", "mesh"), donate_argnums=0
)
def look(
    tops: dict[str, topk.TopKState],
    maps: dict[str, Array],
    example: Array,
    weight: Array,
    *,
    layers: Layers,
    keep: tuple[str, ...],
    sampled: tuple[str, ...],
    sampling: Sampling,
    mesh: Mesh | None,
) -> tuple[dict[str, topk.TopKState], tuple[Seen, dict[str, Array]]]:
    """Find peaks, whether all is finite, a sample, and what is to be kept of fresh maps."""

    def update(tops: Any, batch: Any, shared: None) -> Any:
        maps, example, weight = batch
        tops = {name: _update_top(tops[name], maps[name], example, weight) for name, _ in layers}
        finite = {name: all_finite(maps[name]) for name, _ in layers}
        kept = {name: layer.keep(maps[name]) for name, layer in layers if name in keep}
        sample = {
            name: sample_pixels(layer, maps[name], example, sampling)
            for name, layer in layers
            if name in sampled
        }
        return tops, (Seen(finite, sample), kept)

    with jax.named_scope("look"):
        return device_states.locally(update, mesh)(tops, (maps, example, weight), None)


def _update_top(top: topk.TopKState, maps: Array, example: Array, weight: Array) -> topk.TopKState:
    """Rank examples by their peaks, and equal peaks by how many cells they are in."""
    peaks = maps.max(axis=(1, 2))
    cells = (maps == peaks[:, None, None]).sum(axis=(1, 2), dtype=jnp.int32)
    return topk.update(top, peaks, example, weight, ties=cells)


@partial(jax.jit, static_argnames=("layers", "sampling"))
def sample_layers(
    maps: Mapping[str, Array], example: Array, *, layers: Layers, sampling: Sampling
) -> dict[str, Array]:
    """Sample pixels of several layers; see `sample_pixels`."""
    return {name: sample_pixels(layer, maps[name], example, sampling) for name, layer in layers}


def sample_pixels(layer: LayerOnGrid, maps: Array, example: Array, sampling: Sampling) -> Array:
    """Take some pixels [B, S, U] of fresh maps: evenly spread, and not the same of all examples."""
    pixels = layer.lattice(maps, sampling.lattice)
    pixels = pixels.reshape(len(pixels), -1, pixels.shape[-1])
    there = pixels.shape[1]
    number = min(sampling.number, there)
    if number == there:
        return pixels
    places = (jnp.arange(number) * there // number)[None] + example[:, None] * 7
    return jnp.take_along_axis(pixels, (places % there)[..., None], axis=1)
