"""Divide the examples of an attack among devices, each of which works for itself.

Letters: B images, n examples, D devices.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, PyTree

from jaxdissect.experiments.attacks.problem import Attacked

SLOTS = 4
"""Examples that run together on CPU; more are slower there."""

Attack = Callable[[PyTree, Array, Int32[Array, "n"], Any], Attacked]
"""From parameters, images, the image of each example, and more about each example."""


def checked_slots(slots: int | None, number: int) -> int:
    """Choose how many of the examples run together, where the caller does not.

    Raises:
        ValueError: if `slots` is not positive.
    """
    if slots is None:
        slots = SLOTS if jax.default_backend() == "cpu" else number
    if slots < 1:
        raise ValueError(f"`slots` (={slots}) must be at least 1")
    return min(slots, number)


def over_devices(attack: Attack, mesh: jax.sharding.Mesh | None) -> Attack:
    """Make an attack run on all devices of a mesh, without a word between them.

    Args:
        attack: Examples must not know of one another.
        mesh: Examples are divided along its first axis; axes must be Auto. None leaves them.

    Returns:
        A function of the same arguments and results, whose examples need not divide evenly.
    """
    if mesh is None:
        return attack
    axis = mesh.axis_names[0]
    spread, whole = jax.sharding.PartitionSpec(axis), jax.sharding.PartitionSpec()

    def spread_out(params: PyTree, images: Array, each: Array, about: Any) -> Attacked:
        number = len(each)
        missing = -number % mesh.shape[axis]

        def filled(part: Array) -> Array:
            return jnp.concatenate([part, jnp.repeat(part[-1:], missing, axis=0)])

        run = jax.shard_map(
            attack,
            mesh=mesh,
            in_specs=(whole, whole, spread, spread),
            out_specs=spread,
            check_vma=False,
        )
        found = run(params, images, filled(each), jax.tree.map(filled, about))
        return jax.tree.map(lambda part: part[:number], found)

    return spread_out
