"""Peaks against probabilities of classes, mean activations, and pairs of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden
from support.toy_classifiers import pooled, scenes

from jaxdissect.classifiers.class_correlation import correlate_with_classes, positive_shares
from jaxdissect.classifiers.replacements import mean_activations
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.data.pairs import DONOR, WithDonors
from jaxdissect.networks.network import as_network

NUMBER, CLASSES = 50, 5


@pytest.fixture(scope="module")
def recorded():
    """What the toy classifier outputs: maps of its second layer, and scores."""
    network, source = as_network(pooled()), scenes(NUMBER, CLASSES)
    images = jnp.asarray(source.read(0, NUMBER)["image"])
    scores, maps = network.apply(network.params, images, layers=("conv2",))
    return np.asarray(maps["conv2"]), np.asarray(scores)


def test_correlations_are_those_of_the_reference():
    """The golden activations and scores stand in for a network."""
    arrays, _ = golden.load("topn_corr_a")
    acts = jnp.asarray(arrays["acts"].transpose(0, 2, 3, 1))
    logits = jnp.asarray(arrays["logits"])

    class Given:
        """Outputs what is stored of the examples whose numbers it is given."""

        params = {}

        def apply(self, params, inputs, *, layers=(), edits=None):
            return logits[inputs], {"layer": acts[inputs]}

        def activations(self, params, inputs, *, layers, edits=None):
            return {"layer": acts[inputs]}

    numbers = np.arange(len(acts), dtype=np.int32)
    source = Stored({"number": numbers, "label": arrays["labels"]})
    found = correlate_with_classes(
        Given(), source, "layer", inputs=lambda b: b["number"], batch_size=8
    )
    expected = arrays["max_act_vs_softmax_correlation"]
    np.testing.assert_allclose(found.correlation, expected, atol=1e-5)
    np.testing.assert_allclose(found.top_n_accuracy, arrays["topn_accuracy"], atol=1e-6)


def test_correlations_equal_the_oracle(recorded):
    maps, scores = recorded
    labels = scenes(NUMBER, CLASSES).arrays["label"]
    peaks = maps.astype("f8").max((1, 2))
    chances = np.asarray(jax.nn.softmax(scores)).astype("f8")
    expected = np.corrcoef(peaks.T, chances.T)[: peaks.shape[1], peaks.shape[1] :]
    ranks = (np.argsort(-scores, axis=1, kind="stable") == labels[:, None]).argmax(1)
    for batch_size in (16, NUMBER):
        found = correlate_with_classes(
            pooled(), scenes(NUMBER, CLASSES), "conv2", batch_size=batch_size
        )
        np.testing.assert_allclose(found.correlation, expected, atol=1e-4)
        shares = [(ranks < n).mean() for n in range(1, CLASSES + 1)]
        np.testing.assert_allclose(found.top_n_accuracy, shares)


def test_shares_of_positive_correlations():
    correlation = np.array([[0.5, -0.1, 0.0], [0.2, 0.3, -0.4]])
    important = np.array([[True, True, False], [True, False, False]])
    assert positive_shares(correlation, important) == (2 / 3, 1 / 3)
    assert positive_shares(correlation, np.zeros((2, 3), bool)).important == 0


def test_mean_activations(recorded):
    maps, _ = recorded
    for batch_size in (7, NUMBER):
        found = mean_activations(pooled(), scenes(NUMBER, CLASSES), "conv2", batch_size=batch_size)
        np.testing.assert_allclose(found, maps.mean((0, 1, 2), dtype="f8"), rtol=1e-4, atol=1e-6)


def test_every_image_is_the_donor_of_one():
    source = scenes(9, 3)
    paired = WithDonors(source, seed=4)
    assert sorted(paired.donors) == list(range(9)) and len(paired) == 9
    assert (paired.donors != np.arange(9)).all()
    for index in range(9):
        item = paired[index]
        donor = source[int(paired.donors[index])]
        np.testing.assert_array_equal(item[DONOR], donor["image"])
        np.testing.assert_array_equal(item["image"], source[index]["image"])
    with pytest.raises(ValueError, match="at least 2"):
        WithDonors(scenes(1, 1))
