"""The trained networks on which precision is studied, and the images that they see."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jaxdissect.engine.batching import Joined, Source, Stored
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.labelers import Labeler, annotated, colored
from jaxdissect.engine.layer_reader import Inputs, image_input
from jaxdissect.networks.loading import pretrained
from jaxdissect.networks.models import efficientnet_lite
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.weights.installed import InstalledFile, find_installed
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.scenes.concepts import scene_vocabulary
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.scene_classifier import CONVOLUTIONS
from jaxdissect.scenes.scene_transformer import TRANSFORMER_LAYERS
from jaxdissect.scenes.shipped import load_classifier, load_vit

LITE0 = "efficientnet_lite0"
NETWORKS = ("classifier", "vit", LITE0)
"""The two classifiers of drawn scenes, and EfficientNet-Lite0, whose weights come in a package."""

GRID = (56, 56)
_LITE_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained network, with what it is dissected on.

    Attributes:
        name: One of `NETWORKS`.
        network: The network.
        layers: Layers that are dissected.
        removed: Layer whose units are removed, one by one.
        inputs: Makes the network's input of a batch.
        labeler: Finds the concepts.
        source: Images, with their class.
        others: Other images of the same kind; None where there are none.
        label_key: Name of the class of an image.
        has_classes: Whether these are classes that the network knows.
    """

    name: str
    network: Network
    layers: tuple[str, ...]
    removed: str
    inputs: Inputs
    labeler: Labeler
    source: Source
    others: Source | None
    label_key: str
    has_classes: bool


def is_at_hand(name: str) -> bool:
    """Whether the weights of a network are installed."""
    if name != LITE0:
        return True
    files = PUBLISHED[LITE0].files.values()
    return all(
        isinstance(file, InstalledFile) and find_installed(file) is not None for file in files
    )


def make_subject(name: str, images: int, *, photographs: Path | None) -> Subject:
    """Load a network and draw its images.

    Args:
        name: One of `NETWORKS`.
        images: How many images.
        photographs: Folder of photographs for EfficientNet-Lite0, whose concepts are then the
            colors; None for drawn scenes, enlarged.
    """
    scenes, others = (_drawn(images, seed) for seed in (0, 1))
    known: dict[str, Any] = {
        "inputs": image_input,
        "labeler": annotated(scene_vocabulary()),
        "source": scenes,
        "others": others,
        "label_key": "scene",
        "has_classes": True,
    }
    if name == "classifier":
        layers, module, removed = CONVOLUTIONS, load_classifier(), CONVOLUTIONS[-1]
    elif name == "vit":
        layers, module, removed = TRANSFORMER_LAYERS, load_vit(), TRANSFORMER_LAYERS[-3]
    else:
        layers, module = efficientnet_lite.LAYERS, pretrained(LITE0)
        removed = layers[0]
        known |= {"inputs": lite_input, "has_classes": False}
        if photographs is not None:
            known |= {"labeler": colored(), **_photographed(photographs, images)}
    return Subject(name=name, network=as_network(module), layers=layers, removed=removed, **known)


def lite_input(batch: Mapping[str, Array]) -> Array:
    """Enlarge images to 224 x 224 pixels, and bring them to the range of EfficientNet-Lite."""
    images = batch["image"]
    side = (images.shape[0], _LITE_SIDE, _LITE_SIDE, images.shape[-1])
    return efficientnet_lite.prepare(jax.image.resize(images, side, "bilinear"))


def _drawn(images: int, seed: int) -> Source:
    """Draw all images now: how they are drawn must not depend on the precision that is set."""
    source = scenes_dataset(images, seed=seed)
    return Stored(source.read(0, images))


def _photographed(folder: Path, images: int) -> dict[str, Any]:
    """Read every n-th photograph of a folder, twice: other ones in between are the others."""
    source = image_folder(folder, image_size=(_LITE_SIDE, _LITE_SIDE))
    every = max(1, len(source) // (2 * images))
    chosen = [list(range(start * every, len(source), 2 * every))[:images] for start in (0, 1)]
    first, other = (
        Joined(
            [source[place] for place in places],
            Stored({"scene": np.zeros(len(places), np.int32)}),
        )
        for places in chosen
    )
    return {"source": first, "others": other}
