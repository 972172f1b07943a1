"""Let a network compute in another precision, and give float32 all the same."""

from collections.abc import Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, PyTree

from jaxdissect.networks.adapters.structure import Structure, Structured
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.token_layout import TokenLayout


def in_precision(model: Any, dtype: DTypeLike) -> Network:
    """Let a network compute in another precision: bfloat16 takes half the memory and time on GPUs.

    Parameters and inputs are rounded to the dtype; what the network makes of them in it, its
    output and the activations of its layers, is given as float32. A layer of the network that
    fixes a dtype of its own keeps it.

    Args:
        model: A Network or an nnx.Module.
        dtype: A floating dtype, such as `jnp.bfloat16`.

    Raises:
        ValueError: If the dtype holds no fractions.
        TypeError: If `model` is neither a Network nor an nnx.Module.
    """
    chosen = jnp.dtype(dtype)
    if not jnp.issubdtype(chosen, jnp.floating):
        raise ValueError(f"`dtype` (={chosen.name}) must be a floating dtype, such as bfloat16")
    return RoundedNetwork(as_network(model), chosen)


class RoundedNetwork(Structured):
    """A network that computes in another precision; made by `in_precision`.

    Attributes:
        params: Those of the network, rounded.
        layer_names: Those of the network, where it knows them.
        token_layout: What the network knows of its token layers.
    """

    def __init__(self, network: Any, dtype: jnp.dtype):
        self.params = _floats_as(network.params, dtype)
        self.layer_names: tuple[str, ...] = tuple(getattr(network, "layer_names", ()))
        self.token_layout: TokenLayout = getattr(network, "token_layout", TokenLayout())
        self._network = network
        self._dtype = dtype

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        params, inputs = (_floats_as(tree, self._dtype) for tree in (params, inputs))
        found = self._network.apply(params, inputs, layers=layers, edits=edits)
        return _floats_as(found, jnp.dtype(jnp.float32))

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        params, inputs = (_floats_as(tree, self._dtype) for tree in (params, inputs))
        found = self._network.activations(params, inputs, layers=layers, edits=edits)
        return _floats_as(found, jnp.dtype(jnp.float32))

    def identity(self) -> Hashable:
        return Structure(self._network), self._dtype

    def without_params(self) -> Structured:
        bare = super().without_params()
        assert isinstance(bare, RoundedNetwork)
        bare._network = Structure(self._network)
        return bare


def _floats_as(tree: PyTree, dtype: jnp.dtype) -> PyTree:
    """Give the floating arrays of a pytree another dtype."""

    def cast(leaf: Any) -> Any:
        is_float = jnp.issubdtype(getattr(leaf, "dtype", jnp.int32), jnp.floating)
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(cast, tree)
