"""The devices that a pass over the data is spread over."""

import jax


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
