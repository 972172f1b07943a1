"""Read TensorFlow Lite files: the operators of a network and its weights, as data.

Nothing of the file is executed. The package `tflite` knows the schema; it is needed only here.

Weights that were quantised become floats again, ``(stored - zero point) * scale``, with a scale for
the whole tensor or for each of its channels (Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", CVPR 2018, equation 1).
"""

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.arrays.names import printable
from jaxdissect.networks.weights.files import FilePath, most_bytes
from jaxdissect.networks.weights.stored import Refused, Shape, brief, open_regular

SUFFIX = ".tflite"

_IDENTIFIER = b"TFL3"
_NAMED = "is truncated or no TensorFlow Lite file"

# Of the options of an operator, what decides its result. Padding 0 is SAME, 1 is VALID.
_CONVOLUTION = ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor")
_OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", (*_CONVOLUTION, "FusedActivationFunction")),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        (*_CONVOLUTION, "DepthMultiplier", "FusedActivationFunction"),
    ),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "AVERAGE_POOL_2D": (
        "Pool2DOptions",
        ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction"),
    ),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
}
_DTYPES = {
    "FLOAT32": np.dtype(np.float32),
    "FLOAT16": np.dtype(np.float16),
    "FLOAT64": np.dtype(np.float64),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
}


class TfliteTensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        name: As in the file.
        shape: Its shape.
        constant: Its numbers, those that were quantised as float32; None for what is computed.
    """

    name: str
    shape: Shape
    constant: np.ndarray | None


class TfliteOperator(NamedTuple):
    """An operator of a graph.

    Attributes:
        kind: As in the schema, such as "CONV_2D".
        inputs, outputs: Places of its tensors; -1 for an input that is left out.
        options: Those that decide its result, for the kinds that are known here.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


class TfliteGraph(NamedTuple):
    """A network: tensors, the operators between them in the order of execution, and its ends."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(path: FilePath) -> TfliteGraph:
    """Read a TensorFlow Lite file of one graph.

    Raises:
        ValueError: If the package `tflite` is missing (says how to install it), or the file is
            truncated, damaged, of another format, or holds what is not read here: several graphs,
            sparse tensors, constants of other dtypes or outside the file. The message names the
            file. Nothing of it is ever executed.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    shown = printable(str(path))
    schema = _schema(shown)
    with open_regular(path) as file:
        content = file.read()
    if content[4:8] != _IDENTIFIER:
        raise ValueError(f"{shown} {_NAMED}: it does not begin as one")
    try:
        return _read(schema, content)
    except Refused as problem:
        raise ValueError(f"{shown} {problem}") from None
    # Whatever broken places in the file lead to; the reader of the format does not check them.
    except (struct.error, ValueError, TypeError, IndexError, KeyError, OverflowError) as problem:
        raise ValueError(
            f"{shown} {_NAMED} ({type(problem).__name__}: {brief(str(problem), most=200)})"
        ) from problem


def _schema(shown: str) -> Any:
    """Import the package that knows the schema."""
    try:
        import tflite
    except ImportError:
        raise ValueError(
            f"{shown} can only be read with the package tflite: pip install 'jaxdissect[tflite]'"
        ) from None
    return tflite


def _read(schema: Any, content: bytes) -> TfliteGraph:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise Refused(f"holds {model.SubgraphsLength()} graphs, and must hold one")
    graph = model.Subgraphs(0)
    _check_memory(schema, model, graph, most_bytes(len(content)))
    kinds = [_kind(schema, model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    tensors = tuple(
        _tensor(schema, model, graph.Tensors(i), i) for i in range(graph.TensorsLength())
    )
    operators = tuple(
        _operator(schema, kinds, graph.Operators(i)) for i in range(graph.OperatorsLength())
    )
    ends = tuple(_places(vector) for vector in (graph.InputsAsNumpy(), graph.OutputsAsNumpy()))
    for places in (*ends, *(places for op in operators for places in (op.inputs, op.outputs))):
        if not all(-1 <= place < len(tensors) for place in places):
            raise Refused("is damaged: an operator names a tensor that there is none of")
    return TfliteGraph(tensors, operators, *ends)


def _check_memory(schema: Any, model: Any, graph: Any, most: int) -> None:
    """Refuse a graph that would take far more memory than its file, before any of it is made.

    Entries of a flatbuffer may share what they hold, so that a small file may repeat an array, a
    name or a list of places any number of times.
    """
    taken = 0
    for size in _sizes(schema, model, graph):
        taken += size
        if taken > most:
            raise Refused(
                f"refused, because its {graph.TensorsLength()} tensors take more than "
                f"{most >> 20} MiB, which is what a file of its size may hold: they repeat each "
                "other"
            )


def _sizes(schema: Any, model: Any, graph: Any) -> Iterator[int]:
    """Bytes of memory of every tensor and operator."""
    place = 48  # of an integer in a tuple
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        yield len(tensor.Name() or b"") + place * tensor.ShapeLength()
        dtype = _DTYPES.get(_name(schema.TensorType, tensor.Type()))
        if dtype is not None and tensor.Buffer() < model.BuffersLength():
            # What is stored in fewer bytes may become float32.
            yield model.Buffers(tensor.Buffer()).DataLength() * max(1, 4 // dtype.itemsize)
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        yield place * (operator.InputsLength() + operator.OutputsLength())


def _places(vector: Any) -> tuple[int, ...]:
    """A vector of integers, which the reader gives as 0 where it is left out."""
    return () if isinstance(vector, int) else tuple(int(place) for place in vector)


def _kind(schema: Any, code: Any) -> str:
    """Name of an operator's kind; newer files have more kinds than fit in the older field."""
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return _name(schema.BuiltinOperator, number)


def _name(enumeration: Any, number: int) -> str:
    """Name of a value of an enumeration of the schema, or its number."""
    names = {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
    return names.get(number, str(number))


def _operator(schema: Any, kinds: list[str], operator: Any) -> TfliteOperator:
    index = operator.OpcodeIndex()
    if index >= len(kinds):
        raise Refused("is damaged: an operator has no kind")
    kind = kinds[index]
    options: dict[str, Any] = {}
    if kind in _OPTIONS:
        name, fields = _OPTIONS[kind]
        if _name(schema.BuiltinOptions, operator.BuiltinOptionsType()) == name:
            table, read = operator.BuiltinOptions(), getattr(schema, name)()
            read.Init(table.Bytes, table.Pos)
            options = {field: getattr(read, field)() for field in fields}
    return TfliteOperator(
        kind, _places(operator.InputsAsNumpy()), _places(operator.OutputsAsNumpy()), options
    )


def _tensor(schema: Any, model: Any, tensor: Any, place: int) -> TfliteTensor:
    name = (tensor.Name() or b"").decode() or f"tensor {place}"
    shape = _places(tensor.ShapeAsNumpy())
    if tensor.Buffer() >= model.BuffersLength():
        raise Refused(f"is damaged: {brief(name)} has no buffer")
    buffer = model.Buffers(tensor.Buffer())
    if buffer.Offset() > 1 or buffer.Size() > 1:
        raise Refused(f"keeps the numbers of {brief(name)} outside of its flatbuffer")
    if buffer.DataLength() == 0:
        return TfliteTensor(name, shape, None)
    kind = _name(schema.TensorType, tensor.Type())
    if kind not in _DTYPES:
        return TfliteTensor(name, shape, None)  # a text, say: nothing to compute with
    if tensor.Sparsity() is not None:
        raise Refused(f"stores {brief(name)} sparsely, which is not read here")
    dtype, data = _DTYPES[kind], buffer.DataAsNumpy()
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != data.nbytes:
        raise Refused(
            f"is damaged: {brief(name)} of shape {brief(shape)} and type {kind} has "
            f"{data.nbytes} bytes"
        )
    stored = data.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)
    return TfliteTensor(name, shape, _dequantised(stored, tensor.Quantization(), name))


def _dequantised(stored: np.ndarray, quantisation: Any, name: str) -> np.ndarray:
    """Numbers as they were before they were quantised; those that never were stay as they are."""
    if quantisation is None or not np.issubdtype(stored.dtype, np.integer):
        return stored
    count = quantisation.ScaleLength()
    if count == 0:
        return stored
    scale = quantisation.ScaleAsNumpy().astype(np.float32)
    zero = np.zeros(count, np.float32)
    if quantisation.ZeroPointLength():
        zero = quantisation.ZeroPointAsNumpy().astype(np.float32)
    axis, shape = quantisation.QuantizedDimension(), [1] * stored.ndim
    if count > 1:
        if not 0 <= axis < stored.ndim or stored.shape[axis] != count:
            raise Refused(f"is damaged: {brief(name)} {brief(stored.shape)} has {count} scales")
        shape[axis] = count
    if len(zero) not in (1, count) or not np.isfinite(scale).all():
        raise Refused(f"is damaged: the scales of {brief(name)} make no sense")
    if len(zero) == 1:
        zero = np.repeat(zero, count)
    return (stored.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
