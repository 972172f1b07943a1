"""Exact activation thresholds of every unit of every layer.

Shapes: B batch, U units, Q columns (a unit at a wanted rank), S sampled pixels.

One `LayerSearch` holds the search of one layer between passes; a pass counts, for all layers that
it reads, how many pixels exceed the candidates (see `jaxdissect.stats.quantile`).
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from jaxdissect.engine.passes import Reading, fold_examples
from jaxdissect.stats import quantile

# Passes over kept activations narrow down to the open columns, in widths of this many steps, so
# that few shapes are compiled.
_WIDTH_STEPS = 8


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


@partial(jax.jit, static_argnames="reading", donate_argnums=0)
def count_kept(
    state: quantile.QuantileState, batch: Mapping[str, Array], units: Array | None, reading: Reading
) -> tuple[quantile.QuantileState, None]:
    """One step of a pass over the kept maps of one layer; `units` are the columns' units."""
    maps = batch["maps"] if units is None else jnp.take(batch["maps"], units, axis=-1)
    return count_above(state, reading.kept_on_grid, maps, batch["weight"]), None


def widened(columns: np.ndarray, num_columns: int) -> np.ndarray:
    """Repeat some open columns so that the width is one of a few."""
    step = -(-num_columns // _WIDTH_STEPS)
    width = min(-(-len(columns) // step) * step, num_columns)
    return np.resize(columns, width) if width < num_columns else np.arange(num_columns)
