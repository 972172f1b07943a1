"""Which layers are kept between passes, so that the network runs as seldom as memory allows.

Activations are kept where they fit a memory budget, smallest layers first, at the layer's own
resolution or on the label grid, whichever is smaller. For the layers that do not fit, the network
runs again in every pass, always as far as the last of all layers, since every pass reads them by
one program (see `jaxdissect.engine.layer_reader`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxdissect.engine.label_grid import LayerOnGrid


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


def plan_memory(layers: Mapping[str, LayerOnGrid], num_examples: int, budget: int) -> MemoryPlan:
    """Keep as many layers as fit the budget (bytes), smallest first."""
    sizes = {
        name: 4 * num_examples * int(np.prod(layer.kept_shape)) for name, layer in layers.items()
    }
    kept, used = [], 0
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if used + sizes[name] > budget:
            break
        kept.append(name)
        used += sizes[name]
    return MemoryPlan(_ordered(kept, layers), _ordered(set(layers) - set(kept), layers), used)


def _ordered(names: Sequence[str] | set[str], layers: Mapping[str, LayerOnGrid]) -> tuple[str, ...]:
    return tuple(name for name in layers if name in names)
