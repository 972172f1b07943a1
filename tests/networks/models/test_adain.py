"""Style transfer: the reference's arrays, PyTorch, sizes, faults."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support import golden

from jaxdissect.networks.models import adain
from jaxdissect.networks.models.adain import AdaINDecoder, AdaINEncoder, channel_statistics, stylize
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

ENCODER = (4, 4, "pool", 6, 6, "pool", 8, 8, 8, 8, "pool", 10)
CENTER = np.full(3, 0.5, np.float32)
DECODER = (8, "up", 8, 8, 8, 6, "up", 6, 4, "up", 4, 3)


def random_arrays(build):
    """Weights that keep activations near one, under their names in PyTorch."""
    random = np.random.RandomState(0)
    arrays = {}
    for path, leaf in nnx.to_flat_state(nnx.state(nnx.eval_shape(build), nnx.Param)):
        shape = PYTORCH.shape(leaf.shape, str(path[-1]))
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        name = PYTORCH.name(".".join(map(str, path)))
        arrays[name] = (scale * random.standard_normal(shape)).astype("f4")
    return arrays


def encoder_arrays():
    arrays = random_arrays(lambda: AdaINEncoder(ENCODER, rngs=nnx.Rngs(0)))
    # As published, colors are centered: images would hardly vary beside their mean.
    return arrays | {"0.weight": 4 * np.eye(3, dtype="f4")[..., None, None], "0.bias": -CENTER * 4}


def decoder_arrays():
    arrays = random_arrays(lambda: AdaINDecoder(10, DECODER, rngs=nnx.Rngs(0)))
    return arrays | {"28.weight": arrays["28.weight"] / 4, "28.bias": CENTER}


@functools.cache
def small_encoder():
    return with_weights(adain.encoder_from_shapes, encoder_arrays())


@functools.cache
def small_decoder():
    return with_weights(adain.decoder_from_shapes, decoder_arrays())


def with_weights(from_shapes, arrays, **options):
    shapes = {name: array.shape for name, array in arrays.items()}
    return with_parameters(lambda: from_shapes(shapes), arrays, **options)


def random_images(*shape, seed=0):
    return jnp.asarray(np.random.RandomState(seed).random_sample(shape), jnp.float32)


def channels_last(array):
    return jnp.asarray(np.moveaxis(array, 1, -1))


def assert_close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_adain_model_golden_statistics():
    stored, _ = golden.load("adain_a")
    content, style = channels_last(stored["toy_content"]), channels_last(stored["toy_style"])
    mean, deviation = channel_statistics(content)
    np.testing.assert_allclose(mean, channels_last(stored["toy_mean"]), atol=1e-6)
    np.testing.assert_allclose(deviation, channels_last(stored["toy_std"]), atol=1e-6)
    assert_close(adain.adain(content, style), channels_last(stored["toy_adain"]), 1e-5)


@pytest.mark.slow
def test_adain_model_golden_networks():
    stored, meta = golden.load("adain_a")
    recipe = golden.recipe()
    encoder_weights, decoder_weights = (
        recipe.state_dict({key: tuple(shape) for key, shape in meta[shapes].items()}, meta[seed])
        for shapes, seed in (
            ("all_vgg_shapes", "encoder_seed"),
            ("decoder_shapes", "decoder_seed"),
        )
    )
    encoder = with_weights(
        adain.encoder_from_shapes, adain.encoder_reference_names(encoder_weights)
    )
    decoder = with_weights(adain.decoder_from_shapes, decoder_weights)
    content, style = (
        channels_last(recipe.array(meta[f"{name}_seed"], meta[f"{name}_shape"], "uniform"))
        for name in ("content", "style")
    )
    features = jax.jit(encoder)(content)
    maps = np.moveaxis(np.asarray(features), -1, 1)
    assert maps.shape == tuple(stored["content_feat_shape"])
    assert_close(maps.ravel()[:64], stored["content_feat_head"])
    mean, deviation, low, high = stored["content_feat_stat"]
    found = [maps.mean(), maps.std(ddof=1), maps.min(), maps.max()]
    np.testing.assert_allclose(found, [mean, deviation, low, high], rtol=0, atol=1e-4 * high)
    of_units = channel_statistics(features)
    assert_close(of_units[0].ravel()[:16], stored["content_mean_head"])
    assert_close(of_units[1].ravel()[:16], stored["content_std_head"])
    other = jax.jit(encoder)(style)
    assert np.moveaxis(other, -1, 1).shape == tuple(stored["style_feat_shape"])
    expected = channels_last(stored["output"])
    assert_close(jax.jit(decoder)(adain.adain(features, other)), expected)
    found = jax.jit(functools.partial(stylize, encoder, decoder))(content, style)
    assert_close(found, np.clip(expected, 0, 1))


@pytest.mark.parametrize("size", [(9, 9), (16, 24), (17, 30), (33, 20)])
def test_adain_model_equals_pytorch_on_random_weights(size):
    torch = pytest.importorskip("torch")
    from support import torch_generators as restated

    encoder, decoder = restated.adain_encoder(ENCODER), restated.adain_decoder(10, DECODER)
    for module, arrays in ((encoder, encoder_arrays()), (decoder, decoder_arrays())):
        module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    content, style = random_images(2, *size, 3), random_images(2, 21, 11, 3, seed=1)
    with torch.no_grad():
        features, other = (
            encoder(torch.from_numpy(np.moveaxis(np.array(images), -1, 1).copy()))
            for images in (content, style)
        )
        expected = decoder(restated.adain(features, other)).numpy()
    expected = np.moveaxis(expected, 1, -1)
    assert expected.shape == (2, *(-(-side // 8) * 8 for side in size), 3)
    found = jax.jit(small_encoder())(content)
    assert_close(found, np.moveaxis(features.numpy(), 1, -1), 1e-5)
    found = jax.jit(functools.partial(stylize, small_encoder(), small_decoder()))(content, style)
    inside = (expected > 0) & (expected < 1)
    assert inside.any() and not inside.all() and expected.std(axis=(1, 2)).min() > 4e-3
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-5)


def test_adain_model_mixes_content_and_style():
    networks = small_encoder(), small_decoder()
    content, style = random_images(2, 16, 16, 3), random_images(2, 24, 16, 3, seed=1)
    features, other = small_encoder()(content), small_encoder()(style)
    for alpha in (0.0, 0.3):
        mixed = alpha * adain.adain(features, other) + (1 - alpha) * features
        np.testing.assert_allclose(
            stylize(*networks, content, style, alpha=alpha),
            np.clip(small_decoder()(mixed), 0, 1),
            atol=1e-5,
        )


def test_layers_of_the_adain_model_have_the_published_numbers():
    network = as_network(small_encoder())
    layers = tuple(str(number) for number in range(31))
    images = random_images(1, 16, 16, 3)
    features, activations = jax.jit(lambda p, x: network.apply(p, x, layers=layers))(
        network.params, images
    )
    np.testing.assert_array_equal(activations["30"], features)
    np.testing.assert_array_equal(activations["30"], nnx.relu(activations["29"]))
    assert activations["29"].shape == (1, 2, 2, 10)
    names = [PYTORCH.name(name) for name in parameters(small_encoder())]
    places = sorted({int(name.partition(".")[0]) for name in names})
    assert places == [0, 2, 5, 9, 12, 16, 19, 22, 25, 29]
    names = [PYTORCH.name(name) for name in parameters(small_decoder())]
    places = sorted({int(name.partition(".")[0]) for name in names})
    assert places == [1, 5, 8, 11, 14, 18, 21, 25, 28]


@pytest.mark.slow
def test_adain_model_is_the_same_jitted_and_differentiable():
    encoder, decoder = small_encoder(), small_decoder()
    content, style = random_images(2, 16, 16, 3), random_images(2, 24, 16, 3, seed=1)
    render = functools.partial(stylize, encoder, decoder)
    np.testing.assert_allclose(jax.jit(render)(content, style), render(content, style), atol=1e-5)
    gradient = jax.jit(
        jax.grad(lambda style: decoder(adain.adain(encoder(content), encoder(style))).sum())
    )
    slope = gradient(style)
    assert np.isfinite(slope).all() and (slope != 0).any()


@pytest.mark.slow
def test_adain_model_in_bfloat16():
    halved = with_weights(adain.encoder_from_shapes, encoder_arrays(), dtype=jnp.bfloat16)
    images = random_images(1, 16, 16, 3)
    assert halved(images).dtype == jnp.bfloat16
    assert_close(halved(images).astype(jnp.float32), small_encoder()(images), 5e-2)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((1, 16, 16, 3), np.uint8), "must be floats"),
        (np.zeros((16, 16, 3), np.float32), "must have axes"),
        (np.zeros((1, 8, 16, 3), np.float32), "at least 9 x 9 pixels"),
    ],
)
def test_the_adain_model_refuses_bad_images(images, message):
    with pytest.raises(ValueError, match=message):
        small_encoder()(images)


def test_the_adain_model_refuses_an_alpha_beyond_the_style():
    with pytest.raises(ValueError, match="`alpha` \\(=1.5\\) must lie in"):
        stylize(small_encoder(), small_decoder(), *[random_images(1, 16, 16, 3)] * 2, alpha=1.5)


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((1, 2, 2, 10), np.uint8),
        np.zeros((2, 2, 10), np.float32),
        np.zeros((1, 2, 2, 9), np.float32),
        np.zeros((1, 1, 2, 10), np.float32),
    ],
)
def test_the_adain_model_refuses_bad_features(features):
    with pytest.raises(ValueError, match=r"must be floats \[B, h, w, 10\] of 2 x 2 cells or more"):
        small_decoder()(features)
    with pytest.raises(ValueError, match="must have two cells or more"):
        channel_statistics(jnp.zeros((1, 1, 1, 10)))


def test_adain_models_tell_all_that_is_wrong_with_their_weights():
    arrays = encoder_arrays()
    del arrays["9.weight"], arrays["0.bias"]
    arrays["29.weight"] = np.zeros((10, 8, 5, 5), np.float32)
    arrays["32.weight"] = np.zeros((10, 10, 3, 3), np.float32)
    with pytest.raises(ValueError) as problem:
        with_weights(adain.encoder_from_shapes, adain.encoder_reference_names(arrays))
    # Where a weight is missing, the published number of units is expected.
    assert "missing:\n  0.bias [3]\n  9.weight [128, 4, 3, 3]" in str(problem.value)
    assert "29.weight: expected [10, 8, 3, 3], got [10, 8, 5, 5]" in str(problem.value)
    assert "unexpected" not in str(problem.value)
    with pytest.raises(ValueError, match=r"1.weight \[256, 512, 3, 3\]"):
        with_weights(adain.decoder_from_shapes, {"5.bias": np.zeros(3, np.float32)})
