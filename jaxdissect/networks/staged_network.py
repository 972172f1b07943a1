"""Probe plain functions."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, PyTree

from jaxdissect.networks.edits import Edit
from jaxdissect.networks.recorder import Recorder


class StagedNetwork:
    """Functions in a row, each taking the parameters and what the one before it gave.

    Each stage's output is a layer of that name. A prefix and a suffix are one stage and a head:
    `StagedNetwork({"conv5": prefix}, params, head=suffix)`.

    Args:
        stages: Functions (params, x) -> x, by name, in order.
        params: Parameters, given whole to every stage.
        head: Function (params, x) -> output that follows the last stage and is no layer.

    Attributes:
        params: The parameters.
        layer_names: Names of the stages.
    """

    def __init__(
        self,
        stages: Mapping[str, Callable[[PyTree, Any], Any]],
        params: PyTree,
        *,
        head: Callable[[PyTree, Any], Any] | None = None,
    ):
        self.params = params
        self.layer_names = tuple(stages)
        self._stages = dict(stages)
        self._head = head

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        recorder = Recorder(layers, edits, names=self.layer_names)
        output = self._run(recorder, params, inputs)
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
        recorder = Recorder(layers, edits, names=self.layer_names, stop_early=True)
        self._run(recorder, params, inputs)
        return recorder.activations

    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        def forward() -> Any:
            x = inputs
            for name, stage in self._stages.items():
                x = recorder.tap(name, stage(params, x))
            return x if self._head is None else self._head(params, x)

        return recorder.run(forward)
