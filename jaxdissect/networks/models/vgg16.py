"""VGG-16, the scene classifier of the paper.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015, table 1, configuration D. Names are those of the published Places365 weights.

Letters of shapes: B batch, h w layer grid, U units, N classes.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D, max_pool2d
from jaxdissect.networks.models.layers import (
    Chain,
    Layer,
    adaptive_average_pool,
    checked_images,
    units_in,
)
from jaxdissect.networks.weights.mapping import Arrays, Shapes

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of every block."""

WIDTHS = (64, 128, 256, 512, 512)
"""Units of every block."""

HIDDEN = 4096
"""Units of the two hidden linear maps."""

PLACES365 = 365
"""Classes of the published weights."""

GRID = (7, 7)
"""What the first linear map sees: the grid of `pool5` for images of 224 x 224."""


class VGG16(nnx.Module):
    """Thirteen convolutions in five blocks, each followed by a pooling, and three linear maps.

    Layers are `features.conv1_1`, `features.relu1_1`, ..., `features.pool5`, `avgpool`, and
    `classifier.fc6`, `relu6`, `drop6`, `fc7`, `relu7`, `drop7`, `fc8a`; what was dropout in
    training does nothing here. Convolutions and ReLU are layers of their own: the numbers of the
    paper for "conv5_3" come from what is `features.relu5_3` here, because the ReLU of the
    reference overwrote the activations that were kept, while its edits act before the ReLU, on
    `features.conv5_3`.

    Args:
        num_classes: Classes, N.
        widths: Units of the convolutions in every block.
        hidden: Units of `fc6` and `fc7`.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: tuple[int, ...] = WIDTHS,
        hidden: int = HIDDEN,
        rngs: nnx.Rngs,
    ):
        features = {}
        inputs = 3
        for block, (units, depth) in enumerate(zip(widths, DEPTHS, strict=True), 1):
            for index in range(1, depth + 1):
                features[f"conv{block}_{index}"] = Conv2D(inputs, units, rngs=rngs)
                features[f"relu{block}_{index}"] = nnx.relu
                inputs = units
            features[f"pool{block}"] = max_pool2d
        self.features = Chain(features)
        self.avgpool = Layer(_fitted)
        self.classifier = Chain(
            {
                "fc6": nnx.Linear(GRID[0] * GRID[1] * inputs, hidden, rngs=rngs),
                "relu6": nnx.relu,
                "drop6": nnx.identity,
                "fc7": nnx.Linear(hidden, hidden, rngs=rngs),
                "relu7": nnx.relu,
                "drop7": nnx.identity,
                "fc8a": nnx.Linear(hidden, num_classes, rngs=rngs),
            }
        )

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the classes.

        Args:
            images: Floats [B, H, W, 3]: RGB in [0, 1], less the mean (0.485, 0.456, 0.406), over
                the deviation (0.229, 0.224, 0.225); 224 x 224 in training, here any size from
                32 x 32 on.

        Returns:
            Logits, of which `jax.nn.softmax` makes probabilities.

        Raises:
            ValueError: If `images` have other axes, are no floats, or are too small.
        """
        dtype = getattr(self.features, self.features.names[0]).kernel.dtype
        images = checked_images(images, dtype=dtype, least=(32, 32))
        units = self.avgpool(self.features(images))
        # The published weights of fc6 count units first, then rows, then columns.
        return self.classifier(units.transpose(0, 3, 1, 2).reshape(len(units), -1))


def _fitted(units: Float[Array, "B h w U"]) -> Float[Array, "B 7 7 U"]:
    """Average to the grid that `fc6` expects."""
    return units if units.shape[1:3] == GRID else adaptive_average_pool(units, GRID)


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> VGG16:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Sizes that cannot be read are the published ones. `rngs` are those of the initial parameters.
    """
    return VGG16(
        units_in(shapes, "classifier.fc8a.weight", PLACES365),
        widths=tuple(
            units_in(shapes, f"features.conv{block}_1.weight", width)
            for block, width in enumerate(WIDTHS, 1)
        ),
        hidden=units_in(shapes, "classifier.fc6.weight", HIDDEN),
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def _torchvision_names() -> dict[str, str]:
    """Layers with weights, by their names in torchvision, which are positions."""
    names = {"classifier.0": "classifier.fc6", "classifier.3": "classifier.fc7"}
    names["classifier.6"] = "classifier.fc8a"
    position = 0
    for block, depth in enumerate(DEPTHS, 1):
        for index in range(1, depth + 1):
            names[f"features.{position}"] = f"features.conv{block}_{index}"
            position += 2  # a convolution and its ReLU
        position += 1  # the pooling
    return names


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of torchvision; others are returned as they are.

    Args:
        arrays: Weights by name, such as "features.0.weight" or "features.conv1_1.weight".
    """
    published = _torchvision_names()
    parts = {name: name.rpartition(".") for name in arrays}
    if not {layer for layer, _, _ in parts.values()} <= published.keys():
        return dict(arrays)
    return {f"{published[layer]}.{own}": arrays[name] for name, (layer, _, own) in parts.items()}
