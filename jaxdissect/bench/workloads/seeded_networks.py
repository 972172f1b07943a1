"""The networks that are timed: published architectures with seeded random weights.

Weights do not change how long a network takes, as long as its activations stay finite and do not
vanish into denormal numbers; so none need be downloaded. They are drawn by NumPy, which compiles
nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import nnx

from jaxdissect.networks.models import efficientnet_lite, resnet, vgg
from jaxdissect.networks.models.efficientnet_lite import EfficientNetLite
from jaxdissect.networks.models.layers import IMAGENET, PLACES365
from jaxdissect.networks.models.mobilenet_v2 import MobileNetV2
from jaxdissect.networks.models.proggan import ProgressiveGenerator, default_sizes
from jaxdissect.networks.models.residual import bottleneck
from jaxdissect.networks.models.resnet import ResNet
from jaxdissect.networks.models.upernet import UPerNet
from jaxdissect.networks.models.vgg16 import VGG16
from jaxdissect.networks.models.vision_transformer import VisionTransformer
from jaxdissect.networks.weights.mapping import with_parameters

PART_SIZES = (7,) * 61
"""Owners with parts, as many outputs in all as the published segmenter has."""


@dataclass(frozen=True)
class SeededNetwork:
    """How a network is made.

    Attributes:
        build: From image size and the divisor of its widths to the module.
        gain: Variance of a unit over that of what it reads: 2 keeps a network of ReLU as it is (He
            et al., ICCV 2015); 1 is for shortcuts, beside which activations would grow; None for
            weights of variance 1, which the network scales itself.
        multiple: Of which height and width of its images must be multiples.
        narrows: Whether its widths can be divided.
    """

    build: Callable[[int, int], nnx.Module]
    gain: float | None = 2.0
    multiple: int = 1
    narrows: bool = True


def _vgg16(image_size: int, narrower: int) -> nnx.Module:
    widths = tuple(width // narrower for width in vgg.WIDTHS)
    return VGG16(PLACES365, widths=widths, hidden=vgg.HIDDEN // narrower, rngs=nnx.Rngs(0))


def _resnet50(image_size: int, narrower: int) -> nnx.Module:
    sizes = resnet.RESNET50._replace(
        stem=tuple(width // narrower for width in resnet.RESNET50.stem),
        widths=tuple(width // narrower for width in resnet.RESNET50.widths),
    )
    return ResNet(IMAGENET, block=bottleneck, sizes=sizes, rngs=nnx.Rngs(0))


def _vit_base(image_size: int, narrower: int) -> nnx.Module:
    return VisionTransformer(
        IMAGENET,
        image_size=(image_size, image_size),
        width=768 // narrower,
        heads=12 // narrower,
        rngs=nnx.Rngs(0),
    )


def _efficientnet_lite0(image_size: int, narrower: int) -> nnx.Module:
    variant = efficientnet_lite.VARIANTS["efficientnet_lite0"]
    return EfficientNetLite(
        IMAGENET, depths=variant.depths, widths=variant.widths, rngs=nnx.Rngs(0)
    )


def _mobilenet_v2(image_size: int, narrower: int) -> nnx.Module:
    return MobileNetV2(IMAGENET, rngs=nnx.Rngs(0))


def _proggan(image_size: int, narrower: int) -> nnx.Module:
    sizes = [size // narrower for size in default_sizes(image_size)]
    return ProgressiveGenerator(sizes, rngs=nnx.Rngs(0))


class _ParsedOnGrid(UPerNet):
    """The segmenter, which gives its probabilities on a quarter of the image's rows and columns."""

    def __call__(self, images: Any, grid: Any = None) -> Any:
        sides = tuple(side // 4 for side in images.shape[1:3]) if grid is None else grid
        return super().__call__(images, grid=sides)


def _upernet_resnet50(image_size: int, narrower: int) -> nnx.Module:
    return _ParsedOnGrid(PART_SIZES, rngs=nnx.Rngs(0))


SEEDED: dict[str, SeededNetwork] = {
    "vgg16": SeededNetwork(_vgg16, multiple=32),
    "resnet50": SeededNetwork(_resnet50, gain=1.0, multiple=32),
    "vit_base": SeededNetwork(_vit_base, gain=1.0, multiple=16),
    "efficientnet_lite0": SeededNetwork(_efficientnet_lite0, gain=1.0, multiple=32, narrows=False),
    "mobilenet_v2": SeededNetwork(_mobilenet_v2, gain=1.0, multiple=32, narrows=False),
    "upernet_resnet50": SeededNetwork(_upernet_resnet50, gain=1.0, multiple=32, narrows=False),
    "proggan": SeededNetwork(_proggan, gain=None),
}
"""By the names of `jaxdissect.networks.models.catalog`."""


def check_network(network: str, image_size: int, narrower: int) -> None:
    """Refuse what cannot be made.

    Raises:
        ValueError: If `network` is unknown, or has no such images or widths.
    """
    if network not in SEEDED:
        raise ValueError(f"`network` (={network!r}) must be one of: {', '.join(SEEDED)}")
    made = SEEDED[network]
    if image_size < 1 or image_size % made.multiple:
        raise ValueError(
            f"`image_size` (={image_size}) must be a multiple of {made.multiple} for {network}"
        )
    if network == "proggan":
        default_sizes(image_size)  # refuses other resolutions
    if narrower != 1 and not made.narrows:
        raise ValueError(f"`narrower` (={narrower}) must be 1 for {network}, whose widths are set")
    if narrower not in (1, 2, 4, 8, 16, 32):
        raise ValueError(f"`narrower` (={narrower}) must be 1, 2, 4, 8, 16 or 32")
    if network == "vit_base" and narrower > 4:
        raise ValueError(f"`narrower` (={narrower}) must be 1, 2 or 4 for vit_base, with 12 heads")


def make_network(network: str, image_size: int, narrower: int) -> Any:
    """Make a network of `SEEDED`, with the same weights every time."""
    made = SEEDED[network]
    return _seeded(lambda: made.build(image_size, narrower), made.gain)


def make_inputs(network: str, image_size: int, narrower: int, number: int) -> np.ndarray:
    """Make its inputs, standard normal: images as they are normalised, or latents."""
    shape = (number, image_size, image_size, 3)
    if network == "proggan":
        shape = (number, default_sizes(image_size)[0] // narrower)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _seeded(build: Callable[[], nnx.Module], gain: float | None) -> Any:
    state = nnx.state(nnx.eval_shape(build), nnx.Not(nnx.RngState))
    random = np.random.default_rng(0)
    arrays = {
        ".".join(map(str, path)): _values(str(path[-1]), leaf.shape, gain, random)
        for path, leaf in nnx.to_flat_state(state)
    }
    return with_parameters(build, arrays)


def _values(
    name: str, shape: tuple[int, ...], gain: float | None, random: np.random.Generator
) -> np.ndarray:
    """Draw what is multiplied with, and leave all else as it begins."""
    if name == "kernel":
        values = random.standard_normal(shape, np.float32)
        if gain is not None:
            values *= np.float32(math.sqrt(gain / math.prod(shape[:-1])))
        return values
    if name in ("pos_embed", "cls_token", "reg_token"):
        return 0.02 * random.standard_normal(shape, np.float32)
    ones = name in ("scale", "var", "gamma", "layer_scale")
    return np.full(shape, 1.0 if ones else 0.0, np.float32)
