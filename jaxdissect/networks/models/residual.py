"""Residual networks as the segmenters see with them: a stem of three convolutions, four stages.

They are those of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1,
but for the stem, and end with the stages, whose outputs all count. A block is described by its
convolutions (`Block`), and a network by the blocks of its stages; so is the ResNet-152 of
`jaxdissect.networks.models.resnet152`, whose parameters have other published names.

Letters of shapes: B batch, H W input, h w output, I channels in, U units.
"""

from collections.abc import Sequence
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


def basic_block(width: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> Block:
    """Describe two 3 x 3 convolutions, of which the first may have a stride."""
    first, second = dilations
    return Filters(width, stride=stride, dilation=first), Filters(width, dilation=second)


def bottleneck(width: int, *, stride: int = 1) -> Block:
    """Describe a 3 x 3 convolution, which may have a stride, between 1 x 1, four times as wide."""
    return Filters(width, size=1), Filters(width, stride=stride), Filters(4 * width, size=1)


def bottleneck_stages(widths: Sequence[int], depths: Sequence[int]) -> list[list[Block]]:
    """Describe stages of bottlenecks, of which all but the first begin with a stride of 2."""
    return [
        [bottleneck(width, stride=2 if number and not index else 1) for index in range(depth)]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True))
    ]


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


class ResidualNetwork(nnx.Module):
    """A stem of three 3 x 3 convolutions and a pooling, which quarter the size, and four stages.

    Layers have the names of the published networks: `conv1`, `bn1`, `relu1` to `relu3`, `maxpool`,
    `layer1` to `layer4` and their blocks `layer1.0`, ... The one published ReLU that a block calls
    several times is several layers here, of which the last keeps its name; see `ResidualBlock`.

    Args:
        stem: Units of the stem's convolutions.
        stages: The blocks of every stage.
        rngs: Stream of the initial parameters.

    Attributes:
        widths: Units that each stage gives.
    """

    def __init__(
        self,
        stem: tuple[int, int, int],
        stages: Sequence[Sequence[Block]],
        *,
        rngs: nnx.Rngs,
    ):
        first, second, third = stem
        self.conv1 = convolution(3, Filters(first, stride=2), rngs=rngs)
        self.bn1 = batch_norm(first)
        self.relu1 = Layer(nnx.relu)
        self.conv2 = convolution(first, Filters(second), rngs=rngs)
        self.bn2 = batch_norm(second)
        self.relu2 = Layer(nnx.relu)
        self.conv3 = convolution(second, Filters(third), rngs=rngs)
        self.bn3 = batch_norm(third)
        self.relu3 = Layer(nnx.relu)
        self.maxpool = Layer(partial(max_pool, size=3, stride=2, padding=1))
        inputs = third
        for number, blocks in enumerate(stages, 1):
            stage = {}
            for index, block in enumerate(blocks):
                stage[str(index)] = ResidualBlock(inputs, block, rngs=rngs)
                inputs = block[-1].units
            setattr(self, f"layer{number}", Chain(stage))
        self.widths = tuple(blocks[-1][-1].units for blocks in stages)

    def __call__(self, images: Any) -> tuple[Float[Array, "B _ _ _"], ...]:
        """Compute the output of every stage, finest first.

        Args:
            images: Float images [B, H, W, 3], 32 pixels or more down and across, which leave the
                coarsest stage a cell.

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        units = checked_images(images, dtype=self.conv1.kernel.dtype, least=(32, 32))
        units = self.relu1(self.bn1(self.conv1(units)))
        units = self.relu2(self.bn2(self.conv2(units)))
        units = self.relu3(self.bn3(self.conv3(units)))
        units = self.maxpool(units)
        stages = []
        for number in range(1, len(self.widths) + 1):
            units = getattr(self, f"layer{number}")(units)
            stages.append(units)
        return tuple(stages)


class Sizes(NamedTuple):
    """What differs between residual networks of one kind.

    Attributes:
        stem: Units of the stem's convolutions.
        widths: Units of each stage's 3 x 3 convolutions.
        depths: Blocks of each stage.
    """

    stem: tuple[int, int, int]
    widths: tuple[int, ...]
    depths: tuple[int, ...]


RESNET18 = Sizes(stem=(64, 64, 128), widths=(64, 128, 256, 512), depths=(2, 2, 2, 2))
RESNET50 = RESNET18._replace(depths=(3, 4, 6, 3))


def resnet50(sizes: Sizes = RESNET50, *, rngs: nnx.Rngs) -> ResidualNetwork:
    """Make bottlenecks; stages are 1/4, 1/8, 1/16 and 1/32 of the input in size, rounded up."""
    stages = bottleneck_stages(sizes.widths, sizes.depths)
    return ResidualNetwork(sizes.stem, stages, rngs=rngs)


def dilated_resnet18(sizes: Sizes = RESNET18, *, rngs: nnx.Rngs) -> ResidualNetwork:
    """Make basic blocks; stages are 1/4, 1/8, 1/8 and 1/8 of the input in size, rounded up.

    The last two stages have dilated convolutions in place of strides (Yu, Koltun and Funkhouser,
    "Dilated Residual Networks", CVPR 2017, section 2), so that their units see as much of the
    image; the first convolution of either still has the dilation of the stage before it.
    """
    stages = []
    for number, (width, depth) in enumerate(zip(sizes.widths, sizes.depths, strict=True)):
        before, dilation = ((1, 1), (1, 1), (1, 2), (2, 4))[number]
        first = basic_block(width, stride=2 if number == 1 else 1, dilations=(before, dilation))
        other = basic_block(width, dilations=(dilation, dilation))
        stages.append([first, *[other] * (depth - 1)])
    return ResidualNetwork(sizes.stem, stages, rngs=rngs)


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
        stem=(
            units_in(shapes, f"{prefix}conv1.weight", default.stem[0]),
            units_in(shapes, f"{prefix}conv2.weight", default.stem[1]),
            units_in(shapes, f"{prefix}conv3.weight", default.stem[2]),
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
