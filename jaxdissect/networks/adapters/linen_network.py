"""Probe a flax linen module."""

from collections.abc import Callable, Hashable
from typing import Any

import jax
from flax import linen as nn
from flax.errors import InvalidRngError, ModifyScopeVariableError
from jaxtyping import PyTree

from jaxdissect.networks.adapters.adapted_network import AdaptedNetwork
from jaxdissect.networks.adapters.recorder import Recorder, check_names


class LinenNetwork(AdaptedNetwork):
    """A linen module as a pure function of its variables.

    A layer is any submodule that is called (its `__call__`), named by its dotted path
    ("features.conv5_3"). Names exist only during a run, so they are checked as layers are called.
    A module that is called several times has a layer for each call, "pool@1", "pool@2". Layers that
    run inside a lifted transformation (`nn.scan`, `nn.remat`, ...) cannot be recorded or edited.

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

    def _check_rest(self, recorder: Recorder, inputs: Any) -> None:
        # Edits of layers further on have no effect; only to tell them from misspelt names is the
        # rest of the network traced, without being run.
        if recorder.unreached_edits:
            check_names("edits", recorder.unreached_edits, self.layer_names(inputs))


def _first_sentence(error: Exception) -> str:
    """Shorten a message of flax, which ends with an address."""
    return str(error).partition(" (https://")[0].strip().rstrip(".")
