"""Every network whose published weights can be read, by name.

To add one: write its module so that its tree follows the published names, with `from_shapes` and
`reference_names` beside it, and list it here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models import (
    adain,
    alexnet,
    alexnet_torchvision,
    convnext,
    dcgan,
    deeplab,
    efficientnet_lite,
    espnetv2,
    gan_cat64,
    mobilenet_v2,
    proggan,
    pyramid_pooling,
    residual,
    resnet,
    resnet152_places,
    stylegan2_weights,
    upernet,
    vgg,
    vgg16,
    vision_transformer,
    vision_transformer_names,
)
from jaxdissect.networks.models.layers import float_images, gelu
from jaxdissect.networks.weights.mapping import Arrays

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def imagenet_normalised(images: Any) -> Float[Array, "B H W 3"]:
    """From float RGB [B, H, W, 3] in [0, 1] to what the classifiers were trained on."""
    return _normalised(images, IMAGENET_MEAN, IMAGENET_DEVIATION)


def clip_normalised(images: Any) -> Float[Array, "B H W 3"]:
    """From float RGB [B, H, W, 3] in [0, 1] to what CLIP was trained on."""
    return _normalised(images, CLIP_MEAN, CLIP_DEVIATION)


def centered(images: Any) -> Float[Array, "B H W 3"]:
    """From float RGB [B, H, W, 3] in [0, 1] to [-1, 1]."""
    return _normalised(images, (0.5,) * 3, (0.5,) * 3)


def _normalised(
    images: Any, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> Float[Array, "B H W 3"]:
    images = float_images(images)
    center, scale = (jnp.asarray(v, images.dtype)[None, None, None] for v in (mean, deviation))
    return (images - center) / scale


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
        layers_of: Finds such layers in a network of other sizes, if their names depend on them.
        marks: Names of a few arrays that its weights have, PyTorch's after `reference_names`, and
            those of most other networks lack: which network weights are of is then found quickly.
    """

    from_shapes: Callable[..., nnx.Module]
    reference_names: Callable[[Arrays], Arrays] = dict
    parts: tuple[str, ...] = ()
    prepare: Callable[[jax.Array], jax.Array] | None = None
    layers: tuple[str, ...] = ()
    layers_of: Callable[[Any], tuple[str, ...]] | None = None
    marks: tuple[str, ...] = ()


def _classifier(
    module: ModuleType,
    *layers: str,
    marks: tuple[str, ...],
    reference_names: Callable[[Arrays], Arrays] = dict,
    **options: Any,
) -> Architecture:
    """Describe a classifier of images normalised as ImageNet's, and the layers to dissect."""
    return Architecture(
        partial(module.from_shapes, **options),
        reference_names,
        prepare=imagenet_normalised,
        layers=layers,
        marks=marks,
    )


def _vgg(name: str, *, normalised: bool) -> Architecture:
    options: dict[str, Any] = {"depths": vgg.DEPTHS[name], "normalised": normalised}
    convolution, relu = vgg.last_convolution(**options)
    return _classifier(
        vgg,
        relu,
        marks=(f"{convolution}.weight", "classifier.0.weight"),
        reference_names=vgg.reference_names,
        **options,
    )


def _resnet(block: residual.BlockKind, sizes: residual.Sizes) -> Architecture:
    last = f"layer3.{sizes.depths[2] - 1}.conv{len(block(1))}.weight"
    return _classifier(
        resnet,
        "layer4",
        marks=(last, "fc.weight"),
        reference_names=resnet.reference_names,
        block=block,
        sizes=sizes,
    )


VIT_WIDTHS = {"tiny": 192, "small": 384, "base": 768}


def _vit(
    width: int,
    reference_names: Callable[[Arrays], Arrays],
    prepare: Callable[[jax.Array], jax.Array],
    *,
    named: Mapping[int, str] = MappingProxyType({}),
    epsilon: float = 1e-6,
    activation: Callable[[jax.Array], jax.Array] = gelu,
    **published: Any,
) -> Architecture:
    """Describe a vision transformer; `published` is what it has beside its width.

    `named` are names of its family by width, if it has several.
    """
    build = partial(
        vision_transformer.from_shapes,
        published={"width": width, **published},
        named=named,
        epsilon=epsilon,
        activation=activation,
    )
    marks = ("blocks.0.attn.qkv.weight", "pos_embed")
    return Architecture(
        build,
        reference_names,
        prepare=prepare,
        layers=VIT_LAYERS,
        layers_of=vision_transformer.last_layers,
        marks=marks,
    )


def _clip(activation: Callable[[jax.Array], jax.Array]) -> Architecture:
    return _vit(
        VIT_WIDTHS["base"],
        vision_transformer_names.clip_names,
        clip_normalised,
        epsilon=1e-5,
        activation=activation,
        num_classes=512,
        patch_bias=False,
        pre_norm=True,
        head_bias=False,
    )


def _named(family: str, *sizes: str) -> dict[int, str]:
    return {VIT_WIDTHS[size]: f"{family}_{size}" for size in sizes}


VIT_LAYERS = ("blocks.9.mlp.act", "blocks.10.mlp.act", "blocks.11.mlp.act", "blocks.11")
"""Neurons of the last three blocks of twelve, and the residual stream after them."""

_VISION_TRANSFORMERS = (
    {
        f"vit_{size}": _vit(
            width, vision_transformer_names.timm_names, centered, named=_named("vit", *VIT_WIDTHS)
        )
        for size, width in VIT_WIDTHS.items()
    }
    | {
        f"deit_{size}": _vit(
            width,
            vision_transformer_names.timm_names,
            imagenet_normalised,
            named=_named("deit", *VIT_WIDTHS),
        )
        for size, width in VIT_WIDTHS.items()
    }
    | {
        "vit_base_torchvision": _vit(
            VIT_WIDTHS["base"], vision_transformer_names.torchvision_names, imagenet_normalised
        )
    }
    | {
        f"dinov2_{size}": _vit(
            VIT_WIDTHS[size],
            vision_transformer_names.dinov2_names,
            imagenet_normalised,
            named=_named("dinov2", "small", "base"),
            num_classes=0,
            layer_scale=True,
            patch_size=(14, 14),
            image_size=(518, 518),
        )
        for size in ("small", "base")
    }
    | {
        "clip_vit_base": _clip(vision_transformer.quick_gelu),
        "openclip_vit_base": _clip(gelu),
    }
)

ARCHITECTURES: dict[str, Architecture] = {
    "alexnet": _classifier(alexnet, "relu5", marks=("fc8.weight",)),
    "vgg16": _classifier(
        vgg16,
        "features.relu5_3",
        marks=("features.conv5_3.weight", "classifier.fc6.weight"),
        reference_names=vgg16.reference_names,
    ),
    "resnet152_places": _classifier(
        resnet152_places,
        "7",
        marks=("6.35.0.0.6.weight",),
        reference_names=resnet152_places.reference_names,
    ),
    "alexnet_torchvision": _classifier(
        alexnet_torchvision,
        "features.11",
        marks=("features.6.weight", "classifier.4.weight"),
        reference_names=alexnet_torchvision.reference_names,
    ),
    **{name: _vgg(name, normalised=False) for name in ("vgg11", "vgg13", "vgg19")},
    **{f"{name}_bn": _vgg(name, normalised=True) for name in vgg.DEPTHS},
    **{name: _resnet(*kind) for name, kind in resnet.KINDS.items()},
    "deeplab_mobilenet_ade20k": Architecture(
        deeplab.from_shapes,
        prepare=deeplab.prepare,
        layers=("MobilenetV2.expanded_conv_16", "concat_projection_relu"),
        marks=("decoder.feature_projection0.weight",),
    ),
    "espnetv2": Architecture(
        espnetv2.from_shapes,
        prepare=imagenet_normalised,
        layers=("base_net.level4",),
        marks=("base_net.level2_0.eesp.proj_1x1.conv.weight", "bu_dec_l4.merge_layer.3.weight"),
    ),
    "proggan": Architecture(proggan.from_shapes, proggan.reference_names, layers=("layer4",)),
    "stylegan2": Architecture(
        stylegan2_weights.from_shapes,
        stylegan2_weights.reference_names,
        layers=("synthesis.b16.conv1",),
    ),
    "dcgan": Architecture(dcgan.from_shapes, dcgan.reference_names, layers=("main.5",)),
    "gan_cat64": Architecture(gan_cat64.from_shapes, gan_cat64.reference_names, layers=("relu_8",)),
    "upernet_resnet50": Architecture(
        upernet.from_shapes, parts=("encoder", "decoder"), marks=("decoder.ppm_last_conv.0.weight",)
    ),
    "ppm_resnet18dilated": Architecture(
        pyramid_pooling.from_shapes,
        parts=("encoder", "decoder"),
        marks=("decoder.conv_last_deepsup.weight",),
    ),
    **{
        name: Architecture(
            partial(efficientnet_lite.from_shapes, name),
            partial(efficientnet_lite.reference_names, name),
            prepare=efficientnet_lite.prepare,
            layers=efficientnet_lite.LAYERS,
            marks=("conv_stem.weight", "conv_head.weight"),
        )
        for name in efficientnet_lite.VARIANTS
    },
    "mobilenet_v2": _classifier(
        mobilenet_v2,
        "features.18",
        marks=("features.18.0.weight", "classifier.1.weight"),
        reference_names=mobilenet_v2.reference_names,
    ),
    "convnext_tiny": _classifier(
        convnext,
        "features.7",
        marks=("features.7.0.layer_scale", "classifier.2.weight"),
        reference_names=convnext.reference_names,
    ),
    "adain_encoder": Architecture(
        adain.encoder_from_shapes, adain.encoder_reference_names, marks=("28.weight",)
    ),
    "adain_decoder": Architecture(adain.decoder_from_shapes, marks=("28.weight",)),
    **_VISION_TRANSFORMERS,
}
