"""Style transfer: the reference's arrays, PyTorch, sizes, faults."""

import functools

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.models import adain
from jaxdissect.networks.models.adain import AdaINDecoder, AdaINEncoder, channel_statistics, stylize
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

ENCODER = (4, 4, "pool", 6, 6, "pool", 8, 8, 8, 8, "pool", 10)
DECODER = (8, "up", 8, 8, 8, 6, "up", 6, 4, "up", 4, 3)


def small_encoder():
    return AdaINEncoder(ENCODER, rngs=nnx.Rngs(0))


def small_decoder():
    return AdaINDecoder(10, DECODER, rngs=nnx.Rngs(1))


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
    features = encoder(content)
    maps = np.moveaxis(np.asarray(features), -1, 1)
    assert maps.shape == tuple(stored["content_feat_shape"])
    assert_close(maps.ravel()[:64], stored["content_feat_head"])
    mean, deviation, low, high = stored["content_feat_stat"]
    found = [maps.mean(), maps.std(ddof=1), maps.min(), maps.max()]
    np.testing.assert_allclose(found, [mean, deviation, low, high], rtol=0, atol=1e-4 * high)
    of_units = channel_statistics(features)
    assert_close(of_units[0].ravel()[:16], stored["content_mean_head"])
    assert_close(of_units[1].ravel()[:16], stored["content_std_head"])
    other = encoder(style)
    assert np.moveaxis(other, -1, 1).shape == tuple(stored["style_feat_shape"])
    expected = channels_last(stored["output"])
    assert_close(decoder(adain.adain(features, other)), expected)
    assert_close(stylize(encoder, decoder, content, style), np.clip(expected, 0, 1))


@pytest.mark.parametrize("size", [(9, 9), (16, 24), (17, 30), (33, 20)])
def test_adain_model_equals_pytorch_on_random_weights(size):
    torch = pytest.importorskip("torch")
    import torch_generators as restated

    torch.manual_seed(0)
    encoder, decoder = restated.adain_encoder(ENCODER), restated.adain_decoder(10, DECODER)
    arrays = [
        {name: array.numpy() for name, array in module.state_dict().items()}
        for module in (encoder, decoder)
    ]
    mine = (
        with_weights(adain.encoder_from_shapes, arrays[0]),
        with_weights(adain.decoder_from_shapes, arrays[1]),
    )
    content, style = random_images(2, *size, 3), random_images(2, 21, 11, 3, seed=1)
    with torch.no_grad():
        features, other = (
            encoder(torch.from_numpy(np.moveaxis(np.array(images), -1, 1).copy()))
            for images in (content, style)
        )
        expected = decoder(restated.adain(features, other)).numpy()
    expected = np.moveaxis(expected, 1, -1)
    assert expected.shape == (2, *(-(-side // 8) * 8 for side in size), 3)
    assert_close(mine[0](content), np.moveaxis(features.numpy(), 1, -1), 1e-5)
    found = stylize(*mine, content, style)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-4)
    np.testing.assert_allclose(
        stylize(*mine, content, style, alpha=0.0),
        np.clip(mine[1](mine[0](content)), 0, 1),
        atol=1e-6,
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


def test_adain_model_in_bfloat16():
    arrays = {
        PYTORCH.name(name): PYTORCH.to_file(np.asarray(array))
        for name, array in parameters(small_encoder()).items()
    }
    halved = with_weights(adain.encoder_from_shapes, arrays, dtype=jnp.bfloat16)
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
    with pytest.raises(ValueError, match="`alpha` \\(=1.5\\) must lie in"):
        stylize(small_encoder(), small_decoder(), *[random_images(1, 16, 16, 3)] * 2, alpha=1.5)
