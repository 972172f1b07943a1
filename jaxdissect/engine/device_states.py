"""States that every device counts into by itself, and which are reduced once, at the end.

A state of one device is a pytree of arrays. Those of all devices lie side by side, with an axis
before all others that is spread over the first axis of a mesh, like the examples of a batch. So no
step waits for what other devices count.

Shapes: D devices along the first axis of a mesh, 1 without one.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdissect.engine.processes import Placement

State = TypeVar("State")


def spread(state: State, empty: State, mesh: Mesh | None) -> State:
    """Give the first device a state and all others an empty one.

    Args:
        state: Where to begin; the same in all processes.
        empty: A state of the same shapes that has seen nothing; `merge` with it changes nothing.
        mesh: Devices, as for `jaxdissect.engine.folding.fold`.

    Returns:
        States [D, ...].
    """
    placement = Placement(mesh)
    if placement.mesh is None:
        return _led(state)
    sharding = _spread(placement.mesh)

    def place(first: Any, other: Any) -> jax.Array:
        first, other = np.asarray(first), np.asarray(other)

        def part(index: Any) -> np.ndarray:
            begin, end, _ = index[0].indices(placement.devices)
            return np.stack([first if device == 0 else other for device in range(begin, end)])

        return jax.make_array_from_callback((placement.devices, *first.shape), sharding, part)

    return jax.tree.map(place, state, empty)


def collapse(states: State, merge: Callable[[State, State], State], mesh: Mesh | None) -> State:
    """Merge the states of all devices into one, and bring it to the host of every process.

    Args:
        states: States [D, ...].
        merge: Joins two states; associative.
        mesh: Devices that they are spread over.

    Returns:
        A state of NumPy arrays.
    """
    placement = Placement(mesh)
    if placement.mesh is None:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[0], states)
    return jax.tree.map(np.asarray, _collapsed(states, merge=merge, mesh=placement.mesh))


def gather(states: State, mesh: Mesh | None) -> State:
    """Bring the states of all devices to the host of every process.

    Returns:
        The same as NumPy arrays [D, ...].
    """
    placement = Placement(mesh)
    if placement.mesh is not None and not placement.alone:
        states = _everywhere(states, mesh=placement.mesh)
    return jax.tree.map(np.asarray, states)


def locally(
    function: Callable[[Any, Any, Any], tuple[Any, Any]], mesh: Mesh | None
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Let every device update its own state with its own examples.

    Args:
        function: ``function(state, batch, shared) -> (state, output)`` of one device; batch and
            output are pytrees of arrays whose first axis is that of the examples.
        mesh: Devices.

    Returns:
        The same of all devices, to be traced in a jitted function: states [D, ...], batches of
        all examples, and `shared` the same for all.
    """

    def alone(states: Any, batch: Any, shared: Any) -> tuple[Any, Any]:
        state, output = function(jax.tree.map(lambda leaf: leaf[0], states), batch, shared)
        return jax.tree.map(lambda leaf: leaf[None], state), output

    placement = Placement(mesh)
    if placement.mesh is None:
        return alone
    split, same = PartitionSpec(placement.mesh.axis_names[0]), PartitionSpec()
    return jax.shard_map(
        alone,
        mesh=placement.mesh,
        in_specs=(split, split, same),
        out_specs=(split, split),
        check_vma=False,
    )


def _spread(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))


@jax.jit
def _led(state: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[None], state)


@functools.partial(jax.jit, static_argnames=("merge", "mesh"))
def _collapsed(states: Any, *, merge: Callable[[Any, Any], Any], mesh: Mesh) -> Any:
    states = jax.lax.with_sharding_constraint(states, NamedSharding(mesh, PartitionSpec()))
    number = len(jax.tree.leaves(states)[0])
    parts = [jax.tree.map(lambda leaf, d=device: leaf[d], states) for device in range(number)]
    whole = functools.reduce(merge, parts)
    return jax.lax.with_sharding_constraint(whole, NamedSharding(mesh, PartitionSpec()))


@functools.partial(jax.jit, static_argnames="mesh")
def _everywhere(states: Any, *, mesh: Mesh) -> Any:
    return jax.lax.with_sharding_constraint(states, NamedSharding(mesh, PartitionSpec()))
