"""Convolution in Winograd's form: exact enough, taken only where it should, transformable."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxdissect.networks import convolution
from jaxdissect.networks.convolution import Conv2D, conv2d, max_pool2d

WIDE = ((2, 26, 27, 128), (3, 3, 128, 130))
"""Shapes of inputs and kernel just wide enough for Winograd's form: 2 x 7 x 7 tiles."""


# jaxtyping's checks of the test session would come before our own messages.
unchecked_conv2d = inspect.unwrap(conv2d)


def draw(*shapes, seed=0, dtype=jnp.float32):
    generator = np.random.default_rng(seed)
    return tuple(jnp.asarray(generator.normal(size=shape), dtype) for shape in shapes)


def oracle(inputs, kernel) -> np.ndarray:
    """Stride 1, size kept, in float64."""
    inputs, kernel = np.asarray(inputs, np.float64), np.asarray(kernel, np.float64)
    rows, columns = kernel.shape[:2]
    height, width = inputs.shape[1:3]
    before = (rows - 1) // 2, (columns - 1) // 2
    pads = [(before[0], rows - 1 - before[0]), (before[1], columns - 1 - before[1])]
    padded = np.pad(inputs, [(0, 0), *pads, (0, 0)])
    terms = [
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(rows)
        for j in range(columns)
    ]
    return np.sum(terms, axis=0)


def plain(inputs, kernel, *, strides=(1, 1), padding: Any = "SAME"):
    return lax.conv_general_dilated(
        inputs, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def assert_close(actual, expected, tolerance=1e-4):
    """Relative to the largest value expected."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def leaves_it_to_xla(inputs, kernel, *, platform="cpu", **arguments) -> bool:
    traced = jax.jit(lambda *arrays: conv2d(*arrays, **arguments)).trace(inputs, kernel)
    return "stablehlo.convolution" in traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.fixture
def everywhere(monkeypatch):
    """Take Winograd's form for however few channels and tiles."""
    monkeypatch.setattr(convolution, "MIN_CHANNELS", 1)
    monkeypatch.setattr(convolution, "MIN_TILES", 1)


@pytest.mark.parametrize("units", [130, 256, 512], ids="{} units".format)
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_matches_float64_where_it_is_taken(transform, units):
    inputs, kernel = draw(WIDE[0], (3, 3, 128, units))
    assert not leaves_it_to_xla(inputs, kernel)
    assert_close(transform(conv2d)(inputs, kernel), oracle(inputs, kernel), 3e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (4, 4), (5, 9), (7, 8)], ids=str)
def test_every_remainder_of_the_tiles(everywhere, size):
    inputs, kernel = draw((2, *size, 3), (3, 3, 3, 2))
    assert not leaves_it_to_xla(inputs, kernel)
    assert_close(conv2d(inputs, kernel), oracle(inputs, kernel), 3e-6)


@pytest.mark.parametrize("place", [(0, 0), (3, 4), (5, 6)], ids=str)
@pytest.mark.slow
def test_one_lit_pixel_shows_the_kernel_turned_around(everywhere, place):
    (kernel,) = draw((3, 3, 1, 1))
    lit = np.zeros((1, 9, 9, 1), np.float32)
    lit[0, place[0], place[1], 0] = 1.0
    expected = np.zeros((11, 11))
    expected[place[0] : place[0] + 3, place[1] : place[1] + 3] = kernel[::-1, ::-1, 0, 0]
    np.testing.assert_allclose(
        conv2d(jnp.asarray(lit), kernel)[0, :, :, 0], expected[1:-1, 1:-1], atol=1e-5
    )


def test_blocks_of_units_keep_their_order(everywhere, monkeypatch):
    monkeypatch.setattr(convolution, "CHANNEL_BLOCK", 4)
    inputs, kernel = draw((2, 6, 5, 3), (3, 3, 3, 12))
    assert_close(conv2d(inputs, kernel), oracle(inputs, kernel), 3e-6)


@pytest.mark.parametrize(
    ("shapes", "dtype", "arguments"),
    [
        (WIDE, jnp.bfloat16, {}),
        (WIDE, jnp.float32, {"strides": (2, 2)}),
        (WIDE, jnp.float32, {"padding": "VALID"}),
        (WIDE, jnp.float32, {"padding": ((1, 1), (0, 2))}),
        ((WIDE[0], (5, 5, 128, 128)), jnp.float32, {}),
        ((WIDE[0], (3, 1, 128, 128)), jnp.float32, {"padding": ((1, 1), (1, 1))}),
        (((2, 28, 28, 127), (3, 3, 127, 128)), jnp.float32, {}),
        (((2, 28, 28, 128), (3, 3, 128, 127)), jnp.float32, {}),
        (((1, 28, 28, 128), (3, 3, 128, 128)), jnp.float32, {}),
    ],
    ids=str,
)
def test_all_else_is_xlas_own_to_the_bit(shapes, dtype, arguments):
    inputs, kernel = draw(*shapes, dtype=dtype)
    assert leaves_it_to_xla(inputs, kernel, **arguments)
    np.testing.assert_array_equal(
        jax.jit(lambda *arrays: conv2d(*arrays, **arguments))(inputs, kernel),
        jax.jit(lambda *arrays: plain(*arrays, **arguments))(inputs, kernel),
    )


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_are_left_to_xla(platform):
    assert leaves_it_to_xla(*draw(*WIDE), platform=platform)


@pytest.mark.parametrize("padding", ["SAME", ((1, 1), (1, 1)), [(1, 1), (1, 1)]], ids=str)
def test_size_kept_however_the_padding_is_written(padding):
    assert not leaves_it_to_xla(*draw(*WIDE), padding=padding)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 3)], ids=str)
@pytest.mark.slow
def test_vmap(everywhere, axes):
    shapes = ((1, 7, 6, 3), (3, 3, 3, 4))
    batched = [
        shape if axis is None else (*shape[:axis], 5, *shape[axis:])
        for shape, axis in zip(shapes, axes, strict=True)
    ]
    inputs, kernel = draw(*batched)
    assert_close(
        jax.vmap(conv2d, in_axes=axes)(inputs, kernel),
        jax.vmap(plain, in_axes=axes)(inputs, kernel),
        1e-5,
    )


@pytest.mark.slow
def test_derivatives_of_both_modes_and_second_order(everywhere):
    inputs, kernel, direction, turn = draw((2, 6, 7, 3), (3, 3, 3, 4), (2, 6, 7, 3), (3, 3, 3, 4))

    def loss(convolve):
        return lambda *arrays: jnp.sum(jnp.tanh(convolve(*arrays)))

    def slope(convolve):
        return lambda *arrays: jax.jvp(loss(convolve), arrays, (direction, turn))[1]

    for measure in (loss, slope):
        gradients = jax.jit(jax.grad(measure(conv2d), argnums=(0, 1)))(inputs, kernel)
        expected = jax.grad(measure(plain), argnums=(0, 1))(inputs, kernel)
        for gradient, correct in zip(gradients, expected, strict=True):
            assert_close(gradient, correct)
    assert_close(slope(conv2d)(inputs, kernel), slope(plain)(inputs, kernel))


def test_sharded_over_the_batch(everywhere, monkeypatch):
    monkeypatch.setattr(convolution, "CHANNEL_BLOCK", 4)
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    inputs, kernel = draw((8, 7, 6, 3), (3, 3, 3, 8))
    outputs = jax.jit(conv2d)(jax.device_put(inputs, sharding), kernel)
    assert outputs.sharding.is_equivalent_to(sharding, 4)
    assert_close(outputs, oracle(inputs, kernel), 3e-6)


def test_refuses_a_kernel_that_does_not_fit():
    inputs, kernel = draw((1, 4, 4, 3), (3, 3, 2, 5))
    with pytest.raises(ValueError, match=r"`kernel` \(=float32\(3, 3, 2, 5\)\).*3 input channels"):
        unchecked_conv2d(inputs, kernel)
    with pytest.raises(ValueError, match=r"must be bfloat16"):
        unchecked_conv2d(inputs[..., :2].astype(jnp.bfloat16), kernel)


def test_module_convolves_and_adds_its_bias():
    layer = Conv2D(3, 5, (3, 2), strides=(2, 1), padding=[(1, 0), (0, 1)], rngs=nnx.Rngs(0))
    assert layer.kernel.shape == (3, 2, 3, 5) and layer.bias is not None
    np.testing.assert_array_equal(layer.bias[...], np.zeros(5))
    layer.bias[...] = jnp.arange(5.0)
    (inputs,) = draw((2, 6, 7, 3))
    expected = plain(inputs, layer.kernel[...], strides=(2, 1), padding=[(1, 0), (0, 1)])
    definition, params = nnx.split(layer)
    outputs = jax.jit(lambda params, inputs: nnx.merge(definition, params)(inputs))(params, inputs)
    assert_close(outputs, np.asarray(expected) + np.arange(5.0), 1e-6)


def test_module_takes_another_convolution_and_draws_he_normal_kernels():
    def doubled(inputs, kernel, **arguments):
        return 2.0 * conv2d(inputs, kernel, **arguments)

    (inputs,) = draw((1, 5, 5, 64))
    once = Conv2D(64, 64, rngs=nnx.Rngs(3))
    twice = Conv2D(64, 64, convolve=doubled, rngs=nnx.Rngs(3))
    assert_close(twice(inputs), 2.0 * once(inputs), 1e-6)
    assert float(once.kernel[...].std()) == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 2)], ids=str)
def test_max_pool_is_the_window_of_two(size):
    (inputs,) = draw((2, *size, 3))
    np.testing.assert_array_equal(
        jax.jit(max_pool2d)(inputs), nnx.max_pool(inputs, (2, 2), strides=(2, 2))
    )
