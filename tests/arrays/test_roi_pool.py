"""Precise RoI pooling: the reference's arrays, integrals summed by brute force, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from support import golden

from jaxdissect.arrays.roi_pool import bin_weights, precise_roi_pool

SIZES = (1, 2, 3, 6)


def random_maps(*shape):
    return jnp.asarray(np.random.RandomState(0).standard_normal(shape), jnp.float32)


def tents(coordinates, cells):
    return np.maximum(0, 1 - np.abs(coordinates[:, None] - np.arange(cells)))


def summed_integrals(features, size, *, steps=400):
    """Read the interpolated map at the middles of many small squares, and average by bin."""
    _, height, width, _ = features.shape
    middles = (np.arange(size * steps) + 0.5) / (size * steps)
    rows, columns = tents(middles * height, height), tents(middles * width, width)
    read = np.einsum("yh,bhwu,xw->byxu", rows, features, columns, optimize=True)
    batch, units = features.shape[0], features.shape[3]
    return read.reshape(batch, size, steps, size, steps, units).mean((2, 4))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("index", [0, 1])
def test_golden_segmenter_pooling(index, size):
    arrays, _ = golden.load("prroi_pool")
    features = np.moveaxis(arrays[f"feat_{index}"], 1, -1)
    expected = np.moveaxis(arrays[f"pool_{index}_{size}"], 1, -1)
    actual = precise_roi_pool(jnp.asarray(features), size)
    np.testing.assert_allclose(actual, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
def test_golden_segmenter_weights(size):
    arrays, _ = golden.load("upernet_a")
    np.testing.assert_allclose(bin_weights(4, size), arrays[f"prroi_weights_h_{size}"], atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
def test_bins_are_integrals_of_the_interpolated_map(size):
    features = random_maps(2, 5, 8, 3)
    expected = summed_integrals(np.asarray(features, np.float64), size)
    np.testing.assert_allclose(precise_roi_pool(features, size), expected, atol=2e-5)


def test_weights_fade_beyond_the_last_cell():
    """One bin over n cells: the first counts half, the others fully; the rest is zero outside."""
    np.testing.assert_allclose(bin_weights(8, 1)[0], [1 / 16] + [1 / 8] * 7, atol=1e-15)
    assert bin_weights(8, 6).sum(1)[-1] < 0.7


def test_a_single_cell_is_halved_along_each_axis():
    pooled = precise_roi_pool(jnp.ones((1, 1, 1, 2)), 1)
    np.testing.assert_array_equal(pooled, np.full((1, 1, 1, 2), 0.25))


def test_gradient_spreads_bins_over_their_cells():
    features, cotangent = random_maps(2, 4, 5, 2), random_maps(2, 3, 3, 2)
    _, backwards = jax.vjp(lambda maps: precise_roi_pool(maps, 3), features)
    rows, columns = bin_weights(4, 3), bin_weights(5, 3)
    expected = np.einsum("ph,bpqu,qw->bhwu", rows, cotangent, columns)
    np.testing.assert_allclose(backwards(cotangent)[0], expected, atol=1e-6)


def test_jit_vmap_and_devices_agree():
    features = random_maps(4, 7, 6, 3)
    expected = precise_roi_pool(features, 3)
    jitted = jax.jit(precise_roi_pool, static_argnums=1)(features, 3)
    mapped = jax.vmap(lambda maps: precise_roi_pool(maps[None], 3)[0])(features)
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(features, NamedSharding(mesh, PartitionSpec("batch")))
    sharded = jax.jit(precise_roi_pool, static_argnums=1)(spread, 3)
    for other in (jitted, mapped, sharded):
        np.testing.assert_allclose(other, expected, atol=1e-6)


def test_bfloat16_is_summed_in_float32():
    features = random_maps(1, 32, 32, 4).astype(jnp.bfloat16)
    pooled = precise_roi_pool(features, 1)
    assert pooled.dtype == jnp.bfloat16
    exact = precise_roi_pool(features.astype(jnp.float32), 1)
    assert (pooled == exact.astype(jnp.bfloat16)).all()


@pytest.mark.parametrize("size", [0, -1])
def test_no_bins(size):
    with pytest.raises(ValueError, match="`size`"):
        precise_roi_pool(random_maps(1, 4, 4, 1), size)
