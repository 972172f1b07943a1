"""Functions run in float64, operation by operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdissect.bench.checking.float64 import in_float64

ROWS = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("options", "units"),
    [
        ({"padding": [(1, 1), (1, 1)]}, 8),
        ({"padding": [(0, 1), (2, 1)], "window_strides": (2, 1), "rhs_dilation": (2, 1)}, 8),
        ({"padding": [(0, 1), (2, 1)], "feature_group_count": 6}, 12),
        ({"padding": [(-1, 1), (2, -1)], "lhs_dilation": (2, 1), "feature_group_count": 2}, 8),
        ({"padding": [(1, 1), (1, 1)], "batch_group_count": 2}, 8),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_convolutions(options, units, first):
    random = np.random.default_rng(0)
    maps = random.standard_normal((4, 9, 7, 6))
    kernel = random.standard_normal((3, 2, 6 // options.get("feature_group_count", 1), units))
    numbers = ROWS
    if first:
        maps, kernel = maps.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
        numbers = ("NCHW", "OIHW", "NCHW")
    options = {"window_strides": (1, 1), "dimension_numbers": numbers, **options}

    def convolve(maps, kernel):
        return lax.conv_general_dilated(maps, kernel, **options)

    with jax.enable_x64(True):
        expected = np.asarray(convolve(jnp.asarray(maps), jnp.asarray(kernel)))
    np.testing.assert_allclose(in_float64(convolve, maps, kernel), expected, atol=1e-12)


def test_all_stays_in_float64():
    """Casts, constants and calls of the function's own do not round."""

    @jax.jit
    def function(x):
        return (x.astype(jnp.bfloat16) + jnp.float32(0.1)) * jax.nn.relu(x) - jnp.ones(2)

    x = np.array([0.1234567891234, 2.0])
    found = in_float64(function, x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, (x + np.float32(0.1)) * x - 1, rtol=1e-15)


def test_loops_and_branches():
    def function(x, n):
        y, rows = lax.scan(lambda y, row: (y * row, y + row), jnp.ones(3), x)
        y = lax.while_loop(lambda s: s[1] > 0, lambda s: (s[0] / 3, s[1] - 1), (y, n))[0]
        y = lax.cond(n > 2, lambda y: y + 1, lambda y: y - 1, y)
        mapped = lax.map(lambda row: row.sum(), x, batch_size=2)
        backwards = lax.scan(lambda y, row: (y + row, y), jnp.zeros(3), x, reverse=True)[1]
        return y, rows, mapped, backwards

    x, n = np.random.default_rng(0).standard_normal((5, 3)), np.int32(3)
    with jax.enable_x64(True):
        expected = function(jnp.asarray(x), jnp.asarray(n))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-13),
        in_float64(function, x, n),
        expected,
    )


def test_integers_keep_their_width():
    def function(x):
        order = jnp.argsort(-x)
        counts = jnp.zeros(4, jnp.int32).at[order].add(jnp.arange(4, dtype=jnp.int32))
        return counts, x.argmax(), (jnp.arange(4) - 9) // 2, lax.div(-7, 2), x > 0

    x = np.random.default_rng(1).standard_normal(4).astype(np.float32)
    ours, theirs = in_float64(function, x), function(jnp.asarray(x))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))


def test_what_most_platforms_do():
    def function(x):
        return lax.platform_dependent(x, cpu=lambda x: x * 0, default=lambda x: x + 1)

    np.testing.assert_array_equal(in_float64(function, np.ones(2)), 2)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sqrt", "square", "abs"])
def test_functions_of_numpy(name):
    x = np.random.default_rng(0).uniform(0.5, 2, 7)
    np.testing.assert_allclose(in_float64(getattr(jnp, name), x), getattr(np, name)(x), rtol=1e-14)


def test_results_keep_their_structure():
    found = in_float64(lambda x: {"a": (x, x.sum())}, np.arange(3.0))
    assert found["a"][1] == 3
