"""AlexNet as in torchvision.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014 (arXiv
1404.5997): narrower than the AlexNet of the paper (`jaxdissect.networks.models.alexnet`), without
groups and normalisation, and with an average before the linear maps, so that images of any size
will do.

Letters of shapes: N classes.
"""

from functools import partial

from flax import nnx

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import IMAGENET, PooledClassifier, max_pool, units_in
from jaxdissect.networks.models.vgg import without_parallel
from jaxdissect.networks.weights.mapping import Arrays, Shapes

WIDTHS = (64, 192, 384, 256, 256)
"""Units of the five convolutions."""

PLACES = (0, 3, 6, 8, 10)
"""Positions of the five convolutions among `features`."""

HIDDEN = 4096
"""Units of the two hidden linear maps."""

GRID = (6, 6)
"""What the first linear map sees: the grid of `features.12` for images of 224 x 224."""

LEAST = (63, 63)
"""The smallest images: three poolings leave one cell."""


class TorchvisionAlexNet(PooledClassifier):
    """Five convolutions and three linear maps.

    Layers are named by torchvision, by their positions: `features.0` to `features.12`
    (convolutions 0, 3, 6, 8 and 10, each with its ReLU behind it, poolings 2, 5 and 12), `avgpool`,
    `classifier.0` to `classifier.6`; what was dropout in training does nothing here.

    Args:
        num_classes: Classes, N.
        widths: Units of the convolutions.
        hidden: Units of the hidden linear maps.
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
        first, second, third, fourth, fifth = widths
        pool = partial(max_pool, size=3, stride=2)
        wide = Conv2D(3, first, (11, 11), strides=(4, 4), padding=((2, 2), (2, 2)), rngs=rngs)
        features = (
            *(wide, nnx.relu, pool),
            *(Conv2D(first, second, (5, 5), rngs=rngs), nnx.relu, pool),
            *(Conv2D(second, third, rngs=rngs), nnx.relu),
            *(Conv2D(third, fourth, rngs=rngs), nnx.relu),
            *(Conv2D(fourth, fifth, rngs=rngs), nnx.relu, pool),
        )
        classifier = (
            nnx.identity,
            nnx.Linear(GRID[0] * GRID[1] * fifth, hidden, rngs=rngs),
            nnx.relu,
            nnx.identity,
            nnx.Linear(hidden, hidden, rngs=rngs),
            nnx.relu,
            nnx.Linear(hidden, num_classes, rngs=rngs),
        )
        super().__init__(
            {str(position): layer for position, layer in enumerate(features)},
            {str(position): layer for position, layer in enumerate(classifier)},
            grid=GRID,
            least=LEAST,
        )


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> TorchvisionAlexNet:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Sizes that cannot be read are the published ones. `rngs` are those of the initial parameters.
    """
    return TorchvisionAlexNet(
        units_in(shapes, "classifier.6.weight", IMAGENET),
        widths=tuple(
            units_in(shapes, f"features.{place}.weight", width)
            for place, width in zip(PLACES, WIDTHS, strict=True)
        ),
        hidden=units_in(shapes, "classifier.1.weight", HIDDEN),
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


def reference_names(arrays: Arrays) -> Arrays:
    """Take off what parallel training has put into the names; others are returned as they are."""
    return without_parallel(arrays)
