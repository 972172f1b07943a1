"""Programs as lists of steps: what depends on an argument, apart from what does not.

A network runs once for all removals of units only if everything before the layer is left out of the
loop over removals. A compiler may see to that, or not. `split` makes sure: it traces a function,
runs at once what does not depend on the argument, and returns the rest.

Nested calls (jit, custom derivatives, checkpointing) are written out, since they mix what depends
on the argument with what does not; loops and branches count as one step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Primitive
from jaxtyping import PyTree

# Where primitives that only call keep the program that they call.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}


class Slot(NamedTuple):
    """A place for a value that is not known yet."""

    number: int
    shape: tuple[int, ...]


Value = Any
"""A slot, or an array that is known."""


class Step(NamedTuple):
    """An operation: what it reads and fills, and how many `jax.vmap` are around it."""

    primitive: Primitive
    params: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Slot, ...]
    vmaps: int = 0


def run_step(step: Step, inputs: Sequence[Any]) -> Sequence[Any]:
    """Apply the operation to arrays."""
    params = step.primitive.get_bind_params(step.params)
    found = step.primitive.bind(*inputs, **params)
    return found if step.primitive.multiple_results else [found]


@dataclass(frozen=True)
class Program:
    """What is left of a function when all that does not depend on its argument has run.

    Calling it with an argument runs the rest. It may be called under `jax.vmap` or in a loop.

    Attributes:
        argument: Where the arrays of the argument go.
        steps: Operations, in order.
        results: Where the results are found.
        structure: Structure of the results.
    """

    argument: tuple[Slot, ...]
    steps: tuple[Step, ...]
    results: tuple[Value, ...]
    structure: Any = field(repr=False)

    def __call__(self, argument: PyTree) -> PyTree:
        return self.finish(self.run(self.steps, dict(self._filled(argument))))

    def _filled(self, argument: PyTree) -> Iterator[tuple[Slot, Any]]:
        yield from zip(self.argument, jax.tree.leaves(argument), strict=True)

    def run(self, steps: Sequence[Step], filled: dict[Slot, Any]) -> dict[Slot, Any]:
        """Run some of the steps, given the slots that they read; returns these and the new ones."""
        filled = dict(filled)
        for step in steps:
            found = run_step(step, [_look_up(value, filled) for value in step.inputs])
            filled |= dict(zip(step.outputs, found, strict=True))
        return filled

    def finish(self, filled: dict[Slot, Any]) -> PyTree:
        """Gather the results when all steps have run."""
        return jax.tree.unflatten(
            self.structure, [_look_up(value, filled) for value in self.results]
        )


def split(
    function: Callable[[Any], Any],
    example: PyTree,
    *,
    opened: Callable[[Any], bool] = lambda call: True,
) -> Program:
    """Run all of a function that does not depend on its argument.

    Args:
        function: Function of one pytree of arrays; it may close over others, also traced ones.
        example: An argument, of which only shapes and types count.
        opened: Whether a nested call is written out, given its step in the jaxpr; the others are
            one step.

    Returns:
        The rest, a function of the argument.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(example)
    writer = _Writer(opened)
    argument = tuple(writer.slot(variable.aval) for variable in closed.jaxpr.invars)
    results = writer.write(closed.jaxpr, closed.consts, argument)
    return Program(argument, tuple(writer.steps), tuple(results), jax.tree.structure(shapes))


def largest_value(function: Callable[[Any], Any], example: PyTree) -> int:
    """Find the size of the largest array that a function makes on its way, in bytes.

    Args:
        function: Function of one pytree of arrays; it may close over others, also traced ones.
        example: An argument, of which only shapes and types count.
    """
    steps = jax.make_jaxpr(function)(example).jaxpr.eqns
    made = (variable.aval for step in steps for variable in step.outvars)
    return max((aval.size * aval.dtype.itemsize for aval in made), default=0)


class _Writer:
    """Writes nested programs out as one list of steps, and runs what it can."""

    def __init__(self, opened: Callable[[Any], bool]) -> None:
        self.steps: list[Step] = []
        self._opened = opened
        self._number = 0

    def slot(self, aval: Any) -> Slot:
        self._number += 1
        return Slot(self._number, tuple(aval.shape))

    def write(
        self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Value], *, vmaps: int = 0
    ) -> list[Value]:
        known: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        known |= dict(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Value:
            return atom.val if isinstance(atom, Literal) else known[atom]

        for eqn in jaxpr.eqns:
            values = [read(atom) for atom in eqn.invars]
            inner = eqn.params.get(_CALLS.get(eqn.primitive.name, ""))
            if inner is not None and not self._opened(eqn):
                inner = None
            around = vmaps + sum(part.name == "vmap" for part in eqn.source_info.name_stack.stack)
            if not any(isinstance(value, Slot) for value in values):
                outputs = list(run_step(Step(eqn.primitive, eqn.params, (), ()), values))
            elif isinstance(inner, ClosedJaxpr):
                outputs = self.write(inner.jaxpr, inner.consts, values, vmaps=around)
            elif isinstance(inner, Jaxpr):
                outputs = self.write(inner, (), values, vmaps=around)
            else:
                slots = tuple(self.slot(variable.aval) for variable in eqn.outvars)
                self.steps.append(Step(eqn.primitive, eqn.params, tuple(values), slots, around))
                outputs = list(slots)
            known |= dict(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]


def _look_up(value: Value, filled: dict[Slot, Any]) -> Any:
    return filled[value] if isinstance(value, Slot) else value
