"""ESPNetv2: a segmenter of 0.8 million parameters, for objects of PASCAL VOC or streets.

Mehta et al., "ESPNetv2: a light-weight, power efficient, and general purpose convolutional neural
network", CVPR 2019, with the decoder of their EdgeNets: pyramids of depthwise kernels on grids of
five sizes. The published weights at twice its usual width know the 20 objects of PASCAL VOC or the
19 classes of Cityscapes, and a background.

Letters of shapes: B batch, H W grid of the input of a layer, h w of its output, I channels in, U
units, C classes.
"""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.arrays.resampling import Shape
from jaxdissect.networks.convolution import Conv2D, conv2d
from jaxdissect.networks.models.deeplab import with_equal_corners
from jaxdissect.networks.models.inverted_residual import centred
from jaxdissect.networks.models.layers import Chain, batch_norm, checked_images, units_in
from jaxdissect.networks.weights.mapping import Shapes

# Dilations of the four branches of a block: kernels span 3, 5, 7, 9 cells, but those wider than
# a level allows span 3.
_WIDE, _NARROW = (1, 2, 3, 4), (1, 1, 2, 3)
_BRANCHES = len(_WIDE)
_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)
_LEAST = 5  # cells on a side of the coarsest grid of a pyramid


class Sizes(NamedTuple):
    """The sizes of a network.

    Attributes:
        classes: Classes, the background among them.
        levels: Units of the four levels of the encoder.
        depths: Blocks of the third and fourth level, after the one that halves the grid.
        decoder: Units of the steps of the decoder, but for the last, which are classes.
        filters: Channels that a pyramid filters.
    """

    classes: int = 21
    levels: tuple[int, ...] = (32, 128, 256, 512)
    depths: tuple[int, int] = (3, 7)
    decoder: tuple[int, ...] = (64, 48, 32)
    filters: int = 10


VOC = Sizes()
"""The sizes of the published network for PASCAL VOC."""


class PReLU(nnx.Module):
    """Multiplies what is negative by the slope of its unit.

    Attributes:
        slope: [U] float32.
    """

    def __init__(self, units: int):
        self.slope = nnx.Param(jnp.full(units, 0.25))

    def __call__(self, units: Float[Array, "B H W U"]) -> Float[Array, "B H W U"]:
        return jnp.where(units > 0, units, units * self.slope[...][None, None, None])


class ESPNetV2(nnx.Module):
    """An encoder of four levels (`base_net`), and a decoder from the coarsest to the finest.

    Layers and parameters have the names of the published network.

    Args:
        sizes: Sizes.
        rngs: Stream of the initial parameters.

    Attributes:
        sizes: Sizes.
    """

    def __init__(self, sizes: Sizes = VOC, *, rngs: nnx.Rngs):
        self.sizes = sizes
        self.base_net = Encoder(sizes, rngs=rngs)
        inputs, outputs = sizes.levels[-1], (*sizes.decoder, sizes.classes)
        finer = sizes.levels[-2::-1]
        for number, units in enumerate(outputs, start=1):
            if number > 1:
                gate = GatedReduction(finer[number - 2], inputs, rngs=rngs)
                setattr(self, f"merge_enc_dec_l{number}", gate)
                setattr(self, f"bu_br_l{number}", normalised(inputs))
            last = number == len(outputs)
            pyramid = Pyramid(inputs, units, sizes.filters, last=last, rngs=rngs)
            setattr(self, f"bu_dec_l{number}", pyramid)
            inputs = units

    def __call__(self, images: Any) -> Float[Array, "B H W C"]:
        """Score the classes at every pixel.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], normalised as ImageNet's, see
                `imagenet_normalised`. The published weights saw sides that are multiples of 32.

        Returns:
            Scores of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        return with_equal_corners(self.coarse_scores(images), (images.shape[1], images.shape[2]))

    def coarse_scores(self, images: Any) -> Float[Array, "B h w C"]:
        """Score the classes at the cells of maps half as large; see `__call__`.

        The corner cells lie on the corner pixels. Between the cells, scores of pixels are
        interpolated linearly.
        """
        dtype = self.base_net.level1.conv.kernel.dtype
        units, *finer = reversed(self.base_net(checked_images(images, dtype=dtype, least=(16, 16))))
        for number, level in enumerate(finer, start=2):
            units = getattr(self, f"bu_dec_l{number - 1}")(units)
            gated = getattr(self, f"merge_enc_dec_l{number}")(level)
            units = gated + with_equal_corners(units, (level.shape[1], level.shape[2]))
            units = getattr(self, f"bu_br_l{number}")(units)
        return getattr(self, f"bu_dec_l{len(finer) + 1}")(units)


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> ESPNetV2:
    """Make the network that fits some weights.

    Args:
        shapes: PyTorch's names and shapes. Sizes whose name is missing or malformed are those of
            the published network for PASCAL VOC.
        rngs: Stream of the initial parameters.
    """

    def found(name: str, default: int) -> int:
        return units_in(shapes, f"{name}.weight", default)

    levels = [found("base_net.level1.conv", VOC.levels[0])]
    for number, default in enumerate(VOC.levels[1:], start=2):
        levels.append(found(f"base_net.level{number}_0.inp_reinf.1.conv", default))
    depths = [
        _blocks_in(shapes, f"base_net.level{number}.") or default
        for number, default in zip((3, 4), VOC.depths, strict=True)
    ]
    decoder = [
        found(f"bu_dec_l{number}.merge_layer.3", default)
        for number, default in enumerate(VOC.decoder, start=1)
    ]
    last = len(VOC.decoder) + 1
    sizes = Sizes(
        found(f"bu_dec_l{last}.merge_layer.3", VOC.classes),
        levels=tuple(levels),
        depths=(depths[0], depths[1]),
        decoder=tuple(decoder),
        filters=found("bu_dec_l1.stages.0", VOC.filters),
    )
    return ESPNetV2(sizes, rngs=rngs or nnx.Rngs(0))


def _blocks_in(shapes: Shapes, prefix: str) -> int:
    """Count the blocks of a level."""
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if prefix in name})


# --- the encoder ----------------------------------------------------------------------------------


class Encoder(nnx.Module):
    """Four levels, at a half, a quarter, an eighth and a sixteenth of the images' size."""

    def __init__(self, sizes: Sizes, *, rngs: nnx.Rngs):
        first, second, third, fourth = sizes.levels
        self.level1 = convolved(3, first, size=3, stride=2, rngs=rngs)
        self.level2_0 = Halving(first, second, rngs=rngs)
        self.level3_0 = Halving(second, third, rngs=rngs)
        self.level3 = repeated(third, sizes.depths[0], _WIDE, rngs=rngs)
        self.level4_0 = Halving(third, fourth, rngs=rngs)
        self.level4 = repeated(fourth, sizes.depths[1], _NARROW, rngs=rngs)

    def __call__(self, images: Float[Array, "B H W 3"]) -> list[Float[Array, "B _ _ _"]]:
        """Return the units of all levels."""
        quarter = averaged(averaged(images))
        eighth = averaged(quarter)
        first = self.level1(images)
        second = self.level2_0(first, quarter)
        third = self.level3(self.level3_0(second, eighth))
        return [first, second, third, self.level4(self.level4_0(third, averaged(eighth)))]


class SplitAndMerge(nnx.Module):
    """Looks at few units through four depthwise kernels of growing width, and joins the four.

    Each branch is added to the next, so that the wider ones leave no gaps. Where the output has the
    size of the input, it is added to it.

    Args:
        inputs: Channels in.
        units: Units.
        dilations: Of the kernels.
        stride: Of the kernels.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self, inputs: int, units: int, dilations: Sequence[int], *, stride: int = 1, rngs: nnx.Rngs
    ):
        few = units // _BRANCHES
        self.proj_1x1 = convolved(inputs, few, groups=_BRANCHES, rngs=rngs)
        self.spp_dw = Chain(
            {
                str(number): Chain(
                    {"conv": depthwise(few, dilation=dilation, stride=stride, rngs=rngs)}
                )
                for number, dilation in enumerate(dilations)
            }
        )
        self.br_after_cat = Chain({"bn": batch_norm(units), "act": PReLU(units)})
        self.conv_1x1_exp = convolved(units, units, groups=_BRANCHES, activated=False, rngs=rngs)
        self.module_act = PReLU(units)
        self.adds_input = stride == 1 and inputs == units

    def __call__(self, inputs: Float[Array, "B H W I"]) -> Float[Array, "B h w U"]:
        few = self.proj_1x1(inputs)
        branches: list[Array] = []
        for name in self.spp_dw.names:
            branch = getattr(self.spp_dw, name)(few)
            branches.append(branch + branches[-1] if branches else branch)
        units = self.conv_1x1_exp(self.br_after_cat(jnp.concatenate(branches, axis=-1)))
        return self.module_act(units + inputs) if self.adds_input else units


class Halving(nnx.Module):
    """Halves the grid: means beside new units, and on top what a small image says."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs):
        self.eesp = SplitAndMerge(inputs, units - inputs, _WIDE, stride=2, rngs=rngs)
        self.inp_reinf = Chain(
            {
                "0": convolved(3, 3, size=3, rngs=rngs),
                "1": convolved(3, units, activated=False, rngs=rngs),
            }
        )
        self.act = PReLU(units)

    def __call__(
        self, units: Float[Array, "B H W I"], image: Float[Array, "B h w 3"]
    ) -> Float[Array, "B h w U"]:
        both = jnp.concatenate([averaged(units), self.eesp(units)], axis=-1)
        return self.act(both + self.inp_reinf(image))


def repeated(units: int, depth: int, dilations: Sequence[int], *, rngs: nnx.Rngs) -> Chain:
    """Make blocks that keep size and units, "0" and so on."""
    return Chain({str(i): SplitAndMerge(units, units, dilations, rngs=rngs) for i in range(depth)})


# --- the decoder ----------------------------------------------------------------------------------


class Pyramid(nnx.Module):
    """Filters few units on five grids, from twice as fine to ten times coarser, and mixes them.

    Args:
        inputs: Channels in.
        units: Units.
        few: Channels that are filtered.
        last: Whether its output is that of the network, which is not normalised.
        rngs: Stream of the initial parameters.
    """

    def __init__(self, inputs: int, units: int, few: int, *, last: bool, rngs: nnx.Rngs):
        number = len(_SCALES)
        self.stages = Chain({str(i): depthwise(few, rngs=rngs) for i in range(number)})
        self.projection_layer = named_by_number(inputs, few, rngs=rngs)
        self.merge_layer = Chain(
            {
                "0": Chain({"br": normalised(number * few)}),
                "1": interleaved,
                "2": named_by_number(number * few, few, size=3, groups=few, rngs=rngs),
                "3": Conv2D(few, units, (1, 1), use_bias=last, rngs=rngs),
            }
        )
        self.br = None if last else Chain({"br": normalised(units)})

    def __call__(self, units: Float[Array, "B H W I"]) -> Float[Array, "B H W U"]:
        few = self.projection_layer(units)
        size = few.shape[1], few.shape[2]
        branches = []
        for number, scale in enumerate(_SCALES):
            convolve = getattr(self.stages, str(number))
            height, width = (max(math.ceil(side * scale), _LEAST) for side in size)
            if scale > 1:
                branch = means(convolve(with_equal_corners(few, (height, width))), size)
            elif scale < 1:
                branch = with_equal_corners(convolve(means(few, (height, width))), size)
            else:
                branch = convolve(few)
            branches.append(branch)
        units = self.merge_layer(jnp.concatenate(branches, axis=-1))
        return units if self.br is None else self.br(units)


class GatedReduction(nnx.Module):
    """Reduces units, each multiplied by a gate that the means of the image open."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs):
        self.wt_layer = Chain(
            {
                "0": lambda units: units.mean(axis=(1, 2), keepdims=True),
                "1": Conv2D(inputs, units, (1, 1), use_bias=False, rngs=rngs),
                "2": jax.nn.sigmoid,
            }
        )
        groups = math.gcd(inputs, units)
        self.expansion_layer = named_by_number(inputs, units, size=3, groups=groups, rngs=rngs)

    def __call__(self, units: Float[Array, "B H W I"]) -> Float[Array, "B H W U"]:
        return self.expansion_layer(units) * self.wt_layer(units)


# --- layers ---------------------------------------------------------------------------------------


def normalised(units: int) -> Chain:
    """Make a normalisation "0" and a PReLU "1"."""
    return Chain({"0": batch_norm(units), "1": PReLU(units)})


def convolved(
    inputs: int,
    units: int,
    *,
    size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activated: bool = True,
    rngs: nnx.Rngs,
) -> Any:
    """Make a convolution "conv", its normalisation "bn" and, if it has one, a PReLU "act"."""
    parts: Mapping[str, Any] = {
        "conv": _convolution(inputs, units, size, stride=stride, groups=groups, rngs=rngs),
        "bn": batch_norm(units),
    }
    return Chain({**parts, "act": PReLU(units)} if activated else parts)


def named_by_number(
    inputs: int, units: int, *, size: int = 1, groups: int = 1, rngs: nnx.Rngs
) -> Chain:
    """Make `cbr`: a convolution "0", its normalisation "1" and a PReLU "2"."""
    convolution = _convolution(inputs, units, size, groups=groups, rngs=rngs)
    return Chain({"cbr": Chain({"0": convolution, "1": batch_norm(units), "2": PReLU(units)})})


def depthwise(units: int, *, dilation: int = 1, stride: int = 1, rngs: nnx.Rngs) -> Conv2D:
    """Make a convolution with a 3 x 3 kernel for every unit."""
    return _convolution(units, units, 3, dilation=dilation, stride=stride, groups=units, rngs=rngs)


def _convolution(
    inputs: int,
    units: int,
    size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    rngs: nnx.Rngs,
) -> Conv2D:
    return Conv2D(
        inputs,
        units,
        (size, size),
        strides=(stride, stride),
        padding=centred(size, dilation),
        dilation=dilation,
        groups=groups,
        use_bias=False,
        rngs=rngs,
    )


def interleaved(units: Float[Array, "B H W U"]) -> Float[Array, "B H W U"]:
    """Lay the five branches of a unit side by side, for it is mixed from these alone."""
    apart = units.reshape(*units.shape[:3], len(_SCALES), -1)
    return apart.swapaxes(-1, -2).reshape(units.shape)


def averaged(units: Float[Array, "B H W U"]) -> Float[Array, "B h w U"]:
    """Halve the grid by means of 3 x 3 cells; those beyond the border count as zero."""
    kernel = jnp.full((3, 3, 1, units.shape[3]), 1 / 9, units.dtype)
    return conv2d(units, kernel, strides=(2, 2), padding=centred(3), groups=units.shape[3])


def means(units: Float[Array, "B H W U"], size: Shape) -> Float[Array, "B h w U"]:
    """Average over the cells of a grid that each cell of another overlaps, as adaptive pooling.

    A cell overlaps few others, so that their weighted sum is quicker than a product of matrices.
    """
    for axis, target in enumerate(size, start=1):
        cell, place = np.arange(target)[:, None], np.arange(units.shape[axis])[None]
        first = cell * units.shape[axis] // target
        last = -(-(cell + 1) * units.shape[axis] // target)
        inside = (first <= place) & (place < last)
        units = _mixed(units, inside / inside.sum(axis=1, keepdims=True), axis)
    return units


def _mixed(
    units: Float[Array, "B H W U"], weights: np.ndarray, axis: int
) -> Float[Array, "B h w U"]:
    """Mix places along an axis, with few weights [target, source] that are not zero."""
    most = (weights > 0).sum(axis=1).max()
    places = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    shares = np.take_along_axis(weights, places, axis=1)
    shape = tuple(-1 if i == axis else 1 for i in range(4))
    return reduce(
        add,
        (
            jnp.take(units, place, axis=axis) * jnp.asarray(share, units.dtype).reshape(shape)
            for place, share in zip(places.T, shares.T, strict=True)
        ),
    )
