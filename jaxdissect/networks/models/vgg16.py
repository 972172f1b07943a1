"""VGG-16, the scene classifier of the paper.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015, table 1, configuration D. Names are those of the published Places365 weights.

Letters of shapes: U units, N classes.
"""

from flax import nnx

from jaxdissect.networks.models import vgg
from jaxdissect.networks.models.layers import PLACES365, PooledClassifier, units_in
from jaxdissect.networks.models.vgg import GRID, HIDDEN, LEAST, WIDTHS, Place
from jaxdissect.networks.weights.mapping import Arrays, Shapes

DEPTHS = vgg.DEPTHS["vgg16"]
"""Convolutions of every block."""

PLACES = vgg.places(DEPTHS)
"""Layers of the convolutions, in their order."""

CLASSIFIER = ("fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8a")
"""Layers of the classifier, in their order."""


class VGG16(PooledClassifier):
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
        super().__init__(
            vgg.convolutions({_name(place): place for place in PLACES}, widths, rngs=rngs),
            vgg.linear_maps(CLASSIFIER, widths[-1], hidden, num_classes, rngs=rngs),
            grid=GRID,
            least=LEAST,
        )


def _name(place: Place) -> str:
    """Name a layer as in the published weights."""
    kind, block, number = place
    return f"pool{block}" if kind == "pool" else f"{kind}{block}_{number}"


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


def reference_names(arrays: Arrays) -> Arrays:
    """Rename weights in the naming of torchvision or timm; others are returned as they are.

    Args:
        arrays: Weights by name, such as "features.0.weight" or "features.conv1_1.weight".
    """
    theirs = vgg.reference_names(arrays)
    parts = {name: name.rpartition(".") for name in theirs}
    if not {layer for layer, _, _ in parts.values()} <= PUBLISHED_NAMES.keys():
        return dict(arrays)
    return {
        f"{PUBLISHED_NAMES[layer]}.{own}": theirs[name] for name, (layer, _, own) in parts.items()
    }


PUBLISHED_NAMES = {
    f"{part}.{position}": f"{part}.{name}"
    for part, names in (("features", map(_name, PLACES)), ("classifier", CLASSIFIER))
    for position, name in enumerate(names)
    if name.startswith(("conv", "fc"))
}
"""Names of the layers with weights, by their names in torchvision, which are positions."""
