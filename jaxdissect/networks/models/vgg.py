"""VGG under torchvision's names: eleven to nineteen layers, with and without batch normalisation.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015, table 1, configurations A, B, D and E. The VGG-16 of the paper, whose layers have names such
as `conv5_3`, is `jaxdissect.networks.models.vgg16`.

Letters of shapes: U units, N classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from jaxdissect.networks.convolution import Conv2D, max_pool2d
from jaxdissect.networks.models.layers import IMAGENET, PooledClassifier, batch_norm, units_in
from jaxdissect.networks.weights.mapping import Arrays, Shapes
from jaxdissect.networks.weights.stored import StoredArray, made_when_read

DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions of every block, by network."""

WIDTHS = (64, 128, 256, 512, 512)
"""Units of every block."""

HIDDEN = 4096
"""Units of the two hidden linear maps."""

GRID = (7, 7)
"""What the first linear map sees: the grid of the last pooling for images of 224 x 224."""

LEAST = (32, 32)
"""The smallest images: five poolings leave one cell."""


class Place(NamedTuple):
    """A layer among the convolutions.

    Attributes:
        kind: "conv", "bn" (batch normalisation), "relu" or "pool".
        block: Number of its block, from 1 on.
        number: Number of its convolution in the block, from 1 on.
    """

    kind: str
    block: int
    number: int


def places(depths: tuple[int, ...], *, normalised: bool = False) -> list[Place]:
    """List the layers of VGG's convolutions in their order, by which torchvision names them.

    Args:
        depths: Convolutions of every block.
        normalised: Whether batch normalisation follows every convolution.
    """
    kinds = ("conv", "bn", "relu") if normalised else ("conv", "relu")
    found = []
    for block, depth in enumerate(depths, 1):
        found += [Place(kind, block, index) for index in range(1, depth + 1) for kind in kinds]
        found.append(Place("pool", block, depth))
    return found


def convolutions(
    named: Mapping[str, Place], widths: tuple[int, ...], *, rngs: nnx.Rngs
) -> dict[str, Callable[[Any], Any]]:
    """Make the layers of VGG's convolutions.

    Args:
        named: What they are, by name in their order.
        widths: Units of every block.
        rngs: Stream of the initial parameters.
    """
    layers: dict[str, Callable[[Any], Any]] = {}
    inputs = 3
    for name, (kind, block, _) in named.items():
        units = widths[block - 1]
        if kind == "conv":
            layers[name] = Conv2D(inputs, units, rngs=rngs)
            inputs = units
        elif kind == "bn":
            layers[name] = batch_norm(units)
        else:
            layers[name] = nnx.relu if kind == "relu" else max_pool2d
    return layers


def linear_maps(
    names: tuple[str, ...], inputs: int, hidden: int, num_classes: int, *, rngs: nnx.Rngs
) -> dict[str, Callable[[Any], Any]]:
    """Make the seven layers of VGG's classifier: what was dropout in training does nothing here."""
    layers = (
        nnx.Linear(GRID[0] * GRID[1] * inputs, hidden, rngs=rngs),
        nnx.relu,
        nnx.identity,
        nnx.Linear(hidden, hidden, rngs=rngs),
        nnx.relu,
        nnx.identity,
        nnx.Linear(hidden, num_classes, rngs=rngs),
    )
    return dict(zip(names, layers, strict=True))


class VGG(PooledClassifier):
    """Convolutions in five blocks, each followed by a pooling, and three linear maps.

    Layers are named by torchvision, by their positions: `features.0`, `features.1`, ..., a
    convolution, with batch normalisation that, and a ReLU at a time, and the pooling after a
    block; `avgpool`; `classifier.0` to `classifier.6`.

    Args:
        num_classes: Classes, N.
        depths: Convolutions of every block.
        normalised: Whether batch normalisation follows every convolution.
        widths: Units of the convolutions in every block.
        hidden: Units of the hidden linear maps.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...] = DEPTHS["vgg16"],
        normalised: bool = False,
        widths: tuple[int, ...] = WIDTHS,
        hidden: int = HIDDEN,
        rngs: nnx.Rngs,
    ):
        named = {str(n): place for n, place in enumerate(places(depths, normalised=normalised))}
        maps = tuple(map(str, range(7)))
        super().__init__(
            convolutions(named, widths, rngs=rngs),
            linear_maps(maps, widths[-1], hidden, num_classes, rngs=rngs),
            grid=GRID,
            least=LEAST,
        )


def last_convolution(depths: tuple[int, ...], *, normalised: bool = False) -> tuple[str, str]:
    """Name the last convolution and its ReLU."""
    last_pooling = len(places(depths, normalised=normalised)) - 1
    return f"features.{last_pooling - 3 if normalised else last_pooling - 2}", (
        f"features.{last_pooling - 1}"
    )


def from_shapes(
    shapes: Shapes,
    *,
    depths: tuple[int, ...] = DEPTHS["vgg16"],
    normalised: bool = False,
    rngs: nnx.Rngs | None = None,
) -> VGG:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Sizes that cannot be read are the published ones. `rngs` are those of the initial parameters,
    all else is as in `VGG`.
    """
    first = {
        place.block: f"features.{number}.weight"
        for number, place in enumerate(places(depths, normalised=normalised))
        if place.kind == "conv" and place.number == 1
    }
    return VGG(
        units_in(shapes, "classifier.6.weight", IMAGENET),
        depths=depths,
        normalised=normalised,
        widths=tuple(
            units_in(shapes, first[block], width) for block, width in enumerate(WIDTHS, 1)
        ),
        hidden=units_in(shapes, "classifier.0.weight", HIDDEN),
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )


TIMM_NAMES = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}
"""Names of the linear maps, by their names in timm."""


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of timm to torchvision's; others are returned as they are.

    timm's first two linear maps are convolutions, with kernels of 7 x 7 and of one cell.

    Args:
        arrays: Weights by name, such as "classifier.0.weight" or "pre_logits.fc1.weight".
    """
    renamed = {}
    for name, array in without_parallel(arrays).items():
        layer, _, own = name.rpartition(".")
        if layer in TIMM_NAMES:
            name = f"{TIMM_NAMES[layer]}.{own}"
            array = _flattened(array) if array.ndim == 4 else array
        renamed[name] = array
    return renamed


def without_parallel(arrays: Arrays) -> Arrays:
    """Take off the `module.` behind `features.` of weights whose convolutions alone were parallel.

    So PyTorch's own script trains VGG and AlexNet.
    """
    return {name.replace("features.module.", "features."): array for name, array in arrays.items()}


def _flattened(array: Any) -> StoredArray:
    """Join all axes but the first, when the array is read."""
    shape = (array.shape[0], int(np.prod(array.shape[1:])))
    return made_when_read(lambda values: values.reshape(shape), shape, array)
