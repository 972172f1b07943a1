"""What XLA says that a program does: `cost_analysis()`, with what it leaves out put right.

XLA's analysis has three traps. The body of a loop counts once, whatever the number of its turns;
so the bodies of loops whose turns are known (`jax.lax.scan`, `map`, `fori_loop`) are analysed apart
and counted as often as they run. Where a GPU runs a kernel of a library, what it does is unknown to
the compiled program; so operations are counted in the program before it is compiled, and the bytes
of such kernels are read from its text. A program that loops until something is true, or calls a
kernel of Pallas, cannot be counted, and has no count.

A comparison, addition or any other operation on a value counts as one operation, also one of
integers; so do transcendental functions, whatever they cost. A convolution counts without its
padding. Of a branch, the dearest side counts.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

from jaxdissect.bench.library_calls import bytes_of_library_calls
from jaxdissect.bench.workload import Work

_PRODUCTS = ("dot_general", "conv_general_dilated", "ragged_dot_general")

COUNTED = (
    "by XLA: cost_analysis(), with the bodies of loops as often as they run; convolutions without "
    "their padding, and bytes between fused parts of the program as if no cache kept them"
)


class NotCounted(Exception):
    """A program that XLA cannot count; says why."""


class _Operations(NamedTuple):
    products: float  # of matrix products and convolutions
    all: float  # these among them


def analyse(function: Any, arguments: tuple[Any, ...], compiled: Any = None) -> Work:
    """Count the work of a program by XLA's analysis of it, of all devices together.

    Args:
        function: From `jax.jit`.
        arguments: What it is called with.
        compiled: The same, compiled; it is compiled here where None.

    Raises:
        NotCounted: If it cannot be counted.
    """
    program = function.trace(*arguments).jaxpr
    counted = _operations(program)
    compiled = function.lower(*arguments).compile() if compiled is None else compiled
    devices = {
        device
        for leaf in jax.tree.leaves(arguments)
        if isinstance(leaf, jax.Array)
        for device in leaf.devices()
    }
    return Work(
        products=counted.products,
        operations=max(counted.all - counted.products, 0.0),
        bytes=_bytes(program, compiled, max(len(devices), 1)),
        counted=COUNTED,
    )


def several(*parts: tuple[int | float, Work]) -> Work:
    """Add the work of programs that run several times.

    Args:
        parts: How often each runs, and its work.
    """
    return Work(
        products=sum(times * work.products for times, work in parts),
        operations=sum(times * work.operations for times, work in parts),
        bytes=sum(times * work.bytes for times, work in parts),
        counted=parts[0][1].counted if parts else "",
    )


def _operations(program: ClosedJaxpr) -> _Operations:
    """Count the operations of a program before it is compiled."""
    costs = _before_compiling(jaxpr_as_fun(program), _shapes(program.in_avals))
    whole = _flops(costs)
    products = _products(program.jaxpr)
    for body, turns in _loops(program.jaxpr):
        counted = _operations(body)
        once = _flops(_before_compiling(jaxpr_as_fun(body), _shapes(body.in_avals)))
        whole += turns * counted.all - once
        products += turns * counted.products
    return _Operations(products, whole)


def _bytes(program: ClosedJaxpr, compiled: Any, devices: int) -> float:
    """Count the bytes that a compiled program reads and writes, of all devices together."""
    moved = devices * _moved(compiled)
    for body, turns in _loops(program.jaxpr):
        if devices > 1:
            raise NotCounted("XLA counts the body of a loop once, and it is on several devices")
        alone = jax.jit(jaxpr_as_fun(body)).lower(*_shapes(body.in_avals)).compile()
        moved += turns * _bytes(body, alone, 1) - _moved(alone)
    if moved < 0:
        raise NotCounted("the bodies of loops are compiled otherwise when they are alone")
    return moved


def _moved(compiled: Any) -> float:
    """Read the bytes of a compiled program, where the body of a loop counts once."""
    moved = _costs(compiled.cost_analysis()).get("bytes accessed")
    if moved is None or not math.isfinite(moved):
        raise NotCounted("XLA tells no bytes for this device")
    return float(moved) + bytes_of_library_calls(compiled.as_text() or "")


def _products(jaxpr: Jaxpr) -> float:
    """Count the operations of products and convolutions outside loops."""
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in _PRODUCTS:
            params = equation.primitive.get_bind_params(equation.params)

            def bind(
                *values: Any, primitive: Any = equation.primitive, params: Any = params
            ) -> Any:
                return primitive.bind(*values, **params)

            shapes = _shapes([variable.aval for variable in equation.invars])
            total += _flops(_before_compiling(bind, shapes))
        elif name == "cond":
            total += max(_products(branch.jaxpr) for branch in equation.params["branches"])
        elif name != "scan":
            total += sum(_products(inner) for inner in _programs(equation))
    return total


def _loops(jaxpr: Jaxpr, *, in_branch: bool = False) -> Iterator[tuple[ClosedJaxpr, int]]:
    """Find the outermost loops of a program: their bodies, and how many turns they take.

    Raises:
        NotCounted: If the turns of one are not known, or there is what XLA does not look into.
    """
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "while":
            raise NotCounted("how many turns a loop takes is not known before it runs")
        if name == "pallas_call":
            raise NotCounted("XLA does not look into kernels of Pallas")
        if name == "shard_map":
            raise NotCounted("XLA counts what one device does of a part that is written for each")
        if name == "scan":
            if in_branch:
                raise NotCounted("whether a loop runs is not known before it runs")
            yield equation.params["jaxpr"], equation.params["length"]
        else:
            for inner in _programs(equation):
                yield from _loops(inner, in_branch=in_branch or name == "cond")


def _programs(equation: Any) -> Iterator[Jaxpr]:
    """Find the programs that an operation calls."""
    for value in equation.params.values():
        for inner in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(inner, ClosedJaxpr):
                yield inner.jaxpr
            elif isinstance(inner, Jaxpr):
                yield inner


def _shapes(avals: Any) -> list[Any]:
    """Describe arrays, without where they lie."""
    return [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]


def _before_compiling(function: Any, shapes: list[Any]) -> dict[str, float]:
    """Analyse a function before it is compiled, which only XLA's own backends can."""
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        hidden = "operations are counted on the processor, which JAX_PLATFORMS hides"
        raise NotCounted(hidden) from None
    with jax.default_device(host):
        lowered = jax.jit(lambda *values: function(*values)).lower(*shapes)
    return _costs(lowered.cost_analysis())


def _costs(found: Any) -> dict[str, float]:
    """Read the costs, which some versions give for each of a number of programs."""
    if isinstance(found, (list, tuple)):
        found = found[0] if found else None
    return dict(found or {})


def _flops(costs: dict[str, float]) -> float:
    flops = costs.get("flops", 0.0)
    if not math.isfinite(flops):
        raise NotCounted("XLA tells no operations for this program")
    return max(flops, 0.0) + max(costs.get("transcendentals", 0.0), 0.0)
