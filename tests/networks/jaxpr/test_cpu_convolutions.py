"""Functions for loops: same results, convolutions in the order that CPU kernels take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from support.probed_networks import KINDS, images, probed_network

from jaxdissect.networks.jaxpr.cpu_convolutions import loop_body


def gradient_of(probed):
    def total(params, images):
        return (probed.network.apply(params, images)[0] ** 2).sum()

    return jax.grad(total, argnums=1)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[-1]])
def test_gradients_in_loops_are_those_outside(kind):
    probed = probed_network(kind)
    gradient = gradient_of(probed)

    @jax.jit
    def descend(params, start):
        body = loop_body(lambda now: gradient(params, now), start)
        return lax.fori_loop(0, 3, lambda _, now: now - 0.1 * body(now), start)

    params, now = probed.network.params, images()
    found = descend(params, now)
    for _ in range(3):
        now = now - 0.1 * gradient(params, now)
    np.testing.assert_allclose(found, now, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axes", ["NHWC", "NCHW"])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_in_any_order_of_axes(axes, groups):
    random = np.random.default_rng(0)
    inputs = jnp.asarray(random.standard_normal((2, 7, 6, 4)), jnp.float32)
    kernel = jnp.asarray(random.standard_normal((3, 2, 4 // groups, 6)), jnp.float32)
    inputs = inputs if axes == "NHWC" else inputs.transpose(0, 3, 1, 2)

    def convolve(inputs):
        return lax.conv_general_dilated(
            inputs, kernel, (2, 1), ((1, 1), (0, 1)), rhs_dilation=(1, 2),
            dimension_numbers=(axes, "HWIO", axes), feature_group_count=groups,
        )  # fmt: skip

    def gradient(inputs):
        return jax.grad(lambda inputs: (jnp.sin(convolve(inputs))).sum())(inputs)

    for function in (convolve, gradient):
        found = jax.jit(lambda inputs, f=function: loop_body(f, inputs)(inputs))(inputs)
        np.testing.assert_allclose(found, function(inputs), rtol=1e-5, atol=1e-5)


def test_convolutions_of_gradients_have_standard_axes_in_loops():
    """What XLA's quick kernels for CPU ask for: without it a loop takes ten times as long."""
    probed = probed_network(KINDS[0])
    gradient, params = gradient_of(probed), probed.network.params

    def orders(make):
        def loop(start):
            body = make(lambda now: gradient(params, now), start)
            return lax.fori_loop(0, 3, lambda _, now: now - body(now), start)

        text = jax.jit(loop).lower(images()).compile().as_text()
        assert text is not None and "while" in text
        lines = [line for line in text.splitlines() if " convolution(" in line]
        return [line.partition("dim_labels=")[2].partition(",")[0] for line in lines]

    plain = orders(lambda function, start: function)
    assert any(order != "b01f_01io->b01f" for order in plain)  # else XLA does it by itself now
    assert set(orders(loop_body)) == {"b01f_01io->b01f"}
