"""What XLA says that a program does and takes: `cost_analysis()` and `memory_analysis()`.

It must be read with care. XLA counts the body of a loop once, whatever the number of its turns;
operations inside kernels of libraries and of Pallas are not counted; of a branch, the dearest side
is. Where that would make a count meaningless, there is none.
"""

import math
from collections.abc import Iterator
from typing import Any

from jaxdissect.bench.workload import Work


class NotCounted(Exception):
    """A program that XLA cannot count."""


def analyse(function: Any, arguments: tuple[Any, ...], compiled: Any) -> Work:
    """Count the work of a program by XLA's analysis of it.

    Args:
        function: From `jax.jit`.
        arguments: What it is called with.
        compiled: The same, compiled.

    Raises:
        NotCounted: If it cannot be counted; says why.
    """
    for primitive in _primitives(function.trace(*arguments).jaxpr.jaxpr):
        if primitive in ("while", "scan"):
            raise NotCounted("XLA counts the body of a loop once")
        if primitive == "pallas_call":
            raise NotCounted("XLA does not look into kernels of Pallas")
    costs = compiled.cost_analysis()
    if isinstance(costs, (list, tuple)):  # one for each program, in some versions
        costs = costs[0] if costs else None
    flops, moved = (costs or {}).get("flops"), (costs or {}).get("bytes accessed")
    if not _counts(flops) or not _counts(moved):
        raise NotCounted("XLA tells nothing for this device")
    return Work(
        products=float(flops),
        operations=float(costs.get("transcendentals", 0.0)),
        bytes=float(moved),
        counted="by XLA's cost_analysis of the compiled program; it does not tell products apart",
    )


def _primitives(jaxpr: Any) -> Iterator[str]:
    """Name the primitives of a program, and of all programs in it."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for inner in value if isinstance(value, (list, tuple)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _primitives(inner)


def _counts(value: Any) -> bool:
    return value is not None and math.isfinite(value) and value >= 0
