"""Published segmenters whose weights are one file that the user has."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PyTree

from jaxdissect.arrays.names import printable
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models.catalog import imagenet_normalised
from jaxdissect.networks.models.deeplab import BLOCKS, CornersOfImage, prepare
from jaxdissect.networks.models.deeplab_tflite import load_deeplab_tflite
from jaxdissect.networks.segmenters.ade20k import ADE20K_OBJECTS
from jaxdissect.networks.segmenters.scored_segmenter import segmenter_of
from jaxdissect.networks.segmenters.segmenter import Grid, Segmenter
from jaxdissect.networks.weights.files import FilePath
from jaxdissect.networks.weights.tflite_file import SUFFIX

DEEPLAB_SIZE: Grid = (513, 513)
"""Height and width of the images that DeepLab was trained on."""

ESPNETV2_SIZE: Grid = (384, 384)
"""Height and width of the images that ESPNetv2 was trained on."""

VOC_OBJECTS = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa"),
    *("train", "tv monitor"),
)
"""Objects of PASCAL VOC (Everingham et al., IJCV 2010), in the order of its classes."""


def load_deeplab(
    path: FilePath, *, dtype: Any = jnp.float32, size: Grid | None = None
) -> Segmenter:
    """Build the segmenter of the 150 objects of ADE20K: DeepLab with MobileNetV2.

    The network scores at a quarter of its images' size. Its published output interpolates these
    scores linearly, and here the cells of a label grid read the same interpolation at their
    centres: a grid of the images' size has the published labels, and others no detour over it.

    Args:
        path: The published `.tflite`, for which the extra `tflite` is needed; or the network's
            parameters in a file that `load_network` reads.
        dtype: Floating dtype of the parameters, and of what the network computes.
        size: Height and width at which the network sees the images; by default `DEEPLAB_SIZE`.

    Raises:
        ValueError: If the package `tflite` is missing, or the file is damaged, or holds another
            network or one with other classes, strides or dilations.
        OSError: If the file cannot be opened.
    """
    if Path(path).suffix.lower() == SUFFIX:
        network: Any = load_deeplab_tflite(path, dtype=dtype)
    else:
        network = load_network("deeplab_mobilenet_ade20k", path, dtype=dtype)
    classes, due = network.logits.semantic.kernel.shape[3], 1 + len(ADE20K_OBJECTS)
    if classes != due:
        raise ValueError(
            f"{printable(str(path))} is a DeepLab with {classes} classes, and ADE20K's are {due}, "
            "none included; name yours with `segmenter_of`"
        )
    _check_spacing(network, path)
    return _coarsely_scored(network, ADE20K_OBJECTS, prepare, size or DEEPLAB_SIZE)


def _check_spacing(network: Any, path: FilePath) -> None:
    """Refuse strides and dilations that the parameters, saved, would not be read with again."""
    features = network.MobilenetV2
    steps = [getattr(features, name).depthwise for name in features.names]
    found = [(max(step.strides), step.dilation) for step in steps]
    due = [(block.stride, block.dilation) for block in BLOCKS]
    if found != due:
        raise ValueError(
            f"{printable(str(path))} is a DeepLab whose blocks have strides and dilations {found}, "
            f"and those of the published one are {due}; read yours with `load_deeplab_tflite` of "
            "`jaxdissect.networks.models.deeplab_tflite`, and name it with `segmenter_of`"
        )


def load_espnetv2(
    path: FilePath, *, dtype: Any = jnp.float32, size: Grid | None = None
) -> Segmenter:
    """Build the segmenter of the 20 objects of PASCAL VOC: ESPNetv2.

    Like DeepLab's, its scores are made coarsely, at half of its images' size, and read at the
    centres of a grid's cells; see `load_deeplab`.

    Args:
        path: The published `.pth`, or another file that `read_weights` reads.
        dtype: Floating dtype of the parameters, and of what the network computes.
        size: Height and width at which the network sees the images; by default `ESPNETV2_SIZE`.

    Raises:
        ValueError: If the file is damaged, or holds another network or one with other classes.
        OSError: If the file cannot be opened.
    """
    network: Any = load_network("espnetv2", path, dtype=dtype)
    classes, due = network.sizes.classes, 1 + len(VOC_OBJECTS)
    if classes != due:
        raise ValueError(
            f"{printable(str(path))} is an ESPNetv2 with {classes} classes, and those of PASCAL "
            f"VOC are {due}, the background included; name yours with `segmenter_of`"
        )
    return _coarsely_scored(network, VOC_OBJECTS, imagenet_normalised, size or ESPNETV2_SIZE)


def _coarsely_scored(
    network: Any, names: Sequence[str], prepare: Callable[[Array], Array], size: Grid
) -> Segmenter:
    """Make a segmenter of a network with `coarse_scores`, of which the first is for nothing."""
    definition, params = nnx.split(network)

    def coarse_scores(params: PyTree, images: Array) -> Array:
        return nnx.merge(definition, params).coarse_scores(images)

    return segmenter_of(
        coarse_scores,
        (None, *names),
        params=params,
        prepare=prepare,
        size=size,
        alignment=CornersOfImage(size),
    )


class _Load(Protocol):
    def __call__(
        self, path: FilePath, /, *, dtype: Any = ..., size: Grid | None = ...
    ) -> Segmenter: ...


FILE_SEGMENTERS: Mapping[str, _Load] = {
    "deeplab_mobilenet_ade20k": load_deeplab,
    "espnetv2_voc": load_espnetv2,
}
"""What builds each of them, given its file, a `dtype`, and the `size` at which it sees images."""
