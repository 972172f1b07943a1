"""Segmenters of a network and a list of names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.arrays.resampling import resample
from jaxdissect.networks.convolution import Conv2D
from jaxdissect.networks.segmenters.scored_segmenter import segmenter_of
from jaxdissect.networks.segmenters.segmenter import predict_labels, predict_single_concept


def brightness(params, images):
    """Scores of red, green and blue at half the size."""
    return params * resample(images, (images.shape[1] // 2, images.shape[2] // 2))


def images(*shape):
    return jnp.asarray(np.random.RandomState(0).random_sample(shape), jnp.float32)


def test_labels_are_the_greatest_scores_at_the_centres_of_cells():
    segmenter = segmenter_of(brightness, ["red", None, ("blue", "color")], params=jnp.ones(()))
    assert segmenter.vocabulary.names == ("-", "red", "blue")
    assert segmenter.vocabulary.categories == ("-", "object", "color")
    x = images(2, 8, 12, 3)
    labels = jax.jit(segmenter.segment, static_argnums=2)(segmenter.params, x, (3, 5))
    scores = resample(resample(x, (4, 6)), (3, 5))
    expected = np.array([1, 0, 2])[scores.argmax(-1)]
    np.testing.assert_array_equal(labels, expected[..., None])
    score, mask = predict_single_concept(segmenter, x, "blue", grid=(3, 5))
    np.testing.assert_allclose(score, jax.nn.softmax(scores)[..., 2], rtol=1e-5)
    np.testing.assert_array_equal(mask, expected == 2)
    slope = jax.grad(lambda x: predict_single_concept(segmenter, x, "blue")[0].sum())(x)
    assert slope[..., 2].sum() > 0


def test_channels_that_share_a_concept_add_their_probabilities():
    segmenter = segmenter_of(brightness, ["sea", "sky", "sea"], params=jnp.ones(()))
    x = images(1, 4, 4, 3)
    score, mask = predict_single_concept(segmenter, x, "sea", grid=(2, 2))
    shares = jax.nn.softmax(resample(x, (2, 2)))
    np.testing.assert_allclose(score, shares[..., 0] + shares[..., 2], rtol=1e-5)
    np.testing.assert_array_equal(mask, shares.argmax(-1) != 1)


def test_modules_bring_their_parameters_and_images_are_prepared():
    seen = []

    class Network(nnx.Module):
        def __init__(self):
            self.conv = Conv2D(3, 4, (1, 1), rngs=nnx.Rngs(0))

        def __call__(self, x):
            seen.append(x.shape)
            return self.conv(x)

    network = Network()
    names = [None, "a", "b", "c"]
    x = images(1, 6, 9, 3)
    segmenter = segmenter_of(network, names, prepare=lambda x: 3 * x - 1, multiple_of=4)
    labels = predict_labels(segmenter, x, grid=(8, 12))
    assert seen[-1] == (1, 8, 12, 3)
    resized = jax.image.resize(x, (1, 8, 12, 3), "linear")
    np.testing.assert_array_equal(labels[..., 0], network.conv(3 * resized - 1).argmax(-1))
    predict_labels(segmenter_of(network, names, size=(5, 7)), x)
    assert seen[-1] == (1, 5, 7, 3)


def test_a_vocabulary_numbers_the_channels_with_or_without_none():
    known = vocabulary([("red", "color"), ("green", "color")])
    x = images(1, 4, 4, 3)
    with_none = segmenter_of(brightness, known, params=jnp.ones(()))
    expected = resample(x, (2, 2)).argmax(-1)
    np.testing.assert_array_equal(predict_labels(with_none, x, grid=(2, 2))[..., 0], expected)
    without = segmenter_of(lambda p, x: brightness(p, x)[..., 1:], known, params=jnp.ones(()))
    labels = predict_labels(without, x, grid=(2, 2))[..., 0]
    np.testing.assert_array_equal(labels, 1 + resample(x, (2, 2))[..., 1:].argmax(-1))


def test_scores_that_are_no_numbers_are_no_concept():
    segmenter = segmenter_of(lambda p, x: x.at[0, 0, 0, 1].set(p), ["r", "g", "b"], params=jnp.nan)
    labels = predict_labels(segmenter, images(1, 5, 5, 3), grid=(5, 5))[..., 0]
    assert labels[0, 0, 0] == -1 and labels[0, 2:].min() > 0


def test_what_is_no_score_per_channel_is_refused():
    x = images(2, 4, 6, 3)
    for network, message in (
        (lambda p, x: x.argmax(-1), r"int32\[2, 4, 6\], and must give floats .*3\].* gives ids"),
        (lambda p, x: (x, x), "gives tuple"),
        (lambda p, x: x[..., :2], r"\[2, 4, 6, 2\], .* because `concepts` name so many$"),
        (lambda p, x: x[:1], r"\[1, 4, 6, 3\]"),
        (lambda p, x: x.transpose(0, 3, 1, 2), r"\[2, 3, 4, 6\].* must come last"),
        (lambda p, x: x.mean((1, 2)), r"\[2, 3\], and must"),
    ):
        segmenter = segmenter_of(network, ["a", "b", "c"], params=())
        with pytest.raises(ValueError, match=message):
            predict_labels(segmenter, x)
    segmenter = segmenter_of(brightness, ["a", "b", "c"], params=jnp.ones(()))
    for wrong, grid in ((x[0], (2, 2)), ((x * 255).astype(jnp.uint8), (2, 2)), (x, (0, 2))):
        with pytest.raises(ValueError, match="`images`|`grid`"):
            segmenter.segment(segmenter.params, wrong, grid)


def test_malformed_arguments_are_refused():
    for concepts, message in (
        ([], "entry for every channel"),
        ("abc", "entry for every channel"),
        (["background", "a"], r"`concepts`\[0\] is 'background': give None"),
    ):
        with pytest.raises(ValueError, match=message):
            segmenter_of(brightness, concepts, params=jnp.ones(()))
    with pytest.raises(ValueError, match="`size`"):
        segmenter_of(brightness, ["a"], params=(), size=(0, 4))
    with pytest.raises(ValueError, match="`multiple_of`"):
        segmenter_of(brightness, ["a"], params=(), size=(4, 4), multiple_of=32)
    with pytest.raises(ValueError, match="`params` go with a function"):
        segmenter_of(Conv2D(3, 1, rngs=nnx.Rngs(0)), ["a"], params=())
    with pytest.raises(TypeError, match="`network`"):
        segmenter_of("deeplab", ["a"])
