"""Small files of weights in the place of the published ones, as if they had been downloaded."""

import json

from flax import nnx
from support.pytorch_files import state_dict, write_legacy, write_zip
from support.random_weights import random_weights
from support.toy_segmenters import MASKED, PARSED

from jaxdissect.networks.models.pyramid_pooling import PyramidPoolingNetwork
from jaxdissect.networks.models.residual import Sizes
from jaxdissect.networks.models.upernet import UPerNet
from jaxdissect.networks.models.vgg16 import VGG16
from jaxdissect.networks.weights.download import PublishedFile
from jaxdissect.networks.weights.files import sha256
from jaxdissect.networks.weights.published import PUBLISHED, Published

NUM_CLASSES = 5
SMALL = Sizes(stem=(4, 4, 8), widths=(4, 6, 8, 8), depths=(1, 1, 1, 1))


def parsing_network(objects, part_sizes, materials):
    return UPerNet(
        part_sizes,
        num_objects=objects,
        num_materials=materials,
        num_scenes=3,
        width=6,
        sizes=SMALL,
        rngs=nnx.Rngs(0),
    )


def save_segmenter(folder, build, labels, epoch, write):
    """Write a network as it was published: two files of weights, one of labels."""
    folder.mkdir(parents=True)
    arrays = random_weights(build)
    for part in ("encoder", "decoder"):
        own = {n.removeprefix(f"{part}."): a for n, a in arrays.items() if n.startswith(part)}
        write(folder / f"{part}_epoch_{epoch}.pth", state_dict(own))
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def toy_parsing():
    """For the labels `PARSED`."""
    return parsing_network(5, (3, 2, 2, 3), 3)


def color_network(classes):
    return PyramidPoolingNetwork(classes, width=6, sizes=SMALL, rngs=nnx.Rngs(1))


def toy_colors():
    """For the labels `MASKED`."""
    return color_network(5)


def publish_segmenters(home):
    """Put the files of `pretrained_segmenter` into a cache."""
    save_segmenter(home / "unified_parsing", toy_parsing, PARSED, 40, write_zip)
    save_segmenter(home / "color", toy_colors, MASKED, 20, write_legacy)


def build_narrow_vgg():
    return VGG16(NUM_CLASSES, widths=(4, 4, 6, 6, 8), hidden=10, rngs=nnx.Rngs(0))


def narrow_vgg():
    """Weights of a narrow VGG-16, in PyTorch's names and layout."""
    return random_weights(build_narrow_vgg)


def publish_vgg(monkeypatch, arrays, folder):
    """Put the weights of a VGG-16 into the cache as those published under the folder's name."""
    folder.mkdir()
    write_zip(folder / "file.pth", state_dict(arrays))
    digest = sha256(folder / "file.pth")[:8]
    file = PublishedFile("http://127.0.0.1:9/models/file.pth", "file.pth", digest)
    monkeypatch.setitem(PUBLISHED, folder.name, Published("vgg16", {"": file}, "none"))
