"""Which layers stay in device memory between passes, so that the network runs as seldom as it can.

Labels and activations are kept where they fit a memory budget, smallest layers first, at the
layer's own resolution or on the label grid, whichever is smaller. For the layers that do not fit,
the network runs again in every pass, always as far as the last of all layers, since every pass
reads them by one program (see `jaxdissect.engine.layer_reader`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxdissect.engine.batch_size import free_memory
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.processes import default_mesh

_HOST_BUDGET = 2 * 2**30
_COLLECTED_BYTES = 2**27
_STREAMED_BYTES = 2**29  # of runs that may resume on other devices, of any memory


class MemoryPlan(NamedTuple):
    """Which layers are kept between passes, and which the network computes again.

    Attributes:
        kept: Layers whose activations stay in device memory.
        again: Layers that the network computes in every pass.
        kept_bytes: How much is kept, with the labels.
        labels: Whether the labels are kept.
        collected_bytes: How much the values may take that thresholds are settled with.
    """

    kept: tuple[str, ...]
    again: tuple[str, ...]
    kept_bytes: int
    labels: bool = False
    collected_bytes: int = _COLLECTED_BYTES

    def __str__(self) -> str:
        size = f"{self.kept_bytes / 2**20:,.0f} MiB"
        if not self.again:
            return f"keeping all activations ({size}): one forward pass per image"
        kept = f"keeping {', '.join(self.kept)} ({size})" if self.kept else "keeping no layer"
        again = ", ".join(self.again)
        times = "about two forward passes per image, or one of few images"
        return f"{kept}; running the network again in every pass for {again}: {times}"


def plan_memory(
    layers: Mapping[str, LayerOnGrid],
    num_examples: int,
    budget: int,
    *,
    label_bytes: int = 0,
    devices: int = 1,
    stream: bool = False,
) -> MemoryPlan:
    """Keep as much as fits: labels, then as many layers as possible, smallest first.

    Args:
        layers: How each layer is read.
        num_examples: How many examples there are.
        budget: Bytes of device memory, of all devices together.
        label_bytes: Bytes of the labels of one example.
        devices: Number of devices, each of which has room for all values that are collected.
        stream: Keep nothing.
    """
    if stream:
        return MemoryPlan((), tuple(layers), 0, False, _STREAMED_BYTES)
    collected = max(_COLLECTED_BYTES, budget // (8 * devices))
    sizes = {
        name: 4 * num_examples * int(np.prod(layer.kept_shape)) for name, layer in layers.items()
    }
    kept, used = [], num_examples * label_bytes
    labels = used <= budget
    used = used if labels else 0
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if used + sizes[name] > budget:
            break
        kept.append(name)
        used += sizes[name]
    again = _ordered(set(layers) - set(kept), layers)
    return MemoryPlan(_ordered(kept, layers), again, used, labels, collected)


def memory_budget(mesh: jax.sharding.Mesh | None = None) -> int:
    """Choose how many bytes to keep on the devices of a mesh: half of what is free on them.

    Where devices do not know, as on CPU, 2 GiB.
    """
    mesh = default_mesh() if mesh is None else mesh
    devices = list(mesh.devices.flat) if mesh is not None else jax.devices()[:1]
    own = [device for device in devices if device.process_index == jax.process_index()]
    free = [free_memory(device) for device in own]
    known = [amount for amount in free if amount is not None]
    if not known:
        return _HOST_BUDGET
    # All processes must choose alike.
    smallest = min(known)
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        every = multihost_utils.process_allgather(np.array(smallest // 2**20, np.int32))
        smallest = int(np.min(every)) * 2**20
    return smallest // 2 * len(devices)


def _ordered(names: Sequence[str] | set[str], layers: Mapping[str, LayerOnGrid]) -> tuple[str, ...]:
    return tuple(name for name in layers if name in names)
