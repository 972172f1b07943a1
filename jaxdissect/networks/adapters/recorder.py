"""The one mechanism that records and edits layers, shared by every adapter.

An adapter arranges that each layer's output passes through `Recorder.tap`; the recorder keeps what
was asked for, returns what the rest of the network should see, and stops the run once nothing more
is needed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array

from jaxdissect.networks.edits import Edit, apply_edit


class Recorder:
    """Records requested layers and applies edits during one forward pass.

    Args:
        layers: Layers to record.
        edits: Edits by layer. A layer's record is what it gave before its own edit.
        names: Every layer of the network, where that is known before the run.
        stop_early: Whether to stop once all `layers` are recorded. The first call of a layer
            counts then; without it, a recorded or edited layer must be called exactly once.

    Attributes:
        activations: What was recorded, by layer.
        called: Names tapped so far, in order.

    Raises:
        ValueError: If `layers` or `edits` name a layer that is not among `names`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        edits: Mapping[str, Edit] | None,
        *,
        names: Sequence[str] | None = None,
        stop_early: bool = False,
    ):
        self.activations: dict[str, Array] = {}
        self.called: dict[str, None] = {}
        self._layers = frozenset(layers)
        self._edits = dict(edits or {})
        self._names = names
        self._stop_early = stop_early
        if names is not None:
            check_names("layers", layers, names)
            check_names("edits", self._edits, names)

    @property
    def wanted(self) -> frozenset[str]:
        """Layers that are to be recorded or edited."""
        return self._layers.union(self._edits)

    @property
    def unreached_edits(self) -> tuple[str, ...]:
        """Layers with an edit that have not been called."""
        return tuple(name for name in self._edits if name not in self.called)

    def tap(self, name: str, output: Any) -> Any:
        """Take in a layer's output and return what takes its place."""
        again = name in self.called
        self.called[name] = None
        if name not in self._layers and name not in self._edits:
            return output
        argument = "layers" if name in self._layers else "edits"
        if again and (name in self._edits or not self._stop_early):
            raise ValueError(
                f"`{argument}`: layer {name!r} is called more than once in one forward pass"
            )
        if not isinstance(output, jax.Array):
            raise ValueError(
                f"`{argument}`: layer {name!r} must give one array, "
                f"it gives {type(output).__name__}"
            )
        if name in self._layers:
            self.activations.setdefault(name, output)
            if self._stop_early and len(self.activations) == len(self._layers):
                raise _Complete
        return apply_edit(output, self._edits[name]) if name in self._edits else output

    def run(self, forward: Callable[[], Any]) -> Any:
        """Run a forward pass whose layers are tapped.

        Returns:
            The output of `forward`, or None where the run was stopped early.

        Raises:
            ValueError: If a recorded or edited layer was not called, or more than once.
        """
        if self._stop_early and not self._layers:
            return None
        try:
            output = forward()
        except _Complete:
            return None
        self._check_called("layers", self._layers)
        self._check_called("edits", self._edits)
        return output

    def _check_called(self, argument: str, wanted: Iterable[str]) -> None:
        if self._names is None:
            check_names(argument, wanted, tuple(self.called))
        for name in wanted:
            if name not in self.called:
                raise ValueError(
                    f"`{argument}`: layer {name!r} exists, but the forward pass does not call it"
                )


def check_names(argument: str, wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raise ValueError, listing the valid names, if a wanted layer is not among them."""
    for name in wanted:
        if name not in names:
            raise ValueError(
                f"`{argument}`: no layer {name!r}; valid names: {', '.join(names) or 'none'}"
            )


class _Complete(BaseException):
    """All that was asked for has been recorded.

    Not an Exception, which a layer's own `except Exception` would swallow.
    """
