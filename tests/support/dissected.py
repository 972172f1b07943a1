"""Small dissections with a network, images and labels, made in a moment."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork

CONCEPTS = vocabulary(
    [("road", "object"), ("roof", "part"), ("glass", "object"), ("glass", "material")]
)
LAYERS = ("early", "late")
SIZE = 8
PRESET = replace(PNAS2020, fraction=0.1)  # there are few pixels


def early(params, x):
    """Four units on every other pixel, of which the last never changes."""
    x = x[:, ::2, ::2] * params["scale"]
    return jnp.concatenate([x, 0 * x[..., :1]], axis=-1)


def late(params, x):
    """Two units on the same cells, of which the second reaches a ceiling on most of them."""
    del params
    return jnp.stack([x[..., 0] - x[..., 1], jnp.minimum(x.sum(-1), 0.9)], axis=-1)


def network(scale=1.0):
    return StagedNetwork({"early": early, "late": late}, {"scale": jnp.float32(scale)})


def source(seed=0, number=6):
    """Images that are bright where the first label is a road."""
    rng = np.random.default_rng(seed)
    image = rng.random((number, SIZE, SIZE, 3)).astype(np.float32) * 0.7
    labels = rng.integers(0, len(CONCEPTS), (number, SIZE, SIZE, 2)).astype(np.int32)
    image[..., 0] += 0.3 * (labels[..., 0] == 1)
    return Stored({"image": image, "labels": labels})


def dissected(*, scale=1.0, seed=0, number=6, preset=PRESET, **options):
    return dissect(
        network(scale),
        source(seed, number),
        annotated(CONCEPTS),
        layers=LAYERS,
        preset=preset,
        grid=(SIZE, SIZE),
        batch_size=4,
        **options,
    )
