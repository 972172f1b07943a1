"""Exact activation thresholds of every unit of every layer.

Shapes: B batch, U units, Q columns (a unit at a wanted rank), S sampled pixels.

One `LayerSearch` holds the search of one layer between passes; a pass counts, for all layers that
it reads, how many pixels exceed the candidates (see `jaxdissect.stats.quantile`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from jaxdissect.dissection.activation_cache import ActivationCache
from jaxdissect.dissection.setup import DissectionSetup
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.folding import FoldOptions, fold
from jaxdissect.engine.label_grid import LayerOnGrid, fold_examples
from jaxdissect.engine.memory_plan import MemoryPlan
from jaxdissect.stats import quantile

# Passes over kept activations narrow down to the open columns, but only to a few widths, since
# every width is compiled anew.
_WIDTHS = (1 / 8, 1 / 2)


def find_thresholds(
    setup: DissectionSetup, plan: MemoryPlan, cache: ActivationCache, options: FoldOptions
) -> dict[str, np.ndarray]:
    """Find the thresholds [U] of all layers, exactly."""
    searches = {
        name: LayerSearch(
            np.concatenate(cache.sample[name]),
            setup.num_pixels,
            fraction=setup.preset.fraction,
            interpolated=setup.preset.interpolated,
        )
        for name in setup.layers
    }
    for name in plan.kept:
        _search_kept(searches[name], setup.layers[name], cache.kept[name], name, options)
    if plan.again:
        _search_again(setup, {name: searches[name] for name in plan.again}, options)
    return {name: search.thresholds() for name, search in searches.items()}


def check_thresholds(
    layers: Mapping[str, LayerOnGrid], thresholds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Check thresholds that the caller gave, for every layer.

    Raises:
        ValueError: If some are missing, or not as many as the layer has units.
    """
    given = {name: np.asarray(value, np.float32) for name, value in thresholds.items()}
    for name, layer in layers.items():
        shape = given[name].shape if name in given else None
        if shape != (layer.num_units,):
            raise ValueError(
                f"`thresholds` of layer {name!r} must have shape ({layer.num_units},), not {shape}"
            )
    return given


class LayerSearch:
    """The search for the thresholds of one layer.

    Args:
        sample: Some pixels of the layer on the label grid [S, U].
        total: Number of pixels there are.
        fraction: Greatest fraction of pixels on which a unit may be active.
        interpolated: Look for Hazen's interpolated quantile, which needs two ranks per unit.
    """

    def __init__(
        self, sample: Float32[np.ndarray, "S U"], total: int, *, fraction: float, interpolated: bool
    ) -> None:
        self.num_units = sample.shape[1]
        if interpolated:
            lower, upper, self.weight = quantile.hazen_ranks(1 - fraction, total)
            ranks = [lower, upper]
        else:
            ranks, self.weight = [quantile.upper_rank(fraction, total)], 0.0
        self.unit_of = np.tile(np.arange(self.num_units), len(ranks))
        self.search = quantile.start(
            sample[:, self.unit_of], total, np.repeat(ranks, self.num_units)
        )

    def open_columns(self) -> np.ndarray:
        """Columns that need another pass."""
        return np.flatnonzero(quantile.is_open(self.search))

    def narrow(self, columns: np.ndarray, state: quantile.QuantileState) -> None:
        """Learn from a finished pass over some columns."""
        part = quantile.Search(*(field[..., columns] for field in self.search))
        for whole, new in zip(self.search, quantile.narrow(part, state), strict=True):
            whole[..., columns] = new

    def thresholds(self) -> Float32[np.ndarray, "U"]:
        """The thresholds, once no column is open."""
        found = quantile.finalize(self.search).reshape(-1, self.num_units).astype(np.float64)
        return (found[0] * (1 - self.weight) + found[-1] * self.weight).astype(np.float32)


def count_above(
    state: quantile.QuantileState,
    pixels: Callable[[Array], Array],
    maps: Array,
    weight: Array,
) -> quantile.QuantileState:
    """Count one batch of maps of a layer.

    Args:
        state: The pass so far.
        pixels: Makes pixels of the label grid from maps.
        maps: Maps [B, ...], fresh or kept, of the columns searched.
        weight: Which examples count [B].
    """

    def update(state: quantile.QuantileState, maps: Array, weight: Array) -> quantile.QuantileState:
        samples = pixels(maps)
        rows = samples.reshape(-1, samples.shape[-1])
        weight = jnp.repeat(weight.reshape(-1), rows.shape[0] // weight.size)
        return quantile.update(state, rows, weight)

    return fold_examples(update, state, maps, weight)


@partial(jax.jit, static_argnames="layer", donate_argnums=0)
def _count_kept(
    state: quantile.QuantileState,
    batch: Mapping[str, Array],
    units: Array | None,
    *,
    layer: LayerOnGrid,
) -> quantile.QuantileState:
    """Take one step of a pass over the kept maps of a layer; `units` are the columns' units."""
    maps = batch["maps"] if units is None else jnp.take(batch["maps"], units, axis=-1)
    return count_above(state, layer.kept_on_grid, maps, batch["weight"])


@partial(jax.jit, static_argnames="layer", donate_argnums=0)
def _count_fresh(
    state: quantile.QuantileState,
    maps: Array,
    units: Array,
    weight: Array,
    *,
    layer: LayerOnGrid,
) -> quantile.QuantileState:
    """Take one step of a pass over fresh maps of a layer."""
    return count_above(state, layer.on_grid, jnp.take(maps, units, axis=-1), weight)


def widened(columns: np.ndarray, num_columns: int) -> np.ndarray:
    """Repeat some open columns so that the width is one of a few; all columns if most are open."""
    for share in _WIDTHS:
        width = int(num_columns * share)
        if len(columns) <= width:
            return np.resize(columns, width)
    return np.arange(num_columns)


def _search_kept(
    search: LayerSearch, layer: LayerOnGrid, kept: np.ndarray, name: str, options: FoldOptions
) -> None:
    """Pass over the kept maps of one layer, only for units whose search is open."""
    columns = search.open_columns()
    while len(columns):
        columns = widened(columns, len(search.unit_of))
        units = search.unit_of[columns]
        every = np.array_equal(units, np.arange(layer.num_units))
        chosen = None if every else jnp.asarray(units)
        state = fold(
            lambda state, batch, chosen=chosen: (
                _count_kept(state, batch, chosen, layer=layer),
                None,
            ),
            quantile.init(jnp.asarray(search.search.guesses[:, columns])),
            Stored({"maps": kept}),
            description=f"thresholds of {name}",
            **options.without_network(),
        )
        search.narrow(columns, state)
        columns = search.open_columns()


def _search_again(
    setup: DissectionSetup, searches: Mapping[str, LayerSearch], options: FoldOptions
) -> None:
    """Run the network in every pass, for several layers at once."""
    units = {name: jnp.asarray(search.unit_of) for name, search in searches.items()}
    params = setup.network.params

    def step(states: dict[str, quantile.QuantileState], batch: dict[str, Any]) -> Any:
        maps = setup.reader.read(params, batch).maps
        return {
            name: _count_fresh(
                state, maps[name], units[name], batch["weight"], layer=setup.layers[name]
            )
            for name, state in states.items()
        }, None

    while any(len(search.open_columns()) for search in searches.values()):
        states = fold(
            step,
            {name: quantile.init(jnp.asarray(s.search.guesses)) for name, s in searches.items()},
            setup.source,
            description=f"thresholds of {', '.join(searches)}",
            **options.with_network(),
        )
        for name, search in searches.items():
            search.narrow(np.arange(len(search.unit_of)), states[name])
