"""MobileNetV2, a classifier of ImageNet for small devices.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2. Names
are those of torchvision; the weights of timm, whose blocks are grouped in stages, are renamed.

Letters of shapes: B batch, H W input, h w layer grid, U units, N classes.
"""

import re
from collections.abc import Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.inverted_residual import (
    Inverted,
    InvertedResidual,
    centred,
    normalised,
)
from jaxdissect.networks.models.layers import IMAGENET, Chain, checked_images, units_in
from jaxdissect.networks.weights.mapping import Arrays, Shapes

STEM, HEAD = 32, 1280
"""Units of the first convolution and of the last."""

DEPTHS = (1, 2, 3, 4, 3, 3, 1)
"""Blocks of every stage."""

WIDTHS = (16, 24, 32, 64, 96, 160, 320)
"""Units of every stage."""

STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of every stage."""


class MobileNetV2(nnx.Module):
    """A convolution, seventeen inverted residuals in seven stages, a convolution, a linear map.

    Layers are `features.0` the first convolution with its normalisation and ReLU6 (`features.0.0`,
    `features.0.1`, `features.0.2`), `features.1` to `features.17` the blocks, see
    `InvertedResidual`, `features.18` the last convolution (as the first), and `classifier`
    (`classifier.0` was dropout in training, `classifier.1` is the linear map). What a block gives
    is not rectified.

    Args:
        num_classes: Classes, N.
        depths: Blocks of every stage.
        widths: Units of every stage.
        stem: Units of the first convolution.
        head: Units of the last convolution.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: Sequence[int] = DEPTHS,
        widths: Sequence[int] = WIDTHS,
        stem: int = STEM,
        head: int = HEAD,
        rngs: nnx.Rngs,
    ):
        first = Conv2D(3, stem, strides=(2, 2), padding=centred(3), use_bias=False, rngs=rngs)
        layers: list[Any] = [Chain(normalised(first, activation=nnx.relu6))]
        inputs = stem
        stages = zip(depths, widths, STRIDES, strict=True)
        for number, (depth, units, stride) in enumerate(stages):
            for index in range(depth):
                block = Inverted(units, 6 if number else 1, stride=1 if index else stride)
                layers.append(InvertedResidual(inputs, block, rngs=rngs))
                inputs = units
        last = Conv2D(inputs, head, (1, 1), use_bias=False, rngs=rngs)
        layers.append(Chain(normalised(last, activation=nnx.relu6)))
        self.features = Chain({str(number): layer for number, layer in enumerate(layers)})
        self.classifier = Chain({"0": nnx.identity, "1": nnx.Linear(head, num_classes, rngs=rngs)})

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456, 0.406), over
                the deviation (0.229, 0.224, 0.225), see `imagenet_normalised`; 224 x 224 in
                training, here any size.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If `images` have other axes, or are no floats.
        """
        weights: Any = getattr(self.classifier, "1")
        units = self.features(checked_images(images, dtype=weights.kernel.dtype))
        return self.classifier(units.mean(axis=(1, 2)))


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> MobileNetV2:
    """Build the network with the classes of some weights, given PyTorch's names and shapes.

    Units are those of the weights too, of networks narrower or wider than the published one.
    `rngs` are those of the initial parameters.
    """
    starts = [1 + sum(DEPTHS[:number]) for number in range(len(DEPTHS))]
    projections = [f"features.{start}.conv.{2 if start > 1 else 1}.weight" for start in starts]
    return MobileNetV2(
        units_in(shapes, "classifier.1.weight", IMAGENET),
        widths=tuple(
            units_in(shapes, name, width) for name, width in zip(projections, WIDTHS, strict=True)
        ),
        stem=units_in(shapes, "features.0.0.weight", STEM),
        head=units_in(shapes, "features.18.0.weight", HEAD),
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of timm; others are returned as they are.

    Args:
        arrays: Weights by name, such as "blocks.1.0.conv_pw.weight" or
            "features.2.conv.0.0.weight".

    Raises:
        ValueError: If the blocks are those of an EfficientNet, which timm gives the same names.
    """
    if not any(name.startswith("blocks.") for name in arrays):
        return dict(arrays)
    other = [
        name
        for name, array in arrays.items()
        if name.endswith(".conv_dw.weight") and array.shape[-1] != 3
    ]
    if other:
        raise ValueError(
            f"is another network of timm's: `{other[0]}` has no kernels of 3 x 3 as MobileNetV2 has"
        )
    return {_reference_name(name): array for name, array in arrays.items()}


_OUTSIDE = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": "features.18.0",
    "bn2": "features.18.1",
    "classifier": "classifier.1",
}
_EXPANDED = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "conv_pwl": "2",
    "bn3": "3",
}
_UNEXPANDED = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}


def _reference_name(name: str) -> str:
    layer, _, own = name.rpartition(".")
    if layer in _OUTSIDE:
        return f"{_OUTSIDE[layer]}.{own}"
    block = re.fullmatch(r"blocks\.([0-6])\.(\d)\.(\w+)", layer)
    if block is None:
        return name
    stage, index = int(block[1]), int(block[2])
    names = _EXPANDED if stage else _UNEXPANDED
    if index >= DEPTHS[stage] or block[3] not in names:
        return name
    return f"features.{1 + sum(DEPTHS[:stage]) + index}.conv.{names[block[3]]}.{own}"
