"""TensorFlow Lite files for tests, as converters write them."""

import flatbuffers
import numpy as np
import tflite

from jaxdissect.networks.models.deeplab import FINE, block_name

TYPES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.float16): tflite.TensorType.FLOAT16,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int32): tflite.TensorType.INT32,
}
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 3, "tanh": 4}


class TfliteWriter:
    """Collects tensors and operators, and makes a file of them."""

    def __init__(self):
        self._tensors, self._operators = [], []

    def tensor(self, shape, *, array=None, scales=(), zeros=(), axis=0):
        """Add a tensor; with an array, a constant. Return its place."""
        self._tensors.append((tuple(shape), array, tuple(scales), tuple(zeros), axis))
        return len(self._tensors) - 1

    def constant(self, array, **quantisation):
        array = np.asarray(array)
        return self.tensor(array.shape, array=array, **quantisation)

    def operator(self, kind, inputs, shape, options="", **fields):
        """Add an operator, whose options are fields of a table; return the place of its output."""
        output = self.tensor(shape)
        self._operators.append((kind, tuple(inputs), output, options, fields))
        return output

    def content(self, inputs, outputs, *, graphs=1):
        """Bytes of the file."""
        build = flatbuffers.Builder(0)
        arrays = [None, *(array for _, array, *_ in self._tensors)]
        buffers = [self._buffer(build, array) for array in arrays]
        kinds = sorted({kind for kind, *_ in self._operators})
        codes = [_code(build, kind) for kind in kinds]
        tensors = [self._tensor(build, i, *tensor) for i, tensor in enumerate(self._tensors)]
        operators = [self._operator(build, kinds, *op) for op in self._operators]
        tensors = offsets(build, tflite.SubGraphStartTensorsVector, tensors)
        operators = offsets(build, tflite.SubGraphStartOperatorsVector, operators)
        ends = [build.CreateNumpyVector(np.array(end, np.int32)) for end in (inputs, outputs)]
        tflite.SubGraphStart(build)
        tflite.SubGraphAddTensors(build, tensors)
        tflite.SubGraphAddInputs(build, ends[0])
        tflite.SubGraphAddOutputs(build, ends[1])
        tflite.SubGraphAddOperators(build, operators)
        graph = tflite.SubGraphEnd(build)
        graphs = offsets(build, tflite.ModelStartSubgraphsVector, [graph] * graphs)
        codes = offsets(build, tflite.ModelStartOperatorCodesVector, codes)
        buffers = offsets(build, tflite.ModelStartBuffersVector, buffers)
        tflite.ModelStart(build)
        tflite.ModelAddVersion(build, 3)
        tflite.ModelAddOperatorCodes(build, codes)
        tflite.ModelAddSubgraphs(build, graphs)
        tflite.ModelAddBuffers(build, buffers)
        build.Finish(tflite.ModelEnd(build), b"TFL3")
        return bytes(build.Output())

    def _buffer(self, build, array):
        data = None if array is None else build.CreateNumpyVector(_bytes(array))
        tflite.BufferStart(build)
        if data is not None:
            tflite.BufferAddData(build, data)
        return tflite.BufferEnd(build)

    def _tensor(self, build, place, shape, array, scales, zeros, axis):
        name = build.CreateString(f"tensor_{place}")
        sizes = build.CreateNumpyVector(np.array(shape, np.int32))
        quantisation = None
        if scales:
            scale = build.CreateNumpyVector(np.array(scales, np.float32))
            zero = build.CreateNumpyVector(np.array(zeros, np.int64)) if zeros else None
            tflite.QuantizationParametersStart(build)
            tflite.QuantizationParametersAddScale(build, scale)
            if zero is not None:
                tflite.QuantizationParametersAddZeroPoint(build, zero)
            tflite.QuantizationParametersAddQuantizedDimension(build, axis)
            quantisation = tflite.QuantizationParametersEnd(build)
        tflite.TensorStart(build)
        tflite.TensorAddShape(build, sizes)
        if array is not None:
            tflite.TensorAddType(build, TYPES[array.dtype])
            tflite.TensorAddBuffer(build, place + 1)
        tflite.TensorAddName(build, name)
        if quantisation is not None:
            tflite.TensorAddQuantization(build, quantisation)
        return tflite.TensorEnd(build)

    def _operator(self, build, kinds, kind, inputs, output, options, fields):
        table = None
        if options:
            getattr(tflite, f"{options}Start")(build)
            for field, value in fields.items():
                getattr(tflite, f"{options}Add{field}")(build, value)
            table = getattr(tflite, f"{options}End")(build)
        read = build.CreateNumpyVector(np.array(inputs, np.int32))
        made = build.CreateNumpyVector(np.array([output], np.int32))
        tflite.OperatorStart(build)
        tflite.OperatorAddOpcodeIndex(build, kinds.index(kind))
        tflite.OperatorAddInputs(build, read)
        tflite.OperatorAddOutputs(build, made)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(build, getattr(tflite.BuiltinOptions, options))
            tflite.OperatorAddBuiltinOptions(build, table)
        return tflite.OperatorEnd(build)


def _bytes(array):
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _code(build, kind):
    number = getattr(tflite.BuiltinOperator, kind)
    tflite.OperatorCodeStart(build)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(build, number)
    tflite.OperatorCodeAddBuiltinCode(build, number)
    return tflite.OperatorCodeEnd(build)


def offsets(build, start, entries):
    start(build, len(entries))
    for entry in reversed(entries):
        build.PrependUOffsetTRelative(entry)
    return build.EndVector()


def repeated_file(shared, *, size, times):
    """A file of one tensor and one operator that stand in it many times, sharing what is large.

    Args:
        shared: What is large: "array", "name", "shape" or "inputs" (of the operator).
        size: Its entries.
        times: How often each stands there.
    """
    build = flatbuffers.Builder(0)
    large = {shared: size}
    data = build.CreateNumpyVector(np.ones(large.get("array", 1), np.uint8))
    tflite.BufferStart(build)
    tflite.BufferAddData(build, data)
    buffer = tflite.BufferEnd(build)
    name = build.CreateString("a" * large.get("name", 1))
    count = large.get("array", 1)
    sizes = [count, *[1] * (large.get("shape", 1) - 1)]
    sizes = build.CreateNumpyVector(np.array(sizes, np.int32))
    scales = build.CreateNumpyVector(np.array([0.5], np.float32))
    tflite.QuantizationParametersStart(build)
    tflite.QuantizationParametersAddScale(build, scales)
    quantisation = tflite.QuantizationParametersEnd(build)
    tflite.TensorStart(build)
    tflite.TensorAddShape(build, sizes)
    tflite.TensorAddType(build, tflite.TensorType.INT8)
    tflite.TensorAddBuffer(build, 0)
    tflite.TensorAddName(build, name)
    tflite.TensorAddQuantization(build, quantisation)
    tensor = tflite.TensorEnd(build)
    inputs = build.CreateNumpyVector(np.zeros(large.get("inputs", 1), np.int32))
    outputs = build.CreateNumpyVector(np.zeros(1, np.int32))
    code = _code(build, "ADD")
    tflite.OperatorStart(build)
    tflite.OperatorAddInputs(build, inputs)
    tflite.OperatorAddOutputs(build, outputs)
    operator = tflite.OperatorEnd(build)
    tensors = offsets(build, tflite.SubGraphStartTensorsVector, [tensor] * times)
    operators = offsets(build, tflite.SubGraphStartOperatorsVector, [operator] * times)
    tflite.SubGraphStart(build)
    tflite.SubGraphAddTensors(build, tensors)
    tflite.SubGraphAddInputs(build, outputs)
    tflite.SubGraphAddOutputs(build, outputs)
    tflite.SubGraphAddOperators(build, operators)
    graphs = offsets(build, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(build)])
    codes = offsets(build, tflite.ModelStartOperatorCodesVector, [code])
    buffers = offsets(build, tflite.ModelStartBuffersVector, [buffer])
    tflite.ModelStart(build)
    tflite.ModelAddVersion(build, 3)
    tflite.ModelAddOperatorCodes(build, codes)
    tflite.ModelAddSubgraphs(build, graphs)
    tflite.ModelAddBuffers(build, buffers)
    build.Finish(tflite.ModelEnd(build), b"TFL3")
    return bytes(build.Output())


# --- a DeepLab ------------------------------------------------------------------------------------


class DeepLabFile:
    """Writes a DeepLab as the converter of the published one did.

    Dilated kernels read interleaved batches, and what follows them is written as a product and a
    sum; kernels are stored as int8, those of depthwise convolutions with an operator that turns
    them into floats.

    Args:
        parameters: Arrays of the network by their names.
        blocks: Sizes of its blocks.
        image: Height and width of its images, one more than a multiple of 8.
        align_corners: Whether it resizes so.
        last: Kind of an operator at the end, if any.
    """

    def __init__(self, parameters, blocks, *, image=33, align_corners=True, last=None):
        self.parameters, self.writer = parameters, TfliteWriter()
        self.align_corners = align_corners
        self.begin = self.writer.tensor((1, image, image, 3))
        size, fine, fine_size = (image + 1) // 2, 0, 0
        place = self.convolution("MobilenetV2.Conv", self.begin, size, "relu6", stride=2)
        for number, block in enumerate(blocks):
            name, first = f"MobilenetV2.{block_name(number)}", place
            if f"{name}.expand.kernel" in parameters:
                place = self.convolution(f"{name}.expand", place, size, "relu6")
            size = (size + block.stride - 1) // block.stride
            write = self.depthwise if block.dilation == 1 else self.dilated
            place = write(f"{name}.depthwise", place, size, "relu6", block)
            if number == FINE:
                fine, fine_size = place, size
            place = self.convolution(f"{name}.project", place, size, "none")
            units = parameters[f"{name}.project.kernel"].shape[3]
            if block.stride == 1 and units == self.channels(first):
                place = self.add(place, first, size, units)
        shape = (1, 1, 1, self.channels(place))
        pooled = self.writer.operator(
            "AVERAGE_POOL_2D",
            [place],
            shape,
            "Pool2DOptions",
            Padding=1,
            StrideH=1,
            StrideW=1,
            FilterHeight=size,
            FilterWidth=size,
        )
        pooled = self.convolution("image_pooling", pooled, 1, "relu")
        pooled = self.resized(pooled, size)
        here = self.convolution("aspp0", place, size, "relu")
        place = self.joined(pooled, here, size)
        place = self.convolution("concat_projection", place, size, "relu")
        place = self.resized(place, fine_size)
        fine = self.convolution("decoder.feature_projection0", fine, fine_size, "relu")
        fine = self.resized(fine, fine_size)
        place = self.joined(place, fine, fine_size)
        for number in range(2):
            name = f"decoder.decoder_conv{number}"
            place = self.depthwise(f"{name}_depthwise", place, fine_size, "relu")
            place = self.convolution(f"{name}_pointwise", place, fine_size, "relu")
        place = self.convolution("logits.semantic", place, fine_size, "none")
        self.end = self.resized(place, image)
        if last:
            self.end = self.writer.operator(last, [self.end], (1, image, image, 1))

    def content(self, **options):
        """Bytes of the file."""
        return self.writer.content([self.begin], [self.end], **options)

    def channels(self, place):
        return self.writer._tensors[place][0][3]

    def convolution(self, name, place, size, activation, *, stride=1):
        kernel, bias = (self.parameters[f"{name}.{key}"] for key in ("kernel", "bias"))
        stored = kernel.transpose(3, 0, 1, 2)
        constants = [self.quantised(stored), self.writer.constant(bias)]
        return self.writer.operator(
            "CONV_2D",
            [place, *constants],
            (1, size, size, kernel.shape[3]),
            "Conv2DOptions",
            Padding=0,
            StrideH=stride,
            StrideW=stride,
            DilationHFactor=1,
            DilationWFactor=1,
            FusedActivationFunction=ACTIVATIONS[activation],
        )

    def depthwise(self, name, place, size, activation, block=None):
        kernel, bias = (self.parameters[f"{name}.{key}"] for key in ("kernel", "bias"))
        return self.filtered(place, kernel, bias, size, activation, block.stride if block else 1)

    def filtered(self, place, kernel, bias, size, activation, stride=1, padding=0, batch=1):
        stored = self.quantised(kernel.transpose(2, 0, 1, 3), axis=3)
        floats = self.writer.operator("DEQUANTIZE", [stored], (1, *kernel.shape[:2], len(bias)))
        return self.writer.operator(
            "DEPTHWISE_CONV_2D",
            [place, floats, self.writer.constant(bias)],
            (batch, size, size, len(bias)),
            "DepthwiseConv2DOptions",
            Padding=padding,
            StrideH=stride,
            StrideW=stride,
            DilationHFactor=1,
            DilationWFactor=1,
            DepthMultiplier=1,
            FusedActivationFunction=ACTIVATIONS[activation],
        )

    def dilated(self, name, place, size, activation, block):
        """Interleave the batch, convolve, put it together, multiply and add."""
        kernel, bias = (self.parameters[f"{name}.{key}"] for key in ("kernel", "bias"))
        dilation, units = block.dilation, len(bias)
        beyond = -size % dilation
        small = (size + 2 * dilation + beyond) // dilation
        block_shape = self.writer.constant(np.array([dilation] * 2, np.int32))
        padding = self.writer.constant(np.array([[dilation, dilation + beyond]] * 2, np.int32))
        crops = self.writer.constant(np.array([[0, beyond]] * 2, np.int32))
        shape = (dilation**2, small, small, units)
        place = self.writer.operator("SPACE_TO_BATCH_ND", [place, block_shape, padding], shape)
        scale = (1 + np.arange(units) / units).astype(np.float32)
        zero = np.zeros(units, np.float32)
        place = self.filtered(
            place, kernel / scale, zero, small - 2, "none", padding=1, batch=dilation**2
        )
        whole = (1, size, size, units)
        place = self.writer.operator("BATCH_TO_SPACE_ND", [place, block_shape, crops], whole)
        scale = self.writer.constant(scale)
        place = self.writer.operator("MUL", [place, scale], whole, "MulOptions")
        shift = self.writer.constant(bias)
        return self.writer.operator(
            "ADD",
            [place, shift],
            whole,
            "AddOptions",
            FusedActivationFunction=ACTIVATIONS[activation],
        )

    def add(self, place, other, size, units):
        return self.writer.operator("ADD", [place, other], (1, size, size, units), "AddOptions")

    def joined(self, first, second, size):
        shape = (1, size, size, self.channels(first) + self.channels(second))
        return self.writer.operator(
            "CONCATENATION", [first, second], shape, "ConcatenationOptions", Axis=3
        )

    def resized(self, place, size):
        sides = self.writer.constant(np.array([size, size], np.int32))
        return self.writer.operator(
            "RESIZE_BILINEAR",
            [place, sides],
            (1, size, size, self.channels(place)),
            "ResizeBilinearOptions",
            AlignCorners=self.align_corners,
        )

    def quantised(self, array, *, axis=0):
        """Store as int8, with a scale for every channel."""
        others = tuple(i for i in range(array.ndim) if i != axis)
        scales = np.abs(array).max(others) / 127
        stored = np.round(array / np.abs(array).max(others, keepdims=True) * 127).astype(np.int8)
        return self.writer.constant(stored, scales=scales, zeros=[0] * len(scales), axis=axis)
