"""Probe one function that lets its layers through a tap, whatever its shape."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.recorder import Recorder
from jaxdissect.networks.edits import Edit

Tap = Callable[[str, Array], Array]
"""``tap(name, activations)``: takes in what a layer says, returns what the rest is to see."""


class TappedNetwork:
    """A function of parameters and inputs that names its layers as it runs.

        def generate(params, latents, tap):
            maps = tap("middle", jax.nn.relu(latents @ params["first"]).reshape(-1, 4, 4, 16))
            return jnp.tanh(upsample(maps) @ params["last"])

        network = TappedNetwork(generate, params)

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

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        recorder = Recorder(layers, edits, names=self.layer_names or None)
        output = recorder.run(lambda: self._function(params, inputs, recorder.tap))
        return output, recorder.activations

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        recorder = Recorder(layers, edits, names=self.layer_names or None, stop_early=True)
        recorder.run(lambda: self._function(params, inputs, recorder.tap))
        return recorder.activations
