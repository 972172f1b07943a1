"""The segmenter of PASCAL VOC's objects against what PyTorch computed from the same image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import real_folder

import jaxdissect as jd
from jaxdissect.networks.segmenters.file_segmenters import VOC_OBJECTS

STEM = "espnetv2_s_2.0_pascal_384x384"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_scores_equal_those_of_the_published_code(suffix):
    folder = real_folder("segmenter_espnetv2_voc")
    network = jd.load_network("espnetv2", folder / f"{STEM}{suffix}")
    with np.load(folder / "golden_pascal.npz") as file:
        inputs = jnp.asarray(file["x"].transpose(0, 2, 3, 1))
        expected = file["logits"].astype(np.float32).transpose(0, 2, 3, 1)
        labels = file["argmax"]
    scores = np.asarray(jax.jit(network.__call__)(inputs))
    # Half precision keeps 11 bits: at 8 to 16 it is off by up to 0.004.
    np.testing.assert_allclose(scores, expected, rtol=2**-11, atol=2e-4)
    assert (scores.argmax(axis=-1) == labels).mean() >= 0.999


@pytest.mark.slow
def test_a_cat_on_a_sofa_and_a_person_are_found():
    folder = real_folder("segmenter_espnetv2_voc")
    with np.load(folder / "golden_pascal.npz") as file:
        inputs, expected = file["x"].transpose(0, 2, 3, 1), file["argmax"]
    # The inputs are normalised: back to RGB in [0, 1].
    images = inputs * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)
    images = jnp.asarray(np.clip(images, 0, 1), jnp.float32)
    segmenter = jd.pretrained_segmenter(
        "espnetv2_voc", weights=folder / f"{STEM}.pth", sizes=[(256, 256)]
    )
    segment = jax.jit(segmenter.segment, static_argnums=2)
    labels = np.asarray(segment(segmenter.params, images, (256, 256)))
    assert (labels[..., 0] == expected).mean() >= 0.999
    names = [segmenter.vocabulary.names[label] for label in np.unique(expected)]
    assert names == ["-", "cat", "person", "sofa"]


@pytest.mark.slow
def test_names_are_those_of_the_published_list():
    lines = (real_folder("segmenter_espnetv2_voc") / "labels_voc21.txt").read_text().split()
    assert lines == ["bg", *(name.replace(" ", "") for name in VOC_OBJECTS)]
