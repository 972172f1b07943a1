"""Count by hand what a function must compute, from the shapes of the arrays in it.

`cost_analysis()` says what XLA made of a function on one device: it may count the body of a loop
once, leaves out what it hands to a library, and counts Winograd's transforms as work. Here the
function itself is counted, as it was written: each convolution as if computed directly, a loop as
often as it runs. A convolution counts the zeros around an image as everybody's figures do, unless
asked otherwise.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxdissect.bench.workload import Work

LAYER_BY_LAYER = (
    "convolutions and matrix products as if computed directly, zeros around images included, each "
    "reading its operands from memory and writing its result there once; all else fused with them. "
    "Winograd's form and caches need less, so that shares above 1 can be true"
)
"""What `count_work` counts, for `Work.counted`."""

_MOVES = frozenset(
    (
        *("broadcast_in_dim", "reshape", "transpose", "slice", "dynamic_slice", "squeeze", "rev"),
        *("dynamic_update_slice", "concatenate", "pad", "gather", "scatter", "iota", "copy"),
        *("convert_element_type", "bitcast_convert_type", "stop_gradient", "expand_dims", "split"),
        *("optimization_barrier", "device_put", "sharding_constraint", "platform_index", "tile"),
        *("reduce_precision", "copy_p", "empty", "broadcast", "stack", "unstack", "pvary"),
    )
)
"""Primitives that only move or name values."""

_READ_WHOLE = ("reduce_", "arg", "cum", "select_and_", "sort", "top_k")
"""Beginnings of the primitives whose work is that of their input, not of their output."""


_NOT_COUNTED = frozenset(
    (
        *("pallas_call", "ffi_call", "custom_call", "custom_partitioning", "shard_map", "fft"),
        *("pure_callback", "io_callback", "cholesky", "eigh", "eig", "lu", "qr", "svd"),
        *("triangular_solve", "householder_product", "ragged_dot_general", "ragged_dot"),
    )
)
"""Primitives whose work their shapes do not tell."""


@dataclass(frozen=True)
class Counts:
    """What was counted: `products`, `operations` and `bytes` as in `Work`."""

    products: float = 0.0
    operations: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.products + other.products,
            self.operations + other.operations,
            self.bytes + other.bytes,
        )

    def __mul__(self, times: float | int) -> "Counts":
        return Counts(self.products * times, self.operations * times, self.bytes * times)

    def as_work(self, counted: str = LAYER_BY_LAYER) -> Work:
        """Make the `Work` of a row of them."""
        return Work(
            products=self.products, operations=self.operations, bytes=self.bytes, counted=counted
        )


def count_work(function: Callable[..., Any], *arguments: Any, padding: bool = True) -> Counts:
    """Count what a function computes.

    Args:
        function: A function of pytrees of arrays, jitted or not; it is traced and not run.
        arguments: Arrays or their `jax.ShapeDtypeStruct`.
        padding: Whether products with the zeros around an image count.

    Returns:
        The counts. Bytes are those of `LAYER_BY_LAYER`, and at least those of arguments and
        results.

    Raises:
        ValueError: If the function has a loop whose length is found only when it runs, or a kernel
            or an operation whose work its shapes do not tell.
    """
    program = jax.make_jaxpr(function)(*arguments)
    counts = _count(program.jaxpr, padding)
    ends = (*program.jaxpr.invars, *program.jaxpr.outvars)
    through = float(sum(_size(variable) * _width(variable) for variable in ends))
    return Counts(counts.products, counts.operations, max(counts.bytes, through))


def size_in_bytes(arrays: Any) -> float:
    """Add up the bytes of a pytree of arrays or of their `jax.ShapeDtypeStruct`."""
    return float(
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))
    )


def default_branch(params: dict[str, Any]) -> Jaxpr | None:
    """Find what a step does on most platforms, if it is a choice between platforms.

    Args:
        params: Parameters of a "cond".
    """
    platforms = params.get("branches_platforms")
    if platforms is None:
        return None
    return params["branches"][platforms.index(None)].jaxpr


def _count(jaxpr: Jaxpr, padding: bool) -> Counts:
    total = Counts()
    for step in jaxpr.eqns:
        total += _count_step(step, padding)
    return total


def _count_step(step: Any, padding: bool) -> Counts:
    name, params = step.primitive.name, step.params
    if name in ("dot_general", "conv_general_dilated"):
        products = _matrix_products(step) if name == "dot_general" else _convolved(step, padding)
        passed = sum(_size(one) * _width(one) for one in (*step.invars, *step.outvars))
        return Counts(products=products, bytes=float(passed))
    if name == "cond":
        default = default_branch(params)
        branches = [branch.jaxpr for branch in params["branches"]] if default is None else [default]
        return max((_count(branch, padding) for branch in branches), key=lambda c: c.products)
    if name == "while":
        raise ValueError(
            "`function` has a loop whose length is found only when it runs: count its body, and "
            "multiply"
        )
    if name in _NOT_COUNTED:
        raise ValueError(f"`function` calls {name}, whose work its shapes do not tell")
    if name in _MOVES:
        return Counts()
    if name.startswith("reduce_window"):
        window = math.prod(params["window_dimensions"])
        return Counts(operations=float(_size(step.outvars[0]) * window))
    if name.startswith(("scatter-", "scatter_")):
        return Counts(operations=float(_size(step.invars[2])))  # what is added, not what to
    if name.startswith(_READ_WHOLE) or name == "reduce":
        return Counts(operations=float(_size(step.invars[0])))
    if inner := list(_programs(params)):
        times = params["length"] if name == "scan" else 1
        return sum((_count(one, padding) for one in inner), Counts()) * times
    return Counts(operations=float(sum(_size(variable) for variable in step.outvars)))


def _programs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """Find the programs that a step calls."""
    for value in params.values():
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value


def _matrix_products(step: Any) -> float:
    (contracted, _), _ = step.params["dimension_numbers"]
    shape = step.invars[0].aval.shape
    return 2.0 * _size(step.outvars[0]) * math.prod(shape[axis] for axis in contracted)


def _convolved(step: Any, padding: bool) -> float:
    """Count products: of each output and each place of the kernel that reads a number."""
    params = step.params
    numbers = params["dimension_numbers"]
    images, kernel, outputs = (variable.aval.shape for variable in (*step.invars, step.outvars[0]))
    products = 2.0 * kernel[numbers.rhs_spec[1]]
    products *= outputs[numbers.out_spec[0]] * outputs[numbers.out_spec[1]]
    for axis in range(len(params["window_strides"])):
        products *= _readings(
            images[numbers.lhs_spec[2 + axis]],
            kernel[numbers.rhs_spec[2 + axis]],
            outputs[numbers.out_spec[2 + axis]],
            stride=params["window_strides"][axis],
            before=params["padding"][axis][0],
            holes=params["lhs_dilation"][axis],
            spread=params["rhs_dilation"][axis],
            padding=padding,
        )
    return products


def _readings(
    places: int,
    kernel: int,
    outputs: int,
    *,
    stride: int,
    before: int,
    holes: int,
    spread: int,
    padding: bool,
) -> int:
    """Count pairs of an output and a place of the kernel along an axis that read a number.

    Zeros that were put between the numbers (`holes`, in gradients of strided convolutions) never
    count.
    """
    read = np.arange(outputs)[:, None] * stride + np.arange(kernel)[None] * spread - before
    counted = read % holes == 0
    if not padding:
        counted &= (read >= 0) & (read <= (places - 1) * holes)
    return int(counted.sum())


def _size(variable: Any) -> int:
    return math.prod(getattr(variable.aval, "shape", ()))


def _width(variable: Any) -> int:
    return getattr(getattr(variable.aval, "dtype", None), "itemsize", 0)
