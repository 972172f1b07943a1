"""Residual networks: a stem, and stages of blocks whose output is added to their input.

They are those of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1,
with the stride of a block in its 3 x 3 convolution. A block is described by its convolutions
(`Block`), a network by the units of its stem and the blocks of its stages. One description serves
the classifiers of torchvision (`jaxdissect.networks.models.resnet`), the ResNet-152 of Places365
(`jaxdissect.networks.models.resnet152_places`), whose parameters have other names, and the
segmenters, with a stem of three convolutions and with dilation.

Letters of shapes: B batch, H W input, h w output, I channels in, U units.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import (
    Chain,
    Layer,
    batch_norm,
    checked_images,
    float_images,
    max_pool,
    units_in,
)
from jaxdissect.networks.weights.mapping import Shapes

MOST_BLOCKS = 50
"""Blocks of a stage that are built for the names in a file; published networks have up to 36."""


class Filters(NamedTuple):
    """A convolution of a block: square kernels, as many zeros around as keep the size."""

    units: int
    size: int = 3
    stride: int = 1
    dilation: int = 1


Block = Sequence[Filters]

BlockKind = Callable[..., Block]
"""Describes a block of some width, with `stride` and `dilations`."""


def basic_block(width: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> Block:
    """Describe two 3 x 3 convolutions, of which the first may have a stride."""
    first, second = dilations
    return Filters(width, stride=stride, dilation=first), Filters(width, dilation=second)


def bottleneck(
    width: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1), expansion: int = 4
) -> Block:
    """Describe a 3 x 3 convolution, which may have a stride, between two of 1 x 1.

    Args:
        width: Units of the first two.
        stride: Stride of the 3 x 3 convolution.
        dilations: Its dilation comes first; the other is that of the blocks that follow.
        expansion: How many times as many units the last one has: 4, or 2 in the wide networks of
            Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016.
    """
    middle = Filters(width, stride=stride, dilation=dilations[0])
    return Filters(width, size=1), middle, Filters(expansion * width, size=1)


class Sizes(NamedTuple):
    """What differs between residual networks of one kind.

    Attributes:
        stem: Units of the stem's convolutions: of one with 7 x 7 kernels, or of three with 3 x 3.
        widths: Units of each stage's 3 x 3 convolutions.
        depths: Blocks of each stage.
    """

    stem: tuple[int, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]


def stages(block: BlockKind, sizes: Sizes, *, output_stride: int = 32) -> list[list[Block]]:
    """Describe the blocks of every stage.

    Args:
        block: What blocks are made of.
        sizes: Units and depths.
        output_stride: How much smaller than the image the last stage is. All stages but the first
            halve the size; those that would make it smaller than this have dilated convolutions in
            place of the stride (Yu, Koltun and Funkhouser, "Dilated Residual Networks", CVPR 2017,
            section 2), so that their units see as much of the image. The first convolution that
            had the stride still has the dilation of the stage before it.
    """
    described = []
    reduction, dilation = 4, 1
    for number, (width, depth) in enumerate(zip(sizes.widths, sizes.depths, strict=True)):
        before, stride = dilation, 1
        if number and reduction < output_stride:
            stride, reduction = 2, 2 * reduction
        elif number:
            dilation *= 2
        first = block(width, stride=stride, dilations=(before, dilation))
        other = block(width, dilations=(dilation, dilation))
        described.append([first, *[other] * (depth - 1)])
    return described


def convolution(inputs: int, filters: Filters, *, bias: bool = False, rngs: nnx.Rngs) -> Conv2D:
    """Make a convolution of odd size with PyTorch's padding: the same zeros on every side."""
    zeros = filters.dilation * (filters.size // 2)
    return Conv2D(
        inputs,
        filters.units,
        (filters.size, filters.size),
        strides=(filters.stride, filters.stride),
        padding=((zeros, zeros), (zeros, zeros)),
        dilation=filters.dilation,
        use_bias=bias,
        rngs=rngs,
    )


def rectified(inputs: int, units: int, *, size: int = 3, rngs: nnx.Rngs) -> Chain:
    """Make a convolution ("0"), its normalisation ("1") and a ReLU ("2")."""
    return Chain(
        {
            "0": convolution(inputs, Filters(units, size), rngs=rngs),
            "1": batch_norm(units),
            "2": nnx.relu,
        }
    )


def projection(inputs: int, block: Block, *, rngs: nnx.Rngs) -> Chain:
    """Make the 1 x 1 convolution ("0") from a block's input to its output, and its norm ("1")."""
    stride = max(filters.stride for filters in block)
    shortcut = Filters(block[-1].units, size=1, stride=stride)
    return Chain({"0": convolution(inputs, shortcut, rngs=rngs), "1": batch_norm(shortcut.units)})


class ResidualBlock(nnx.Module):
    """Convolutions whose output is added to their input.

    `conv1`, `bn1`, `relu1`, `conv2`, ... follow each other; the last normalisation is added to the
    input, or where sizes differ to its 1 x 1 convolution `downsample`, and rectified by `relu`.

    Args:
        inputs: Channels in.
        block: The convolutions.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int, block: Block, *, rngs: nnx.Rngs):
        self.depth = len(block)
        units = inputs
        for number, filters in enumerate(block, 1):
            setattr(self, f"conv{number}", convolution(units, filters, rngs=rngs))
            setattr(self, f"bn{number}", batch_norm(filters.units))
            if number < self.depth:
                setattr(self, f"relu{number}", Layer(nnx.relu))
            units = filters.units
        changes_size = units != inputs or any(filters.stride > 1 for filters in block)
        self.downsample = projection(inputs, block, rngs=rngs) if changes_size else None
        self.relu = Layer(nnx.relu)

    def __call__(self, inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w U"]:
        units = inputs
        for number in range(1, self.depth + 1):
            units = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(units))
            if number < self.depth:
                units = getattr(self, f"relu{number}")(units)
        shortcut = inputs if self.downsample is None else self.downsample(inputs)
        return self.relu(units + shortcut)


class ResidualLayers(nnx.Module):
    """A stem and a pooling, which quarter the size, and stages.

    Layers have the names of the published networks: `conv1`, `bn1`, `relu`, or after a stem of
    three convolutions `conv1`, `bn1`, `relu1` to `relu3`; `maxpool`, `layer1` to `layer4` and their
    blocks `layer1.0`, ... The one published ReLU that a block calls several times is several layers
    here, of which the last keeps its name; see `ResidualBlock`.

    Args:
        block: What blocks are made of.
        sizes: Units and depths.
        output_stride: How much smaller than the image the last stage is, see `stages`.
        rngs: Stream of the initial parameters.

    Attributes:
        widths: Units that each stage gives.
        least: The smallest height and width of images.
    """

    least: tuple[int, int] = (1, 1)

    def __init__(self, block: BlockKind, sizes: Sizes, *, output_stride: int = 32, rngs: nnx.Rngs):
        inputs, several = 3, len(sizes.stem) > 1
        stem = []
        for number, units in enumerate(sizes.stem, 1):
            filters = Filters(units, size=3 if several else 7, stride=2 if number == 1 else 1)
            layers = {
                f"conv{number}": convolution(inputs, filters, rngs=rngs),
                f"bn{number}": batch_norm(units),
                f"relu{number}" if several else "relu": Layer(nnx.relu),
            }
            for name, layer in layers.items():
                setattr(self, name, layer)
            stem += layers
            inputs = units
        self.maxpool = Layer(partial(max_pool, size=3, stride=2, padding=1))
        self._stem = (*stem, "maxpool")
        described = stages(block, sizes, output_stride=output_stride)
        for number, blocks in enumerate(described, 1):
            stage = {}
            for index, filters in enumerate(blocks):
                stage[str(index)] = ResidualBlock(inputs, filters, rngs=rngs)
                inputs = filters[-1].units
            setattr(self, f"layer{number}", Chain(stage))
        self.widths = tuple(blocks[-1][-1].units for blocks in described)

    def stage_outputs(self, images: Any) -> tuple[Float[Array, "B _ _ _"], ...]:
        """Compute the output of every stage, finest first.

        Args:
            images: Float images [B, H, W, 3], `least` pixels or more down and across.

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        dtype = getattr(self, self._stem[0]).kernel.dtype
        units = checked_images(images, dtype=dtype, least=self.least)
        for name in self._stem:
            units = getattr(self, name)(units)
        outputs = []
        for number in range(1, len(self.widths) + 1):
            units = getattr(self, f"layer{number}")(units)
            outputs.append(units)
        return tuple(outputs)


class ResidualNetwork(ResidualLayers):
    """The part of a residual network that sees for a segmenter: the outputs of all stages count.

    See `ResidualLayers` for its layers. Images have 32 pixels or more down and across.
    """

    least = (32, 32)

    def __call__(self, images: Any) -> tuple[Float[Array, "B _ _ _"], ...]:
        """Compute the output of every stage, finest first; see `ResidualLayers.stage_outputs`."""
        return self.stage_outputs(images)


RESNET18 = Sizes(stem=(64, 64, 128), widths=(64, 128, 256, 512), depths=(2, 2, 2, 2))
RESNET50 = RESNET18._replace(depths=(3, 4, 6, 3))


def resnet50(sizes: Sizes = RESNET50, *, rngs: nnx.Rngs) -> ResidualNetwork:
    """Make bottlenecks; stages are 1/4, 1/8, 1/16 and 1/32 of the input in size, rounded up."""
    return ResidualNetwork(bottleneck, sizes, rngs=rngs)


def dilated_resnet18(sizes: Sizes = RESNET18, *, rngs: nnx.Rngs) -> ResidualNetwork:
    """Make basic blocks; stages are 1/4, 1/8, 1/8 and 1/8 of the input in size, rounded up."""
    return ResidualNetwork(basic_block, sizes, output_stride=8, rngs=rngs)


def sizes_in(shapes: Shapes, default: Sizes, *, prefix: str = "encoder.") -> Sizes:
    """Read the sizes of a residual network; the defaults where names are missing or malformed.

    Args:
        shapes: PyTorch's names and shapes.
        default: Sizes of the published network.
        prefix: What stands before the names of this network.
    """
    stages = [f"{prefix}layer{number}." for number in range(1, len(default.widths) + 1)]
    blocks = [
        {name[len(stage) :].split(".")[0] for name in shapes if name.startswith(stage)}
        for stage in stages
    ]
    return Sizes(
        stem=tuple(
            units_in(shapes, f"{prefix}conv{number}.weight", units)
            for number, units in enumerate(default.stem, 1)
        ),
        widths=tuple(
            units_in(shapes, f"{stage}0.conv1.weight", width)
            for stage, width in zip(stages, default.widths, strict=True)
        ),
        depths=tuple(
            min(len(numbers), MOST_BLOCKS) or depth
            for numbers, depth in zip(blocks, default.depths, strict=True)
        ),
    )


def network_input(images: Any, *, mean: tuple[float, float, float]) -> Float[Array, "B H W 3"]:
    """Turn float RGB in [0, 1] into BGR in 0..255 less a mean (in that order and scale)."""
    images = float_images(images)
    return 255 * images[..., ::-1] - jnp.asarray(mean, images.dtype)[None, None, None]
