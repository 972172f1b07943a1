"""The networks of experiments, narrow and untrained: the same layers by the same names, few units.

They stand in for the published ones in reduced runs, which show that every step works and nothing
of what the paper found.
"""

from collections.abc import Callable
from typing import Any

from flax import nnx

from jaxdissect.networks.models.adain import AdaINDecoder, AdaINEncoder
from jaxdissect.networks.models.alexnet import AlexNet
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.models.pyramid_pooling import PyramidPoolingNetwork
from jaxdissect.networks.models.residual import Sizes
from jaxdissect.networks.models.resnet152_places import SIZES, PlacesResNet152
from jaxdissect.networks.models.upernet import UPerNet
from jaxdissect.networks.models.vgg16 import VGG16

NUM_CLASSES = 6
"""Classes of the narrow classifiers, and of the images of reduced runs."""

UNITS = 12
"""Units of the layers that are studied."""

LATENT_SIZE = 16

_SEGMENTER = Sizes(stem=(4, 4, 8), widths=(4, 6, 8, 8), depths=(1, 1, 1, 1))

PARSING_LABELS: dict[str, Any] = {
    "object": ["-", "wall", "sky", "door", "tree", "window", "building"],
    "material": ["-", "wood", "glass"],
    "object_part": {
        "door": ["-", "knob"],
        "window": ["-", "pane"],
        "building": ["-", "door", "window"],
    },
    "scene": ["abbey", "kitchen", "street"],
    "part": ["-", "knob", "pane"],
}
"""Labels of the narrow segmenter, a file of the published kind."""

COLOR_LABELS: dict[str, Any] = {
    "imageformat": {
        "byteorder": "BGR",
        "mean": [0.40384627, 0.4546843, 0.48145765],
        "stdev": [0.00392157, 0.00392157, 0.00392157],
    },
    "categories": [{"name": "color"}],
    "labels": [{"name": name, "category": "color"} for name in ("black", "blue", "green", "red")],
}
"""Labels of the narrow segmenter of colors, a file of the published kind."""


def _vgg16(rngs: nnx.Rngs) -> nnx.Module:
    return VGG16(NUM_CLASSES, widths=(6, 6, 8, 10, UNITS), hidden=16, rngs=rngs)


def _alexnet(rngs: nnx.Rngs) -> nnx.Module:
    return AlexNet(NUM_CLASSES, widths=(4, 8, 8, 8, UNITS), hidden=16, rngs=rngs)


def _resnet152(rngs: nnx.Rngs) -> nnx.Module:
    # As deep as published: depths are not read from weights.
    sizes = SIZES._replace(stem=(4,), widths=(2, 2, 2, 3))
    return PlacesResNet152(NUM_CLASSES, sizes=sizes, rngs=rngs)


def _proggan(rngs: nnx.Rngs) -> nnx.Module:
    # All resolutions up to 256 x 256, so that there are all fourteen layers.
    return ProgressiveGenerator((LATENT_SIZE, UNITS, UNITS, 8, 6, 4, 4, 4), rngs=rngs)


def _parsing(rngs: nnx.Rngs) -> nnx.Module:
    owned = PARSING_LABELS["object_part"]
    return UPerNet(
        [len(owned[name]) for name in PARSING_LABELS["object"] if name in owned],
        num_objects=len(PARSING_LABELS["object"]),
        num_materials=len(PARSING_LABELS["material"]),
        num_scenes=len(PARSING_LABELS["scene"]),
        width=6,
        sizes=_SEGMENTER,
        rngs=rngs,
    )


def _coloring(rngs: nnx.Rngs) -> nnx.Module:
    return PyramidPoolingNetwork(len(COLOR_LABELS["labels"]), width=6, sizes=_SEGMENTER, rngs=rngs)


def _encoder(rngs: nnx.Rngs) -> nnx.Module:
    return AdaINEncoder((4, 4, "pool", 4, 4, "pool", 6, 6, 6, 6, "pool", 8), rngs=rngs)


def _decoder(rngs: nnx.Rngs) -> nnx.Module:
    return AdaINDecoder(8, (6, "up", 6, 6, 6, 4, "up", 4, 4, "up", 4, 3), rngs=rngs)


NARROW: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
    "vgg16": _vgg16,
    "alexnet": _alexnet,
    "resnet152_places": _resnet152,
    "proggan": _proggan,
    "upernet_resnet50": _parsing,
    "ppm_resnet18dilated": _coloring,
    "adain_encoder": _encoder,
    "adain_decoder": _decoder,
}
"""What builds a narrow network, by the name of its architecture."""

LABELS = {"unified_parsing": PARSING_LABELS, "color": COLOR_LABELS}
"""Label files of the narrow segmenters, by the names of the published weights."""
