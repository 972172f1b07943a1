"""Described generators: DCGAN equal to PyTorch, gan_cat64, one of one's own, faults."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxdissect as jd
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.loading import convert, load_network, untrained
from jaxdissect.networks.models import dcgan
from jaxdissect.networks.models.described_generator import (
    Clip,
    Convolve,
    ConvolveTransposed,
    Dense,
    DescribedGenerator,
    Normalise,
    Rectify,
)
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

LATENT, UNITS = 7, (9, 6, 5)


def draw(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype("f4")


def save(path, arrays):
    np.savez(path, **arrays)


def assert_close(actual, expected, tolerance=1e-5, what=""):
    assert actual.shape == expected.shape, what
    bound = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=what)


@functools.cache
def restated(slope=0.0):
    """A DCGAN as PyTorch's tutorial describes it, with random statistics, for 16 x 16 pixels."""
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("torch").nn

    torch.manual_seed(0)
    layers, inputs = [], LATENT
    for number, units in enumerate(UNITS):
        stride, padding = (2, 1) if number else (1, 0)
        layers += [
            nn.ConvTranspose2d(inputs, units, 4, stride, padding, bias=False),
            nn.BatchNorm2d(units),
            nn.LeakyReLU(slope),
        ]
        inputs = units
    layers += [nn.ConvTranspose2d(inputs, 3, 3, 1, 1, bias=True), nn.Tanh()]
    main = nn.Sequential(*layers)
    for name, values in main.state_dict().items():
        if values.dtype == torch.float32:
            values.normal_()
            if name.endswith("running_var"):
                values.abs_().add_(0.5)
            if values.ndim == 4:
                values.div_(values[0].numel() ** 0.5)  # or the tangent would be saturated
    whole = nn.Module()
    whole.main = main
    return whole.eval()


def main_of(slope=0.0):
    (main,) = restated(slope).children()
    return main


def outputs_of(main, latents):
    """Every layer's output, channels last."""
    torch = pytest.importorskip("torch")

    found, maps = {}, torch.from_numpy(latents)[:, :, None, None]
    with torch.no_grad():
        for number, layer in enumerate(main):
            maps = layer(maps)
            found[f"main.{number}"] = maps.numpy().transpose(0, 2, 3, 1)
    return found


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_dcgan_equals_pytorch_at_every_layer(tmp_path, slope):
    torch = pytest.importorskip("torch")

    torch.save(restated(slope).state_dict(), tmp_path / "netG.pth")
    network = NnxNetwork(load_network("dcgan", tmp_path / "netG.pth", slope=slope))
    latents = draw(3, LATENT)
    expected = outputs_of(main_of(slope), latents)
    images, layers = jax.jit(lambda p, z: network.apply(p, z, layers=tuple(expected)))(
        network.params, latents
    )
    assert images.shape == (3, 16, 16, 3)
    for name, maps in expected.items():
        assert_close(layers[name], maps, what=name)
    assert {"main", *expected} == set(network.layer_names)


def test_dcgan_of_other_strides_and_functions(tmp_path):
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("torch").nn

    torch.manual_seed(0)
    main = nn.Sequential(
        nn.ConvTranspose2d(LATENT, 6, 4),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(6, 5, 5, 2, 2, output_padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(5, 4, 3, 2, 1, output_padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(4, 3, 5, 1, 2),
        nn.Sigmoid(),
    )
    torch.save(main.state_dict(), tmp_path / "netG.pth")
    options = {"slope": 0.2, "last": jax.nn.sigmoid, "pixel_range": (0.0, 1.0)}
    with pytest.raises(ValueError, match=r"`strides` are needed: .* 5 x 5, .* strides=\(2, 2, 2\)"):
        load_network("dcgan", tmp_path / "netG.pth", **options)
    loaded = load_network("dcgan", tmp_path / "netG.pth", strides=(2, 2, 1), **options)
    assert isinstance(loaded, DescribedGenerator) and loaded.pixel_range == (0, 1)
    latents = draw(3, LATENT)
    expected = outputs_of(main, latents)["main.7"]
    assert expected.shape == (3, 16, 16, 3)
    assert_close(jax.jit(loaded)(latents), expected)


@pytest.mark.parametrize(
    "sizes, strides, message",
    [
        ((4, 3, 4), None, "`strides` are needed: .* 3 x 3"),
        ((4, 4, 5), None, "`strides` are needed: .* 5 x 5"),
        ((4, 4, 4), (2,), r"`strides` \(=\(2,\)\) must be one for each of the 2"),
        ((4, 4, 4), (1, 2), "kernel of 4 x 4 cannot multiply the size of maps by 1"),
        ((4, 3, 4), (4, 2), "kernel of 3 x 3 cannot multiply the size of maps by 4"),
    ],
)
def test_strides_of_dcgan_that_are_unknown_or_do_not_fit(sizes, strides, message):
    shapes = {f"main.{2 * i}.weight": (3, 3, size, size) for i, size in enumerate(sizes)}
    with pytest.raises(ValueError, match=message):
        dcgan.from_shapes(shapes, strides=strides)


@pytest.mark.parametrize("prefix", ["", "net.", "module.generator.layers."])
def test_dcgan_by_other_prefixes(tmp_path, prefix):
    arrays = {n: a.numpy() for n, a in main_of().state_dict().items()}
    save(tmp_path / "g.npz", {f"{prefix}{name}": array for name, array in arrays.items()})
    loaded = load_network("dcgan", tmp_path / "g.npz")
    assert isinstance(loaded, DescribedGenerator) and loaded.latent_size == LATENT
    latents = draw(2, LATENT)
    expected = outputs_of(main_of(), latents)["main.10"]
    assert_close(jax.jit(loaded)(latents), expected)
    convert("dcgan", tmp_path / "g.npz", tmp_path / "g.safetensors")
    assert_close(jax.jit(load_network("dcgan", tmp_path / "g.safetensors"))(latents), expected)


def test_load_weights_fills_a_description(tmp_path):
    torch = pytest.importorskip("torch")

    torch.save(restated().state_dict(), tmp_path / "netG.pth")
    parts, place = {}, 0
    for number, units in enumerate(UNITS):
        stride, padding = (2, 1) if number else (1, 0)
        layers = [ConvolveTransposed(units, 4, stride, padding), Normalise(), Rectify()]
        parts |= {str(place + i): layer for i, layer in enumerate(layers)}
        place += 3
    last = ConvolveTransposed(3, 3, 1, 1, use_bias=True)
    parts |= {str(place): last, str(place + 1): jnp.tanh}
    own = DescribedGenerator(LATENT, {"main": parts}, rngs=nnx.Rngs(0))
    loaded = jd.load_weights(own, tmp_path / "netG.pth")
    latents = draw(2, LATENT)
    assert_close(jax.jit(loaded)(latents), outputs_of(main_of(), latents)["main.10"])


def test_dcgan_of_the_tutorial():
    arrays, images = published("dcgan", 100)
    names = {name: PYTORCH.shape(array.shape, name) for name, array in arrays.items()}
    assert names["main.0.kernel"] == (100, 512, 4, 4) and names["main.12.kernel"] == (64, 3, 4, 4)
    assert "main.10.var" in names and "main.13.var" not in names
    assert images.shape == (2, 64, 64, 3)


def published(architecture, latent_size):
    """Shapes of the parameters and images of the published sizes; nothing is computed."""

    def build(latents):
        module = untrained(architecture, seed=0)
        return parameters(module), module(latents)

    return jax.eval_shape(build, jax.ShapeDtypeStruct((2, latent_size), jnp.float32))


@pytest.mark.parametrize(
    "shapes, message",
    [
        ({"main.0.weight": (4, 3)}, r"must have `main.0.weight`.*they have: main.0.weight \[4, 3"),
        ({"main.1.weight": (4, 3, 4, 4)}, "must have `main.0.weight`"),
        (
            {"main.0.weight": (4, 3, 4, 4), "main.1.weight": (3, 3, 4, 4)},
            "must leave one place between two convolutions free.*: 0, 1; describe another",
        ),
        (
            {"main.0.weight": (4, 3, 4, 4), "main.3.weight": (3, 3, 4, 4)},
            "must leave one place between two convolutions free",
        ),
    ],
)
def test_weights_of_another_network_are_no_dcgan(shapes, message):
    with pytest.raises(ValueError, match=message):
        dcgan.from_shapes(shapes)


def small_cat_arrays():
    shapes = {
        "dense_2": (6, 2 * 2 * 3),
        "conv2d_7": (3, 3, 3, 4),
        "conv2d_8": (5, 5, 4, 5),
        "conv2d_9": (5, 5, 5, 4),
        "conv2d_10": (5, 5, 4, 6),
        "conv2d_11": (5, 5, 6, 3),
    }
    kernels = {f"{name}/kernel": draw(*shape) for name, shape in shapes.items()}
    return kernels | {f"{name}/bias": draw(shape[-1]) for name, shape in shapes.items()}


def test_cats_equal_a_restatement_in_numpy(tmp_path):
    arrays = small_cat_arrays()
    save(tmp_path / "generator580.npz", arrays)
    loaded = load_network("gan_cat64", tmp_path / "generator580.npz")
    latents = draw(2, 6)
    maps = (latents @ arrays["dense_2/kernel"] + arrays["dense_2/bias"]).reshape(2, 2, 2, 3)
    wanted = {}
    for number in range(7, 12):
        kernel = arrays[f"conv2d_{number}/kernel"]
        size = len(kernel)
        around = np.pad(maps, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(around, (size, size), (1, 2))
        maps = np.einsum("byxcij,ijcu->byxu", windows, kernel) + arrays[f"conv2d_{number}/bias"]
        maps = np.where(maps < 0, 0.2 * maps, maps)
        wanted[f"relu_{number}"] = maps
        if number < 10:
            maps = maps.repeat(2, axis=1).repeat(2, axis=2)
    network = NnxNetwork(loaded)
    images, layers = jax.jit(lambda p, z: network.apply(p, z, layers=tuple(wanted)))(
        network.params, latents
    )
    for name, expected in wanted.items():
        assert_close(layers[name], expected, what=name)
    assert images.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(images, np.clip(layers["relu_11"], 0, 1))


def test_cat_weights_that_do_not_fit_are_listed(tmp_path):
    arrays = small_cat_arrays()
    del arrays["dense_2/bias"]
    arrays["conv2d_9/kernel"] = draw(5, 5, 7, 4)
    arrays["conv2d_12/bias"] = draw(3)
    save(tmp_path / "cats.npz", arrays)
    with pytest.raises(ValueError, match="read as gan_cat64") as problem:
        load_network("gan_cat64", tmp_path / "cats.npz")
    message = str(problem.value)
    assert "missing:\n  dense_2.bias [12]" in message
    assert "unexpected:\n  conv2d_12.bias [3]" in message
    assert "conv2d_9.kernel: expected [5, 5, 5, 4], got [5, 5, 7, 4]" in message


def test_published_cats_are_64_pixels_wide():
    arrays, images = published("gan_cat64", 512)
    assert images.shape == (2, 64, 64, 3)
    assert sum(array.size for array in arrays.values()) == 587_715


def test_a_description_of_ones_own():
    description = {
        "start": Dense((2, 3, 4), use_bias=False),
        "body": {"widen": ConvolveTransposed(5), "act": Rectify(0.1)},
        "up": upsample_nearest,
        "colors": Convolve(3, 1),
        "clip": Clip(-1.0, 1.0),
    }
    module = DescribedGenerator(6, description, rngs=nnx.Rngs(0))
    assert jax.jit(module)(draw(2, 6)).shape == (2, 8, 12, 3)
    again = DescribedGenerator(6, description, rngs=nnx.Rngs(1))
    assert NnxNetwork(module).identity() == NnxNetwork(again).identity()
    arrays = {"start.weight": (24, 6), "body.widen.weight": (4, 5, 4, 4)}
    arrays |= {"colors.weight": (3, 5, 1, 1), "colors.bias": (3,)}
    arrays = {name: draw(*shape) for name, shape in arrays.items()}
    filled = with_parameters(lambda: DescribedGenerator(6, description, rngs=nnx.Rngs(0)), arrays)
    assert jax.jit(filled)(draw(2, 6)).max() <= 1


@pytest.mark.parametrize(
    "given, message",
    [
        (draw(2, 6, 1, 1), r"must be vectors \[B, 6\]; latents.reshape\(-1, 6\)"),
        (np.zeros((2, 6), np.int32), "must be floats"),
    ],
)
def test_bad_latents_are_refused(given, message):
    module = DescribedGenerator(6, {"start": Dense((2, 2, 3))}, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=message):
        module(given)
    with pytest.raises(ValueError, match="`latent_size` .=0."):
        DescribedGenerator(0, {"start": Dense((2, 2, 3))}, rngs=nnx.Rngs(0))
