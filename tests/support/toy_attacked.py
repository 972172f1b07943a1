"""Small classifiers to attack, and images for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from support import golden

from jaxdissect.attacks.attack_interface import ClassScores
from jaxdissect.networks.adapters.staged_network import StagedNetwork

CLASSES, UNITS, SIZE = 5, 8, 8


def convolve(images, kernel, bias):
    axes = ("NHWC", "HWIO", "NHWC")
    found = lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=axes)
    return found + bias[None, None, None]


def pool(maps):
    batch, height, width, units = maps.shape
    return maps.reshape(batch, height // 2, 2, width // 2, 2, units).max((2, 4))


def stages():
    """Two convolutions, the mean over the picture, and a linear map, as in golden `cw_attack_*`."""

    def conv1(params, images):
        images = (images - params["mean"][None, None, None]) / params["std"][None, None, None]
        return pool(jax.nn.relu(convolve(images, params["kernel1"], params["bias1"])))

    def conv2(params, maps):
        return jax.nn.relu(convolve(maps, params["kernel2"], params["bias2"]))

    def head(params, maps):
        return maps.mean((1, 2)) @ params["linear"] + params["shift"][None]

    return {"conv1": conv1, "conv2": conv2, "head": head}


@functools.cache
def classifier() -> StagedNetwork:
    """Random weights that numpy draws, and scores in balance."""
    random = np.random.RandomState(3)

    def normal(*shape):
        return jnp.asarray(random.standard_normal(shape) / shape[-2] ** 0.5, jnp.float32)

    params = {
        "mean": jnp.full(3, 0.5),
        "std": jnp.full(3, 0.25),
        "kernel1": normal(3, 3, 3, UNITS),
        "bias1": jnp.zeros(UNITS),
        "kernel2": normal(3, 3, UNITS, UNITS),
        "bias2": jnp.zeros(UNITS),
        "linear": normal(UNITS, CLASSES),
        "shift": jnp.zeros(CLASSES),
    }
    network = StagedNetwork(stages(), params)
    scores = network.apply(params, jnp.asarray(images(40)))[0]
    params = {**params, "shift": -scores.mean(0)}
    return StagedNetwork(stages(), params)


@functools.cache
def scores() -> ClassScores:
    return ClassScores(classifier())


def images(number, seed=0):
    return np.random.RandomState(seed).random_sample((number, SIZE, SIZE, 3)).astype(np.float32)


def predictions(images):
    return np.asarray(scores()(scores().params, jnp.asarray(images))).argmax(1)


def targets(images):
    """For every image another class than the one it is classified as."""
    return ((predictions(images) + 1 + np.arange(len(images)) % (CLASSES - 1)) % CLASSES).astype(
        np.int32
    )


def golden_attack(name):
    """Network, images [B, H, W, 3], what the reference found, and metadata of a golden file."""
    arrays, meta = golden.load(name)
    dtype = arrays["images"].dtype
    weights = {key[2:]: jnp.asarray(value) for key, value in arrays.items() if key[:2] == "w:"}
    params = {
        "mean": jnp.asarray(np.array([0.485, 0.456, 0.406], dtype)),
        "std": jnp.asarray(np.array([0.229, 0.224, 0.225], dtype)),
        "kernel1": weights["conv1.weight"].transpose(2, 3, 1, 0),
        "bias1": weights["conv1.bias"],
        "kernel2": weights["conv2.weight"].transpose(2, 3, 1, 0),
        "bias2": weights["conv2.bias"],
        "linear": weights["fc.weight"].T,
        "shift": weights["fc.bias"],
    }
    number = len(meta["targets"])
    found = {
        "images": np.stack([arrays[f"adv_{i}"] for i in range(number)]).transpose(0, 2, 3, 1),
        "squares": np.array([arrays[f"l2sq_{i}"] for i in range(number)]),
        "scores": np.stack([arrays[f"logits_adv_{i}"] for i in range(number)]),
        "predictions": np.stack([arrays[f"pred_{i}"] for i in range(number)]),
    }
    originals = jnp.asarray(arrays["images"].transpose(0, 2, 3, 1))
    return ClassScores(StagedNetwork(stages(), params)), originals, found, meta


def assert_same(found, expected, rtol=2e-3):
    np.testing.assert_array_equal(found.success, expected.success)
    np.testing.assert_allclose(found.distance, expected.distance, rtol)
    np.testing.assert_array_equal(found.constant, expected.constant)
