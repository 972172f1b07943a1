"""Run a function in float64, operation by operation: what fast programs are compared with.

The function is traced in float64 and its steps are carried out one after the other, most of them by
NumPy on the host: a convolution is a matrix product of what every output reads. None of what makes
programs fast is in the way, neither Winograd's form nor the compiler's fusion nor the device. Where
a function chooses by platform, it takes what most platforms do.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import PyTree

from jaxdissect.bench.work_counting import default_branch

_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Where primitives that only call keep the program that they call."""


def in_float64(function: Callable[..., Any], *arguments: PyTree) -> PyTree:
    """Run a function in float64.

    Args:
        function: A pure function of pytrees of arrays, jitted or not. What it casts to another
            floating dtype stays in float64; what it computes in loops is computed step by step.
        arguments: Arrays, of which the floating ones become float64.

    Returns:
        Its results, NumPy arrays, the floating ones in float64.
    """
    host = _host()
    with jax.enable_x64(True), jax.default_device(host):
        wide = jax.tree.map(lambda leaf: _widened(np.asarray(leaf)), arguments)
        # What was written for float32 may meet constants that stay so.
        with jax.numpy_dtype_promotion("standard"):
            program, shapes = jax.make_jaxpr(function, return_shape=True)(*wide)
        found = _run(program.jaxpr, program.consts, jax.tree.leaves(wide))
        found = [np.asarray(value) for value in found]
    return jax.tree.unflatten(jax.tree.structure(shapes), found)


def _host() -> Any:
    """Return the processor as a device; the usual device where JAX was told to leave it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return jax.local_devices()[0]


def _widened(value: np.ndarray) -> np.ndarray:
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return value.astype(np.float64) if is_float else value


def _run(jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    known: dict[Any, Any] = {}

    def write(variables: Sequence[Any], values: Sequence[Any]) -> None:
        known.update(
            (variable, _wide(value, variable.aval))
            for variable, value in zip(variables, values, strict=True)
        )

    def read(atom: Any) -> Any:
        return _wide(atom.val, atom.aval) if isinstance(atom, Literal) else known[atom]

    write(jaxpr.constvars, consts)
    write(jaxpr.invars, arguments)
    for step in jaxpr.eqns:
        write(step.outvars, _step(step, [read(atom) for atom in step.invars]))
    return [read(atom) for atom in jaxpr.outvars]


def _wide(value: Any, aval: Any) -> Any:
    """Bring a value to the dtype that it was traced in, or to float64 if that is a float."""
    dtype = getattr(aval, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
        return value
    wanted = np.float64 if jnp.issubdtype(dtype, jnp.floating) else dtype
    return value if getattr(value, "dtype", None) == wanted else np.asarray(value).astype(wanted)


def _step(step: Any, inputs: list[Any]) -> Sequence[Any]:
    name, params = step.primitive.name, step.params
    if name == "conv_general_dilated":
        return [_convolved(np.asarray(inputs[0]), np.asarray(inputs[1]), params)]
    if name == "dot_general":
        one, other = map(np.asarray, inputs)
        return [_matrix_product(one, other, params["dimension_numbers"])]
    if name == "cond":
        default = default_branch(params)
        if default is None:
            chosen = params["branches"][int(inputs[0])]
            return _run(chosen.jaxpr, chosen.consts, inputs[1:])
        return _run(default, _consts_of(params, default), inputs[1:])
    if name == "platform_index":
        return [np.int32(0)]
    if name == "scan":
        return _scanned(params, inputs)
    if name == "while":
        return _looped(params, inputs)
    if name == "convert_element_type":
        dtype = params["new_dtype"]
        floating = jnp.issubdtype(dtype, jnp.floating)
        return [np.asarray(inputs[0]).astype(np.float64 if floating else dtype)]
    for key in _CALLED:
        inner = params.get(key)
        if isinstance(inner, ClosedJaxpr):
            return _run(inner.jaxpr, inner.consts, inputs)
        if isinstance(inner, Jaxpr):
            return _run(inner, (), inputs)
    if name in _BY_NUMPY:
        return [_BY_NUMPY[name](params, *map(np.asarray, inputs))]
    found = step.primitive.bind(*map(jnp.asarray, inputs), **step.primitive.get_bind_params(params))
    return found if step.primitive.multiple_results else [found]


def _consts_of(params: dict[str, Any], branch: Jaxpr) -> Sequence[Any]:
    return next(one.consts for one in params["branches"] if one.jaxpr is branch)


def _scanned(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    first, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, state, rows = inputs[:first], inputs[first:carried], inputs[carried:]
    body, order = params["jaxpr"], range(params["length"])
    stacked: dict[int, list[Any]] = {}
    for index in reversed(order) if params["reverse"] else order:
        given = [np.asarray(row)[index] for row in rows]
        found = _run(body.jaxpr, body.consts, [*consts, *state, *given])
        state = found[: params["num_carry"]]
        stacked[index] = [np.asarray(value) for value in found[params["num_carry"] :]]
    return [*state, *(np.stack(one) for one in zip(*(stacked[i] for i in order), strict=True))]


def _looped(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    of_condition = params["cond_nconsts"]
    of_body = of_condition + params["body_nconsts"]
    condition, body, state = params["cond_jaxpr"], params["body_jaxpr"], inputs[of_body:]
    while bool(_run(condition.jaxpr, condition.consts, [*inputs[:of_condition], *state])[0]):
        state = _run(body.jaxpr, body.consts, [*inputs[of_condition:of_body], *state])
    return state


def _matrix_product(one: np.ndarray, other: np.ndarray, numbers: Any) -> np.ndarray:
    (summed, their_summed), (shared, their_shared) = numbers
    left = _grouped(one, shared, summed, last=True)
    right = _grouped(other, their_shared, their_summed, last=False)
    free = [
        size
        for array, fixed in ((one, (*shared, *summed)), (other, (*their_shared, *their_summed)))
        for axis, size in enumerate(array.shape)
        if axis not in fixed
    ]
    return (left @ right).reshape(*(one.shape[axis] for axis in shared), *free)


def _grouped(array: np.ndarray, shared: Any, summed: Any, *, last: bool) -> np.ndarray:
    """Lay out as [shared, free, summed] if `last`, else as [shared, summed, free]."""
    free = [axis for axis in range(array.ndim) if axis not in (*shared, *summed)]
    order = (*shared, *free, *summed) if last else (*shared, *summed, *free)
    groups, between = (int(np.prod([array.shape[a] for a in axes])) for axes in (shared, summed))
    laid = array.transpose(order)
    return laid.reshape((groups, -1, between) if last else (groups, between, -1))


def _convolved(images: np.ndarray, kernel: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    numbers = params["dimension_numbers"]
    batch, channels, *cells = numbers.lhs_spec
    units, inputs, *window = numbers.rhs_spec
    maps = images.transpose(batch, *cells, channels)
    weights = kernel.transpose(*window, inputs, units)
    maps = _with_zeros(maps, params["padding"], params["lhs_dilation"])
    by_feature, by_batch = params["feature_group_count"], params["batch_group_count"]
    groups = max(by_feature, by_batch)
    if by_feature == maps.shape[-1] and weights.shape[-2] == 1:
        maps = np.repeat(maps, weights.shape[-1] // by_feature, axis=-1)
        found = _slid_apart(maps, weights, params)
    elif groups == 1:
        found = _slid(maps, weights, params)
    else:
        parts = zip(
            np.split(maps, groups, axis=-1 if by_feature > 1 else 0),
            np.split(weights, groups, axis=-1),
            strict=True,
        )
        slid = [_slid(part, own, params) for part, own in parts]
        found = np.concatenate(slid, axis=-1)
    laid_out = numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1]
    return found.transpose(np.argsort(laid_out))


def _with_zeros(maps: np.ndarray, padding: Any, holes: Any) -> np.ndarray:
    """Put zeros between the cells and around them, or cut cells off where fewer than none."""
    sides = maps.shape[1:-1]
    spread = np.zeros(
        (
            len(maps),
            *((side - 1) * hole + 1 for side, hole in zip(sides, holes, strict=True)),
            maps.shape[-1],
        )
    )
    spread[(slice(None), *(slice(None, None, hole) for hole in holes))] = maps
    edges = [(0, 0), *((max(a, 0), max(b, 0)) for a, b in padding), (0, 0)]
    cut = [slice(max(-a, 0), -max(-b, 0) or None) for a, b in padding]
    return np.pad(spread, edges)[(slice(None), *cut)]


def _places_read(maps: np.ndarray, window: Sequence[int], params: dict[str, Any]) -> np.ndarray:
    """View maps as what each output reads: [B, outputs, channels, window]."""
    spread = params["rhs_dilation"]
    reach = [(size - 1) * far + 1 for size, far in zip(window, spread, strict=True)]
    axes = tuple(range(1, 1 + len(reach)))
    read = np.lib.stride_tricks.sliding_window_view(maps, reach, axes)
    steps = [slice(None, None, step) for step in params["window_strides"]]
    kept = [slice(None, None, far) for far in spread]
    return read[(slice(None), *steps, slice(None), *kept)]


def _slid(maps: np.ndarray, weights: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """Convolve image by image, each one matrix product of what its outputs read."""
    *window, inputs, units = weights.shape
    read = _places_read(maps, window, params)
    rank = len(window)
    # Channels in front of the window, as in what is read.
    matrix = np.moveaxis(weights, -2, 0).reshape(-1, units)
    cells = read.shape[1 : 1 + rank]
    return np.stack(
        [(each.reshape(-1, len(matrix)) @ matrix).reshape(*cells, units) for each in read]
    )


def _slid_apart(maps: np.ndarray, weights: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    """Convolve each channel with its own kernel."""
    *window, _, units = weights.shape
    read = _places_read(maps, window, params)
    kernel = np.moveaxis(weights[..., 0, :], -1, 0)
    return sum(
        (
            read[(..., *place)] * kernel[(slice(None), *place)]
            for place in itertools.product(*map(range, window))
        ),
        np.zeros((*read.shape[: 1 + len(window)], units)),
    )


def _broadcast(params: dict[str, Any], value: np.ndarray) -> np.ndarray:
    places, shape = params["broadcast_dimensions"], params["shape"]
    lifted = [1] * len(shape)
    for axis, place in enumerate(places):
        lifted[place] = value.shape[axis]
    return np.broadcast_to(value.reshape(lifted), shape)


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, value: function(value, axis=tuple(params["axes"]))


def _quotient(params: dict[str, Any], one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.dtype.kind == "f":
        return np.asarray(one / other)
    return np.asarray(np.trunc(one / other))  # as lax divides integers


def _selected(params: dict[str, Any], which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    return (
        np.choose(which.astype(np.intp), cases) if len(cases) > 2 else np.where(which, *cases[::-1])
    )


def _numbered(params: dict[str, Any]) -> np.ndarray:
    shape, axis = params["shape"], params["dimension"]
    lifted = [-1 if i == axis else 1 for i in range(len(shape))]
    return np.broadcast_to(np.arange(shape[axis]).reshape(lifted), shape)


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *values: function(*values)


def _sliced(params: dict[str, Any], value: np.ndarray) -> np.ndarray:
    steps = params["strides"] or (1,) * value.ndim
    limits = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return value[tuple(slice(first, last, step) for first, last, step in limits)]


_BY_NUMPY: dict[str, Callable[..., Any]] = {
    "add": _each(np.add),
    "add_any": _each(np.add),
    "sub": _each(np.subtract),
    "mul": _each(np.multiply),
    "div": _quotient,
    "select_n": _selected,
    "iota": _numbered,
    "and": _each(np.bitwise_and),
    "or": _each(np.bitwise_or),
    "abs": _each(np.abs),
    "argmax": lambda params, value: value.argmax(*params["axes"]),
    "rev": lambda params, value: np.flip(value, params["dimensions"]),
    "stack": lambda params, *values: np.stack(values, axis=params["axis"]),
    "tile": lambda params, value: np.tile(value, params["reps"]),
    "reduce_and": lambda params, value: value.all(axis=tuple(params["axes"])),
    "reduce_or": lambda params, value: value.any(axis=tuple(params["axes"])),
    "max": _each(np.maximum),
    "min": _each(np.minimum),
    "neg": _each(np.negative),
    "exp": _each(np.exp),
    "log": _each(np.log),
    "tanh": _each(np.tanh),
    "sqrt": _each(np.sqrt),
    "square": _each(np.square),
    "rsqrt": lambda params, value: 1 / np.sqrt(value),
    "integer_pow": lambda params, value: value ** params["y"],
    "gt": _each(np.greater),
    "ge": _each(np.greater_equal),
    "lt": _each(np.less),
    "le": _each(np.less_equal),
    "eq": _each(np.equal),
    "ne": _each(np.not_equal),
    "reshape": lambda params, value: value.reshape(params["new_sizes"]),
    "squeeze": lambda params, value: value.squeeze(tuple(params["dimensions"])),
    "transpose": lambda params, value: value.transpose(params["permutation"]),
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, *values: np.concatenate(values, axis=params["dimension"]),
    "slice": _sliced,
    "reduce_sum": _reduced(np.sum),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "stop_gradient": _each(np.asarray),
    "copy": _each(np.asarray),
}
"""What NumPy does as it is; all else is left to JAX, one operation at a time."""
