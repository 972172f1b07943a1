"""Probe a flax nnx module."""

import inspect
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import PyTree

from jaxdissect.networks.adapters.adapted_network import AdaptedNetwork
from jaxdissect.networks.adapters.recorder import LayerError, Recorder
from jaxdissect.networks.token_layout import TokenLayout


class NnxNetwork(AdaptedNetwork):
    """An nnx module as a pure function of its parameters.

    The module is copied, set to evaluation mode and split once; a forward pass merges a fresh copy
    in which the layers of interest are wrapped. The caller's module is never changed, and state
    that a forward pass writes is dropped.

    A layer is any callable submodule, named by its dotted attribute path with list positions as
    numbers ("features.conv5_3", "blocks.3"), and any function held by a list, tuple or dict of
    modules (the activations of an `nnx.Sequential`). A submodule that is reached by several paths
    goes by each, the layers within it by the first. One that is called several times has a layer
    for each call, "pool@1", "pool@2". Layers that run inside a transformation of their own
    (`nnx.scan`, `nnx.remat`, ...) cannot be recorded or edited.

    What a module keeps by ``self.sow(nnx.Intermediate, "name", x)`` is a layer too ("block.name"),
    to be recorded; what passes ``x = self.perturb("name", x)``, or
    ``x = jax.ad_checkpoint.checkpoint_name(x, "name")`` anywhere ("name"), may be edited as well.

    Args:
        module: Takes the inputs as its only positional argument.
        **call_arguments: Further arguments of each call of the module.

    Attributes:
        params: `nnx.State` with all variables but random number streams, which layers that are
            random in training do not use in evaluation mode.
        layer_names: Every layer, in the order of definition.
        token_layout: What the module knows of its token layers, by an attribute of this name.
    """

    def __init__(self, module: nnx.Module, **call_arguments: Any):
        evaluated = nnx.clone(module)
        evaluated.eval()
        self._definition, self._streams, self.params = nnx.split(evaluated, nnx.RngState, ...)
        self._call_arguments = call_arguments
        self.layer_names = tuple(slot.name for slot in _slots(module))
        known = getattr(module, "token_layout", None)
        self.token_layout = known if isinstance(known, TokenLayout) else TokenLayout()

    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        def forward() -> Any:
            module = self._merged(params)
            _tap_values(module, "", recorder)
            for name, layer, put in _slots(module):
                _tap_values(layer, name, recorder)
                if name in recorder.wanted:
                    put(_Tap(layer, name, recorder))
            return module(inputs, **self._call_arguments)

        try:
            return recorder.run(forward)
        except LayerError:
            raise
        except Exception as error:
            if recorder.wanted and self._runs(params, inputs):
                raise LayerError(
                    f"`layers`: {', '.join(sorted(recorder.wanted))} cannot be tapped, perhaps as "
                    "the network passes it to a transformation of its own (nnx.scan, nnx.remat, "
                    f"...); name a layer outside it ({type(error).__name__}: {error})"
                ) from error
            raise

    def _merged(self, params: PyTree) -> Callable[..., Any]:
        # Copied variables: what a forward pass writes must not reach `params`.
        return nnx.merge(self._definition, self._streams, params, copy=True)

    def _runs(self, params: PyTree, inputs: Any) -> bool:
        """Find out whether the module takes such inputs where no layer is tapped."""
        try:
            jax.eval_shape(
                lambda params, inputs: self._merged(params)(inputs, **self._call_arguments),
                params,
                inputs,
            )
        except Exception:
            return False
        return True

    def _other_names(self, params: PyTree, inputs: Any) -> Sequence[str]:
        return tuple(self._traced_calls((), params, inputs))

    def identity(self) -> Hashable:
        streams = tuple(_value(leaf) for leaf in jax.tree.leaves(self._streams))
        return self._definition, streams, tuple(sorted(self._call_arguments.items()))

    def _known_names(self) -> Sequence[str]:
        return self.layer_names


def _value(state: Any) -> Hashable:
    """Return the contents of an array of a random number stream, compared by value."""
    known: Any = state
    if isinstance(state, jax.Array) and not isinstance(state, Tracer):
        is_key = jnp.issubdtype(state.dtype, jax.dtypes.prng_key)
        known = np.asarray(jax.random.key_data(state) if is_key else state).tobytes()
    return known


def _tap_values(holder: Any, path: str, recorder: Recorder) -> None:
    """Let what a module keeps by `sow`, or passes through `perturb`, through the recorder."""
    if not isinstance(holder, nnx.Module) or not _keeps_values(type(holder)):
        return
    kind: Any = type(holder)

    def full(name: str) -> str:
        return f"{path}.{name}" if path else name

    def sow(variable_type: Any, name: str, value: Any, *how: Any, **more: Any) -> bool:
        recorder.note(full(name), value)
        with warnings.catch_warnings():
            # Recommends nnx.capture, instead of which the recorder is there.
            warnings.simplefilter("ignore", DeprecationWarning)
            return kind.sow(holder, variable_type, name, value, *how, **more)

    def perturb(name: str, value: Any, *variable_type: Any, **more: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            value = kind.perturb(holder, name, value, *variable_type, **more)
        return recorder.tap(full(name), value)

    # Written through the attribute dictionary, because functions are no data to nnx.
    vars(holder).update(sow=sow, perturb=perturb)


@cache
def _keeps_values(kind: type) -> bool:
    """Find out whether methods of a type of modules call `sow` or `perturb`."""
    own = [base for base in kind.__mro__ if issubclass(base, nnx.Module) and base is not nnx.Module]
    return any(
        not {"sow", "perturb"}.isdisjoint(method.__code__.co_names)
        for base in own
        for method in vars(base).values()
        if inspect.isfunction(method)
    )


class _Tap:
    """Stands in for a layer: looks like it, but its output passes through the recorder."""

    def __init__(self, layer: Callable[..., Any], name: str, recorder: Recorder):
        self._tapped = layer
        self._tap = lambda output: recorder.tap(name, output)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._tap(self._tapped(*arguments, **keywords))

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._tapped, attribute)

    # So that isinstance sees the layer.
    __class__: Any = property(lambda self: type(self._tapped))


def _flatten_tap(tap: _Tap) -> tuple[tuple[Any, ...], Any]:
    inside = isinstance(tap._tapped, nnx.Module)
    return (tap._tapped,) if inside else (), (None if inside else tap._tapped, tap._tap)


def _unflatten_tap(about: Any, inside: Sequence[Any]) -> _Tap:
    tap = object.__new__(_Tap)
    (tap._tapped,), tap._tap = inside or about[:1], about[1]
    return tap


# So that a tapped layer passes into nnx.scan, nnx.remat and others, where the recorder refuses it.
jax.tree_util.register_pytree_node(_Tap, _flatten_tap, _unflatten_tap)


class _Slot(NamedTuple):
    """A layer and the place that holds it."""

    name: str
    layer: Callable[..., Any]
    put: Callable[[Any], None]


def _slots(
    node: Any,
    prefix: str = "",
    seen: set[int] | None = None,
    replace: Callable[[tuple[Any, ...]], None] | None = None,
) -> Iterator[_Slot]:
    """Every layer below a node, a layer before those within it.

    Args:
        node: A module, or a list, tuple or dictionary.
        prefix: Begins the names.
        seen: Nodes that have been reached by another path.
        replace: For a tuple, puts another in its place.
    """
    seen = set() if seen is None else seen
    if not isinstance(node, nnx.Module | list | dict | tuple) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, tuple):
        assert replace is not None  # the first node is a module
        children: Any = list(node)
    else:
        # Written through the attribute dictionary, because a tap is no data to nnx.
        children = vars(node) if isinstance(node, nnx.Module) else node
    collection = isinstance(node, nnx.List | nnx.Dict | list | dict | tuple)
    pairs = children.items() if isinstance(children, dict) else enumerate(children)
    for key, child in list(pairs):
        name = f"{prefix}{key}"
        if isinstance(child, nnx.Variable):  # callable, but by forwarding to its value
            continue

        def put(new: Any, key: Any = key) -> None:
            children[key] = new
            if isinstance(node, tuple) and replace is not None:
                make: Any = getattr(node, "_make", tuple)  # a tuple with names, or none
                replace(make(children))

        if callable(child) and (collection or isinstance(child, nnx.Module)):
            yield _Slot(name, child, put)
        yield from _slots(child, f"{name}.", seen, put)
