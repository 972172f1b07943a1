"""DeepLab with MobileNetV2: a segmenter of 150 classes that is small enough for a telephone.

Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017 (atrous
convolutions, image pooling), and "Encoder-decoder with atrous separable convolution for semantic
image segmentation", ECCV 2018 (the decoder, section 3.2), on the features of Sandler et al.,
"MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018. The published network reads
images of 513 x 513 pixels and was trained on ADE20K (Zhou et al., CVPR 2017).

Letters of shapes: B batch, H W image, h w map or label grid, I channels in, U units, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.arrays.resampling import Positions, Shape, pixel_centers, resample
from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.inverted_residual import (
    Inverted,
    adds_input,
    inverted_convolutions,
)
from jaxdissect.networks.models.layers import Layer, checked_images, float_images, units_in
from jaxdissect.networks.weights.mapping import Shapes

CLASSES = 151
"""Classes of the published network, "none" the first of them."""

STEM = 32
"""Units of its first convolution."""

BLOCKS = (
    Inverted(16, expansion=1),
    Inverted(24, stride=2),
    Inverted(24),
    Inverted(32, stride=2),
    *[Inverted(32)] * 2,
    Inverted(64),
    *[Inverted(64, dilation=2)] * 3,
    Inverted(96, dilation=2),
    *[Inverted(96, dilation=2)] * 2,
    Inverted(160, dilation=2),
    *[Inverted(160, dilation=4)] * 2,
    Inverted(320, dilation=4),
)
"""Its blocks. Where MobileNetV2 would halve the maps a fourth and a fifth time, kernels widen."""

FINE = 2
"""The block whose depthwise convolution gives the decoder its fine maps."""


def prepare(images: Any) -> Float[Array, "B H W 3"]:
    """Turn float RGB images in [0, 1] into the network's input, from -1 to 1."""
    return float_images(images) * 2 - 1


class InvertedBlock(nnx.Module):
    """A block of MobileNetV2 under TensorFlow's names, its normalisations folded into the weights.

    Args:
        inputs: Channels in.
        block: Sizes.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int, block: Inverted, *, rngs: nnx.Rngs):
        made = inverted_convolutions(inputs, block, use_bias=True, padding="SAME", rngs=rngs)
        self.expand, self.depthwise, self.project = made
        self.expand_relu6 = Layer(nnx.relu6) if self.expand is not None else None
        self.depthwise_relu6 = Layer(nnx.relu6)
        self.adds_input = adds_input(inputs, block)

    def __call__(
        self, inputs: Float[Array, "B H W I"], *, see: Callable[[Array], Any] = lambda units: None
    ) -> Float[Array, "B h w U"]:
        """Transform maps.

        Args:
            inputs: Maps.
            see: Called with the maps [B, h, w, I * expansion] that are projected.
        """
        units = inputs
        if self.expand is not None and self.expand_relu6 is not None:
            units = self.expand_relu6(self.expand(units))
        units = self.depthwise_relu6(self.depthwise(units))
        see(units)
        units = self.project(units)
        return units + inputs if self.adds_input else units


class MobileNetV2Features(nnx.Module):
    """The convolutions of MobileNetV2 under TensorFlow's names.

    Args:
        stem: Units of the first convolution.
        blocks: Sizes of `expanded_conv`, `expanded_conv_1`, …
        rngs: Stream of the initial parameters.
    """

    def __init__(self, stem: int, blocks: Sequence[Inverted], *, rngs: nnx.Rngs):
        self.Conv = Conv2D(3, stem, strides=(2, 2), rngs=rngs)
        self.Conv_relu6 = Layer(nnx.relu6)
        self.names = tuple(block_name(number) for number in range(len(blocks)))
        inputs = stem
        for name, block in zip(self.names, blocks, strict=True):
            setattr(self, name, InvertedBlock(inputs, block, rngs=rngs))
            inputs = block.units

    def __call__(self, images: Float[Array, "B H W 3"]) -> tuple[Array, Array]:
        """Give the last maps, and the fine ones within the block `FINE`."""
        fine: list[Array] = []
        units = self.Conv_relu6(self.Conv(images))
        for number, name in enumerate(self.names):
            sees = {"see": fine.append} if number == FINE else {}
            units = getattr(self, name)(units, **sees)
        return units, fine[0]


class Decoder(nnx.Module):
    """Joins coarse and fine maps, and filters them twice.

    Args:
        coarse: Channels of the coarse maps.
        fine: Channels of the fine maps.
        reduced: Channels that the latter are reduced to.
        units: Units.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, coarse: int, fine: int, reduced: int, units: int, *, rngs: nnx.Rngs):
        one = partial(Conv2D, size=(1, 1), rngs=rngs)
        self.feature_projection0 = one(fine, reduced)
        self.feature_projection0_relu = Layer(nnx.relu)
        inputs = coarse + reduced
        for number in range(2):
            name = f"decoder_conv{number}"
            setattr(self, f"{name}_depthwise", Conv2D(inputs, inputs, groups=inputs, rngs=rngs))
            setattr(self, f"{name}_depthwise_relu", Layer(nnx.relu))
            setattr(self, f"{name}_pointwise", one(inputs, units))
            setattr(self, f"{name}_pointwise_relu", Layer(nnx.relu))
            inputs = units

    def __call__(
        self, coarse: Float[Array, "B _ _ _"], fine: Float[Array, "B h w _"]
    ) -> Float[Array, "B h w U"]:
        """Give maps of the size of the fine ones."""
        fine = self.feature_projection0_relu(self.feature_projection0(fine))
        coarse = with_equal_corners(coarse, (fine.shape[1], fine.shape[2]))
        units = jnp.concatenate([coarse, fine], axis=-1)
        for number in range(2):
            for step in ("depthwise", "pointwise"):
                name = f"decoder_conv{number}_{step}"
                units = getattr(self, f"{name}_relu")(getattr(self, name)(units))
        return units


class Logits(nnx.Module):
    """The classes' scores."""

    def __init__(self, units: int, classes: int, *, rngs: nnx.Rngs):
        self.semantic = Conv2D(units, classes, (1, 1), rngs=rngs)

    def __call__(self, units: Float[Array, "B h w U"]) -> Float[Array, "B h w C"]:
        """Score the classes at every cell."""
        return self.semantic(units)


class DeepLab(nnx.Module):
    """MobileNetV2, what the whole image shows, and a decoder.

    Layers and parameters have the names of the published network, "." for "/"; a convolution and
    what rectifies it are two layers, such as "aspp0" and "aspp0_relu". Batch normalisations are
    folded into the weights, so that a convolution outputs what is normalised.

    Args:
        classes: Classes, "none" among them.
        stem: Units of the first convolution.
        blocks: Sizes of MobileNetV2's blocks.
        units: Units of all that follows.
        reduced: Channels of the fine maps in the decoder.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        classes: int = CLASSES,
        *,
        stem: int = STEM,
        blocks: Sequence[Inverted] = BLOCKS,
        units: int = 256,
        reduced: int = 48,
        rngs: nnx.Rngs,
    ):
        one = partial(Conv2D, size=(1, 1), rngs=rngs)
        self.MobilenetV2 = MobileNetV2Features(stem, blocks, rngs=rngs)
        last, before = blocks[-1].units, blocks[FINE - 1].units
        self.image_pooling, self.image_pooling_relu = one(last, units), Layer(nnx.relu)
        self.aspp0, self.aspp0_relu = one(last, units), Layer(nnx.relu)
        self.concat_projection, self.concat_projection_relu = one(2 * units, units), Layer(nnx.relu)
        fine = before * blocks[FINE].expansion
        self.decoder = Decoder(units, fine, reduced, units, rngs=rngs)
        self.logits = Logits(units, classes, rngs=rngs)

    def __call__(self, images: Any) -> Float[Array, "B H W C"]:
        """Score the classes at every pixel.

        Args:
            images: Floats [B, H, W, 3]: RGB from -1 to 1, as `prepare` makes them; 513 x 513 in
                training.

        Returns:
            Scores of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If the images have other axes, or are no floats.
        """
        scores = self.coarse_scores(images)
        return with_equal_corners(scores, (images.shape[1], images.shape[2]))

    def coarse_scores(self, images: Any) -> Float[Array, "B h w C"]:
        """Score the classes at the cells of maps a quarter as large; see `__call__`.

        The corner cells lie on the corner pixels. Between the cells, scores of pixels are
        interpolated linearly, so these are all that the network finds out.
        """
        images = checked_images(images, dtype=self.aspp0.kernel.dtype)
        units, fine = self.MobilenetV2(images)
        whole = units.mean(axis=(1, 2), keepdims=True)
        whole = self.image_pooling_relu(self.image_pooling(whole))
        here = self.aspp0_relu(self.aspp0(units))
        units = jnp.concatenate([jnp.broadcast_to(whole, here.shape), here], axis=-1)
        units = self.concat_projection_relu(self.concat_projection(units))
        return self.logits(self.decoder(units, fine))


def block_name(number: int) -> str:
    """TensorFlow's name of a block."""
    return f"expanded_conv_{number}" if number else "expanded_conv"


# --- sizes ----------------------------------------------------------------------------------------


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> DeepLab:
    """Make the network that fits some weights.

    Args:
        shapes: PyTorch's names and shapes. Sizes whose name is missing or malformed are those of
            the published network; strides and dilations always are.
        rngs: Stream of the initial parameters.
    """

    def found(name: str, default: int) -> int:
        return units_in(shapes, f"{name}.weight", default)

    blocks = [
        block._replace(units=found(f"MobilenetV2.{block_name(number)}.project", block.units))
        for number, block in enumerate(BLOCKS)
    ]
    return DeepLab(
        found("logits.semantic", CLASSES),
        stem=found("MobilenetV2.Conv", STEM),
        blocks=blocks,
        units=found("aspp0", 256),
        reduced=found("decoder.feature_projection0", 48),
        rngs=rngs or nnx.Rngs(0),
    )


# --- maps of several sizes ------------------------------------------------------------------------


@dataclass(frozen=True)
class CornersOfImage:
    """Reads maps whose corner cells lie on the corner pixels of an image.

    Attributes:
        image: Height and width of the image.
    """

    image: Shape

    def __call__(self, grid: Shape, shape: Shape) -> tuple[Positions, Positions]:
        """Find where the centres of the grid's cells lie in the maps."""

        def within(centres: Positions, side: int, cells: int) -> Positions:
            return np.clip(centres, 0, side - 1) * ((cells - 1) / max(side - 1, 1))

        rows, columns = pixel_centers(grid, self.image)
        return within(rows, self.image[0], shape[0]), within(columns, self.image[1], shape[1])


def with_equal_corners(maps: Float[Array, "B _ _ U"], shape: Shape) -> Float[Array, "B h w U"]:
    """Interpolate linearly so that corner cells keep their places: `align_corners=True`."""
    return resample(maps, shape, alignment=CornersOfImage(shape))
