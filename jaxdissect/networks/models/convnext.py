"""ConvNeXt-T, a convolutional classifier of ImageNet with the recipes of transformers.

Liu et al., "A ConvNet for the 2020s", CVPR 2022, table 9. Names are those of torchvision; weights
in the names of timm, or of the publication's code, are renamed.

Letters of shapes: B batch, H W input, h w layer grid, U units, N classes.
"""

import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.inverted_residual import centred
from jaxdissect.networks.models.layers import (
    IMAGENET,
    Chain,
    Layer,
    checked_images,
    gelu,
    mean_of_cells,
    only_cell,
    units_in,
)
from jaxdissect.networks.weights.mapping import Arrays, Shapes
from jaxdissect.networks.weights.stored import StoredArray, made_when_read

DEPTHS = (3, 3, 9, 3)
"""Blocks of every stage."""

WIDTHS = (96, 192, 384, 768)
"""Units of every stage."""

SCALE = 1e-6
"""Of what a block adds, before training."""


class ConvNeXtBlock(nnx.Module):
    """A depthwise convolution and two linear maps, scaled and added to the input.

    `block` is a chain of `0` the convolution of 7 x 7, `2` the normalisation of every cell, `3` the
    linear map to four times as many units, `4` its GELU, and `5` the one back. (`1` and `6`, which
    move axes in torchvision, have nothing to do here.) The block is the sum.

    Args:
        units: Channels in and out.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, units: int, *, rngs: nnx.Rngs):
        self.block = Chain(
            {
                "0": Conv2D(units, units, (7, 7), padding=centred(7), groups=units, rngs=rngs),
                "2": _layer_norm(units),
                "3": nnx.Linear(units, 4 * units, rngs=rngs),
                "4": gelu,
                "5": nnx.Linear(4 * units, units, rngs=rngs),
            }
        )
        self.layer_scale = nnx.Param(jnp.full((units, 1, 1), SCALE))

    def __call__(self, inputs: Float[Array, "B H W U"]) -> Float[Array, "B H W U"]:
        return inputs + self.layer_scale[...][None, None, None, :, 0, 0] * self.block(inputs)


class ConvNeXt(nnx.Module):
    """A convolution of patches, four stages of blocks, an average and a linear map.

    Layers are `features.0` the patches (`features.0.0` convolution, `features.0.1` normalisation),
    `features.1`, `3`, `5` and `7` the stages with their blocks (`features.5.8`, see
    `ConvNeXtBlock`), `features.2`, `4` and `6` what halves the grid between them (`0`
    normalisation, `1` convolution), `avgpool`, and `classifier` (`0` normalisation, `1` flattening,
    `2` linear map). What was stochastic depth in training is not here.

    Args:
        num_classes: Classes, N.
        depths: Blocks of every stage.
        widths: Units of every stage.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: Sequence[int] = DEPTHS,
        widths: Sequence[int] = WIDTHS,
        rngs: nnx.Rngs,
    ):
        layers: list[Chain] = []
        inputs = 3
        for number, (depth, units) in enumerate(zip(depths, widths, strict=True)):
            if number == 0:
                patches = _patches(inputs, units, 4, rngs=rngs)
                layers.append(Chain({"0": patches, "1": _layer_norm(units)}))
            else:
                patches = _patches(inputs, units, 2, rngs=rngs)
                layers.append(Chain({"0": _layer_norm(inputs), "1": patches}))
            blocks = [ConvNeXtBlock(units, rngs=rngs) for _ in range(depth)]
            layers.append(Chain({str(index): block for index, block in enumerate(blocks)}))
            inputs = units
        self.features = Chain({str(number): layer for number, layer in enumerate(layers)})
        self.avgpool = Layer(mean_of_cells)
        self.classifier = Chain(
            {
                "0": _layer_norm(inputs),
                "1": only_cell,
                "2": nnx.Linear(inputs, num_classes, rngs=rngs),
            }
        )

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456, 0.406), over
                the deviation (0.229, 0.224, 0.225), see `imagenet_normalised`; 224 x 224 in
                training, here any size from 32 x 32 on.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If `images` have other axes, are no floats, or are too small.
        """
        weights: Any = getattr(self.classifier, "2")
        images = checked_images(images, dtype=weights.kernel.dtype, least=(32, 32))
        return self.classifier(self.avgpool(self.features(images)))


def _patches(inputs: int, units: int, side: int, *, rngs: nnx.Rngs) -> Conv2D:
    return Conv2D(
        inputs, units, (side, side), strides=(side, side), padding=((0, 0), (0, 0)), rngs=rngs
    )


def _layer_norm(units: int) -> nnx.LayerNorm:
    with jax.ensure_compile_time_eval():  # see `layers.batch_norm`
        return nnx.LayerNorm(units, epsilon=1e-6, use_fast_variance=False, rngs=nnx.Rngs(0))


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> ConvNeXt:
    """Build the network with the classes of some weights, given PyTorch's names and shapes.

    Units are those of the weights too. `rngs` are those of the initial parameters.
    """
    convolutions = ["features.0.0.weight", *(f"features.{n}.1.weight" for n in (2, 4, 6))]
    return ConvNeXt(
        units_in(shapes, "classifier.2.weight", IMAGENET),
        widths=tuple(
            units_in(shapes, name, width) for name, width in zip(convolutions, WIDTHS, strict=True)
        ),
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of timm or of the publication; others are returned as they are.

    Args:
        arrays: Weights by name, such as "stages.0.blocks.0.conv_dw.weight" (timm),
            "stages.0.0.dwconv.weight" (the publication), or "features.1.0.block.0.weight".
    """
    renamed = {}
    for name, array in arrays.items():
        known = _reference_name(name)
        if known.endswith(".layer_scale") and len(array.shape) == 1:
            array = _with_axes(array)
        renamed[known] = array
    return renamed


def _with_axes(array: Any) -> StoredArray:
    """Give a scale of units the axes that torchvision's has, when it is read."""
    shape = (*array.shape, 1, 1)
    return made_when_read(lambda values: values.reshape(shape), shape, array)


_OUTSIDE = {
    "stem.0": "features.0.0",
    "stem.1": "features.0.1",
    "downsample_layers.0.0": "features.0.0",
    "downsample_layers.0.1": "features.0.1",
    "norm": "classifier.0",
    "head": "classifier.2",
    "head.norm": "classifier.0",
    "head.fc": "classifier.2",
}
_WITHIN = {
    "conv_dw": "block.0",
    "dwconv": "block.0",
    "norm": "block.2",
    "mlp.fc1": "block.3",
    "pwconv1": "block.3",
    "mlp.fc2": "block.5",
    "pwconv2": "block.5",
}


def _reference_name(name: str) -> str:
    layer, _, own = name.rpartition(".")
    if layer in _OUTSIDE:
        return f"{_OUTSIDE[layer]}.{own}"
    between = re.fullmatch(
        r"(?:stages\.([1-3])\.downsample|downsample_layers\.([1-3]))\.([01])", layer
    )
    if between:
        return f"features.{2 * int(between[1] or between[2])}.{between[3]}.{own}"
    block = re.fullmatch(r"stages\.([0-3])\.(?:blocks\.)?(\d+)(?:\.(.+))?", layer)
    if block is None:
        return name
    stage, index, inner = block.groups()
    place = f"features.{2 * int(stage) + 1}.{index}"
    if inner is None:
        return f"{place}.layer_scale" if own == "gamma" else name
    return f"{place}.{_WITHIN[inner]}.{own}" if inner in _WITHIN else name
