"""Read a DeepLab with MobileNetV2 from the TensorFlow Lite file that it was published as.

Its constants have no names that tell what they are for. So the steps of the network are followed
from its input to its scores: each must be what the next step of a DeepLab is, and reads what the
steps before have made. Strides, dilations and numbers of units are those of the file.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.arrays.names import printable
from jaxdissect.networks.models.deeplab import FINE, DeepLab, block_name
from jaxdissect.networks.models.inverted_residual import Inverted, adds_input
from jaxdissect.networks.weights.files import FilePath
from jaxdissect.networks.weights.mapping import with_parameters
from jaxdissect.networks.weights.stored import Refused, Shape
from jaxdissect.networks.weights.tflite_file import TfliteGraph, read_tflite
from jaxdissect.networks.weights.tflite_steps import Step, steps_of


def load_deeplab_tflite(path: FilePath, *, dtype: Any = jnp.float32) -> DeepLab:
    """Build a DeepLab with the weights of a TensorFlow Lite file.

    Its strides and dilations are not in its parameters: where these are saved, `load_network`
    builds the network with the published ones.

    Args:
        path: The file.
        dtype: Floating dtype of the parameters, and of what the network computes.

    Raises:
        ValueError: If the package `tflite` is missing, or the file is damaged or holds another
            network; the message names the first step that differs.
        OSError: If the file cannot be opened.
    """
    source = f"{printable(str(path))}, read as a DeepLab with MobileNetV2,"
    graph = read_tflite(path)
    try:
        sizes, arrays = _followed(graph)
    except Refused as problem:
        raise ValueError(f"{source} {problem}") from None
    return with_parameters(lambda: sizes(nnx.Rngs(0)), arrays, source=source, dtype=dtype)


def _followed(graph: TfliteGraph) -> tuple[Callable[[nnx.Rngs], DeepLab], dict[str, np.ndarray]]:
    """What builds the network of a graph, and its arrays by name."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise Refused("has another number of inputs or outputs than one")
    path = _Path(graph)
    place = path.convolution("MobilenetV2.Conv", graph.inputs[0], "relu6", size=3, stride=2)
    stem = path.units("MobilenetV2.Conv")
    blocks, inputs, fine = [], stem, None
    while path.kind() in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        block, place, wide = _block(path, len(blocks), place, inputs)
        fine = wide if len(blocks) == FINE else fine
        blocks.append(block)
        inputs = block.units
    if fine is None:
        raise Refused(f"has {len(blocks)} blocks, and must have {FINE + 1} or more")
    whole = path.take("AVERAGE_POOL_2D", place)
    filtered = (whole.options.get("FilterHeight"), whole.options.get("FilterWidth"))
    if filtered != path.size(place):
        raise Refused(f"pools windows of {filtered} cells, and must pool all {path.size(place)}")
    pooled = path.convolution("image_pooling", whole.output, "relu")
    pooled = path.resized(pooled, path.size(place))
    here = path.convolution("aspp0", place, "relu")
    both = path.take("CONCATENATION", pooled, here).output
    coarse = path.convolution("concat_projection", both, "relu")
    coarse = path.resized(coarse, path.size(fine))
    projected = path.convolution("decoder.feature_projection0", fine, "relu")
    projected = path.resized(projected, path.size(fine))
    place = path.take("CONCATENATION", coarse, projected).output
    for number in range(2):
        name = f"decoder.decoder_conv{number}"
        place = path.convolution(f"{name}_depthwise", place, "relu", size=3, depthwise=True)
        place = path.convolution(f"{name}_pointwise", place, "relu")
    place = path.convolution("logits.semantic", place, "none")
    while path.kind() == "RESIZE_BILINEAR":
        place = path.resized(place, None)
    if path.kind() is not None or place != graph.outputs[0]:
        raise Refused(f"goes on after its scores, with {path.kind() or 'another output'}")

    def sizes(rngs: nnx.Rngs) -> DeepLab:
        return DeepLab(
            path.units("logits.semantic"),
            stem=stem,
            blocks=blocks,
            units=path.units("aspp0"),
            reduced=path.units("decoder.feature_projection0"),
            rngs=rngs,
        )

    return sizes, path.arrays


class _Followed(NamedTuple):
    """A block, the tensor that it makes, and that within it which is projected."""

    block: Inverted
    output: int
    wide: int


def _block(path: "_Path", number: int, place: int, inputs: int) -> _Followed:
    """Follow a block."""
    name, begin, within = f"MobilenetV2.{block_name(number)}", place, inputs
    if path.kind() == "CONV_2D":
        place = path.convolution(f"{name}.expand", place, "relu6")
        within = path.units(f"{name}.expand")
    if within % inputs:
        raise Refused(f"expands {inputs} units to {within}, no multiple of them, in {name}")
    step = path.peek()
    place = wide = path.convolution(
        f"{name}.depthwise", place, "relu6", size=3, depthwise=True, stride=None, dilation=None
    )
    place = path.convolution(f"{name}.project", place, "none")
    block = Inverted(
        path.units(f"{name}.project"),
        expansion=within // inputs,
        stride=step.stride,
        dilation=step.dilation,
    )
    if adds_input(inputs, block):
        place = path.take("ADD", place, begin).output
    return _Followed(block, place, wide)


class _Path:
    """Steps of a network, one after the other, and the arrays that have been found on the way."""

    def __init__(self, graph: TfliteGraph):
        self.arrays: dict[str, np.ndarray] = {}
        self._shapes = [tensor.shape for tensor in graph.tensors]
        self._steps = steps_of(graph)
        self._place = 0

    def kind(self) -> str | None:
        """Kind of the next step, None at the end."""
        return self._steps[self._place].kind if self._place < len(self._steps) else None

    def peek(self) -> Step:
        """Return the next step."""
        if self._place == len(self._steps):
            raise Refused("ends too early")
        return self._steps[self._place]

    def take(self, kind: str, *places: int, activation: str = "none") -> Step:
        """Take the next step, which must be of a kind and read tensors."""
        step = self.peek()
        if step.kind != kind or sorted(step.inputs) != sorted(places):
            raise Refused(
                f"is another network: step {self._place} is {step.kind} of tensors "
                f"{list(step.inputs)}, and must be {kind} of {list(places)}"
            )
        if kind == "CONCATENATION" and (step.inputs != places or step.options.get("Axis") != 3):
            raise Refused(f"is another network: step {self._place} lays maps in another order")
        if step.activation != activation:
            raise Refused(
                f"is another network: step {self._place}, {kind}, is followed by "
                f"{step.activation}, and must be by {activation}"
            )
        self._place += 1
        return step

    def convolution(
        self,
        name: str,
        place: int,
        activation: str,
        *,
        size: int = 1,
        depthwise: bool = False,
        stride: int | None = 1,
        dilation: int | None = 1,
    ) -> int:
        """Take a convolution, keep its arrays under a name, and return the tensor that it makes."""
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        step = self.take(kind, place, activation=activation)
        assert step.kernel is not None and step.bias is not None
        found = {"kernel": step.kernel.shape[:2], "stride": step.stride, "dilation": step.dilation}
        due = {"kernel": (size, size), "stride": stride, "dilation": dilation}
        for key, value in due.items():
            if value not in (None, found[key]):
                raise Refused(
                    f"is another network: {name} has {key} {found[key]}, and must have {value}"
                )
        self.arrays |= {f"{name}.kernel": step.kernel, f"{name}.bias": step.bias}
        return step.output

    def resized(self, place: int, size: Shape | None) -> int:
        """Take a step that resizes, to a size if one is given; return the tensor that it makes."""
        step = self.take("RESIZE_BILINEAR", place)
        if not step.options.get("AlignCorners") or step.options.get("HalfPixelCenters"):
            raise Refused("is another network: it resizes without aligning corners")
        if size is not None and self.size(step.output) != size:
            raise Refused(f"resizes to {self.size(step.output)}, and must to {size}")
        return step.output

    def units(self, name: str) -> int:
        """Units of a convolution that has been taken."""
        return self.arrays[f"{name}.kernel"].shape[3]

    def size(self, place: int) -> Shape:
        """Height and width of a tensor."""
        return self._shapes[place][1:3]
