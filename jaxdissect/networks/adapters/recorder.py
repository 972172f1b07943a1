"""The one mechanism that records and edits layers, shared by every adapter.

An adapter arranges that each layer's output passes through `Recorder.tap`; the recorder keeps what
was asked for, returns what the rest of the network should see, and stops the run once nothing more
is needed.

A layer that a forward pass calls several times, such as one ReLU after several convolutions, has
several outputs. They are named by their call: "relu@1", "relu@2".
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from flax.nnx.tracers import TraceState
from jaxtyping import Array

from jaxdissect.networks.edits import Edit, apply_edit


class LayerError(ValueError):
    """A layer cannot be recorded or edited as asked for."""


class UnknownLayerError(LayerError):
    """No layer has such a name."""


def as_layers(layers: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of layers, of which a text alone is one."""
    return (layers,) if isinstance(layers, str) else tuple(layers)


class Recorder:
    """Records requested layers and applies edits during one forward pass.

    Args:
        layers: Layers to record.
        edits: Edits by layer. A layer's record is what it gave before its own edit.
        names: Every layer of the network, where that is known before the run.
        stop_early: Whether to stop once all `layers` are recorded.
        elsewhere: Whether layers with other names are looked for elsewhere.

    Attributes:
        activations: What was recorded, by layer.
        called: How often each layer was called so far, by its name, in the order of first calls.

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
        elsewhere: bool = False,
    ):
        self.activations: dict[str, Array] = {}
        self.called: dict[str, int] = {}
        self._layers = frozenset(as_layers(layers))
        self._edits = dict(edits or {})
        self._names = names
        self._stop_early = stop_early
        self._elsewhere = elsewhere
        if names is not None and not elsewhere:
            check_names("layers", self._layers, names)
            check_names("edits", self._edits, names)
        self._level = TraceState()

    @property
    def wanted(self) -> frozenset[str]:
        """Layers that are to be recorded or edited, by their names without a call."""
        return frozenset(map(layer_of, self._layers.union(self._edits)))

    @property
    def unreached_edits(self) -> tuple[str, ...]:
        """Layers with an edit that have not been called."""
        return tuple(name for name in self._edits if layer_of(name) not in self.called)

    def tap(self, name: str, output: Any) -> Any:
        """Take in a layer's output and return what takes its place."""
        number = self.called[name] = self.called.get(name, 0) + 1
        return self.tap_call(name, number, output)

    def tap_call(self, name: str, number: int, output: Any) -> Any:
        """Take in what a call of a layer gives, given its number, as `tap` does."""
        for wanted in (name, f"{name}@{number}"):
            if wanted in self._layers or wanted in self._edits:
                output = self._take(wanted, output, number)
        return output

    def note(self, name: str, value: Any) -> None:
        """Take in a value that the network keeps and does not pass on.

        Raises:
            LayerError: If it is to be edited, which would change nothing.
        """
        number = self.called.get(name, 0) + 1
        for wanted in (name, f"{name}@{number}"):
            if wanted in self._edits:
                raise LayerError(
                    f"`edits`: {wanted!r} is kept by `sow`, which does not pass it on, so that an "
                    "edit would change nothing; name the value where it is passed on, by "
                    'x = jax.ad_checkpoint.checkpoint_name(x, "name")'
                )
        self.tap(name, value)

    def _take(self, name: str, output: Any, number: int) -> Any:
        argument = "layers" if name in self._layers else "edits"
        if number > 1 and _split(name)[1] is None:
            raise self._called_twice(argument, name)
        if not self._level.is_valid():
            raise self.out_of_reach(name)
        if not isinstance(output, jax.Array):
            raise LayerError(
                f"`{argument}`: layer {name!r} must give one array, "
                f"it gives {_described(output)}; name a layer within it or after it that does"
            )
        if name in self._layers:
            self.activations[name] = output
            if self._stop_early and len(self.activations) == len(self._layers):
                raise _Complete
        return apply_edit(output, self._edits[name]) if name in self._edits else output

    @staticmethod
    def _called_twice(argument: str, name: str) -> LayerError:
        return LayerError(
            f"`{argument}`: layer {name!r} is called more than once in one forward pass; name "
            f"the call that is meant: {name}@1, {name}@2, ..."
        )

    def out_of_reach(self, name: str) -> LayerError:
        """Make the error for a wanted layer within a transformation."""
        argument = "layers" if name in self._layers else "edits"
        return LayerError(
            f"`{argument}`: layer {name!r} runs inside a transformation of the network's own "
            "(scan, remat, vmap, jit, ...), where it can be neither recorded nor edited; name "
            "a layer outside it, or build the network without the transformation"
        )

    def check_calls(self) -> None:
        """Check that every wanted layer is called, and once if no call is named.

        Raises:
            LayerError: If not; see `run`.
        """
        for argument, wanted in (("layers", self._layers), ("edits", self._edits)):
            self._check_called(argument, wanted)
            for name in wanted:
                if _split(name)[1] is None and self.called.get(name, 0) > 1:
                    raise self._called_twice(argument, name)

    def run(self, forward: Callable[[], Any]) -> Any:
        """Run a forward pass whose layers are tapped.

        Returns:
            The output of `forward`, or None where the run was stopped early.

        Raises:
            LayerError: If a recorded or edited layer was not called, or more than once though no
                call is named, inside a transformation, or does not give one array.
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
        if self._names is None and not self._elsewhere:
            check_names(argument, wanted, tuple(self.called))
        for name in wanted:
            layer, number = _split(name)
            if self._elsewhere and layer not in self.called and layer not in (self._names or ()):
                continue
            if layer not in self.called:
                raise LayerError(
                    f"`{argument}`: layer {name!r} exists, but the forward pass does not call it "
                    "itself (it may pass it to a transformation, such as nnx.remat)"
                )
            if number is not None and not 1 <= number <= self.called[layer]:
                raise LayerError(
                    f"`{argument}`: layer {layer!r} is called {self.called[layer]} times in one "
                    f"forward pass, and has no call {name!r}"
                )


def check_names(argument: str, wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raise UnknownLayerError, listing the valid names, if a wanted layer is not among them."""
    for name in wanted:
        if layer_of(name) not in names:
            raise UnknownLayerError(
                f"`{argument}`: no layer {name!r}; valid names: {', '.join(names) or 'none'} ("
                "a value without a module of its own becomes a layer by a name: "
                'x = jax.ad_checkpoint.checkpoint_name(x, "name"))'
            )


def layer_of(name: str) -> str:
    """Take the number of a call off a name: "relu" of "relu@2"."""
    return _split(name)[0]


def _split(name: str) -> tuple[str, int | None]:
    """Split the name of a call, "relu@2", into that of the layer and the number of the call."""
    found = re.fullmatch(r"(.+)@(\d+)", name)
    return (name, None) if found is None else (found[1], int(found[2]))


def _described(output: Any) -> str:
    """Name the type of what a layer gives, and of its parts."""
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"{kind} with {', '.join(map(repr, list(output)[:5]))}"
    if isinstance(output, tuple | list):
        return f"{kind} of {', '.join(type(part).__name__ for part in output[:5])}"
    return kind


class _Complete(BaseException):
    """All that was asked for has been recorded.

    Not an Exception, which a layer's own `except Exception` would swallow.
    """
