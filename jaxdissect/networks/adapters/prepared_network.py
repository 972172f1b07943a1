"""Put a function before a network, so that it takes images as they come."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.structure import Structure, Structured
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.token_layout import TokenLayout


class PreparedNetwork(Structured):
    """A network whose inputs go through a function first, such as the normalisation of images.

    Args:
        network: A Network.
        prepare: From the inputs to those of the network; pure, traced with it.

    Attributes:
        params: Those of the network.
        layer_names: Those of the network, where it knows them.
        token_layout: What the network knows of its token layers.
    """

    def __init__(self, network: Any, prepare: Callable[[Any], Any]):
        self.params = network.params
        self.layer_names: tuple[str, ...] = tuple(getattr(network, "layer_names", ()))
        self.token_layout: TokenLayout = getattr(network, "token_layout", TokenLayout())
        self._network = network
        self._prepare = prepare

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        return self._network.apply(params, self._prepare(inputs), layers=layers, edits=edits)

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        return self._network.activations(params, self._prepare(inputs), layers=layers, edits=edits)

    def identity(self) -> Hashable:
        return Structure(self._network), self._prepare

    def without_params(self) -> Structured:
        bare = super().without_params()
        assert isinstance(bare, PreparedNetwork)
        bare._network = Structure(self._network)
        return bare
