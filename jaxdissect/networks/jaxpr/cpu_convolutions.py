"""Make a function quick to run in a loop inside a compiled program, such as a gradient step.

XLA on CPU brings convolutions into the one form that its fast kernels take only outside of loops.
The gradient of a convolution is born in another form, and within a loop it takes a kernel that is
some four times as slow (jax 0.10.2: 45 ms instead of 10 for one image and the classifier of the
scenes, on a busy machine). Here convolutions are written in that form from the start.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from jaxdissect.networks.jaxpr.partial_eval import Program, Step, split


def loop_body(function: Callable[[Any], Any], example: PyTree) -> Program:
    """Run what does not depend on the argument, and return the rest with quick convolutions.

    Args:
        function: Function of one pytree of arrays; it may close over others, also traced ones.
        example: An argument, of which only shapes and types count.

    Returns:
        A function of the argument, with the same results but for rounding. Convolutions within
        loops or branches of its own are left as they are.
    """
    program = split(function, example)
    return replace(program, steps=tuple(map(_with_standard_axes, program.steps)))


class _Convolution:
    """Stands in for the primitive: binds it with axes in standard order."""

    multiple_results = False

    def __init__(self, primitive: Any) -> None:
        self._primitive = primitive

    def get_bind_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return params

    def bind(self, inputs: Array, kernel: Array, **params: Any) -> Array:
        given = params["dimension_numbers"]
        last = inputs.ndim - 1
        places = tuple(range(1, last))
        # Batch, places, channels; and places, channels in, channels out.
        standard = lax.ConvDimensionNumbers(
            (0, last, *places), (last, last - 1, *range(last - 1)), (0, last, *places)
        )

        def plain(inputs: Array, kernel: Array) -> Array:
            return self._primitive.bind(inputs, kernel, **params)

        def reordered(inputs: Array, kernel: Array) -> Array:
            batch, channels, *cells = given.lhs_spec
            out, into, *window = given.rhs_spec
            found = self._primitive.bind(
                inputs.transpose(batch, *cells, channels),
                kernel.transpose(*window, into, out),
                **{**params, "dimension_numbers": standard},
            )
            batch, channels, *cells = given.out_spec
            return found.transpose(np.argsort((batch, *cells, channels)))

        if given == standard:
            return plain(inputs, kernel)
        return lax.platform_dependent(inputs, kernel, cpu=reordered, default=plain)


def _with_standard_axes(step: Step) -> Step:
    if step.primitive is not lax.conv_general_dilated_p:
        return step
    standing_in: Any = _Convolution(step.primitive)
    return step._replace(primitive=standing_in)
