"""Small classifiers whose units are removed, and images for them."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.engine.batching import Stored


class Pooled(nnx.Module):
    """Two convolutions, the mean over the picture, and a linear map, like that of golden `pra_*`.

    Args:
        width: Units of both convolutions.
        classes: Number of classes.
    """

    def __init__(self, width: int, classes: int, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(3, width, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.fc = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, images):
        maps = nnx.max_pool(nnx.relu(self.conv1(images)), (2, 2), (2, 2))
        return self.fc(nnx.relu(self.conv2(maps)).mean((1, 2)))


def scenes(number, classes, *, size=(8, 6), seed=0):
    """Noise whose class is the pixel sum, cut into as many ranges."""
    images = np.random.default_rng(seed).normal(size=(number, *size, 3)).astype(np.float32)
    ranks = np.argsort(np.argsort(images.sum((1, 2, 3)), kind="stable"), kind="stable")
    return Stored({"image": images, "label": (ranks * classes // number).astype(np.int32)})


def pooled(width=6, classes=5, seed=0):
    """The classifier, with scores in balance, so that it predicts several classes."""
    model = Pooled(width, classes, rngs=nnx.Rngs(seed))
    scores = model(jnp.asarray(scenes(40, classes).read(0, 40)["image"]))
    assert model.fc.bias is not None
    model.fc.bias[...] = model.fc.bias[...] - scores.mean(0)
    return model
