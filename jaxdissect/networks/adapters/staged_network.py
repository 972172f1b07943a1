"""Probe plain functions."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from jaxtyping import PyTree

from jaxdissect.networks.adapters.tapped_network import Tap, TappedNetwork


class StagedNetwork(TappedNetwork):
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
        stages = dict(stages)

        def run(params: PyTree, inputs: Any, tap: Tap) -> Any:
            x = inputs
            for name, stage in stages.items():
                x = tap(name, stage(params, x))
            return x if head is None else head(params, x)

        super().__init__(run, params, layer_names=tuple(stages))
        self._stages = tuple(stages.items()), head

    def identity(self) -> Hashable:
        return self._stages
