"""Layers on the label grid: how their maps become its pixels.

Shapes: B batch, h w cells of a layer, H W pixels of the label grid, U units.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdissect.arrays.resampling import (
    Alignment,
    Border,
    CornerAlignment,
    ReceptiveField,
    ReceptiveFieldAlignment,
    Shape,
    clamp_border,
    pixel_centers,
    resample,
    zero_border,
)

Tree = Any


class LayerOnGrid(NamedTuple):
    """How the maps of a layer become pixels of the label grid; a static argument of jitted steps.

    Pixels have the same bits in every program, since resampling rounds alike in all (see
    `jaxdissect.arrays.resampling.bilinear`).

    Attributes:
        grid: Height and width of the label grid.
        shape: Height and width of the layer.
        num_units: U.
        alignment: Where grid pixels read the layer.
        border: What lies beyond the outermost cells.
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
        # Fused into what uses them, pixels would be computed several times over.
        return lax.optimization_barrier(resampled)

    def keep(self, maps: Float[Array, "B h w U"]) -> Float[Array, "B rows columns U"]:
        """What to keep of fresh maps."""
        return map_examples(self.on_grid, maps) if self.keeps_grid else maps.astype(jnp.float32)

    def kept_on_grid(self, kept: Float[Array, "*batch rows columns U"]) -> Array:
        """Pixels of the label grid from what was kept."""
        return kept if self.keeps_grid else self.on_grid(kept)

    def to_json(self) -> dict[str, Any]:
        """Describe the layer as JSON values, for `from_json`."""
        return {
            "grid": list(self.grid),
            "shape": list(self.shape),
            "units": self.num_units,
            "alignment": _alignment_to_json(self.alignment),
            "border": getattr(self.border, "__name__", type(self.border).__name__),
        }

    @staticmethod
    def from_json(description: Mapping[str, Any]) -> "LayerOnGrid | None":
        """Read what `to_json` gave; None where alignment or border were functions of a user."""
        alignment = _alignment_from_json(description["alignment"])
        border = _BORDERS.get(description["border"])
        if alignment is None or border is None:
            return None
        grid, shape = (tuple(description[name]) for name in ("grid", "shape"))
        return LayerOnGrid(grid, shape, description["units"], alignment, border)

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


_BORDERS = {border.__name__: border for border in (clamp_border, zero_border)}

_ALIGNMENTS = {kind.__name__: kind for kind in (ReceptiveFieldAlignment, CornerAlignment)}


def _alignment_to_json(alignment: Alignment) -> dict[str, Any]:
    if isinstance(alignment, ReceptiveFieldAlignment | CornerAlignment):
        values = {name: value for name, value in asdict(alignment).items() if name != "field"}
        return {"kind": type(alignment).__name__, "field": list(alignment.field), **values}
    return {"kind": getattr(alignment, "__name__", type(alignment).__name__)}


def _alignment_from_json(description: Mapping[str, Any]) -> Alignment | None:
    values = dict(description)
    kind = values.pop("kind")
    if kind == pixel_centers.__name__:
        return pixel_centers
    if kind not in _ALIGNMENTS:
        return None
    field = ReceptiveField(*map(tuple, values.pop("field")))
    shapes: Any = {name: None if size is None else tuple(size) for name, size in values.items()}
    return _ALIGNMENTS[kind](field, **shapes)


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
