"""The scene classifier against what another implementation computed from the same photographs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from paths import real_folder
from PIL import Image
from squeezenet import (
    preprocess,
    read_categories,
    read_mean,
    read_photograph,
    squeezenet_places365,
)


def test_scores_and_features_equal_those_of_another_implementation():
    folder = real_folder("squeezenet_places365")
    photographs = real_folder("miniplaces") / "images"
    expected = json.loads((folder / "expected.json").read_text())
    categories = np.asarray(read_categories(folder))
    graph, state = nnx.split(squeezenet_places365(folder))

    @jax.jit
    def forward(state, images, mean):
        network = nnx.merge(graph, state)
        features = network.features(preprocess(images, mean))
        return network.scores(features), features

    images = np.stack([read_photograph(photographs / f"{name}.jpg") for name in expected])
    scores, features = map(np.asarray, forward(state, images, read_mean(folder)))
    best = np.argsort(-scores, axis=-1, kind="stable")[:, :5]

    def column(key):
        return np.asarray([image[key] for image in expected.values()])

    np.testing.assert_array_equal(categories[best], column("top5"))
    # The recorded scores have four decimals and the recorded moments six.
    np.testing.assert_allclose(
        np.take_along_axis(scores, best, axis=-1), column("logits"), rtol=0, atol=2e-4
    )
    axes, wide = (1, 2, 3), features.astype(np.float64)
    np.testing.assert_allclose(wide.mean(axes), column("fire9_mean"), rtol=0, atol=2e-6)
    np.testing.assert_allclose(wide.std(axes, ddof=1), column("fire9_std"), rtol=0, atol=2e-6)


def test_small_photographs_are_enlarged_as_pil_does():
    mean = read_mean(real_folder("squeezenet_places365"))
    path = real_folder("miniplaces") / "images" / "00000.jpg"
    with Image.open(path) as file:
        small = np.asarray(file.convert("RGB"), np.float32) / np.float32(255)

    from_small, from_large = (
        preprocess(jnp.asarray(image)[None], mean) for image in (small, read_photograph(path))
    )
    # PIL rounds to bytes after each of its two passes, half a byte at most.
    np.testing.assert_allclose(from_small, from_large, rtol=0, atol=1.01 / 255)


def test_weights_that_do_not_fit_are_all_named(tmp_path):
    with np.load(real_folder("squeezenet_places365") / "weights.npz") as file:
        arrays = dict(file)
    del arrays["fire4.squeeze.bn.gamma"]
    arrays["conv1.weight"] = arrays["conv1.weight"].swapaxes(0, 1)
    arrays["conv11.bias"] = arrays["conv10.bias"]
    np.savez(tmp_path / "weights.npz", **arrays)

    with pytest.raises(ValueError, match="`folder`") as error:
        squeezenet_places365(tmp_path)
    assert str(error.value).splitlines()[1:] == [
        "conv1.weight: expected (64, 3, 3, 3), got (3, 64, 3, 3)",
        "conv11.bias: expected no such array, got (365,)",
        "fire4.squeeze.bn.gamma: expected (32,), got nothing",
    ]
