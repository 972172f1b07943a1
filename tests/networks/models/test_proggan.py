"""The progressive GAN: the reference's arrays and formats, PyTorch, edits, faults."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support import golden

from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.edits import ablate
from jaxdissect.networks.models import proggan
from jaxdissect.networks.models.layers import upsample_nearest
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.network import as_network
from jaxdissect.networks.weights.mapping import PYTORCH, parameters, with_parameters

SIZES = (10, 12, 8)


def generator(arrays, *, dtype=jnp.float32, **options):
    shapes = {name: array.shape for name, array in arrays.items()}
    return with_parameters(lambda: proggan.from_shapes(shapes, **options), arrays, dtype=dtype)


def small_arrays():
    """Weights for `SIZES`, under their names in PyTorch; nothing is compiled to draw them."""
    module = nnx.eval_shape(lambda: ProgressiveGenerator(SIZES, rngs=nnx.Rngs(0)))
    random = np.random.RandomState(0)
    return {
        PYTORCH.name(".".join(map(str, path))): random.standard_normal(
            PYTORCH.shape(leaf.shape, str(path[-1]))
        ).astype("f4")
        for path, leaf in nnx.to_flat_state(nnx.state(module, nnx.Param))
    }


@functools.cache
def small():
    return generator(small_arrays())


def latents(number=2, *, seed=0, length=SIZES[0]):
    return jnp.asarray(np.random.RandomState(seed).standard_normal((number, length)), jnp.float32)


def assert_close(actual, expected, tolerance=1e-4):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", ["proggan_tiny16", "proggan_tiny32_tanh", "proggan_res64_recipe"])
def test_model_golden(name):
    stored, meta = golden.load(name)
    weights = {key[2:]: array for key, array in stored.items() if key.startswith("w:")}
    if not weights:
        shapes = {key: tuple(shape) for key, shape in meta["shapes"].items()}
        weights = golden.recipe().state_dict(
            shapes, meta["weight_seed"], style="unit", bias_scale=0.3
        )
    vectors = stored.get("z")
    if vectors is None:
        vectors = golden.recipe().array(meta["z_seed"], (meta["n"], meta["sizes"][0]))
    vectors = jnp.asarray(vectors.reshape(meta["n"], -1))
    network = as_network(generator(weights, clamp_output=meta["output_tanh"]))
    layers = tuple(meta["names"])
    images, activations = jax.jit(lambda p, z: network.apply(p, z, layers=layers))(
        network.params, vectors
    )
    assert_close(images.transpose(0, 3, 1, 2), stored["output"])
    for layer in layers:
        maps = np.asarray(activations[layer]).transpose(0, 3, 1, 2)
        assert maps.shape == tuple(stored[f"shape:{layer}"])
        mean, deviation, low, high = stored[f"stat:{layer}"]
        found = [maps.mean(), maps.std(ddof=1), maps.min(), maps.max()]
        np.testing.assert_allclose(
            found, [mean, deviation, low, high], rtol=0, atol=1e-4 * max(-low, high)
        )
        if f"out:{layer}" in stored:
            assert_close(maps, stored[f"out:{layer}"])
        else:
            flat = maps.ravel()
            assert_close(flat[:64], stored[f"head:{layer}"])
            assert_close(flat[:: max(1, flat.size // 64)][:64], stored[f"stride:{layer}"])
    free = as_network(generator(weights))
    unclamped = jax.jit(lambda p, z: free.apply(p, z)[0])(free.params, vectors)
    assert_close(unclamped.transpose(0, 3, 1, 2), stored["output_no_tanh_reloaded"])


@pytest.mark.parametrize("form", ["old", "tf"])
def test_model_golden_proggan_formats(form):
    stored, meta = golden.load("proggan_formats")
    given = {k.partition(":")[2]: a for k, a in stored.items() if k.startswith(f"{form}:")}
    expected = {k.partition(":")[2]: a for k, a in stored.items() if k.startswith(f"from_{form}:")}
    converted = proggan.reference_names(given)
    assert converted.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(converted[name], array, err_msg=name, strict=True)
    assert proggan.sizes_of({k: a.shape for k, a in converted.items()}) == tuple(meta["sizes"])
    vectors = jnp.asarray(stored["z"][:, :, 0, 0])
    images = jax.jit(generator(converted))(vectors)
    assert_close(images.transpose(0, 3, 1, 2), stored[f"out_{form}"])


def test_variables_of_growing_are_left_out_of_the_models_weights():
    stored, _ = golden.load("proggan_formats")
    given = {key[3:]: array for key, array in stored.items() if key.startswith("tf:")}
    more = given | {"lod": np.zeros(()), "ToRGB_lod1/weight": np.zeros((1, 1, 6, 3))}
    assert proggan.reference_names(more).keys() == proggan.reference_names(given).keys()
    odd = proggan.reference_names(given | {"8x8/Conv9/weight": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="unexpected:\n  8x8/Conv9/weight"):
        generator(odd)
    for bad in (np.zeros(8, np.float32), np.zeros((8, 17), np.float32)):
        odd = proggan.reference_names(given | {"4x4/Dense/weight": bad})
        with pytest.raises(ValueError, match="must have `layer1.conv.weight`"):
            generator(odd)
    odd = proggan.reference_names(given | {"8x8/Conv1/weight": np.zeros(8, np.float32)})
    with pytest.raises(ValueError, match=r"misshapen:\n  layer4.conv.weight: .*, got \[8\]"):
        generator(odd)


def test_model_equals_pytorch_on_random_weights():
    torch = pytest.importorskip("torch")
    from support.torch_generators import ProgressiveGenerator as Restated

    torch.manual_seed(0)
    sizes = (10, 12, 9, 8)
    module = Restated(sizes).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    arrays = {name: array.numpy() for name, array in module.state_dict().items()}
    vectors = latents(3, length=10)
    with torch.no_grad():
        expected = module(torch.from_numpy(np.array(vectors))).permute(0, 2, 3, 1).numpy()
    assert expected.shape == (3, 16, 16, 3)
    assert_close(jax.jit(generator(arrays))(vectors), expected, 1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2), (5, 7)])
def test_convolving_the_doubled_maps_of_the_model(shape):
    random = np.random.RandomState(0)
    maps = jnp.asarray(random.standard_normal((2, *shape, 3)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 3, 3, 5)), jnp.float32)
    expected = conv2d(upsample_nearest(maps), kernel)
    assert_close(proggan.convolve_upsampled(maps, kernel), expected, 1e-6)


def test_model_starts_with_normal_kernels_and_no_biases():
    drawn = jax.jit(lambda: parameters(ProgressiveGenerator((20, 4, 3), rngs=nnx.Rngs(0))))()
    for name, array in drawn.items():
        if name.endswith("wscale.b"):
            assert not array.any()
        elif name == "layer1.conv.kernel":
            assert array.shape == (4, 4, 20, 4)
            assert abs(array.mean()) < 0.1 and abs(array.std() - 1) < 0.1


@pytest.mark.slow
def test_model_is_the_same_jitted_mapped_and_sharded():
    module = small()
    network = as_network(module)
    vectors = latents(4)
    images = module(vectors)
    assert images.shape == (4, 8, 8, 3)
    forward = jax.jit(lambda params, z: network.apply(params, z)[0])
    assert_close(forward(network.params, vectors), images, 1e-5)
    one_by_one = jax.jit(jax.vmap(lambda z: network.apply(network.params, z[None])[0][0]))
    assert_close(one_by_one(vectors), images, 1e-5)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    assert_close(forward(network.params, jax.device_put(vectors, split)), images, 1e-5)


@pytest.mark.slow
def test_edits_of_the_model_are_mapped_and_differentiable():
    network = as_network(small())
    vectors = latents(1)

    def images(keep):
        edit = ablate([0], SIZES[2])._replace(keep=keep)
        return network.apply(network.params, vectors, edits={"layer4": edit})[0]

    masks = 1 - jnp.eye(SIZES[2])
    mapped = jax.jit(jax.vmap(images))(masks)
    one_by_one = jax.jit(images)
    for mask, found in zip(masks, mapped, strict=True):
        assert_close(found, one_by_one(mask), 1e-5)
    whole = one_by_one(jnp.ones(SIZES[2]))
    assert_close(whole, small()(vectors), 1e-5)
    assert (np.abs(mapped - whole[None]).max(axis=(1, 2, 3, 4)) > 1e-3 * np.abs(whole).max()).all()

    gradient = jax.jit(jax.grad(lambda keep: jnp.square(images(keep)).sum()))(jnp.ones(SIZES[2]))
    assert np.isfinite(gradient).all() and (gradient != 0).all()
    slope = jax.jit(jax.grad(lambda z: network.apply(network.params, z)[0].sum()))(vectors)
    assert np.isfinite(slope).all() and (slope != 0).any()


def test_model_in_bfloat16():
    images = jax.jit(generator(small_arrays(), dtype=jnp.bfloat16))(latents())
    assert images.dtype == jnp.bfloat16
    assert_close(images.astype(jnp.float32), jax.jit(small())(latents()), 5e-2)


def test_sizes_of_the_model_are_read_from_its_weights():
    assert proggan.sizes_of({name: array.shape for name, array in small_arrays().items()}) == SIZES
    assert proggan.default_sizes(8) == (512,) * 3
    assert proggan.default_sizes(64) == (512, 512, 512, 512, 256, 128)
    assert proggan.default_sizes(256) == (512, 512, 512, 512, 256, 128, 64, 32)
    assert proggan.default_sizes(1024) == (512, 512, 512, 512, 512, 256, 128, 64, 32, 16)
    with pytest.raises(ValueError, match="`resolution` \\(=48\\) must be one of"):
        proggan.default_sizes(48)
    with pytest.raises(
        ValueError, match="must have `layer1.conv.weight`.* 0.weight \\[4, 3, 3, 3]"
    ):
        proggan.from_shapes({"0.weight": (4, 3, 3, 3)})
    with pytest.raises(ValueError, match="they have: none"):
        proggan.from_shapes({})
    with pytest.raises(ValueError, match="`sizes` \\(=\\(4, 4\\)\\)"):
        ProgressiveGenerator((4, 4), rngs=nnx.Rngs(0))


def test_models_weights_that_contradict_each_other_are_reported():
    arrays = small_arrays()
    del arrays["layer2.wscale.b"]
    arrays["layer4.conv.weight"] = np.zeros((8, 9, 3, 3), np.float32)
    arrays["output_16x16.wscale.b"] = arrays.pop("output_8x8.wscale.b")
    with pytest.raises(ValueError) as problem:
        generator(arrays)
    assert "layer4.conv.weight: expected [8, 8, 3, 3], got [8, 9, 3, 3]" in str(problem.value)
    assert "missing:\n  layer2.wscale.b [12]\n  output_8x8.wscale.b [3]" in str(problem.value)
    assert "unexpected:\n  output_16x16.wscale.b [3]" in str(problem.value)


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((2, SIZES[0], 1, 1), np.float32), r"latents.reshape\(-1, 10\)"),
        (np.zeros((2, 9), np.float32), r"must be vectors \[B, 10\]"),
        (np.zeros(SIZES[0], np.float32), r"must be vectors \[B, 10\]"),
        (np.zeros((2, SIZES[0]), np.uint8), "must be floats"),
    ],
)
def test_the_model_refuses_bad_latents(given, message):
    with pytest.raises(ValueError, match=message):
        small()(given)


def test_pixels_of_the_model_lie_between_0_and_1():
    found = proggan.to_pixels(jnp.asarray([[-3.0, -1, 0], [0.5, 1, 2]]))
    np.testing.assert_array_equal(found, [[0, 0, 0.5], [0.75, 1, 1]])
