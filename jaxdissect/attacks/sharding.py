"""Divide the examples of an attack among devices that do not communicate.

Letters: B images, n examples, D devices.
"""

from collections.abc import Callable, Hashable
from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Int32, PyTree

from jaxdissect.attacks.attack_interface import Attacked
from jaxdissect.engine.processes import Placement, default_mesh
from jaxdissect.networks.meshes import automatic

SLOTS = 2
"""Examples that run together on CPU; more are slower there."""


def checked_slots(
    slots: int | None, number: int, images: Array, mesh: jax.sharding.Mesh | None
) -> int:
    """Choose how many of the examples run together, where the caller does not.

    Args:
        slots: What the caller asks for.
        number: Number of examples.
        images: The images, which say where an attack without a mesh runs.
        mesh: The devices of the attack.

    Raises:
        ValueError: If `slots` is not positive.
    """
    if slots is None:
        slots = SLOTS if _platform(images, mesh) == "cpu" else number
    if slots < 1:
        raise ValueError(f"`slots` (={slots}) must be at least 1")
    return min(slots, number)


def _platform(images: Array, mesh: jax.sharding.Mesh | None) -> str:
    if mesh is not None:
        return mesh.devices.flat[0].platform
    if isinstance(images, Tracer):
        return jax.default_backend()
    return next(iter(images.devices())).platform


def over_devices(
    attack: Callable[..., Attacked],
    static: tuple[Hashable, ...],
    mesh: jax.sharding.Mesh | None,
    given: PyTree,
    images: Array,
    each: Int32[Array, "n"],
    about: PyTree,
) -> Attacked:
    """Run an attack on all devices of a mesh, without communication between them.

    Args:
        attack: ``attack(*static, given, images, each, about)``, the same function every time, or it
            is compiled again. Examples must not depend on one another.
        static: Arguments that are no arrays.
        mesh: Examples are divided along its first axis, evenly or not. None runs all of them
            where they are, or divides them among the devices of all processes where there are
            several.
        given: Arrays that every device gets whole: parameters, and the numbers of settings.
        images: The images, which every device gets whole.
        each: Index of the image of each example.
        about: Further arrays of each example, [n, ...].
    """
    if mesh is None and not isinstance(images, Tracer):
        mesh = default_mesh()
    if mesh is None:
        return attack(*static, given, images, each, about)
    return _sharded(attack, static, automatic(mesh), given, images, each, about)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _sharded(
    attack: Callable[..., Attacked],
    static: tuple[Hashable, ...],
    mesh: jax.sharding.Mesh,
    given: PyTree,
    images: Array,
    each: Int32[Array, "n"],
    about: PyTree,
) -> Attacked:
    axis = mesh.axis_names[0]
    spread, whole = jax.sharding.PartitionSpec(axis), jax.sharding.PartitionSpec()
    number = len(each)
    missing = -number % mesh.shape[axis]

    def filled(part: Array) -> Array:
        return jnp.concatenate([part, jnp.repeat(part[-1:], missing, axis=0)])

    run = jax.shard_map(
        partial(attack, *static),
        mesh=mesh,
        in_specs=(whole, whole, spread, spread),
        out_specs=spread,
        check_vma=False,
    )
    found = run(given, images, filled(each), jax.tree.map(filled, about))
    found = jax.tree.map(lambda part: part[:number], found)
    if Placement(mesh).alone:
        return found
    # Every process gets all of them.
    return jax.lax.with_sharding_constraint(found, jax.sharding.NamedSharding(mesh, whole))
