"""Say how the token layers of a network are to be read."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.adapters.structure import Structure, Structured
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.token_layout import LayoutError, TokenLayout


class TokenNetwork(Structured):
    """A network that knows how its token layers lie on the image; made by `as_network`.

    Args:
        network: A Network.
        layout: Grid, and tokens that are no cells, of all layers [B, T, U].
        join_heads: Layers that give [B, T, heads, d], as attention does: they give
            [B, T, heads * d] here, and unit ``head * d + channel`` is a channel of a head.

    Attributes:
        params: Those of the network.
        layer_names: Those of the network, where it knows them.
        token_layout: As given.
    """

    def __init__(self, network: Any, layout: TokenLayout, join_heads: Sequence[str] = ()):
        self.params = network.params
        self.layer_names: tuple[str, ...] = tuple(getattr(network, "layer_names", ()))
        self.token_layout = layout
        self._network = network
        self._joined = frozenset(as_layers(join_heads))

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: str | tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        edits = self._edits_of_heads(params, inputs, edits)
        output, found = self._network.apply(params, inputs, layers=as_layers(layers), edits=edits)
        return output, self._with_joined_heads(found)

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: str | tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        edits = self._edits_of_heads(params, inputs, edits)
        found = self._network.activations(params, inputs, layers=as_layers(layers), edits=edits)
        return self._with_joined_heads(found)

    def identity(self) -> Hashable:
        return Structure(self._network), self.token_layout, self._joined

    def without_params(self) -> Structured:
        bare = super().without_params()
        assert isinstance(bare, TokenNetwork)
        bare._network = Structure(self._network)
        return bare

    def _with_joined_heads(self, found: Mapping[str, Array]) -> dict[str, Array]:
        return {
            name: _joined(name, array) if name in self._joined else array
            for name, array in found.items()
        }

    def _edits_of_heads(
        self, params: PyTree, inputs: Any, edits: Mapping[str, Edit] | None
    ) -> dict[str, Edit] | None:
        """Bring edits of joined units into the shape of heads."""
        edits = dict(edits or {})
        names = tuple(name for name in edits if name in self._joined)
        if names:
            shapes = jax.eval_shape(
                lambda params, inputs: self._network.activations(params, inputs, layers=names),
                params,
                inputs,
            )
            for name in names:
                heads, channels = shapes[name].shape[2:]

                def split(half: Array, heads: int = heads, channels: int = channels) -> Array:
                    joined = half.ndim and half.shape[-1] != 1
                    return (
                        half.reshape(*half.shape[:-1], heads, channels)
                        if joined
                        else half[..., None]
                    )

                edits[name] = Edit(*map(split, edits[name]))
        return edits or None


def _joined(name: str, array: Array) -> Array:
    if array.ndim != 4:
        raise LayoutError(
            f"`join_heads`: layer {name!r} gives {list(array.shape)}, which must be "
            "[B, T, heads, d]",
            "leave it out",
        )
    return array.reshape(*array.shape[:2], -1)
