"""EfficientNet-Lite: classifiers of ImageNet that are small enough for a telephone.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
table 1, in the variant that was published for mobile devices: without squeeze and excitation, with
ReLU6, with the stem and the head at one size. Names are those of timm, whose blocks are grouped in
stages; weights whose blocks are numbered throughout, such as those of the extra `imagenet`, are
renamed.

The published weights were trained in TensorFlow, whose zeros lie behind the image where their
number is odd (`same`). With as many on every side the weights of the extra lose 6% of their
accuracy. timm has networks of both kinds under the same names of weights, which therefore cannot
be told apart: `tf_efficientnet_lite0` is the one meant here. timm's own `efficientnet_lite0` gives
other scores unless it is said to be the other one, `load_network("efficientnet_lite0", FILE,
same=False, epsilon=1e-5)`, whose images are normalised by ImageNet's mean and deviation
(`imagenet_normalised`) instead of by `prepare`; the command line takes it from a function of yours.

Letters of shapes: B batch, H W input, h w layer grid, U units, N classes.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D, Padding
from jaxdissect.networks.models.inverted_residual import (
    Inverted,
    adds_input,
    centred,
    inverted_convolutions,
)
from jaxdissect.networks.models.layers import (
    IMAGENET,
    Chain,
    Layer,
    batch_norm,
    checked_images,
    float_images,
    units_in,
)
from jaxdissect.networks.weights.mapping import Arrays, Shapes

STEM, HEAD = 32, 1280
"""Units of the first convolution and of the last, in every variant."""

EPSILON = 1e-3
"""Of the normalisations of the published weights."""

BLOCKS = (
    Inverted(16, expansion=1),
    Inverted(24, stride=2),
    Inverted(40, size=5, stride=2),
    Inverted(80, stride=2),
    Inverted(112, size=5),
    Inverted(192, size=5, stride=2),
    Inverted(320),
)
"""The first block of every stage; the others have no stride."""


class Variant(NamedTuple):
    """How the stages of a variant are scaled.

    Attributes:
        depths: Blocks of every stage.
        widths: Units of every stage.
        side: Height and width of the images in training.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    side: int


VARIANTS = {
    "efficientnet_lite0": Variant((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), 224),
    "efficientnet_lite1": Variant((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320), 240),
    "efficientnet_lite2": Variant((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352), 260),
}

LAYERS = ("bn2",)
"""Layers that are dissected by default: the 1280 rectified units of the head."""


class RectifiedNorm(nnx.BatchNorm):
    """A normalisation and its ReLU6, `act`, as one layer."""

    def __init__(self, units: int, *, epsilon: float):
        with jax.ensure_compile_time_eval():  # see `layers.batch_norm`
            super().__init__(units, use_running_average=True, epsilon=epsilon, rngs=nnx.Rngs(0))
        self.act = Layer(nnx.relu6)

    def __call__(
        self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Array:
        return self.act(super().__call__(x, use_running_average, mask=mask))


class MobileBlock(Chain):
    """An inverted residual with the names of timm.

    `conv_pw`, `bn1`, `conv_dw`, `bn2`, `conv_pwl`, `bn3`; without expansion `conv_dw`, `bn1`,
    `conv_pw`, `bn2`. All normalisations but the last are rectified.

    Args:
        inputs: Channels in.
        block: Sizes.
        padding: Of the depthwise convolution; see `inverted_convolutions`.
        epsilon: Of the normalisations.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        inputs: int,
        block: Inverted,
        *,
        padding: Padding | None,
        epsilon: float,
        rngs: nnx.Rngs,
    ):
        made = inverted_convolutions(inputs, block, padding=padding, rngs=rngs)
        rectified = partial(RectifiedNorm, inputs * block.expansion, epsilon=epsilon)
        norm = batch_norm(block.units, epsilon=epsilon)
        if made.expand is None:
            layers = {"conv_dw": made.depthwise, "bn1": rectified()}
            layers |= {"conv_pw": made.project, "bn2": norm}
        else:
            layers = {"conv_pw": made.expand, "bn1": rectified()}
            layers |= {"conv_dw": made.depthwise, "bn2": rectified()}
            layers |= {"conv_pwl": made.project, "bn3": norm}
        super().__init__(layers)
        self.adds_input = adds_input(inputs, block)

    def __call__(self, inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w U"]:
        outputs = super().__call__(inputs)
        return inputs + outputs if self.adds_input else outputs


class EfficientNetLite(Chain):
    """A convolution, seven stages of inverted residuals, a convolution, an average, a linear map.

    Layers are `conv_stem`, `bn1`, the stages `blocks.0` to `blocks.6`, `conv_head`, `bn2`,
    `global_pool` and `classifier`. Block B of stage S is `blocks.S.B`, see `MobileBlock` for the
    layers within. What a block gives is not rectified; `bn1` and `bn2` of the network are.

    Args:
        num_classes: Classes, N.
        depths: Blocks of every stage.
        widths: Units of every stage.
        stem: Units of the first convolution.
        head: Units of the last convolution.
        same: Whether a zero that is left over goes behind the image, as in TensorFlow, or there are
            as many on every side, as in PyTorch.
        epsilon: Of the normalisations.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: Sequence[int],
        widths: Sequence[int],
        stem: int = STEM,
        head: int = HEAD,
        same: bool = True,
        epsilon: float = EPSILON,
        rngs: nnx.Rngs,
    ):
        padding: Padding | None = "SAME" if same else None
        stages, inputs = {}, stem
        for number, (first, depth, units) in enumerate(zip(BLOCKS, depths, widths, strict=True)):
            blocks = {}
            for index in range(depth):
                block = first._replace(units=units, stride=1 if index else first.stride)
                blocks[str(index)] = MobileBlock(
                    inputs, block, padding=padding, epsilon=epsilon, rngs=rngs
                )
                inputs = units
            stages[str(number)] = Chain(blocks)
        convolution = partial(Conv2D, use_bias=False, rngs=rngs)
        super().__init__(
            {
                "conv_stem": convolution(
                    3, stem, strides=(2, 2), padding="SAME" if same else centred(3)
                ),
                "bn1": RectifiedNorm(stem, epsilon=epsilon),
                "blocks": Chain(stages),
                "conv_head": convolution(inputs, head, (1, 1)),
                "bn2": RectifiedNorm(head, epsilon=epsilon),
                "global_pool": _means,
                "classifier": nnx.Linear(head, num_classes, rngs=rngs),
            }
        )

    def __call__(self, inputs: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            inputs: Images, floats [B, H, W, 3]: RGB bytes less 127, over 128, see `prepare`; H and
                W were 224 in training (Lite1 240, Lite2 260), and may be anything.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If the images have other axes, or are no floats.
        """
        first = getattr(self, self.names[0])
        return super().__call__(checked_images(inputs, dtype=first.kernel.dtype))


def _means(units: Float[Array, "B h w U"]) -> Float[Array, "B U"]:
    return units.mean(axis=(1, 2))


def prepare(images: Any) -> Float[Array, "B H W 3"]:
    """From float RGB [B, H, W, 3] in [0, 1] to what the published weights were trained on."""
    return (float_images(images) * 255 - 127) / 128


def from_shapes(
    variant: str,
    shapes: Shapes,
    *,
    same: bool = True,
    epsilon: float = EPSILON,
    rngs: nnx.Rngs | None = None,
) -> EfficientNetLite:
    """Build a variant with the classes of some weights, given PyTorch's names and shapes.

    Args:
        variant: One of `VARIANTS`.
        shapes: Names and shapes; without the classifier's, ImageNet's 1000 classes.
        same, epsilon: See `EfficientNetLite`; False and 1e-5 for timm's own `efficientnet_lite0`
            (not `tf_efficientnet_lite0`), which weights do not tell.
        rngs: Stream of the initial parameters.
    """
    return EfficientNetLite(
        units_in(shapes, "classifier.weight", IMAGENET),
        depths=VARIANTS[variant].depths,
        widths=VARIANTS[variant].widths,
        same=same,
        epsilon=epsilon,
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def reference_names(variant: str, arrays: Arrays) -> Arrays:
    """Rename weights whose blocks are numbered throughout; others are returned as they are.

    Args:
        variant: One of `VARIANTS`.
        arrays: Weights by name, such as "_blocks.3._expand_conv.weight" or
            "blocks.2.0.conv_pw.weight".

    Raises:
        ValueError: If the stages are those of another variant.
    """
    places = [
        (stage, index)
        for stage, depth in enumerate(_depths_of(variant, arrays))
        for index in range(depth)
    ]
    return {_reference_name(name, places): array for name, array in arrays.items()}


_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_UNEXPANDED = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


_PROJECTION = re.compile(r"blocks\.(\d+\._project_conv|0\.0\.conv_pw|\d+\.\d+\.conv_pwl)\.weight$")


def _depths_of(variant: str, arrays: Arrays) -> tuple[int, ...]:
    """Return the depths of a variant, unless the weights have the blocks of another one."""
    wanted = _project_units(VARIANTS[variant])
    found = sorted(
        array.shape[0]
        for name, array in arrays.items()
        if _PROJECTION.search(name) and len(array.shape) == 4
    )
    for other, sizes in VARIANTS.items():
        if found == _project_units(sizes) != wanted:
            raise ValueError(f"is {other}, whose stages have other blocks; read it as {other}")
    return VARIANTS[variant].depths


def _project_units(variant: Variant) -> list[int]:
    """Units of every block, in increasing order, as they are in every variant."""
    return [
        units
        for units, depth in zip(variant.widths, variant.depths, strict=True)
        for _ in range(depth)
    ]


def _reference_name(name: str, places: Sequence[tuple[int, int]]) -> str:
    layer, _, own = name.rpartition(".")
    if layer in _OUTSIDE:
        return f"{_OUTSIDE[layer]}.{own}"
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", layer)
    # Numbers of any length would be read, so only those that places can have.
    if block is None or block[1] not in map(str, range(len(places))):
        return name
    stage, index = places[int(block[1])]
    names = _EXPANDED if BLOCKS[stage].expansion > 1 else _UNEXPANDED
    return f"blocks.{stage}.{index}.{names[block[2]]}.{own}" if block[2] in names else name
