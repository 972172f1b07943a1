"""What all adapters share: a run of the user's code whose layers pass through a recorder."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.recorder import LayerError, Recorder, as_layers
from jaxdissect.networks.adapters.structure import Structured
from jaxdissect.networks.edits import Edit


class AdaptedNetwork(Structured):
    """Base of the adapters; see `jaxdissect.networks.network.Network` for what they provide.

    An adapter implements `_run`, which must not read `self.params`, and `identity`.
    """

    def apply(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: str | tuple[str, ...] = (),
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Any, dict[str, Array]]:
        """Run the network; see `jaxdissect.networks.network.Network.apply`."""
        recorder = Recorder(layers, edits, names=self._known_names())
        output = self._run(recorder, params, inputs)
        return output, recorder.activations

    def activations(
        self,
        params: PyTree,
        inputs: Any,
        *,
        layers: str | tuple[str, ...],
        edits: Mapping[str, Edit] | None = None,
    ) -> dict[str, Array]:
        """Run as far as `layers`; see `jaxdissect.networks.network.Network.activations`."""
        layers = as_layers(layers)
        recorder = Recorder(layers, edits, names=self._known_names(), stop_early=True)
        self._run(recorder, params, inputs)
        self._check_calls(layers, params, inputs)
        self._check_rest(recorder, inputs)
        return recorder.activations

    def _check_calls(self, layers: tuple[str, ...], params: PyTree, inputs: Any) -> None:
        """Refuse layers that are called again later on, by tracing all of the network, once."""
        checked: set[tuple[str, ...]] = vars(self).setdefault("_checked_calls", set())
        if layers in checked:
            return

        def run(params: PyTree, inputs: Any) -> None:
            self._run(Recorder(layers, None, names=self._known_names()), params, inputs)

        try:
            jax.eval_shape(run, params, inputs)
        except LayerError:
            raise
        except Exception:  # what follows the layers may not take such inputs, and need not
            pass
        checked.add(layers)

    @abstractmethod
    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        """Run the user's code; the output of every layer passes through `recorder.tap`."""

    def _known_names(self) -> Sequence[str] | None:
        """Names of all layers, where they are known before a run."""
        return None

    def _check_rest(self, recorder: Recorder, inputs: Any) -> None:
        """Check what a run that stopped early could not see."""
