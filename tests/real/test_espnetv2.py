"""The segmenter of photographs against what another implementation computed from the same image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from espnetv2 import preprocess, read_classes, read_parameters, segment
from paths import real_folder


@pytest.mark.slow
def test_logits_equal_those_of_another_implementation():
    folder = real_folder("segmenter_espnetv2_voc")
    params = read_parameters(folder)
    with np.load(folder / "golden_pascal.npz") as file:
        inputs = jnp.asarray(file["x"].transpose(0, 2, 3, 1))
        expected = file["logits"].astype(np.float32).transpose(0, 2, 3, 1)
        labels = file["argmax"]

    logits = np.asarray(jax.jit(segment)(params, inputs))
    # Half precision keeps 11 bits: at 8 to 16 it is off by up to 0.004.
    np.testing.assert_allclose(logits, expected, rtol=2**-11, atol=2e-4)
    assert (logits.argmax(axis=-1) == labels).mean() >= 0.999
    names = [read_classes(folder)[label] for label in np.unique(labels)]
    assert names == ["bg", "cat", "person", "sofa"]


def test_images_are_normalized_by_channel():
    images = jnp.ones((1, 2, 2, 3)) * jnp.asarray((0.485, 0.456, 0.862)).reshape(1, 1, 1, 3)
    expected = [0, 0, (0.862 - 0.406) / 0.225]
    np.testing.assert_allclose(preprocess(images)[0, 1, 1], expected, atol=1e-6)
