"""Choose how many examples run together, from the memory of the devices."""

from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree

from jaxdissect.engine.processes import least
from jaxdissect.networks.network import Network

ON_PROCESSOR = 8
"""Examples in a step on processors, where more are no faster."""

_MOST = 512  # of one device: more are no faster either
_MEASURED = 8  # examples of the program whose memory is looked at
_SHARE = 0.4  # of the free memory: batches that wait, statistics and kept maps take the rest


def choose_batch_size(
    network: Network,
    inputs: PyTree,
    *,
    layers: tuple[str, ...] = (),
    on_processor: int = ON_PROCESSOR,
    copies: int = 1,
    mesh: jax.sharding.Mesh | None = None,
) -> int:
    """Choose how many examples run together, all devices together.

    Args:
        network: Any network.
        inputs: Its inputs for one example, `jax.ShapeDtypeStruct` with a leading axis of any
            length.
        layers: Layers that are read.
        on_processor: The number for devices that do not count their memory, as processors.
        copies: How often the memory of a forward pass is taken: by interventions that run together,
            or by gradients.
        mesh: Devices that examples are spread over; None for the default device.
    """
    device = jax.local_devices()[0] if mesh is None else mesh.local_devices[0]
    free = free_memory(device)
    if free is None:
        return on_processor
    devices = 1 if mesh is None else mesh.size
    if mesh is not None:
        free = least(free)
    each = copies * forward_cost(network, inputs, layers).memory
    return devices * largest_power(int(_SHARE * free / max(each, 1)), most=_MOST)


def free_memory(device: Any) -> int | None:
    """Find the bytes of a device that are not in use; None if it does not count them."""
    stats = device.memory_stats() or {}
    if device.platform == "cpu" or "bytes_limit" not in stats:
        return None
    return max(stats["bytes_limit"] - stats.get("bytes_in_use", 0), 0)


class ForwardCost(NamedTuple):
    """What a forward pass costs for one example, as its compiled program says.

    Attributes:
        flops: Floating-point operations; 0 where the compiler does not count them.
        moved: Bytes read and written; 0 where the compiler does not count them.
        memory: Bytes that it takes while it runs, without the parameters.
    """

    flops: int
    moved: int
    memory: int


def forward_cost(network: Network, inputs: PyTree, layers: tuple[str, ...] = ()) -> ForwardCost:
    """Find what a forward pass costs, without running it.

    Args:
        network: Any network.
        inputs: See `choose_batch_size`.
        layers: Layers that are read.
    """
    several = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((_MEASURED, *leaf.shape[1:]), leaf.dtype), inputs
    )
    run: Any = partial(network.apply, layers=layers)
    program = jax.jit(run).lower(network.params, several).compile()
    analysis = program.memory_analysis()
    taken = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(several))
    if analysis is not None:
        taken += analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    counted = program.cost_analysis() or {}
    flops, moved = (int(counted.get(name, 0)) for name in ("flops", "bytes accessed"))
    return ForwardCost(flops // _MEASURED, moved // _MEASURED, taken // _MEASURED)


def largest_power(number: int, *, most: int) -> int:
    """Return the largest power of two that is not above `number`, from 1 to `most`."""
    return min(1 << max(number, 1).bit_length() - 1, most)
