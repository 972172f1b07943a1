"""The real classifiers that look at the photographs: how to build them, prepare images, and which
layers to dissect."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flax import nnx
from squeezenet import SqueezeNet, preprocess, read_mean, squeezenet_places365

import jaxdissect as jd
from jaxdissect.networks.models.catalog import ARCHITECTURES


class Subject(NamedTuple):
    """A network, what makes its input of a batch, and layers to dissect."""

    network: Any
    inputs: Callable[[Any], Any]
    layers: tuple[str, ...]


SQUEEZENET_LAYERS = ("conv1", "fire4", "fire6", "fire8", "fire9")

LITE0 = "efficientnet_lite0"
LITE0_LAYERS = ("bn1", *(f"blocks.{stage}" for stage in range(7)), "bn2")
"""The stem, what each of the seven stages gives, and the head."""


def squeezenet(seed: int | None = None) -> Subject:
    """Build the scene classifier, trained on Places365; with a seed, with random weights."""
    from paths import real_folder

    folder = real_folder("squeezenet_places365")
    mean = read_mean(folder)
    trained = seed is None
    network = squeezenet_places365(folder) if trained else SqueezeNet(rngs=nnx.Rngs(seed))
    return Subject(network, lambda batch: preprocess(batch["image"], mean), SQUEEZENET_LAYERS)


def efficientnet_lite0(seed: int | None = None) -> Subject:
    """Build the classifier of ImageNet's objects; with a seed, with random weights."""
    network = jd.pretrained(LITE0) if seed is None else jd.networks.untrained(LITE0, seed=seed)
    prepare = ARCHITECTURES[LITE0].prepare
    assert prepare is not None
    return Subject(network, lambda batch: prepare(batch["image"]), LITE0_LAYERS)


SUBJECTS = {"squeezenet": squeezenet, LITE0: efficientnet_lite0}
