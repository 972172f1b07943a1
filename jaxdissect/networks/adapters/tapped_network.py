"""Probe one function that lets its layers through a tap, whatever its shape."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.adapted_network import AdaptedNetwork
from jaxdissect.networks.adapters.recorder import Recorder

Tap = Callable[[str, Array], Array]
"""``tap(name, activations)``: takes in what a layer outputs, returns what the rest is to see."""


class TappedNetwork(AdaptedNetwork):
    """A function of parameters and inputs that names its layers as it runs.

        def generate(params, latents, tap):
            maps = tap("middle", jax.nn.relu(latents @ params["first"]).reshape(-1, 4, 4, 16))
            return jnp.tanh(upsample(maps) @ params["last"])

        network = TappedNetwork(generate, params)

    A value that the function names by `jax.ad_checkpoint.checkpoint_name` is a layer of that name
    too, also within `jax.jit`, `jax.checkpoint` or one `jax.vmap` over the examples.

    Args:
        function: ``function(params, inputs, tap) -> output``, pure but for calls of `tap`, none of
            them inside a transformation of its own (`jax.jit`, `jax.lax.scan`, ...).
        params: Parameters.
        layer_names: Names of all layers, if they are to be known before the function runs.

    Attributes:
        params: The parameters.
        layer_names: Names of the layers, none if they are not known.
    """

    def __init__(
        self,
        function: Callable[[PyTree, Any, Tap], Any],
        params: PyTree,
        *,
        layer_names: Sequence[str] = (),
    ):
        self.params = params
        self.layer_names = tuple(layer_names)
        self._function = function

    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        return recorder.run(lambda: self._function(params, inputs, recorder.tap))

    def identity(self) -> Hashable:
        return self._function

    def _known_names(self) -> Sequence[str] | None:
        return self.layer_names or None
