"""AlexNet, the first of the scene classifiers that the paper compares.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012, with pooling before normalisation as in Caffe. Names are those of the
published Places365 weights. The AlexNet of torchvision is another network (of other widths and
paddings, without normalisation): `jaxdissect.networks.models.alexnet_torchvision`.

Letters of shapes: B batch, U units, N classes.
"""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.models.layers import PLACES365, ImageClassifier, max_pool, units_in
from jaxdissect.networks.weights.mapping import Shapes

WIDTHS = (96, 256, 384, 384, 256)
"""Units of the five convolutions."""

HIDDEN = 4096
"""Units of the two hidden linear maps."""

SIDES = range(227, 259)
"""Heights and widths of images that make `pool5` 6 x 6, as `fc6` expects; 227 in training."""


def local_response_norm(
    inputs: Float[Array, "*places U"], *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> Float[Array, "*places U"]:
    """Divide every unit by the outputs of it and of its neighbours among the units (section 3.3).

    Args:
        inputs: Activations.
        size: Units in a neighbourhood n, half of them before the unit, rounded down.
        alpha: Weight of the mean square of a neighbourhood.
        beta: Exponent.

    Returns:
        ``x[u] / (1 + alpha / n sum_v x[v]^2)^beta``, v in the neighbourhood of u. Units that do
        not exist count as zeros: n is the same at the ends. (The paper's alpha is alpha / n here,
        its k is 2; this is Caffe's form.)
    """
    units = inputs.shape[-1]
    before = size // 2
    pads = [(0, 0)] * (inputs.ndim - 1) + [(before, size - 1 - before)]
    squares = jnp.pad(jnp.square(inputs), pads)
    total = sum(squares[..., start : start + units] for start in range(size))
    return inputs / (1 + alpha / size * total) ** beta


class AlexNet(ImageClassifier):
    """Five convolutions and three linear maps, in one chain of layers.

    Layers are `conv1`, `relu1`, `pool1`, `lrn1`, `conv2`, `relu2`, `pool2`, `lrn2`, `conv3`,
    `relu3`, `conv4`, `relu4`, `conv5`, `relu5`, `pool5`, `flatten`, `fc6`, `relu6`, `dropout6`,
    `fc7`, `relu7`, `dropout7`, `fc8`; what was dropout in training does nothing here.
    The numbers of the paper for "conv5" come from what is `relu5` here, because the ReLU of the
    reference overwrote the activations that were kept, while its edits act before the ReLU.

    Args:
        num_classes: Classes, N.
        widths: Units of the convolutions.
        hidden: Units of `fc6` and `fc7`.
        include_lrn: Whether there are `lrn1` and `lrn2`.
        split_groups: Whether `conv2`, `conv4` and `conv5` have two groups, each reading half of
            the units before; all but the last of `widths` are even then.
        include_dropout: Whether there are `dropout6` and `dropout7`.
        rngs: Stream of the initial parameters.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: tuple[int, ...] = WIDTHS,
        hidden: int = HIDDEN,
        include_lrn: bool = True,
        split_groups: bool = True,
        include_dropout: bool = True,
        rngs: nnx.Rngs,
    ):
        first, second, third, fourth, fifth = widths
        grouped = partial(Conv2D, groups=2 if split_groups else 1, rngs=rngs)
        pool = partial(max_pool, size=3, stride=2)
        layers = {
            "conv1": Conv2D(3, first, (11, 11), strides=(4, 4), padding="VALID", rngs=rngs),
            "relu1": nnx.relu,
            "pool1": pool,
            "lrn1": local_response_norm,
            "conv2": grouped(first, second, (5, 5)),
            "relu2": nnx.relu,
            "pool2": pool,
            "lrn2": local_response_norm,
            "conv3": Conv2D(second, third, rngs=rngs),
            "relu3": nnx.relu,
            "conv4": grouped(third, fourth),
            "relu4": nnx.relu,
            "conv5": grouped(fourth, fifth),
            "relu5": nnx.relu,
            "pool5": pool,
            "flatten": _flatten,
            "fc6": nnx.Linear(6 * 6 * fifth, hidden, rngs=rngs),
            "relu6": nnx.relu,
            "dropout6": nnx.identity,
            "fc7": nnx.Linear(hidden, hidden, rngs=rngs),
            "relu7": nnx.relu,
            "dropout7": nnx.identity,
            "fc8": nnx.Linear(hidden, num_classes, rngs=rngs),
        }
        optional = {"lrn": include_lrn, "dropout": include_dropout}
        absent = tuple(kind for kind, included in optional.items() if not included)
        super().__init__(
            {name: layer for name, layer in layers.items() if not name.startswith(absent)},
            side=SIDES[0],
            sides=SIDES,
        )


def _flatten(units: Float[Array, "B h w U"]) -> Float[Array, "B UhW"]:
    """Lay units one after the other, each row by row: so the published weights count them."""
    return units.transpose(0, 3, 1, 2).reshape(len(units), -1)


def from_shapes(shapes: Shapes, *, rngs: nnx.Rngs | None = None) -> AlexNet:
    """Build the network in the sizes of some weights, given PyTorch's names and shapes.

    Sizes that cannot be read are the published ones. Groups are split unless `conv2` reads all
    units of `conv1`. `rngs` are those of the initial parameters.
    """
    widths = tuple(
        units_in(shapes, f"conv{number}.weight", width) for number, width in enumerate(WIDTHS, 1)
    )
    return AlexNet(
        units_in(shapes, "fc8.weight", PLACES365),
        widths=widths,
        hidden=units_in(shapes, "fc6.weight", HIDDEN),
        split_groups=shapes.get("conv2.weight", ())[1:2] != widths[:1],
        rngs=nnx.Rngs(0) if rngs is None else rngs,
    )
