"""Read layers on the label grid, pass after pass, running the network as seldom as memory allows.

Shapes: B batch, h w cells of a layer, H W pixels of the label grid, U units.

Activations are kept between passes where they fit a memory budget, smallest layers first, at the
layer's own resolution or on the label grid, whichever is smaller. For the layers that do not fit
the network runs again in every pass; since the large layers are usually early ones, and nothing
after the last layer asked for is computed, that is cheaper than it sounds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.arrays.resampling import Alignment, Border, Shape, resample

Tree = Any


class Reading(NamedTuple):
    """How the maps of a layer become pixels of the label grid; a static argument of jitted steps.

    Attributes:
        grid: Height and width of the label grid.
        shape: Height and width of the layer.
        num_units: U.
        alignment, border: As for `resample`.
    """

    grid: Shape
    shape: Shape
    num_units: int
    alignment: Alignment
    border: Border

    @property
    def keeps_grid(self) -> bool:
        """Whether the label grid is no larger than the layer, so that kept maps lie on the grid."""
        return self.grid[0] * self.grid[1] <= self.shape[0] * self.shape[1]

    @property
    def kept_shape(self) -> tuple[int, int, int]:
        """Shape of what is kept of one example."""
        return (*(self.grid if self.keeps_grid else self.shape), self.num_units)

    def on_grid(self, maps: Float[Array, "*batch h w U"]) -> Float[Array, "*batch H W U"]:
        """Resample fresh maps."""
        maps = maps.astype(jnp.float32)
        resampled = resample(maps, self.grid, alignment=self.alignment, border=self.border)
        # Computed the same way for every use, apart from what uses it: thresholds and the
        # comparison with them must see the same bits. Fused, it would also be slow.
        return lax.optimization_barrier(resampled)

    def keep(self, maps: Float[Array, "B h w U"]) -> Float[Array, "B rows columns U"]:
        """What to keep of fresh maps."""
        return map_examples(self.on_grid, maps) if self.keeps_grid else maps.astype(jnp.float32)

    def kept_on_grid(self, kept: Float[Array, "*batch rows columns U"]) -> Array:
        """Pixels of the label grid from what was kept."""
        return kept if self.keeps_grid else self.on_grid(kept)

    def lattice(
        self, maps: Float[Array, "B h w U"], size: Shape
    ) -> Float[Array, "B rows columns U"]:
        """A few evenly spread pixels of the label grid."""
        return resample(
            maps.astype(jnp.float32),
            self.grid,
            alignment=self.alignment,
            border=self.border,
            lattice=size,
        )


def map_examples(function: Callable[[Array], Array], maps: Array) -> Array:
    """Apply a function to every example: one by one on CPU, where one fits the cache."""
    return lax.platform_dependent(
        maps, cpu=lambda maps: lax.map(function, maps), default=jax.vmap(function)
    )


def sum_examples(function: Callable[..., Tree], *batch: Tree) -> Tree:
    """Add up integer results of a function of one example, without keeping them all on CPU."""

    def one_by_one(*batch: Tree) -> Tree:
        shapes = jax.eval_shape(function, *jax.tree.map(lambda x: x[0], batch))
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return lax.scan(
            lambda total, example: (jax.tree.map(jnp.add, total, function(*example)), None),
            zeros,
            batch,
        )[0]

    def at_once(*batch: Tree) -> Tree:
        return jax.tree.map(lambda x: x.sum(axis=0), jax.vmap(function)(*batch))

    return lax.platform_dependent(*batch, cpu=one_by_one, default=at_once)


def fold_examples(update: Callable[..., Tree], state: Tree, *batch: Tree) -> Tree:
    """Update a state with a batch: example by example on CPU, else with all at once.

    Args:
        update: ``update(state, *examples)``; examples have a leading axis only if taken at once.
        state: Where to begin.
        *batch: Arrays with a leading axis B.
    """

    def one_by_one(state: Tree, *batch: Tree) -> Tree:
        return lax.scan(lambda state, example: (update(state, *example), None), state, batch)[0]

    return lax.platform_dependent(state, *batch, cpu=one_by_one, default=update)


class MemoryPlan(NamedTuple):
    """Which layers are kept between passes, and which the network computes again."""

    kept: tuple[str, ...]
    again: tuple[str, ...]
    kept_bytes: int

    def __str__(self) -> str:
        size = f"{self.kept_bytes / 2**20:,.0f} MiB"
        if not self.again:
            return f"keeping all activations ({size}): one forward pass per image"
        kept = f"keeping {', '.join(self.kept)} ({size})" if self.kept else "keeping no layer"
        return f"{kept}; running the network again in every pass for {', '.join(self.again)}"


def plan_memory(readings: Mapping[str, Reading], num_examples: int, budget: int) -> MemoryPlan:
    """Keep as many layers as fit the budget (bytes), smallest first."""
    sizes = {
        name: 4 * num_examples * int(np.prod(reading.kept_shape))
        for name, reading in readings.items()
    }
    kept, used = [], 0
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if used + sizes[name] > budget:
            break
        kept.append(name)
        used += sizes[name]
    return MemoryPlan(_ordered(kept, readings), _ordered(set(readings) - set(kept), readings), used)


def _ordered(names: Sequence[str] | set[str], readings: Mapping[str, Reading]) -> tuple[str, ...]:
    return tuple(name for name in readings if name in names)
