"""Residual networks that classify images, under torchvision's names, which are timm's too.

Depths are those of He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
`jaxdissect.networks.models.residual` describes the blocks.

Letters of shapes: B batch, h w layer grid, U units, N classes.
"""

from functools import partial
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models.layers import IMAGENET, Layer, mean_of_cells, units_in
from jaxdissect.networks.models.residual import (
    BlockKind,
    ResidualLayers,
    Sizes,
    basic_block,
    bottleneck,
    sizes_in,
)
from jaxdissect.networks.models.resnet152_places import torchvision_names
from jaxdissect.networks.weights.mapping import Arrays, Shapes

WIDTHS = (64, 128, 256, 512)
"""Units of the 3 x 3 convolutions in every stage."""

RESNET18 = Sizes(stem=(64,), widths=WIDTHS, depths=(2, 2, 2, 2))
RESNET50 = RESNET18._replace(depths=(3, 4, 6, 3))
RESNET101 = RESNET18._replace(depths=(3, 4, 23, 3))
TWICE_AS_WIDE = tuple(2 * width for width in WIDTHS)

wide_bottleneck = partial(bottleneck, expansion=2)

KINDS: dict[str, tuple[BlockKind, Sizes]] = {
    "resnet18": (basic_block, RESNET18),
    "resnet34": (basic_block, RESNET50),
    "resnet50": (bottleneck, RESNET50),
    "resnet101": (bottleneck, RESNET101),
    "resnet152": (bottleneck, RESNET18._replace(depths=(3, 8, 36, 3))),
    "wide_resnet50_2": (wide_bottleneck, RESNET50._replace(widths=TWICE_AS_WIDE)),
    "wide_resnet101_2": (wide_bottleneck, RESNET101._replace(widths=TWICE_AS_WIDE)),
}
"""What the published networks are made of."""


class ResNet(ResidualLayers):
    """A stem, four stages of residual blocks, an average and a linear map.

    Layers are `conv1`, `bn1`, `relu`, `maxpool`, `layer1` to `layer4`, their blocks `layer1.0`, ...
    with `conv1`, `bn1`, `relu1`, `conv2`, ..., `downsample`, `relu`; `avgpool` and `fc`. Stages and
    blocks end with a ReLU: `layer4` is rectified.

    Args:
        num_classes: Classes, N.
        block: What blocks are made of.
        sizes: Units and depths.
        output_stride: How much smaller than the image the last stage is: 32, or with dilation 16
            or 8, as in the segmentation networks of torchvision.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        block: BlockKind = basic_block,
        sizes: Sizes = RESNET18,
        output_stride: int = 32,
        rngs: nnx.Rngs,
    ):
        super().__init__(block, sizes, output_stride=output_stride, rngs=rngs)
        self.avgpool = Layer(mean_of_cells)
        self.fc = nnx.Linear(self.widths[-1], num_classes, rngs=rngs)

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456, 0.406), over
                the deviation (0.229, 0.224, 0.225), see `imagenet_normalised`; 224 x 224 in
                training, here any size.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If `images` have other axes, are no floats, or have no pixel.
        """
        return self.fc(self.avgpool(self.stage_outputs(images)[-1])[:, 0, 0])


def from_shapes(
    shapes: Shapes,
    *,
    block: BlockKind = basic_block,
    sizes: Sizes = RESNET18,
    output_stride: int = 32,
    rngs: nnx.Rngs | None = None,
) -> ResNet:
    """Build the network in the widths of some weights, given PyTorch's names and shapes.

    Widths that cannot be read are the published ones. `rngs` are those of the initial parameters,
    all else is as in `ResNet`.
    """
    found = sizes_in(shapes, sizes, prefix="")
    return ResNet(
        units_in(shapes, "fc.weight", IMAGENET),
        block=block,
        sizes=found._replace(depths=sizes.depths),
        output_stride=output_stride,
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights of the Places365 network, whose layers are numbered; others keep their names.

    Args:
        arrays: Weights by name, such as "layer1.0.conv1.weight" or "4.0.0.0.0.weight".
    """
    return torchvision_names(arrays)
