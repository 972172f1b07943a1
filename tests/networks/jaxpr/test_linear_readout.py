"""Programs split by what they depend on, and linear readouts: against running everything again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxdissect.networks.edits import Edit, keep_units
from jaxdissect.networks.jaxpr.linear_readout import find_readout
from jaxdissect.networks.jaxpr.partial_eval import split
from jaxdissect.networks.network import as_network

U, CLASSES = 6, 5


def test_split_runs_at_once_what_does_not_depend_on_the_argument():
    done = []

    def function(x, a):
        @jax.jit
        def inner(x, a):
            return jnp.sin(a) @ a.T, x * 2 + a.sum()

        first, second = inner(x, a)
        return {"sum": second + first[0, 0], "known": first}

    a = jax.random.normal(jax.random.key(0), (3, 4))
    x = jnp.arange(2.0)
    program = split(lambda x: function(x, a), x)
    names = [step.primitive.name for step in program.steps]
    assert "sin" not in names and "dot_general" not in names and "mul" in names
    for value in (x, x + 3):
        expected, found = function(value, a), program(value)
        done.append(found["sum"])
        jax.tree.map(np.testing.assert_allclose, found, expected)
    assert (done[0] != done[1]).all()


def test_split_keeps_loops_branches_and_derivatives():
    def function(x):
        looped = jax.lax.fori_loop(0, 3, lambda _, y: y * x, jnp.ones_like(x))
        chosen = jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, looped)
        return jax.nn.relu(chosen) + jax.checkpoint(jnp.tanh)(x), 7

    for x in (jnp.array([0.3, 2.0]), jnp.array([-0.3, -2.0])):
        found = jax.jit(lambda x: split(function, x)(x))(x)
        jax.tree.map(np.testing.assert_allclose, found, function(x))
    x = jnp.array([0.3, 2.0])
    program = split(function, x)
    slopes, expected = (jax.grad(lambda x, f=f: f(x)[0].sum())(x) for f in (program, function))
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)
    rows = jnp.stack([x, x + 1])
    np.testing.assert_allclose(jax.vmap(program)(rows)[0], jax.vmap(function)(rows)[0], rtol=1e-6)


class Ending(nnx.Module):
    """A convolution, and an end that is given."""

    def __init__(self, inputs, end):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, U, (3, 3), rngs=rngs)
        self.hidden = nnx.Linear(inputs, 7, rngs=rngs)
        self.out = nnx.Linear(7, CLASSES, rngs=rngs)
        self.norm = nnx.BatchNorm(U, use_running_average=True, rngs=rngs)
        self.mix = nnx.Conv(U, U, (1, 1), rngs=rngs)
        self.end = end

    def __call__(self, images):
        return self.end(self, self.conv(images))


def pool(units):
    return nnx.max_pool(units, (2, 2), (2, 2))


def sums(units):
    return jax.lax.reduce_window(units, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


BORDER = [(0, 0), (1, 1), (1, 1), (0, 0)]


def flat(units):
    return units.reshape(len(units), -1)


def classify(model, features):
    return model.out(nnx.relu(model.hidden(features)))


ALONE = {
    "flattened": (64 * U, lambda m, a: classify(m, flat(nnx.relu(a)))),
    "pooled": (16 * U, lambda m, a: classify(m, flat(pool(nnx.relu(a))))),
    "averaged": (U, lambda m, a: classify(m, nnx.gelu(a).mean((1, 2)))),
    "normalised": (U, lambda m, a: classify(m, nnx.relu(m.norm(a)).max((1, 2)) / 3)),
    "average pool": (16 * U, lambda m, a: classify(m, flat(sums(a) / 4.0))),
    "channels first": (64 * U, lambda m, a: classify(m, flat(jnp.moveaxis(nnx.silu(a), 3, 1)))),
    "two branches": (U, lambda m, a: classify(m, (a.mean((1, 2)) * a.max((1, 2))))),
    "padded": (100 * U, lambda m, a: classify(m, flat(jnp.pad(a, BORDER)))),
    "weights first": (U, lambda m, a: m.out((m.hidden.kernel.T @ a.mean((1, 2)).T).T)),
}  # fmt: skip

MIXED = {
    "convolved": (64 * U, lambda m, a: classify(m, flat(m.mix(a)))),
    "softmax over units": (64 * U, lambda m, a: classify(m, flat(nnx.softmax(a)))),
    "used twice": (U, lambda m, a: classify(m, a.mean((1, 2))) + a.mean(axis=(1, 2, 3))[:, None]),
    "squared": (U, lambda m, a: a.mean((1, 2)) @ a.mean((1, 2)).T),
    "rolled": (U, lambda m, a: classify(m, (a + jnp.roll(a, 1, 3)).mean((1, 2)))),
    "no map": (U, lambda m, a: a.mean((1, 2))),
}


def readout_of(network, images, activations):
    after = split(
        lambda a: network.apply(network.params, images, edits={"conv": Edit(jnp.zeros(()), a)})[0],
        activations,
    )
    return find_readout(after)


def given(inputs, end):
    network = as_network(Ending(inputs, end))
    images = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))
    (activations,) = network.activations(network.params, images, layers=("conv",)).values()
    return network, images, activations


@pytest.mark.parametrize("name", ALONE)
def test_removals_subtract_from_a_linear_map(name):
    network, images, activations = given(*ALONE[name])
    readout = readout_of(network, images, activations)
    assert readout is not None
    whole, parts = readout.contributions(activations, jnp.zeros_like(activations))
    np.testing.assert_allclose(
        readout.finish(whole), network.apply(network.params, images)[0], rtol=1e-5, atol=1e-5
    )
    for removed in ([0], [5], [1, 4], list(range(U))):
        keep = jnp.asarray(~np.isin(np.arange(U), removed))
        expected = network.apply(network.params, images, edits={"conv": keep_units(keep)})[0]
        found = readout.finish(whole - parts[np.array(removed)].sum(0))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert np.abs(expected - network.apply(network.params, images)[0]).max() > 1e-3


@pytest.mark.parametrize("name", MIXED)
def test_units_that_mix_have_no_readout(name):
    assert readout_of(*given(*MIXED[name])) is None
