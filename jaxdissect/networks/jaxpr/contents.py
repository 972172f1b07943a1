"""What a program computes, as plain values: to tell it from another one, also in another process.

Two programs with equal contents compute the same. Nothing in them depends on the process: variables
are numbered in order, and there are no names of functions, lines or addresses. How often parts are
compiled, and how arrays are laid out over devices, is left out: results do not depend on it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Primitives that only call a program keep more about the call, which is all about compiling it.
_CALLS = ("jit", "pjit", "closed_call", "core_call")

# What differentiation would do: a program that is differentiated holds the outcome already.
_RULES = ("jvp_jaxpr_fun", "jvp_jaxpr_thunk", "fwd_jaxpr_thunk", "fwd", "bwd", "out_trees")

# Where arrays lie.
_PLACES = ("sharding", "out_sharding", "in_shardings", "out_shardings", "mesh", "ctx_mesh")

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def traced_contents(function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """Trace a function, and return what it computes.

    Args:
        function: A function of pytrees of arrays.
        arguments: Arrays or their `jax.ShapeDtypeStruct`, of which shapes and types count.

    Returns:
        Nested tuples of plain values, arrays, and functions of the host that are called back.
    """
    # An array's own sharding would stand in the types of all that is made of it.
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.result_type(leaf)), arguments
    )
    program, result = jax.make_jaxpr(function, return_shape=True)(*shapes)
    return _closed(program), str(jax.tree.structure(result))


def _closed(program: ClosedJaxpr) -> tuple[Any, ...]:
    return tuple(program.consts), _contents(program.jaxpr)


def _contents(jaxpr: Jaxpr) -> tuple[Any, ...]:
    numbers: dict[Any, int] = {}

    def made(variables: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(
            (numbers.setdefault(variable, len(numbers)), *_type(variable.aval))
            for variable in variables
        )

    def read(variables: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(
            ("literal", variable.val, *_type(variable.aval))
            if isinstance(variable, Literal)
            else numbers[variable]
            for variable in variables
        )

    given = made(jaxpr.constvars), made(jaxpr.invars)
    steps = tuple(
        (step.primitive.name, read(step.invars), _params(step), made(step.outvars))
        for step in jaxpr.eqns
    )
    return given, steps, read(jaxpr.outvars)


def _type(aval: Any) -> tuple[Any, ...]:
    if not hasattr(aval, "dtype"):
        return (str(aval),)
    return str(aval.dtype), getattr(aval, "shape", ()), bool(getattr(aval, "weak_type", False))


def _params(step: Any) -> dict[str, Any]:
    if step.primitive.name in _CALLS:
        kept = {name: value for name, value in step.params.items() if "jaxpr" in name}
    else:
        kept = {
            name: value
            for name, value in step.params.items()
            if name not in _RULES and name not in _PLACES
        }
    return {name: _param(value) for name, value in kept.items()}


def _param(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return _closed(value)
    if isinstance(value, Jaxpr):
        return _contents(value)
    if callback := getattr(value, "callback_func", None):  # what `jax.pure_callback` keeps
        return callback
    if isinstance(value, (tuple, list)):
        return tuple(_param(item) for item in value)
    if value is None or isinstance(value, (bool, int, float, complex, str)) or callable(value):
        return value
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # an array, or what it looks like
        return value if hasattr(value, "__array__") else _type(value)
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else _ADDRESS.sub("", str(value))
