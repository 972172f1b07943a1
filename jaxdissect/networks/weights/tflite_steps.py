"""The steps of a network in a TensorFlow Lite file: its operators, without detours.

Converters write one convolution as several operators: weights that are turned from integers to
floats; batches that are interleaved and put together again, where kernels are dilated; and
normalisations as products and sums. Here each is one step again, with the weights that do it all.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.networks.weights.stored import Refused
from jaxdissect.networks.weights.tflite_file import TfliteGraph, TfliteOperator

SAME, VALID = 0, 1

_ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}
_CONVOLUTIONS = {"CONV_2D": (1, 2, 3, 0), "DEPTHWISE_CONV_2D": (1, 2, 0, 3)}
"""Axes of their kernels as in `Conv2D`."""


class Step(NamedTuple):
    """What a network does at once.

    Attributes:
        kind: Kind of its operator, such as "CONV_2D".
        inputs: Places of the tensors that it reads, constants left out.
        output: Place of the tensor that it makes.
        activation: What follows: "none", "relu" or "relu6".
        options: Further options of the operator.
        kernel: Of convolutions: [kh, kw, I / groups, O] float32.
        bias: Of convolutions: [O] float32.
        stride: Of convolutions, down and across alike.
        dilation: Of convolutions, down and across alike.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    activation: str
    options: Mapping[str, Any]
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    dilation: int = 1


class _Spaced(NamedTuple):
    """A tensor whose batch is interleaved, so that what a kernel skips is in other examples."""

    source: int
    dilation: int
    padding: np.ndarray


def steps_of(graph: TfliteGraph) -> list[Step]:
    """Find the steps of a graph, in the order of execution.

    Returns:
        Steps, of which convolutions keep the size that their stride leaves ("SAME" padding).

    Raises:
        Refused: If an operator does what a step cannot say, such as convolutions that pad
            otherwise, have other strides across than down, or other activations.
    """
    walk = _Walk(graph)
    for number, operator in enumerate(graph.operators):
        try:
            walk.add(operator)
        except _Unknown as problem:
            raise Refused(
                f"cannot be read: operator {number}, {operator.kind}, {problem}"
            ) from None
    if walk.spaced or walk.inside:
        raise Refused("cannot be read: it interleaves batches, and not for a convolution")
    return walk.steps


class _Unknown(Exception):
    """An operator does what a step cannot say."""


class _Walk:
    """The steps so far, and what belongs to the next ones."""

    def __init__(self, graph: TfliteGraph):
        self.steps: list[Step] = []
        self.constants = {
            place: tensor.constant
            for place, tensor in enumerate(graph.tensors)
            if tensor.constant is not None
        }
        self.spaced: dict[int, _Spaced] = {}
        self.inside: dict[int, _Spaced] = {}
        self._uses = Counter(place for op in graph.operators for place in op.inputs)
        self._uses.update(graph.outputs)

    def add(self, operator: TfliteOperator) -> None:
        """Take the next operator in."""
        if len(operator.outputs) != 1 or not operator.inputs:
            raise _Unknown("has other inputs or outputs than those known here")
        places, output = operator.inputs, operator.outputs[0]
        first = places[0]
        read = tuple(place for place in places if place >= 0 and place not in self.constants)
        match operator.kind:
            case "DEQUANTIZE" if first in self.constants:
                self._check_own(first)
                self.constants[output] = self.constants[first].astype(np.float32, copy=False)
            case "SPACE_TO_BATCH_ND" if len(places) == 3:
                self.spaced[output] = _Spaced(first, self._one(places[1]), self._table(places[2]))
            case "BATCH_TO_SPACE_ND" if len(places) == 3 and first in self.inside:
                self._join(first, self._one(places[1]), self._table(places[2]), output)
            case "CONV_2D" | "DEPTHWISE_CONV_2D" if len(places) in (2, 3) and len(read) == 1:
                self._convolve(operator, output)
            case "MUL" | "ADD" if len(read) == 1 and len(places) == 2:
                (constant,) = (place for place in places if place in self.constants)
                self._fold(operator, read[0], self.constants[constant], output)
            case "DEQUANTIZE" | "SPACE_TO_BATCH_ND" | "BATCH_TO_SPACE_ND" | "MUL":
                raise _Unknown("stands where it is not known")
            case kind:
                activation = self._activation(operator)
                self.steps.append(Step(kind, read, output, activation, operator.options))

    def _convolve(self, operator: TfliteOperator, output: int) -> None:
        source, *weights = operator.inputs
        kernel = self.constants.get(weights[0])
        bias = self.constants.get(weights[1]) if len(weights) == 2 and weights[1] >= 0 else None
        if kernel is None or kernel.ndim != 4:
            raise _Unknown("has no kernel of four axes")
        self._check_own(weights[0])
        kernel = kernel.astype(np.float32, copy=False).transpose(_CONVOLUTIONS[operator.kind])
        if bias is None:
            bias = np.zeros(kernel.shape[3], np.float32)
        options = operator.options
        if not options:
            raise _Unknown("has no options")
        stride, dilation = options["StrideH"], options["DilationHFactor"]
        if (options["StrideW"], options["DilationWFactor"]) != (stride, dilation):
            raise _Unknown("strides or dilates otherwise across than down")
        if options.get("DepthMultiplier", 1) != 1:
            raise _Unknown("makes several channels of one")
        activation = self._activation(operator)
        spaced = self.spaced.pop(source, None)
        # A kernel of one cell pads nothing.
        if spaced is None and options["Padding"] != SAME and kernel.shape[:2] != (1, 1):
            raise _Unknown("pads otherwise than to keep the size")
        if spaced is not None:
            if (options["Padding"], stride, dilation) != (VALID, 1, 1):
                raise _Unknown("reads an interleaved batch otherwise than dilated kernels do")
            source, dilation = spaced.source, spaced.dilation
            self.inside[output] = spaced
        self.steps.append(
            Step(
                operator.kind,
                (source,),
                output,
                activation,
                options,
                kernel,
                bias.astype(np.float32),
                stride,
                dilation,
            )
        )

    def _check_own(self, place: int) -> None:
        """Refuse weights of several operators, of which a small file could make any number."""
        if self._uses[place] > 1:
            raise _Unknown("shares its weights with another operator")

    def _join(self, place: int, dilation: int, crops: np.ndarray, output: int) -> None:
        """Put a batch together that was interleaved for the last step."""
        spaced, step = self.inside.pop(place), self.steps[-1]
        assert step.kernel is not None
        zeros = [[side // 2 * spaced.dilation] * 2 for side in step.kernel.shape[:2]]
        if step.output != place or dilation != spaced.dilation:
            raise _Unknown("joins other batches than those that were interleaved")
        if not np.array_equal(spaced.padding - crops, zeros):
            raise _Unknown("leaves another size than there was")
        self.steps[-1] = step._replace(output=output)

    def _fold(
        self, operator: TfliteOperator, place: int, constant: np.ndarray, output: int
    ) -> None:
        """Let the last convolution do what a product or a sum does with a constant."""
        step = self.steps[-1] if self.steps else None
        if step is None or step.output != place or step.kernel is None or step.bias is None:
            raise _Unknown("has a constant, and follows no convolution")
        if step.activation != "none" or self._uses[place] != 1:
            raise _Unknown("has a constant, and the convolution before is also used without it")
        if constant.size not in (1, step.bias.size) or constant.shape[-1:] not in (
            (),
            (1,),
            step.bias.shape,
        ):
            raise _Unknown(f"has a constant {list(constant.shape)}")
        values = np.broadcast_to(constant.astype(np.float32).reshape(-1), step.bias.shape)
        kernel, bias = step.kernel, step.bias
        if operator.kind == "MUL":
            kernel, bias = kernel * values, bias * values
        else:
            bias = bias + values
        activation = self._activation(operator)
        self.steps[-1] = step._replace(
            kernel=kernel, bias=bias, activation=activation, output=output
        )

    def _activation(self, operator: TfliteOperator) -> str:
        number = operator.options.get("FusedActivationFunction", 0)
        if number not in _ACTIVATIONS:
            raise _Unknown("is followed by an activation that is not known here")
        return _ACTIVATIONS[number]

    def _table(self, place: int) -> np.ndarray:
        """Zeros or crops [2, 2] around two axes."""
        table = self.constants.get(place)
        if table is None or table.shape != (2, 2):
            raise _Unknown("pads or crops other axes than two")
        return table

    def _one(self, place: int) -> int:
        """Steps of an interleaved batch, down and across alike."""
        block = self.constants.get(place)
        if block is None or block.shape != (2,) or block[0] != block[1] or block[0] < 1:
            raise _Unknown("interleaves otherwise across than down")
        return int(block[0])
