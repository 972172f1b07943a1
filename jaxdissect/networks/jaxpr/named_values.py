"""Values that a program names itself, by `jax.ad_checkpoint.checkpoint_name`: read and replaced.

A name is a step of the program that returns what it is given. So whatever code has been run between
the inputs and the name, plain functions among them, the value is found there, and the rest of the
program takes another one in its place.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, PyTree

from jaxdissect.networks.jaxpr.partial_eval import Program, Slot, Step, run_step, split

_NAME = "name"
"""What the primitive is called."""

# Calls that only compile, or say what a gradient keeps, are the same program when written out.
_TRANSPARENT = frozenset(("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2"))

Call = tuple[str, int]
"""A name, and which of its uses, from 1."""


class NamedValues(NamedTuple):
    """A program with names in it.

    Attributes:
        program: All of it.
        counts: How often each name is used where it can be reached.
        enclosed: Names within loops, branches and functions with gradients of their own, which
            cannot be reached.
    """

    program: Program
    counts: dict[str, int]
    enclosed: frozenset[str]

    def steps(self) -> dict[Call, Step]:
        """Find the step of every use of a name that can be reached."""
        return {call: self.program.steps[number] for number, call in _calls(self.program).items()}

    def run(
        self,
        argument: PyTree,
        tap: Callable[[str, int, Array], Array],
        *,
        until: Collection[Call] | None = None,
        first: Mapping[Call, int] | None = None,
    ) -> PyTree:
        """Run the program.

        Args:
            argument: As given to the function.
            tap: Takes in a name, which of its uses it is, and the value; returns what takes its
                place.
            until: Names whose values are asked for, beside the results: what neither needs is not
                run. By default all is run.
            first: By name, which axis of a value comes first where `tap` sees it. By default all
                stay where they are.

        Returns:
            The results of the function.
        """
        calls = _calls(self.program)
        filled: dict[Slot, Any] = dict(
            zip(self.program.argument, jax.tree.leaves(argument), strict=True)
        )
        kept = None if until is None else _needed(self.program, calls, until)
        for number, step in enumerate(self.program.steps):
            if kept is not None and number not in kept:
                continue
            values = [filled[v] if isinstance(v, Slot) else v for v in step.inputs]
            found = list(run_step(step, values))
            if call := calls.get(number):
                axis = (first or {}).get(call, 0)
                found = [jnp.moveaxis(tap(*call, jnp.moveaxis(found[0], axis, 0)), 0, axis)]
            filled |= dict(zip(step.outputs, found, strict=True))
        return self.program.finish(filled)


def find_named_values(function: Callable[[Any], Any], example: PyTree) -> NamedValues:
    """Trace a function, and find the values that it names.

    Args:
        function: Function of one pytree of arrays.
        example: An argument, of which only shapes and types count.
    """
    program = split(function, example, opened=_has_reachable_names)
    calls = Counter(name for name, _ in _calls(program).values())
    enclosed = {
        name
        for step in program.steps
        for inner in _programs_in(step.params)
        for name in _names_in(inner)
    }
    return NamedValues(program, dict(calls), frozenset(enclosed))


def _calls(program: Program) -> dict[int, Call]:
    """Number the uses of every name, by the place of the step."""
    found, counts = {}, Counter()
    for number, step in enumerate(program.steps):
        if step.primitive.name == _NAME:
            name = step.params["name"]
            counts[name] += 1
            found[number] = (name, counts[name])
    return found


def _needed(program: Program, calls: dict[int, Call], until: Collection[Call]) -> set[int]:
    """Find the steps that the results and some named values depend on."""
    slots = {value for value in program.results if isinstance(value, Slot)}
    kept = set()
    for number in range(len(program.steps) - 1, -1, -1):
        step = program.steps[number]
        if calls.get(number) in until or slots.intersection(step.outputs):
            kept.add(number)
            slots |= {value for value in step.inputs if isinstance(value, Slot)}
    return kept


def _has_reachable_names(step: Any) -> bool:
    """Whether a call is to be written out, since it has names in it."""
    if step.primitive.name not in _TRANSPARENT:
        return False
    return any(True for inner in _programs_in(step.params) for _ in _names_in(inner))


def _names_in(program: Jaxpr) -> Iterator[str]:
    for step in program.eqns:
        if step.primitive.name == _NAME:
            yield step.params["name"]
        for inner in _programs_in(step.params):
            yield from _names_in(inner)


def _programs_in(params: Any) -> Iterator[Jaxpr]:
    """Find the programs among the parameters of a step."""
    for value in params.values():
        for inner in value if isinstance(value, tuple | list) else (value,):
            if isinstance(inner, ClosedJaxpr):
                yield inner.jaxpr
            elif isinstance(inner, Jaxpr):
                yield inner
