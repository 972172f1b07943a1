"""Linear readouts: layers whose units reach a linear map each by itself, so removals just subtract.

If units pass only through operations that treat every unit alone (elementwise, pooling, reshaping)
before they meet in a linear map z = sum_u W_u p_u(a_u), then replacing the activations of unit u
changes z by exactly W_u (p_u(replaced) - p_u(a)). All removals cost one pass through the map, and
the small rest of the network for each. VGG's conv5_3 -> pool5 -> fc6 is such a place, and so is
every global average pool before a classifier.

`find_readout` reads the network's own steps (see `partial_eval`); nothing is assumed about its
layers.

Shapes: U units, *z whatever the linear map gives.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, PyTree

from jaxdissect.networks.jaxpr.partial_eval import Program, Slot, Step, run_step

_ELEMENTWISE = frozenset(
    "abs add and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf erf_inv erfc "
    "exp exp2 expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max min mul name ne "
    "neg nextafter not or pow reduce_precision rem round rsqrt select_n sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor".split()
)
_REDUCTIONS = frozenset("reduce_max reduce_min reduce_sum reduce_prod".split())
_WINDOWS = frozenset("reduce_window reduce_window_max reduce_window_min reduce_window_sum".split())


class _Layout(NamedTuple):
    """Where the units lie in an array: entry i of the axis belongs to unit i // stride % U."""

    axis: int
    stride: int


class Readout(NamedTuple):
    """A program whose argument, the activations of a layer, reaches a linear map unit by unit.

    Attributes:
        program: All of it.
        place: Which of its steps is the linear map.
        operand: Which of the two inputs of the map comes from the units.
        layout: Where the units lie in that input.
        num_units: U.
    """

    program: Program
    place: int
    operand: int
    layout: _Layout
    num_units: int

    def contributions(
        self, activations: Float[Array, "*a"], replaced: Float[Array, "*a"]
    ) -> tuple[Array, Array]:
        """Compute what the map gives, and how much of it goes when a unit is replaced.

        Args:
            activations: Activations of the layer, all units in place.
            replaced: What they are replaced by, such as zeros.

        Returns:
            z, and the change [U, *z] for every unit: without units R, the map gives
            z - sum of the changes of R.
        """
        step = self._map
        kept, gone = self._before(activations), self._before(replaced)
        inputs = list(step.inputs)
        inputs[self.operand] = kept
        (whole,) = run_step(step, inputs)
        inputs[self.operand] = kept - gone
        return whole, _by_unit(step, inputs, self.operand, self.layout, self.num_units)

    def finish(self, mapped: Array) -> PyTree:
        """Run what comes after the linear map."""
        program = self.program
        filled = program.run(program.steps[self.place + 1 :], {self._map.outputs[0]: mapped})
        return program.finish(filled)

    @property
    def _map(self) -> Step:
        return self.program.steps[self.place]

    def _before(self, activations: Array) -> Array:
        (argument,) = self.program.argument
        filled = self.program.run(self.program.steps[: self.place], {argument: activations})
        return filled[self._map.inputs[self.operand]]


def find_readout(program: Program) -> Readout | None:
    """Look for the linear map that reads the units.

    Args:
        program: What `split` leaves of a function of a layer's activations, [..., U].

    Returns:
        The readout; None if units mix in another way, or are used again after the map.
    """
    (argument,) = program.argument
    num_units = argument.shape[-1]
    layouts: dict[Slot, _Layout] = {argument: _Layout(len(argument.shape) - 1, 1)}
    for place, step in enumerate(program.steps):
        if step.primitive.name == "dot_general":
            operand = _mapped_operand(step, layouts)
            if operand is None or _used_after(program, place, layouts):
                return None
            return Readout(program, place, operand, layouts[step.inputs[operand]], num_units)
        layout = _followed(step, layouts, num_units)
        if layout is None:
            return None
        layouts |= dict.fromkeys(step.outputs, layout)
    return None


# --- where the units go ---------------------------------------------------------------------------


def _followed(step: Step, layouts: Mapping[Slot, _Layout], num_units: int) -> _Layout | None:
    """Find the units in what a step gives; None if it may mix them."""
    slots = [value for value in step.inputs if isinstance(value, Slot)]
    layout, before = layouts[slots[0]], slots[0].shape
    name, params, after = step.primitive.name, step.params, step.outputs[0].shape
    axis = layout.axis
    if name in _ELEMENTWISE:
        same = all(layouts[slot] == layout and slot.shape == after for slot in slots)
        return layout if same else None
    if len(slots) > 1 or step.inputs[0] is not slots[0]:
        return None
    if name in ("reshape", "squeeze"):
        return _reshaped(layout, before, after, num_units)
    if name == "transpose":
        return layout._replace(axis=params["permutation"].index(axis))
    if name == "broadcast_in_dim":
        return layout._replace(axis=params["broadcast_dimensions"][axis])
    if name in _REDUCTIONS and axis not in params["axes"]:
        return layout._replace(axis=axis - sum(other < axis for other in params["axes"]))
    alone = (
        (name in _WINDOWS and params["window_dimensions"][axis] == 1)
        or (name == "slice" and before[axis] == after[axis])
        or name == "pad"
    )
    return layout if alone and before[axis] == after[axis] else None


def _reshaped(
    layout: _Layout, before: tuple[int, ...], after: tuple[int, ...], num_units: int
) -> _Layout | None:
    """Find the axis that holds all units, if there is one, by how far apart units lie in memory."""
    step = layout.stride * math.prod(before[layout.axis + 1 :])
    for axis, size in enumerate(after):
        inner = math.prod(after[axis + 1 :])
        stride = step // inner
        if step % inner == 0 and stride and size % (stride * num_units) == 0:
            return _Layout(axis, stride)
    return None


def _mapped_operand(step: Step, layouts: Mapping[Slot, _Layout]) -> int | None:
    """Return which input of a product holds the units, if they are summed over."""
    operands = [i for i, value in enumerate(step.inputs) if isinstance(value, Slot)]
    contracting, batch = step.params["dimension_numbers"]
    if len(operands) != 1 or batch[0]:
        return None
    (operand,) = operands
    return operand if layouts[step.inputs[operand]].axis in contracting[operand] else None


def _used_after(program: Program, place: int, layouts: Mapping[Slot, _Layout]) -> bool:
    later = [value for step in program.steps[place + 1 :] for value in step.inputs]
    return any(isinstance(value, Slot) and value in layouts for value in (*later, *program.results))


# --- the map, unit by unit ------------------------------------------------------------------------


def _by_unit(
    step: Step, inputs: list[Any], operand: int, layout: _Layout, num_units: int
) -> Float[Array, "U *z"]:
    """Take the product for every unit by itself: the units become its batch axis."""
    contracting, _ = step.params["dimension_numbers"]
    place = contracting[operand].index(layout.axis)
    arrays, dimensions = [], []
    for array, axes in zip(inputs, contracting, strict=True):
        axis = axes[place]
        size = array.shape[axis]
        split = (size // (num_units * layout.stride), num_units, layout.stride)
        arrays.append(array.reshape(*array.shape[:axis], *split, *array.shape[axis + 1 :]))
        moved = [other + 2 * (other > axis) for other in axes]
        dimensions.append((axis + 1, (*moved, axis + 2)))
    (unit_left, left), (unit_right, right) = dimensions
    first, second = arrays
    return jax.lax.dot_general(
        first,
        second,
        ((left, right), ((unit_left,), (unit_right,))),
        precision=step.params["precision"],
        preferred_element_type=step.params["preferred_element_type"],
    )
