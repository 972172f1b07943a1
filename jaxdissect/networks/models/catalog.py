"""Every network whose published weights can be read, by name.

To add one: write its module so that its tree follows the published names, with `from_shapes` and
`reference_names` beside it, and list it here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models import (
    adain,
    alexnet,
    dcgan,
    deeplab,
    efficientnet_lite,
    gan_cat64,
    proggan,
    pyramid_pooling,
    resnet152,
    stylegan2_weights,
    upernet,
    vgg16,
)
from jaxdissect.networks.models.layers import float_images
from jaxdissect.networks.weights.mapping import Arrays

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def imagenet_normalised(images: Any) -> Float[Array, "B H W 3"]:
    """From float RGB [B, H, W, 3] in [0, 1] to what the classifiers were trained on."""
    images = float_images(images)
    mean, deviation = (
        jnp.asarray(values, images.dtype)[None, None, None]
        for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
    )
    return (images - mean) / deviation


class Architecture(NamedTuple):
    """A kind of network.

    Attributes:
        from_shapes: Builds it in the sizes of some weights, given PyTorch's names and shapes, and
            whatever else cannot be read from weights.
        reference_names: Rewrites other published namings into the one that the module follows;
            raises ValueError, "is ...", for weights of a network that only has the same name.
        parts: Parts that are published in files of their own.
        prepare: From RGB images in [0, 1] to the network's input, for networks of images.
        layers: Layers that are dissected by default: where the published numbers come from.
    """

    from_shapes: Callable[..., nnx.Module]
    reference_names: Callable[[Arrays], Arrays] = dict
    parts: tuple[str, ...] = ()
    prepare: Callable[[jax.Array], jax.Array] | None = None
    layers: tuple[str, ...] = ()


ARCHITECTURES: dict[str, Architecture] = {
    "alexnet": Architecture(
        alexnet.from_shapes,
        alexnet.reference_names,
        prepare=imagenet_normalised,
        layers=("relu5",),
    ),
    "vgg16": Architecture(
        vgg16.from_shapes,
        vgg16.reference_names,
        prepare=imagenet_normalised,
        layers=("features.relu5_3",),
    ),
    "resnet152": Architecture(
        resnet152.from_shapes,
        resnet152.reference_names,
        prepare=imagenet_normalised,
        layers=("7",),
    ),
    "deeplab_mobilenet_ade20k": Architecture(
        deeplab.from_shapes,
        prepare=deeplab.prepare,
        layers=("MobilenetV2.expanded_conv_16", "concat_projection_relu"),
    ),
    "proggan": Architecture(proggan.from_shapes, proggan.reference_names, layers=("layer4",)),
    "stylegan2": Architecture(
        stylegan2_weights.from_shapes,
        stylegan2_weights.reference_names,
        layers=("synthesis.b16.conv1",),
    ),
    "dcgan": Architecture(dcgan.from_shapes, dcgan.reference_names, layers=("main.5",)),
    "gan_cat64": Architecture(gan_cat64.from_shapes, gan_cat64.reference_names, layers=("relu_8",)),
    "upernet_resnet50": Architecture(upernet.from_shapes, parts=("encoder", "decoder")),
    "ppm_resnet18dilated": Architecture(pyramid_pooling.from_shapes, parts=("encoder", "decoder")),
    **{
        name: Architecture(
            partial(efficientnet_lite.from_shapes, name),
            partial(efficientnet_lite.reference_names, name),
            prepare=efficientnet_lite.prepare,
            layers=efficientnet_lite.LAYERS,
        )
        for name in efficientnet_lite.VARIANTS
    },
    "adain_encoder": Architecture(adain.encoder_from_shapes, adain.encoder_reference_names),
    "adain_decoder": Architecture(adain.decoder_from_shapes),
}
