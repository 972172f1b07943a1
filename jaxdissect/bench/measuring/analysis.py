"""What XLA says that a program does: `cost_analysis()`, with what it leaves out put right.

XLA's analysis has three traps. The body of a loop counts once, whatever the number of its turns;
so the bodies of loops whose turns are known (`jax.lax.scan`, `map`, `fori_loop`) are analysed apart
and counted as often as they run. Where a GPU runs a kernel of a library, what it does is unknown to
the compiled program; so operations are counted in the program before it is compiled, and the bytes
of such kernels are read from its text. A program that loops until something is true, or calls a
kernel of Pallas, cannot be counted, and has no count.

A comparison, addition or any other operation on a value counts as one operation, also one of
integers; so do transcendental functions, whatever they cost. A convolution counts without its
padding. Of a branch, the dearest side counts. XLA adds in float32: last digits are not exact.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxdissect.bench.measuring.library_calls import bytes_of_library_calls
from jaxdissect.bench.workload import Work

# Where primitives that only call keep the program that they call.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
}
_PLATFORMS = {
    "gpu": ("gpu", "cuda", "rocm")
}  # names of a platform where a program has parts for it
_PLACES = ("sharding_constraint", "reshard", "mesh_cast", "device_put")  # where values lie
_LOOP = " while("  # as it stands in the text of a compiled program
_PRODUCTS = ("dot_general", "conv_general_dilated", "ragged_dot_general")

COUNTED = (
    "by XLA: cost_analysis(), with the bodies of loops as often as they run; convolutions without "
    "their padding, and bytes between fused parts of the program as if no cache kept them"
)


class NotCounted(Exception):
    """A program that XLA cannot count; says why."""


class Operations(NamedTuple):
    """Operations of a program: of its products and convolutions, and all."""

    products: float
    all: float


def analyse(function: Any, arguments: tuple[Any, ...], compiled: Any = None) -> Work:
    """Count the work of a program by XLA's analysis of it, of all devices together.

    Args:
        function: From `jax.jit`.
        arguments: What it is called with.
        compiled: The same, compiled; it is compiled here where None.

    Raises:
        NotCounted: If it cannot be counted.
    """
    devices = {
        device
        for leaf in jax.tree.leaves(arguments)
        if isinstance(leaf, jax.Array)
        for device in leaf.devices()
    }
    platform = next(iter(devices), jax.local_devices()[0]).platform
    program = function.trace(*arguments).jaxpr
    counted = operations(program, platform)
    compiled = function.lower(*arguments).compile() if compiled is None else compiled
    return Work(
        products=counted.products,
        operations=max(counted.all - counted.products, 0.0),
        bytes=_bytes(program, compiled, max(len(devices), 1), platform),
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


def operations(program: ClosedJaxpr, platform: str) -> Operations:
    """Count the operations of a program before it is compiled.

    Args:
        program: From `jax.make_jaxpr`.
        platform: "cpu", "gpu" or "tpu": what is for other platforms is left out.
    """
    whole = _once(program, platform)
    products = _products(program.jaxpr, platform)
    for body, turns in _loops(program.jaxpr, platform):
        counted = operations(body, platform)
        whole += turns * counted.all - _once(body, platform)
        products += turns * counted.products
    return Operations(products, whole)


def _once(program: ClosedJaxpr, platform: str) -> float:
    """Count operations, where the body of a loop counts once."""

    constants = len(program.consts)

    def run(*values: Any) -> list[Any]:
        return _run(program.jaxpr, values[:constants], values[constants:], platform)

    # Constants lie on the device of the program: where they are is left out, as for its arguments.
    shapes = [jax.ShapeDtypeStruct(np.shape(one), one.dtype) for one in program.consts]
    return _flops(_before_compiling(run, shapes + _shapes(program.in_avals)))


def _bytes(program: ClosedJaxpr, compiled: Any, devices: int, platform: str) -> float:
    """Count the bytes that a compiled program reads and writes, of all devices together."""
    moved = devices * _moved(compiled)
    loops = _number_of_loops(program.jaxpr, platform)
    left = (compiled.as_text() or "").count(_LOOP)
    if left > loops:
        raise NotCounted("XLA has made loops that the program has not, and counts them once")
    if loops and not left:
        return moved  # every turn is written out
    if left < loops:
        raise NotCounted("XLA has written the turns of some loops out")
    for body, turns in _loops(program.jaxpr, platform):
        if devices > 1:
            raise NotCounted("XLA counts the body of a loop once, and it is on several devices")

        def run(*values: Any, body: ClosedJaxpr = body) -> list[Any]:
            return _run(body.jaxpr, body.consts, values, platform)

        alone = jax.jit(run).lower(*_shapes(body.in_avals)).compile()
        moved += turns * _bytes(body, alone, 1, platform) - _moved(alone)
    if moved < 0:
        raise NotCounted("the bodies of loops are compiled otherwise when they are alone")
    return moved


def _moved(compiled: Any) -> float:
    """Read the bytes of a compiled program, where the body of a loop counts once."""
    moved = _costs(compiled.cost_analysis()).get("bytes accessed")
    if moved is None or not math.isfinite(moved):
        raise NotCounted("XLA tells no bytes for this device")
    return float(moved) + bytes_of_library_calls(compiled.as_text() or "")


def _products(jaxpr: Jaxpr, platform: str) -> float:
    """Count the operations of products and convolutions outside loops."""
    found = list(_product_steps(jaxpr, platform))
    shapes = [_shapes([variable.aval for variable in each.invars]) for each in found]

    def run(*inputs: Any) -> list[Any]:
        return [_bind(each, values) for each, values in zip(found, inputs, strict=True)]

    total = _flops(_before_compiling(run, shapes)) if found else 0.0
    for equation in _branchings(jaxpr, platform):
        total += max(_products(branch.jaxpr, platform) for branch in equation.params["branches"])
    return total


def _product_steps(jaxpr: Jaxpr, platform: str) -> Iterator[Any]:
    """Find the products and convolutions outside loops and branches."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _PRODUCTS:
            yield equation
        else:
            for inner in _certain(equation, platform):
                yield from _product_steps(inner, platform)


def _branchings(jaxpr: Jaxpr, platform: str) -> Iterator[Any]:
    """Find the branchings outside loops that are not about platforms, those inside them not."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond" and _branch(equation, platform) is None:
            yield equation
        else:
            for inner in _certain(equation, platform):
                yield from _branchings(inner, platform)


def _certain(equation: Any, platform: str) -> Iterator[Jaxpr]:
    """Find the programs in an operation that run once, whatever happens."""
    chosen = _branch(equation, platform)
    if chosen is not None:
        yield chosen.jaxpr
    elif equation.primitive.name != "cond" and not _repeats(equation):
        yield from _programs(equation)


def _repeats(equation: Any) -> bool:
    """Tell whether an operation is a loop that does not run just once."""
    return equation.primitive.name == "scan" and equation.params["length"] != 1


def _number_of_loops(jaxpr: Jaxpr, platform: str) -> int:
    """Count the loops of a program, those inside others too."""
    loops = _loops(jaxpr, platform)
    return sum(1 + _number_of_loops(body.jaxpr, platform) for body, _ in loops)


def _loops(
    jaxpr: Jaxpr, platform: str, *, in_branch: bool = False
) -> Iterator[tuple[ClosedJaxpr, int]]:
    """Find the outermost loops of a program: their bodies, and how many turns they take.

    Raises:
        NotCounted: If the turns of one are not known, or there is what XLA does not look into.
    """
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        chosen = _branch(equation, platform)
        if chosen is not None:
            yield from _loops(chosen.jaxpr, platform, in_branch=in_branch)
        elif name == "while":
            raise NotCounted("how many turns a loop takes is not known before it runs")
        elif name == "pallas_call":
            raise NotCounted("XLA does not look into kernels of Pallas")
        elif name == "shard_map":
            raise NotCounted("XLA counts what one device does of a part that is written for each")
        elif _repeats(equation):
            if in_branch:
                raise NotCounted("whether a loop runs is not known before it runs")
            yield equation.params["jaxpr"], equation.params["length"]
        else:
            for inner in _programs(equation):
                yield from _loops(inner, platform, in_branch=in_branch or name == "cond")


def _branch(equation: Any, platform: str) -> ClosedJaxpr | None:
    """Choose the branch of `jax.lax.platform_dependent` that is for a platform."""
    platforms = equation.params.get("branches_platforms")
    if equation.primitive.name != "cond" or platforms is None:
        return None
    names = _PLATFORMS.get(platform, (platform,))
    for branch, own in zip(equation.params["branches"], platforms, strict=True):
        if own is None or any(name in own for name in names):
            return branch
    raise NotCounted(f"the program has no part for the platform {platform}")


def _run(jaxpr: Jaxpr, constants: Sequence[Any], values: Sequence[Any], platform: str) -> list[Any]:
    """Run a program as it would run on a platform, on another one; calls are written out."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *values], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        chosen = _branch(equation, platform)
        called = equation.params.get(_CALLS.get(equation.primitive.name, ""))
        if equation.primitive.name == "platform_index":
            found = [jnp.int32(0)]  # which branch it is has been chosen
        elif equation.primitive.name in _PLACES:
            found = inputs
        elif chosen is not None:
            found = _run(chosen.jaxpr, chosen.consts, inputs[1:], platform)
        elif isinstance(called, ClosedJaxpr):
            found = _run(called.jaxpr, called.consts, inputs, platform)
        elif isinstance(called, Jaxpr):
            found = _run(called, (), inputs, platform)
        else:
            found = _bind(equation, inputs)
            found = found if equation.primitive.multiple_results else [found]
        known.update(zip(equation.outvars, found, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _bind(equation: Any, inputs: Sequence[Any]) -> Any:
    return equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))


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


def _before_compiling(function: Callable[..., Any], shapes: list[Any]) -> dict[str, float]:
    """Analyse a function before it is compiled, which only the backend of processors can."""
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        hidden = "operations are counted on the processor, which JAX_PLATFORMS hides"
        raise NotCounted(hidden) from None
    with jax.default_device(host):
        lowered = jax.jit(function).lower(*shapes)
    costs = lowered.cost_analysis()
    if costs is None:
        raise NotCounted("XLA tells no operations before a program is compiled")
    return _costs(costs)


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
