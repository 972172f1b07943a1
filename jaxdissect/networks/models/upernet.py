"""UPerNet: one network that names the objects, parts, materials and the scene of an image.

Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018, section 3: pyramid
pooling on top of a feature pyramid (Lin et al., "Feature Pyramid Networks for Object Detection",
CVPR 2017, section 3), whose levels are fused for objects and parts; the finest alone classifies
materials, the coarsest the scene.

Letters of shapes: B batch, H W input, G grid rows, X grid columns, h w finest stage, U units,
O objects, P part classes, M materials, S scenes.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.arrays.roi_pool import precise_roi_pool
from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import (
    Chain,
    Layer,
    adaptive_average_pool,
    batch_norm,
    units_in,
)
from jaxdissect.networks.models.pyramid_pooling import (
    POOL_SIZES,
    Grid,
    PyramidConv,
    on_grid,
    probabilities,
    resized,
    size_of,
    wide,
)
from jaxdissect.networks.models.residual import (
    RESNET50,
    Filters,
    Sizes,
    convolution,
    network_input,
    rectified,
    resnet50,
    sizes_in,
)
from jaxdissect.networks.weights.mapping import Shapes

MEAN = (102.9801, 115.9465, 122.7717)
"""Of blue, green and red, in 0..255, when the network was trained."""

NUM_PARTS = 427
"""Part classes of the published network: 77 kinds of objects have 1 to 23, and "none" each."""


class UnifiedParsing(NamedTuple):
    """Probabilities of everything that UPerNet names.

    Attributes:
        objects: [B, G, X, O], of objects. Class 0 is "none of them", here and below.
        parts: [B, G, X, P_i] for every kind of object that has parts, i in ascending order of the
            objects: of its parts, if the pixel belongs to such an object.
        materials: [B, G, X, M], of materials.
        scenes: [B, S], of the image's scene; every class is one.
    """

    objects: Float[Array, "B G X O"]
    parts: tuple[Float[Array, "B G X _"], ...]
    materials: Float[Array, "B G X M"]
    scenes: Float[Array, "B S"]


def prepare(images: Any) -> Float[Array, "B H W 3"]:
    """Turn RGB images in [0, 1] into the network's input: BGR in 0..255 less `MEAN`."""
    return network_input(images, mean=MEAN)


class UPerNet(nnx.Module):
    """A ResNet-50 (`encoder`) whose four stages are parsed (`decoder`).

    Layers and parameters have the names of the published network. Where a rectified output is a
    layer of its own, such as "decoder.conv_fusion.2" after "decoder.conv_fusion.1", published
    numbers are those of the rectified one, since the reference's ReLU overwrites its input; edits
    act where they are named.

    Args:
        part_sizes: How many part classes each kind of object with parts has, "none" included, in
            ascending order of the objects. Weights only have their sum. If empty, no
            parts are given.
        num_objects, num_materials, num_scenes: Classes.
        num_parts: Part classes in all; by default the sum of `part_sizes`.
        width: Units of all maps of the decoder.
        sizes: Sizes of the encoder.
        rngs: Stream of the initial parameters.

    Raises:
        ValueError: If `part_sizes` do not add up to `num_parts`.
    """

    def __init__(
        self,
        part_sizes: Sequence[int] = (),
        *,
        num_objects: int = 336,
        num_parts: int | None = None,
        num_materials: int = 26,
        num_scenes: int = 365,
        width: int = 512,
        sizes: Sizes = RESNET50,
        rngs: nnx.Rngs,
    ):
        self.part_sizes = tuple(part_sizes)
        num_parts = num_parts or sum(part_sizes) or NUM_PARTS
        if self.part_sizes and (min(part_sizes) < 1 or sum(part_sizes) != num_parts):
            raise ValueError(
                f"`part_sizes` (={self.part_sizes}) must be the positive numbers of part classes "
                f"of each kind of object with parts, and add up to the {num_parts} part classes of "
                f"the weights; they add up to {sum(part_sizes)}"
            )
        self.encoder = resnet50(sizes, rngs=rngs)
        classes = (num_objects, num_parts, num_materials, num_scenes)
        self.decoder = UPerNetDecoder(self.encoder.widths, width, classes, rngs=rngs)

    def __call__(self, images: Any, grid: Grid | None = None) -> UnifiedParsing:
        """Parse images.

        Args:
            images: Floats [B, H, W, 3]: BGR in 0..255 less `MEAN`, as `prepare` makes them, 32
                pixels or more down and across.
            grid: Height G and width X of the label grid; static. By default that of the images.

        Returns:
            Probabilities, in float32 whatever the dtype of the parameters.

        Raises:
            ValueError: If the images have other axes, are no floats, or are too small.
        """
        objects, parts, materials, scenes = self.decoder(self.encoder(images))
        grid = grid or size_of(images)
        parts = on_grid(parts, grid)
        groups = zip(self.part_sizes, accumulate(self.part_sizes), strict=True)
        return UnifiedParsing(
            objects=probabilities(objects, grid),
            parts=tuple(jax.nn.softmax(parts[..., end - size : end]) for size, end in groups),
            materials=probabilities(materials, grid),
            scenes=jax.nn.softmax(wide(scenes)),
        )


class UPerNetDecoder(nnx.Module):
    """Parses the stages of a residual network.

    Args:
        widths: Units of the stages.
        width: Units of all maps in between.
        classes: How many objects, part classes, materials and scenes there are.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        widths: Sequence[int],
        width: int,
        classes: tuple[int, int, int, int],
        *,
        rngs: nnx.Rngs,
    ):
        *finer, coarsest = widths
        pooled = [partial(precise_roi_pool, size=size) for size in POOL_SIZES]
        self.ppm_pooling = nnx.List(Layer(pool) for pool in pooled)
        self.ppm_conv = nnx.List(rectified(coarsest, width, size=1, rngs=rngs) for _ in pooled)
        self.ppm_last_conv = rectified(coarsest + len(pooled) * width, width, rngs=rngs)
        self.fpn_in = nnx.List(rectified(units, width, size=1, rngs=rngs) for units in finer)
        self.fpn_out = nnx.List(Chain({"0": rectified(width, width, rngs=rngs)}) for _ in finer)
        self.conv_fusion = Chain(
            {
                "0": PyramidConv([width] * len(widths), width, rngs=rngs),
                "1": batch_norm(width),
                "2": nnx.relu,
            }
        )
        objects, parts, materials, scenes = classes
        self.scene_head = Chain(
            {
                "0": rectified(width, width, rngs=rngs),
                "1": partial(adaptive_average_pool, shape=(1, 1)),
                "2": _classes(width, scenes, rngs=rngs),
            }
        )
        self.object_head = _head(width, objects, rngs=rngs)
        self.part_head = _head(width, parts, rngs=rngs)
        self.material_head = _head(width, materials, rngs=rngs)

    def __call__(
        self, stages: Sequence[Float[Array, "B _ _ _"]]
    ) -> tuple[
        Float[Array, "B h w O"],
        Float[Array, "B h w P"],
        Float[Array, "B h w M"],
        Float[Array, "B S"],
    ]:
        """Give logits of objects, part classes, materials and scenes."""
        merged = self._pyramid_pooled(stages[-1])
        scenes = self.scene_head(merged)[:, 0, 0]
        levels = [merged]
        lateral = zip(stages[:-1], self.fpn_in, self.fpn_out, strict=True)
        for stage, inside, outside in reversed(list(lateral)):
            merged = inside(stage) + resized(merged, size_of(stage))
            levels.insert(0, outside(merged))
        fused = self.conv_fusion(levels)
        return (
            self.object_head(fused),
            self.part_head(fused),
            self.material_head(levels[0]),
            scenes,
        )

    def _pyramid_pooled(self, stage: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        # Unlike in the color network, maps are rectified after they were resized.
        pyramid = zip(self.ppm_pooling, self.ppm_conv, strict=True)
        pooled = (convolve(resized(pool(stage), size_of(stage))) for pool, convolve in pyramid)
        return self.ppm_last_conv(jnp.concatenate([stage, *pooled], axis=3))


def from_shapes(shapes: Shapes, *, part_sizes: Sequence[int] = ()) -> UPerNet:
    """Make the network that fits some weights.

    Args:
        shapes: PyTorch's names and shapes, of both files together: names start with "encoder." or
            "decoder.". Sizes whose name is missing or malformed are those of the published network.
        part_sizes: Part classes of every object that has parts, as given to `UPerNet`.

    Raises:
        ValueError: If `part_sizes` do not add up to the part classes of the weights.
    """

    def units(name: str, default: int) -> int:
        return units_in(shapes, f"decoder.{name}.weight", default)

    return UPerNet(
        part_sizes,
        num_objects=units("object_head.1", 336),
        num_parts=units("part_head.1", sum(part_sizes) or NUM_PARTS),
        num_materials=units("material_head.1", 26),
        num_scenes=units("scene_head.2", 365),
        width=units("ppm_last_conv.0", 512),
        sizes=sizes_in(shapes, RESNET50),
        rngs=nnx.Rngs(0),
    )


def _classes(inputs: int, classes: int, *, rngs: nnx.Rngs) -> Conv2D:
    return convolution(inputs, Filters(classes, size=1), bias=True, rngs=rngs)


def _head(inputs: int, classes: int, *, rngs: nnx.Rngs) -> Chain:
    return Chain(
        {"0": rectified(inputs, inputs, rngs=rngs), "1": _classes(inputs, classes, rngs=rngs)}
    )
