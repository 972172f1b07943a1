"""Thresholds against sorting, the reference's exact quantiles, and the ways data can be split."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import golden
from support.hazen import hazen_quantile, hazen_rank

from jaxdissect.stats import int64_counter, quantile


def by_sorting(samples, fraction):
    """The definition, literally: the sample with floor(fraction n) others before it."""
    rank = quantile.upper_rank(fraction, len(samples))
    return -np.sort(-samples, axis=0)[rank]


def distributions(rng, n):
    normal = rng.standard_normal(n)
    return np.stack(
        [
            normal,
            np.maximum(normal, 0),
            np.maximum(normal - 2.5, 0),  # active on less than 1%
            np.zeros(n),  # dead
            np.full(n, 0.3),  # constant
            -np.exp(normal),  # negative
            np.round(normal * 2) / 2,  # ties
            np.exp(20 * normal),  # many orders of magnitude
            normal * 1e-38,  # partly subnormal
            np.where(rng.random(n) < 0.5, -3.4e38, 3.4e38),
            rng.integers(0, 2, n) * 1e-3,
        ],
        axis=1,
    ).astype(np.float32)


def flushed(values):
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


@pytest.mark.parametrize("fraction", [0.0, 0.005, 0.01, 0.3, 0.999])
@pytest.mark.parametrize("n", [1, 2, 99, 5000, 30000])
def test_equal_to_sorting(n, fraction):
    samples = distributions(np.random.default_rng(n), n)
    thresholds = quantile.upper_quantile(samples, fraction)
    np.testing.assert_array_equal(thresholds, by_sorting(flushed(samples), fraction))
    above = (flushed(samples) > thresholds).sum(axis=0)
    assert (above <= quantile.upper_rank(fraction, n)).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=20, max_size=20),
    st.floats(0, 0.99),
)
def test_equal_to_sorting_any_floats(values, fraction):
    samples = np.array(values, np.float32)[:, None]
    expected = by_sorting(flushed(samples), fraction)
    np.testing.assert_array_equal(quantile.upper_quantile(samples, fraction), expected)


def search(samples, fraction, sample, *, few=20):
    """Narrow by counting until few samples are inside the brackets, and settle with these."""
    samples = flushed(samples)
    rank = np.full(samples.shape[1], quantile.upper_rank(fraction, len(samples)))
    found = quantile.start(len(samples), rank)
    candidates = quantile.guess(sample, len(samples), rank).candidates
    passes = 0
    while passes == 0 or (quantile.is_open(found) & (found.inside > few)).any():
        passes += 1
        above = (samples > candidates[:, None]).sum(axis=1)
        found = quantile.narrow(found, candidates, above)
        candidates = quantile.candidates_inside(found, quantile.NUM_CANDIDATES)
    keys = quantile.to_keys(samples)
    inside = (keys > found.low) & (keys <= found.high) & quantile.is_open(found)
    rows, columns = np.nonzero(inside)
    return quantile.settle(found, samples[rows, columns], columns), passes


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 0.999])
def test_narrowing_and_settling_is_equal_to_sorting(fraction):
    samples = distributions(np.random.default_rng(1), 900)
    thresholds, _ = search(samples, fraction, samples[:50].reshape(10, 5, -1))
    np.testing.assert_array_equal(thresholds, by_sorting(flushed(samples), fraction))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=20, max_size=20),
    st.floats(0, 0.99),
    st.integers(1, 5),
)
def test_narrowing_and_settling_any_floats(values, fraction, few):
    samples = np.array(values, np.float32)[:, None]
    thresholds, _ = search(samples, fraction, samples[:3, None], few=few)
    np.testing.assert_array_equal(thresholds, by_sorting(flushed(samples), fraction))


def test_a_misleading_sample_changes_nothing_but_the_number_of_passes():
    samples = distributions(np.random.default_rng(2), 2000)
    honest, _ = search(samples, 0.01, samples[:200].reshape(20, 10, -1))
    for sample in (samples[:1], np.full_like(samples[:9], -5), np.full_like(samples[:9], 1e30)):
        misled, passes = search(samples, 0.01, sample[:, None])
        np.testing.assert_array_equal(misled, honest)
        assert passes <= 25


def test_one_pass_narrows_ordinary_units():
    rng = np.random.default_rng(3)
    samples = np.maximum(rng.standard_normal((200_000, 8)), 0).astype(np.float32)
    _, passes = search(samples, 0.01, samples[::50].reshape(40, 100, 8), few=1000)
    assert passes == 1


def test_a_guess_holds_the_threshold_where_pixels_of_an_image_are_alike():
    rng = np.random.default_rng(4)
    means = rng.standard_normal((2000, 1, 64))
    samples = (means + 0.1 * rng.standard_normal((2000, 20, 64))).astype(np.float32)
    thresholds = by_sorting(samples.reshape(-1, 64), 0.01)
    rank = np.full(64, quantile.upper_rank(0.01, 40_000))
    guess = quantile.guess(samples[::20], 40_000, rank)
    assert ((guess.low < thresholds) & (thresholds <= guess.high)).all()
    # As if pixels were independent, the bracket would miss many.
    error = np.sqrt(0.01 * 0.99 / 2000)
    ordered = np.sort(samples[::20].reshape(-1, 64), axis=0)[::-1]
    narrow = ordered[[int((0.01 + sign * 2 * error) * 2000) for sign in (1, -1)]]
    assert not ((narrow[0] < thresholds) & (thresholds <= narrow[1])).all()


def test_settling_needs_all_samples_inside():
    found = quantile.start(3, np.array([1]))
    with pytest.raises(ValueError, match="`values` are not those inside the brackets"):
        quantile.settle(found, np.array([1.0], np.float32), np.array([0]))


@pytest.mark.parametrize(
    "name", ["quantile_exact_small", "quantile_exact_relu_ties", "quantile_single_sample"]
)
def test_golden_exact_columns(name):
    arrays, meta = golden.load(name)
    data = (
        arrays["data"]
        if "data" in arrays
        else golden.recipe().array(meta["data_seed"], (meta["n"], meta["depth"]), meta["dist"])
    )
    for index, q in enumerate(arrays["q"]):
        ours = hazen_quantile(data, float(q))
        np.testing.assert_allclose(ours, arrays["exact_hazen"][:, index], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours, arrays["sketch_quantiles"][:, index], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        hazen_quantile(data, 0.99), arrays["scalar_99"], rtol=1e-5, atol=1e-6
    )
    ranks = hazen_rank(data, arrays["probe"].T).T
    np.testing.assert_allclose(ranks, arrays["probe_normalized"], atol=1e-5)


@pytest.mark.parametrize("name", ["quantile_kll_60k", "quantile_kll_relu_200k_r1024"])
def test_golden_sketches_agree_within_their_error(name):
    arrays, meta = golden.load(name)
    data = golden.recipe().array(meta["data_seed"], (meta["n"], meta["depth"]), meta["dist"])
    thresholds = quantile.upper_quantile(data, 0.01)
    np.testing.assert_array_equal(thresholds, by_sorting(data, 0.01))
    q99 = list(np.round(arrays["q"], 6)).index(0.99)
    np.testing.assert_allclose(thresholds, arrays["exact_hazen"][:, q99], atol=2e-3)
    above_sketch = (data > arrays["sketch_quantiles"][:, q99]).mean(axis=0)
    np.testing.assert_allclose(above_sketch, 0.01, atol=2 / meta["r"])


def test_fraction_is_the_decimal_it_is_written_as():
    assert quantile.upper_rank(0.29, 100) == 29
    assert quantile.upper_rank(0.01, 114_464_000) == 1_144_640
    with pytest.raises(ValueError, match=r"`fraction` \(=1.0\)"):
        quantile.upper_rank(1.0, 10)


def test_keys_are_ordered_and_adjacent():
    values = np.array([-np.inf, -1, -1.5e-38, 0.0, 1.5e-38, 1, 2, np.inf], np.float32)
    keys = quantile.to_keys(values)
    assert (np.diff(keys) > 0).all()
    np.testing.assert_array_equal(quantile.to_floats(keys), values)
    up = quantile.to_floats(quantile.to_keys(np.array([1, -1], np.float32)) + 1)
    np.testing.assert_array_equal(
        up, np.nextafter(np.array([1, -1], np.float32), np.float32(np.inf))
    )
    assert quantile.to_keys(np.array([1e-40, -1e-40, -0.0], np.float32)).tolist() == [0, 0, 0]


def test_bad_input():
    with pytest.raises(ValueError, match="`samples` must be finite"):
        quantile.upper_quantile(np.array([[np.nan]], np.float32), 0.01)
    with pytest.raises(ValueError, match="must be at least 1"):
        quantile.start(0, np.zeros(1, int))
    with pytest.raises(ValueError, match=r"`rank` must be in \[0, 3\)"):
        quantile.start(3, np.array([3]))


def test_wide_counters_do_not_wrap():
    counter = int64_counter.zeros((2,))
    for _ in range(5):
        counter = int64_counter.add(counter, jnp.array([2**31 - 1, 1], jnp.int32))
    np.testing.assert_array_equal(int64_counter.to_int64(counter), [5 * (2**31 - 1), 5])
    doubled = int64_counter.merge(counter, counter)
    np.testing.assert_array_equal(int64_counter.to_int64(doubled), [10 * (2**31 - 1), 10])
