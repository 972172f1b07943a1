"""What all adapters share: a run of the user's code whose layers pass through a recorder."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, PyTree

from jaxdissect.networks.adapters.recorder import (
    LayerError,
    Recorder,
    as_layers,
    check_names,
    layer_of,
)
from jaxdissect.networks.adapters.structure import Structured
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.jaxpr.named_values import Call, NamedValues, find_named_values


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
        layers, edits = as_layers(layers), dict(edits or {})
        if self._has_named_values(layers, edits, params, inputs):
            return self._apply_named(params, inputs, layers, edits)
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
        layers, edits = as_layers(layers), dict(edits or {})
        if self._has_named_values(layers, edits, params, inputs):
            return self._apply_named(params, inputs, layers, edits, stop_early=True)[1]
        recorder = Recorder(layers, edits, names=self._known_names(), stop_early=True)
        self._run(recorder, params, inputs)
        self._check_calls(layers, params, inputs)
        return recorder.activations

    def _has_named_values(
        self, layers: tuple[str, ...], edits: Mapping[str, Edit], params: PyTree, inputs: Any
    ) -> bool:
        """Find out whether some layers are no modules, if need be by tracing the network, once."""
        found: dict[Hashable, bool] = vars(self).setdefault("_looked_up", {})
        key, wanted = (layers, tuple(edits)), frozenset(map(layer_of, (*layers, *edits)))
        if key not in found:
            known = self._known_names()
            if known is None and wanted:
                known = self._traced_calls(layers, params, inputs)
                self._checked_calls().add(layers)
            found[key] = not wanted.issubset(known or ())
        return found[key]

    def _apply_named(
        self,
        params: PyTree,
        inputs: Any,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit],
        *,
        stop_early: bool = False,
    ) -> tuple[Any, dict[str, Array]]:
        """Run with layers some of which are values that the code names, found by tracing it.

        What follows the layers is traced even if it is not run, and may fail.
        """
        called: dict[str, int] = {}
        failures: list[Exception] = []

        def trace(given: tuple[PyTree, Any]) -> tuple[Any, dict[str, Array]]:
            recorder = Recorder(layers, edits, names=self._known_names(), elsewhere=True)
            output = None
            try:
                output = self._run(recorder, *given)
            except LayerError:
                raise
            except Exception as failure:
                if not stop_early:
                    raise
                failures.append(failure)
            called.update(recorder.called)
            return None if stop_early else output, recorder.activations

        program = find_named_values(trace, (params, inputs))
        named = self._check_names(layers, edits, called, program, failures, params, inputs)
        recorder = Recorder(
            [name for name in layers if layer_of(name) in named],
            {name: edit for name, edit in edits.items() if layer_of(name) in named},
            elsewhere=True,
        )
        recorder.called = {name: program.counts.get(name, 0) for name in named}
        for name in (*layers, *edits):
            if layer_of(name) in named and layer_of(name) in program.enclosed:
                raise recorder.out_of_reach(name)
        recorder.check_calls()
        until = _calls_of(layers, program)
        first = _axes_of_examples(
            {**_calls_of(edits, program, "edits"), **until}, program, trace, params, inputs
        )
        output, activations = program.run(
            (params, inputs), recorder.tap_call, until=until if stop_early else None, first=first
        )
        if lost := [n for n in layers if n not in activations and n not in recorder.activations]:
            raise failures[0] if failures else LayerError(f"`layers`: {lost[0]!r} is not called")
        return output, activations | recorder.activations

    def _check_names(
        self,
        layers: tuple[str, ...],
        edits: Mapping[str, Edit],
        called: Mapping[str, int],
        program: NamedValues,
        failures: Sequence[Exception],
        params: PyTree,
        inputs: Any,
    ) -> frozenset[str]:
        """Find out which layers are named values.

        Raises:
            LayerError: If a layer is nothing, or both a module and a named value.
        """
        in_code = program.enclosed.union(program.counts)
        known = tuple(dict.fromkeys((*(self._known_names() or ()), *called)))
        for argument, wanted in (("layers", layers), ("edits", edits)):
            for name in wanted:
                layer = layer_of(name)
                if layer in known and layer in in_code:
                    raise LayerError(
                        f"`{argument}`: {name!r} is the name of a layer and, by checkpoint_name, "
                        "of a value; give the value another one"
                    )
                if layer in known or layer in in_code:
                    continue
                if failures and argument == "layers":
                    raise failures[0]
                if not failures:
                    kept = self._other_names(params, inputs)
                    check_names(argument, (name,), (*known, *sorted(in_code), *kept))
        return frozenset(map(layer_of, (*layers, *edits))).difference(known)

    def _check_calls(self, layers: tuple[str, ...], params: PyTree, inputs: Any) -> None:
        """Refuse layers that are called again later on, by tracing all of the network, once."""
        if layers not in self._checked_calls():
            self._traced_calls(layers, params, inputs)
            self._checked_calls().add(layers)

    def _checked_calls(self) -> set[tuple[str, ...]]:
        return vars(self).setdefault("_calls_of", set())

    def _traced_calls(self, layers: tuple[str, ...], params: PyTree, inputs: Any) -> frozenset[str]:
        """Trace all of the network, or as far as it takes such inputs; return what it calls."""
        recorders: list[Recorder] = []

        def run(params: PyTree, inputs: Any) -> None:
            recorders.append(Recorder(layers, None, names=self._known_names(), elsewhere=True))
            self._run(recorders[0], params, inputs)

        try:
            jax.eval_shape(run, params, inputs)
        except LayerError:
            raise
        except Exception:  # what follows the layers may not take such inputs, and need not
            pass
        return frozenset(recorders[0].called)

    @abstractmethod
    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        """Run the user's code; the output of every layer passes through `recorder.tap`."""

    def _known_names(self) -> Sequence[str] | None:
        """Names of all layers, where they are known before a run."""
        return None

    def _other_names(self, params: PyTree, inputs: Any) -> Sequence[str]:
        """Names of values that can be layers, for messages."""
        return ()


def _calls_of(
    wanted: Iterable[str], program: NamedValues, argument: str = "layers"
) -> dict[Call, str]:
    """Find the uses of names that are wanted, and the argument that wants them."""
    return {
        (name, number): argument
        for name, number in program.steps()
        if name in wanted or f"{name}@{number}" in wanted
    }


def _axes_of_examples(
    wanted: Mapping[Call, str],
    program: NamedValues,
    trace: Callable[[tuple[PyTree, Any]], Any],
    params: PyTree,
    inputs: Any,
) -> dict[Call, int]:
    """Find which axis of values named within `jax.vmap` is that of the examples.

    `jax.vmap` has its axis wherever the operation before has put it. That of the examples is the
    one that grows when there are twice as many.

    Raises:
        LayerError: If it cannot be told.
    """
    steps = program.steps()
    mapped = {call: argument for call, argument in wanted.items() if steps[call].vmaps}
    grown, failure = {}, None
    if mapped:
        twice = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (*(2 * size for size in leaf.shape[:1]), *leaf.shape[1:]), leaf.dtype
            ),
            jax.eval_shape(lambda inputs: inputs, inputs),
        )
        try:
            grown = find_named_values(trace, (params, twice)).steps()
        except Exception as error:
            failure = error
    found = {}
    for call, argument in mapped.items():
        before = steps[call].outputs[0].shape
        after = grown[call].outputs[0].shape if call in grown else ()
        axes = [axis for axis, size in enumerate(after) if before[axis : axis + 1] != (size,)]
        if failure or len(before) != len(after):
            why = f"twice as many examples do not get as far: {failure or 'they fail before'}"
        elif steps[call].vmaps > 1:
            why = "there is a jax.vmap around it, whose axis may be anywhere too"
        elif len(axes) != 1:
            many = "no axis grows" if not axes else f"axes {axes} grow"
            why = f"of its shape {before}, {many} with the number of examples"
        else:
            found[call] = axes[0]
            continue
        raise LayerError(
            f"`{argument}`: {call[0]!r} is named within jax.vmap, and it cannot be told which of "
            f"its axes is that of the examples ({why}); name it outside, where the axis is first: "
            f'x = jax.ad_checkpoint.checkpoint_name(jax.vmap(f)(x), "{call[0]}")'
        ) from failure
    return found
