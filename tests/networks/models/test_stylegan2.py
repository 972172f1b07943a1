"""StyleGAN2: equal to PyTorch at every layer, sizes and names of weights, noise, truncation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdissect as jd
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.models import stylegan2_weights
from jaxdissect.networks.models.stylegan2 import StyleGAN2, fresh_noise, no_noise
from jaxdissect.networks.weights.mapping import with_parameters

SIZES, LATENT, STYLE, NUM_MAPPING = (12, 10, 6), 9, 11, 3


@functools.cache
def restated():
    torch = pytest.importorskip("torch")
    from support.torch_stylegan2 import StyleGAN2 as Restated

    torch.manual_seed(0)
    return Restated(SIZES, LATENT, STYLE, NUM_MAPPING).eval()


@functools.cache
def small_arrays():
    return {name: array.numpy() for name, array in restated().state_dict().items()}


def generator(arrays, *, dtype=jnp.float32, **options):
    arrays = stylegan2_weights.reference_names(arrays)
    shapes = {name: array.shape for name, array in arrays.items()}
    return with_parameters(
        lambda: stylegan2_weights.from_shapes(shapes, **options), arrays, dtype=dtype
    )


@functools.cache
def small():
    return generator(small_arrays())


def draw(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype("f4")


def channels_last(tensor):
    array = tensor.detach().numpy()
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def expected(latents, **options):
    torch = pytest.importorskip("torch")

    with torch.no_grad():
        return channels_last(restated()(torch.from_numpy(latents), **options))


def assert_close(actual, wanted, tolerance=1e-5, what=""):
    assert actual.shape == wanted.shape, what
    bound = tolerance * np.abs(wanted).max()
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound, err_msg=what)


def test_every_layer_equals_pytorch_on_random_weights():
    torch = pytest.importorskip("torch")

    outputs = {}

    def keep(name):
        return lambda module, inputs, output: outputs.update({name: output})

    handles = [
        module.register_forward_hook(keep(name)) for name, module in restated().named_modules()
    ]
    latents = draw(3, LATENT)
    with torch.no_grad():
        image = channels_last(restated()(torch.from_numpy(latents)))
    for handle in handles:
        handle.remove()
    network = NnxNetwork(small())
    wanted = {n: o for n, o in outputs.items() if n and isinstance(o, torch.Tensor)}
    blocks = {f"synthesis.b{side}" for side in (4, 8, 16)}  # units, and the image so far
    assert set(network.layer_names) == set(wanted) | blocks
    found, layers = jax.jit(lambda p, z: network.apply(p, z, layers=tuple(wanted)))(
        network.params, latents
    )
    assert image.shape == (3, 16, 16, 3) and image.std() > 0.5
    assert_close(found, image)
    for name, output in wanted.items():
        assert_close(layers[name], channels_last(output), what=name)


@pytest.mark.parametrize("truncation", [0.0, 0.6])
def test_styles_are_truncated_towards_their_mean(truncation):
    latents = draw(2, LATENT)
    made = jax.jit(generator(small_arrays(), truncation=truncation))(latents)
    assert_close(made, expected(latents, truncation=truncation))
    assert (np.abs(made[0] - made[1]).max() < 1e-5) == (truncation == 0)


def test_noise_is_stored_none_or_fresh():
    latents = draw(2, LATENT)[[0, 0]]
    make = jax.jit(lambda z, key: small()(z, noise=fresh_noise(key)))
    stored = jax.jit(small())(latents)
    without = jax.jit(lambda z: small()(z, noise=no_noise))(latents)
    assert_close(without, expected(latents, noise="none"))
    fresh, other = make(latents, jax.random.key(0)), make(latents, jax.random.key(1))
    np.testing.assert_array_equal(fresh, make(latents, jax.random.key(0)))
    distances = [np.abs(a - b).mean() for a, b in [(stored, without), (fresh, other), fresh]]
    assert min(distances) > 0.05 and np.abs(stored[0] - stored[1]).max() < 1e-5
    network = NnxNetwork(small(), noise=no_noise)
    found, _ = jax.jit(lambda p, z: network.apply(p, z))(network.params, latents)
    assert_close(found, without)


def test_styles_are_inputs_of_the_synthesis():
    torch = pytest.importorskip("torch")

    synthesis = small().synthesis
    assert synthesis.num_styles == 6
    many = draw(2, 6, STYLE)
    with torch.no_grad():
        wanted = channels_last(restated().synthesis(torch.from_numpy(many)))
    assert_close(jax.jit(synthesis)(many), wanted)
    latents = draw(2, LATENT)
    one = jax.jit(small().mapping)(latents)
    assert one.shape == (2, STYLE)
    assert_close(jax.jit(synthesis)(one), expected(latents))


@pytest.mark.parametrize(
    "given, message",
    [
        (draw(2, LATENT + 1), r"`latents` \(=\(2, 10\)\) must be vectors \[B, 9\]; style vectors"),
        (draw(2, 6, STYLE), r"`latents` \(=\(2, 6, 11\)\) must be vectors"),
        (np.zeros((2, LATENT), np.int32), "`latents` .=int32. must be floats"),
    ],
)
def test_bad_latents_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        small()(given)


@pytest.mark.parametrize("shape", [(2, LATENT), (2, 5, STYLE), (STYLE,)])
def test_bad_styles_are_refused(shape):
    with pytest.raises(ValueError, match=r"`styles` .* must be vectors \[B, 11\], or 6 for each"):
        small().synthesis(draw(*shape))


# --- weights --------------------------------------------------------------------------------------


def test_weights_are_read_from_files_of_either_naming(tmp_path):
    torch = pytest.importorskip("torch")

    latents = draw(2, LATENT)
    torch.save(restated().state_dict(), tmp_path / "own.pth")
    torch.save({"g_ema": other_naming(small_arrays())}, tmp_path / "nested.pt")
    flat = {f"g_ema.{name}": array for name, array in other_naming(small_arrays()).items()}
    np.savez(tmp_path / "other.npz", **flat)
    wanted = expected(latents)
    for name in ("own.pth", "other.npz"):
        loaded = load_network("stylegan2", tmp_path / name)
        assert isinstance(loaded, StyleGAN2) and loaded.latent_size == LATENT
        assert_close(jax.jit(loaded)(latents), wanted, what=name)
    jd.networks.convert("stylegan2", tmp_path / "other.npz", tmp_path / "own.safetensors")
    again = load_network("stylegan2", tmp_path / "own.safetensors", truncation=0.5)
    assert_close(jax.jit(again)(latents), expected(latents, truncation=0.5))


def other_naming(arrays):
    """Weights as the other implementation names and shapes them."""
    sides = [4 << level for level in range(len(SIZES))]
    renamed = {"input.input": arrays["synthesis.b4.const"][None]}
    renamed["latent_avg"] = arrays["mapping.w_avg"]
    for number in range(NUM_MAPPING):
        for kind in ("weight", "bias"):
            renamed[f"style.{number + 1}.{kind}"] = arrays[f"mapping.fc{number}.{kind}"]
    for level, side in enumerate(sides):
        block = f"synthesis.b{side}"
        convolutions = {"conv1": "conv1"}
        if level:
            convolutions = {"conv0": f"convs.{2 * level - 2}", "conv1": f"convs.{2 * level - 1}"}
        for own, other in convolutions.items():
            place = f"{block}.{own}"
            renamed[f"{other}.conv.weight"] = arrays[f"{place}.weight"][None]
            renamed[f"{other}.noise.weight"] = arrays[f"{place}.noise_strength"][None]
            renamed[f"{other}.activate.bias"] = arrays[f"{place}.bias"]
            for kind in ("weight", "bias"):
                renamed[f"{other}.conv.modulation.{kind}"] = arrays[f"{place}.affine.{kind}"]
            number = 2 * level - (own == "conv0")
            renamed[f"noises.noise_{number}"] = arrays[f"{place}.noise_const"][None, None]
        if level:
            blur = 4 * arrays[f"{block}.conv0.resample_filter"]
            renamed[f"convs.{2 * level - 2}.conv.blur.kernel"] = blur
            renamed[f"to_rgbs.{level - 1}.upsample.kernel"] = blur
        colors = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        renamed[f"{colors}.conv.weight"] = arrays[f"{block}.torgb.weight"][None]
        renamed[f"{colors}.bias"] = arrays[f"{block}.torgb.bias"][None, :, None, None]
        for kind in ("weight", "bias"):
            renamed[f"{colors}.conv.modulation.{kind}"] = arrays[f"{block}.torgb.affine.{kind}"]
    return renamed


def test_without_a_mean_style_nothing_is_truncated():
    arrays = other_naming(small_arrays())
    del arrays["latent_avg"]
    latents = draw(2, LATENT)
    assert_close(jax.jit(generator(arrays))(latents), expected(latents))
    with pytest.raises(ValueError, match="`truncation` .=0.5. needs the mean style"):
        generator(arrays, truncation=0.5)


def test_weights_that_do_not_fit_are_listed():
    arrays = dict(small_arrays())
    arrays["synthesis.b16.conv0.weight"] = draw(6, 11, 3, 3)
    arrays["synthesis.b8.skip.weight"] = draw(10, 12, 1, 1)
    del arrays["synthesis.b16.torgb.affine.bias"]
    with pytest.raises(ValueError) as problem:
        generator(arrays)
    message = str(problem.value)
    assert "missing:\n  synthesis.b16.torgb.affine.bias [6]" in message
    assert "unexpected:\n  synthesis.b8.skip.weight [10, 12, 1, 1]" in message
    assert "synthesis.b16.conv0.weight: expected [6, 10, 3, 3], got [6, 11, 3, 3]" in message
    with pytest.raises(ValueError, match=r"must have `synthesis.b4.conv1.weight`.*have: none"):
        stylegan2_weights.from_shapes({})
    with pytest.raises(ValueError, match="also takes a class"):
        generator({**small_arrays(), "mapping.embed.weight": draw(STYLE, 10)})


def test_a_pickled_network_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "ffhq.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=r"ffhq.pkl.*G_ema.state_dict\(\)"):
        load_network("stylegan2", tmp_path / "ffhq.pkl")


def test_half_precision():
    latents = draw(2, LATENT)
    images = jax.jit(generator(small_arrays(), dtype=jnp.bfloat16))(latents)
    assert images.dtype == jnp.bfloat16
    assert_close(images.astype(jnp.float32), expected(latents), 5e-2)


def test_clamped_convolutions():
    latents = draw(2, LATENT)
    layer = "synthesis.b8.conv1"
    network = NnxNetwork(generator(small_arrays(), clamp=0.5))
    maps = jax.jit(lambda p, z: network.activations(p, z, layers=(layer,)))(
        network.params, latents
    )[layer]
    assert maps.max() == 0.5 and (maps < 0.5).any()
