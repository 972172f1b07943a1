"""Meshes with axes of any type: everything is computed on Auto ones of the same devices."""

from typing import Any

import jax
from jaxtyping import PyTree


def automatic(mesh: jax.sharding.Mesh) -> jax.sharding.Mesh:
    """Make a mesh of the same devices whose axes leave shardings to the compiler.

    `jax.make_mesh` makes Explicit axes, in whose meshes arrays carry their sharding in their type:
    sorting, gathering and reshaping them need annotations that code for any mesh cannot have.

    Args:
        mesh: Devices, with axes of any type.

    Returns:
        A mesh of the same devices and names of axes, all of them Auto.
    """
    return jax.sharding.Mesh(mesh.devices, mesh.axis_names)


def refuse_explicit() -> None:
    """Check that no mesh with Explicit axes has been set for all that is computed.

    Raises:
        ValueError: If `jax.set_mesh` has set one.
    """
    if jax.sharding.AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types:
        raise ValueError(
            "`jax.set_mesh` has set a mesh with Explicit axes around this; call jaxdissect outside "
            "it, and give the mesh as `mesh`"
        )


def moved(params: PyTree) -> PyTree:
    """Put parameters that lie on a mesh with Explicit axes on the same devices without them.

    Arrays with Explicit axes do not mix with batches that lie on an Auto mesh.

    Returns:
        The parameters; the same object if none of them lie so.
    """

    def is_explicit(leaf: Any) -> bool:
        axes = getattr(getattr(getattr(leaf, "sharding", None), "mesh", None), "axis_types", ())
        return any(axis != jax.sharding.AxisType.Auto for axis in axes)

    def put(leaf: Any) -> Any:
        if not is_explicit(leaf):
            return leaf
        mesh = automatic(leaf.sharding.mesh)
        return jax.device_put(leaf, jax.sharding.NamedSharding(mesh, leaf.sharding.spec))

    return jax.tree.map(put, params) if any(map(is_explicit, jax.tree.leaves(params))) else params
