"""Probe a flax linen module."""

from collections.abc import Callable, Hashable
from typing import Any

import jax
from flax import linen as nn
from flax.errors import InvalidRngError, ModifyScopeVariableError
from jaxtyping import PyTree

from jaxdissect.networks.adapters.adapted_network import AdaptedNetwork
from jaxdissect.networks.adapters.recorder import Recorder


class LinenNetwork(AdaptedNetwork):
    """A linen module as a pure function of its variables.

    A layer is any submodule that is called (its `__call__`), named by its dotted path
    ("features.conv5_3"). Names exist only during a run, so they are checked as layers are called.
    A module that is called several times has a layer for each call, "pool@1", "pool@2". Layers that
    run inside a lifted transformation (`nn.scan`, `nn.remat`, ...) cannot be recorded or edited.
    What a module keeps by ``self.sow("intermediates", "name", x)`` is a layer too ("block.name"),
    to be recorded; what passes ``x = self.perturb("name", x)``, or
    ``x = jax.ad_checkpoint.checkpoint_name(x, "name")`` anywhere ("name"), may be edited as well.

    Args:
        module: Takes the inputs as its first positional argument.
        variables: What `module.init` gave, with all collections.
        **call_arguments: Further arguments of `module.apply`, such as `train=False`: there is no
            general evaluation mode in linen.

    Attributes:
        params: The variables.
    """

    def __init__(self, module: nn.Module, variables: PyTree, **call_arguments: Any):
        self.params = variables
        self._module = module
        self._call_arguments = call_arguments

    def layer_names(self, inputs: Any) -> tuple[str, ...]:
        """Every layer that inputs (or their `jax.ShapeDtypeStruct`) pass, inner layers first."""
        recorder = Recorder((), None)
        jax.eval_shape(
            lambda params, inputs: self._run(recorder, params, inputs), self.params, inputs
        )
        return tuple(recorder.called)

    def _run(self, recorder: Recorder, params: PyTree, inputs: Any) -> Any:
        active: set[tuple[str, ...]] = set()

        def intercept(
            call: Callable[..., Any],
            arguments: tuple[Any, ...],
            keywords: dict[str, Any],
            context: nn.module.InterceptorContext,
        ) -> Any:
            path = context.module.path
            _tap_values(context.module, recorder)
            # A subclass that calls super().__call__ is one call of one layer.
            if context.method_name != "__call__" or not path or path in active:
                return call(*arguments, **keywords)
            active.add(path)
            try:
                output = call(*arguments, **keywords)
            finally:
                active.remove(path)
            return recorder.tap(".".join(path), output)

        def forward() -> Any:
            with nn.intercept_methods(intercept):
                return self._module.apply(params, inputs, **self._call_arguments)

        try:
            return recorder.run(forward)
        except (ModifyScopeVariableError, InvalidRngError) as error:
            # No LayerError: layers before the one that fails may be read.
            raise ValueError(
                f"{type(self._module).__name__} runs as in training: {_first_sentence(error)}; "
                "pass what turns that off, such as LinenNetwork(module, variables, train=False)"
            ) from error

    def identity(self) -> Hashable:
        return self._module, tuple(sorted(self._call_arguments.items()))


def _tap_values(module: nn.Module, recorder: Recorder) -> None:
    """Let what a module keeps by `sow`, or passes through `perturb`, through the recorder."""
    kind, path = type(module), module.path

    def sow(collection: str, name: str, value: Any, *how: Any, **more: Any) -> bool:
        recorder.note(".".join((*path, name)), value)
        return kind.sow(module, collection, name, value, *how, **more)

    def perturb(name: str, value: Any, *collection: str, **how: Any) -> Any:
        value = kind.perturb(module, name, value, *collection, **how)
        return recorder.tap(".".join((*path, name)), value)

    # The module is a copy that is bound for this run alone; its own __setattr__ forbids it.
    for name, method in (("sow", sow), ("perturb", perturb)):
        object.__setattr__(module, name, method)


def _first_sentence(error: Exception) -> str:
    """Shorten a message of flax, which ends with an address."""
    return str(error).partition(" (https://")[0].strip().rstrip(".")
