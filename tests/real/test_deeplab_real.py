"""The segmenter of ADE20K's classes against what TensorFlow Lite computed from the same pixels."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from paths import real_folder
from PIL import Image

import jaxdissect as jd
from jaxdissect.networks.models.deeplab import prepare
from jaxdissect.networks.models.deeplab_tflite import load_deeplab_tflite
from jaxdissect.networks.segmenters.ade20k import ADE20K_OBJECTS

FILE = "deeplabv3_mobilenetv2_ade20k_513.tflite"
ROW = "miniplaces/images/00700.jpg"


def pixels(path):
    """An image as the published network sees it, resized without keeping its aspect."""
    image = Image.open(path).convert("RGB").resize((513, 513), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32)[None] / 255


@pytest.mark.slow
@pytest.mark.optimised
def test_labels_agree_with_those_of_tensorflow_lite():
    folder = real_folder("segmenter_deeplab_ade20k")
    segmenter = jd.pretrained_segmenter("deeplab_mobilenet_ade20k", weights=folder / FILE)
    segment = jax.jit(segmenter.segment, static_argnums=2)
    network = load_deeplab_tflite(folder / FILE)
    agreement = {}
    with np.load(folder / "expected.npz") as expected:
        for name in (name for name in expected.files if not name.endswith("row256")):
            image = pixels(folder.parent / name)
            labels = np.asarray(segment(segmenter.params, image, (513, 513)))[0, ..., 0]
            agreement[name] = float((labels == expected[name]).mean())
        row = expected[f"{ROW}:scores_row256"].astype(np.float32)
    scores = jax.jit(network.__call__)(prepare(jnp.asarray(pixels(folder.parent / ROW))))[0, 256]
    print({name: round(share, 4) for name, share in agreement.items()})
    assert len(agreement) == 12 and min(agreement.values()) >= 0.97
    assert np.mean(list(agreement.values())) >= 0.99
    # The interpreter rounds the inputs of int8 layers; the scores reach from -16 to 16.
    assert np.abs(scores - row).max() < 0.4 and np.abs(scores - row).mean() < 0.05


@pytest.mark.slow
def test_names_are_words_of_the_benchmark_in_its_order():
    folder = real_folder("vocab_and_published_tables") / "ade20k"
    with open(folder / "object150_info.csv", newline="") as file:
        words = [set(row["Name"].split(";")) for row in csv.DictReader(file)]
    wrong = [
        (name, sorted(known))
        for name, known in zip(ADE20K_OBJECTS, words, strict=True)
        if not set(name.split()) - {"of"} <= known
    ]
    assert not wrong
    lines = (real_folder("segmenter_deeplab_ade20k") / "labels.txt").read_text().splitlines()
    firsts = [line.split("\t")[1] for line in lines]
    assert all(first in known for first, known in zip(firsts, words, strict=True))
