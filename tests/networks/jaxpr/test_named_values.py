"""Names in a program are found wherever they can be reached, read, and replaced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxdissect.networks.jaxpr.named_values import find_named_values


def function(x):
    y = checkpoint_name(x + 1, "plain")
    y = jax.jit(lambda v: checkpoint_name(2 * v, "jit"))(y)
    y = jax.checkpoint(lambda v: checkpoint_name(jnp.sin(v), "checkpoint"))(y)
    y = jax.vmap(lambda v: checkpoint_name(v * v, "vmap"))(y)
    y = jax.jit(jax.jit(lambda v: checkpoint_name(jax.nn.relu(v), "nested")))(y)
    return checkpoint_name(y - 1, "plain")


@jax.custom_jvp
def straight_through(x):
    return checkpoint_name(jnp.round(x), "custom")


straight_through.defjvp(lambda primals, tangents: (straight_through(*primals), *tangents))


def looped(x):
    x, _ = jax.lax.scan(lambda c, _: (checkpoint_name(c * 2, "scan"), None), x, None, length=3)
    x = jax.lax.cond(x.sum() > 0, lambda v: checkpoint_name(v, "cond"), lambda v: v, x)
    return straight_through(checkpoint_name(x, "after"))


X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)


def record(into):
    def tap(name, number, value):
        into[name, number] = value
        return value

    return tap


def test_names_are_found_and_the_function_is_the_same():
    values = find_named_values(function, X)
    assert values.counts == {"plain": 2, "jit": 1, "checkpoint": 1, "vmap": 1, "nested": 1}
    assert not values.enclosed
    found = {}
    np.testing.assert_allclose(values.run(X, record(found)), function(X), rtol=1e-6)
    np.testing.assert_array_equal(found["plain", 1], X + 1)
    np.testing.assert_allclose(found["vmap", 1], np.sin(2 * (X + 1)) ** 2, rtol=1e-5)
    np.testing.assert_array_equal(found["plain", 2], function(X))


@pytest.mark.parametrize(
    "transform", [lambda f: f, jax.jit, jax.vmap], ids=["eager", "jit", "vmap"]
)
def test_values_are_replaced(transform):
    def replaced(x):
        zero = lambda name, number, value: value * np.float32(name != "vmap")  # noqa: E731
        return find_named_values(function, x).run(x, zero)

    np.testing.assert_array_equal(transform(replaced)(X), np.full_like(X, -1))
    gradient = jax.grad(lambda x: replaced(x).sum())(X)
    np.testing.assert_array_equal(gradient, np.zeros_like(X))


def test_loops_branches_and_functions_with_own_gradients_are_closed():
    values = find_named_values(looped, X)
    assert values.counts == {"after": 1}
    assert values.enclosed == {"scan", "cond", "custom"}
    np.testing.assert_array_equal(values.run(X, lambda name, number, value: value), looped(X))
    gradient = jax.grad(lambda x: values.run(x, lambda *call: call[2]).sum())(X)
    np.testing.assert_array_equal(gradient, np.full_like(X, 8))


def test_only_what_is_needed_is_run():
    ran = []

    def run(x):
        y = checkpoint_name(x * 2, "early")
        jax.debug.callback(lambda value: ran.append(value), y)
        return checkpoint_name(y, "late"), jnp.zeros(())

    values = find_named_values(lambda x: run(x)[1:], X)
    found = {}
    values.run(X, record(found), until=[("early", 1)])
    assert set(found) == {("early", 1)} and not ran
    values.run(X, record(found))
    jax.effects_barrier()
    assert set(found) == {("early", 1), ("late", 1)} and ran
