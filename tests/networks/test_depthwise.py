"""Depthwise convolution as a sum of shifted products: XLA's numbers, under every transformation."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jaxdissect.networks import depthwise
from jaxdissect.networks.convolution import Conv2D, conv2d

CASES = {
    "3 x 3": ((3, 3), {"padding": ((1, 1), (1, 1))}),
    "uneven": ((5, 2), {"strides": (2, 1), "padding": ((2, 1), (0, 3))}),
    "dilated": ((3, 3), {"strides": (2, 3), "padding": ((0, 1), (1, 1)), "dilation": 2}),
    "cut": ((2, 2), {"strides": (2, 2), "padding": ((-1, 0), (0, -2))}),
    "nothing left": ((3, 3), {"padding": ((-4, -4), (0, 0))}),
}
each_case = pytest.mark.parametrize(("size", "options"), CASES.values(), ids=CASES)


def plain(inputs, kernel, *, strides=(1, 1), padding, dilation=1):
    return lax.conv_general_dilated(
        inputs,
        kernel,
        strides,
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=inputs.shape[3],
    )


def draw(size, units=4, dtype=jnp.float64, number=2):
    """Inputs and kernels, and as many changes of both."""
    random = np.random.RandomState(0)
    shapes = (number, 9, 11, units), (*size, 1, units)
    return [tuple(jnp.asarray(random.standard_normal(s), dtype) for s in shapes) for _ in range(2)]


def assert_alike(function, first, second, *arguments):
    """Compare what a function makes of two others, here in float64."""
    actual, expected = (jax.tree.leaves(function(one)(*arguments)) for one in (first, second))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10, strict=True)


def loss(function):
    return lambda *arguments: (function(*arguments) ** 2).sum()


@each_case
def test_equals_xlas_and_its_derivatives_of_both_modes(size, options):
    with jax.enable_x64(True):
        point, change = draw(size)
        ours, xlas = partial(depthwise.shifted_sum, **options), partial(plain, **options)

        def along_inputs(f):
            return lambda x, dx: jax.jvp(lambda x: f(x, point[1]), (x,), (dx,))

        for function, arguments in [
            (lambda f: f, point),
            (lambda f: partial(jax.jvp, f), (point, change)),
            (along_inputs, (point[0], change[0])),
            (lambda f: jax.jit(jax.grad(loss(f), (0, 1))), point),
        ]:
            assert_alike(function, ours, xlas, *arguments)


@each_case
@pytest.mark.slow
def test_equals_xlas_mapped_and_differentiated_twice(size, options):
    with jax.enable_x64(True):
        point, change = draw(size)
        pairs = [jnp.stack(both) for both in zip(point, change, strict=True)]

        def twice(f):
            return jax.grad(lambda x: (jax.grad(loss(f))(x, point[1]) ** 3).sum())

        def along(f):
            slope = jax.grad(loss(f))
            return lambda x, dx: jax.jvp(lambda x: slope(x, point[1]), (x,), (dx,))

        for function, arguments in [
            (lambda f: jax.vmap(jax.grad(loss(f), (0, 1))), pairs),
            (lambda f: jax.vmap(f, (None, 0)), (point[0], pairs[1])),
            (twice, point[:1]),
            (along, (point[0], change[0])),
        ]:
            ours, xlas = (partial(f, **options) for f in (depthwise.shifted_sum, plain))
            assert_alike(function, ours, xlas, *arguments)


def uses_xlas(shapes, *, platform="cpu", **arguments):
    """Whether a program has a convolution of XLA's, forwards and in its gradient."""
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    convolve = inspect.unwrap(conv2d)
    gradient = jax.grad(lambda *given: convolve(*given, **arguments).sum(), (0, 1))
    text = jax.jit(gradient).trace(*arrays).lower(lowering_platforms=(platform,)).as_text()
    return "stablehlo.convolution" in text


def test_taken_on_processors_where_every_channel_has_one_kernel():
    shapes = (2, 8, 8, 6), (3, 3, 1, 6)
    assert not uses_xlas(shapes, groups=6)
    assert not uses_xlas(shapes, groups=6, strides=(2, 2), dilation=2)
    assert uses_xlas(shapes, groups=6, platform="cuda")
    assert uses_xlas(((2, 8, 8, 6), (3, 3, 1, 12)), groups=6)
    assert uses_xlas(((2, 8, 8, 6), (3, 3, 2, 6)), groups=3)


def test_wide_layers_of_one_kernel_a_channel_do_not_take_winograds_form():
    # 128 channels and 98 tiles, of which each alone would take it.
    layer = Conv2D(128, 128, groups=128, use_bias=False, rngs=nnx.Rngs(0))
    inputs = jnp.asarray(np.random.RandomState(0).standard_normal((2, 28, 28, 128)), jnp.float32)
    expected = plain(inputs, layer.kernel[...], padding=((1, 1), (1, 1)))
    np.testing.assert_allclose(layer(inputs), expected, rtol=0, atol=1e-5)


def test_sums_of_halves_are_wide():
    # A half of 4096 cannot count on by ones.
    inputs = jnp.full((1, 3, 3, 2), 1, jnp.bfloat16).at[0, 0, 0].set(4096)
    kernel = jnp.ones((3, 3, 1, 2), jnp.bfloat16)
    total = conv2d(inputs, kernel, padding="VALID", groups=2)
    assert total.dtype == jnp.bfloat16
    assert float(total[0, 0, 0, 0]) == float(jnp.asarray(4104, jnp.bfloat16))
