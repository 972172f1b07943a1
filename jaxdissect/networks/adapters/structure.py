"""A network without its parameters, to tell compiled programs apart."""

import copy
import weakref
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any

from jaxtyping import Array, PyTree

from jaxdissect.networks.token_layout import TokenLayout


class Structured(ABC):
    """A network that can do without its parameters, which it is given at every call.

    Attributes:
        params: Parameters, a pytree of arrays.
    """

    params: PyTree

    @abstractmethod
    def identity(self) -> Hashable:
        """Return what tells this function of parameters and inputs from others of its type."""

    def without_params(self) -> "Structured":
        """Copy the network, but for its parameters."""
        bare = copy.copy(self)
        bare.params = None
        return bare


class Structure:
    """A network without its parameters: a static argument of jitted functions.

    Two are equal if they compute the same function of parameters and inputs, so that whoever
    traces one finds the program that was compiled for the other. It keeps no parameters alive.

    Attributes:
        token_layout: What the network knows of its token layers.
    """

    def __init__(self, network: Any) -> None:
        if isinstance(network, Structured):
            self._network: Any = network.without_params()
            self._key: Hashable = type(network), network.identity()
        else:
            self._network = _Reference(network)
            self._key = self._network
        self.token_layout: TokenLayout = getattr(network, "token_layout", TokenLayout())
        try:
            self._hash = hash(self._key)
        except TypeError:  # an array among the arguments of a call, perhaps: equal to itself alone
            self._key = self
            self._hash = id(self)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Structure) or self._key is self or other._key is other:
            return False
        return self._key == other._key

    def apply(self, params: PyTree, inputs: Any, **options: Any) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        return self._network.apply(params, inputs, **options)

    def activations(self, params: PyTree, inputs: Any, **options: Any) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        return self._network.activations(params, inputs, **options)


class _Reference:
    """A network of the user's own kind, equal to itself alone, and not kept alive if possible."""

    def __init__(self, network: Any) -> None:
        try:
            self._find = weakref.ref(network)
        except TypeError:
            self._find = lambda: network
        self._number = id(network)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        mine = self._find()
        return isinstance(other, _Reference) and mine is not None and mine is other._find()

    def apply(self, params: PyTree, inputs: Any, **options: Any) -> tuple[Any, dict[str, Array]]:
        return self._alive().apply(params, inputs, **options)

    def activations(self, params: PyTree, inputs: Any, **options: Any) -> dict[str, Array]:
        return self._alive().activations(params, inputs, **options)

    def _alive(self) -> Any:
        network = self._find()
        assert network is not None  # whoever traces it holds it
        return network
