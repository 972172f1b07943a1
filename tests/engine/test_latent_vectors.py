"""Latents: every example by itself, standard normal, and the reference's own numbers."""

import numpy as np
import pytest
from support import golden

from jaxdissect.engine.batching import BlockSource, batches
from jaxdissect.engine.data.latent_vectors import latents, reference_latents


def stacked(source) -> np.ndarray:
    return np.stack([source[place]["latent"] for place in range(len(source))])


def test_items_are_float32_vectors():
    source = latents(7, 5)
    assert len(source) == 7
    assert source[3].keys() == {"latent"}
    assert source[3]["latent"].shape == (5,) and source[3]["latent"].dtype == np.float32
    np.testing.assert_array_equal(source[-1]["latent"], source[6]["latent"])
    for place in (7, -8):
        with pytest.raises(IndexError):
            source[place]


def test_an_example_depends_on_seed_and_place_alone():
    source = latents(6, 4, seed=3)
    backwards = np.stack([source[place]["latent"] for place in reversed(range(6))])[::-1]
    np.testing.assert_array_equal(stacked(source), backwards)
    np.testing.assert_array_equal(stacked(latents(20, 4, seed=3))[:6], backwards)
    np.testing.assert_array_equal(stacked(latents(6, 9, seed=3))[:, :4], backwards)
    far = latents(10**12, 4, seed=3)
    np.testing.assert_array_equal(far[5]["latent"], backwards[5])
    assert not np.isin(far[10**12 - 1]["latent"], backwards).any()


def test_no_two_examples_nor_seeds_share_numbers():
    """Examples of neighbouring seeds too: (seed, place) is no sum."""
    seeds = (0, 1, 2, 2**63, 2**64 - 1)
    numbers = np.stack([stacked(latents(50, 8, seed=seed)) for seed in seeds])
    # A few float32 coincide by chance; whole rows never do.
    assert len(np.unique(numbers.reshape(-1, 8), axis=0)) == len(seeds) * 50


def test_numbers_never_change():
    """Results of a seed can be repeated later: these were drawn with NumPy 2.4."""
    drawn = [-0.45474616, 0.56209725, 0.6255867]
    np.testing.assert_allclose(latents(3, 3, seed=11)[2]["latent"], drawn, rtol=1e-6)


@pytest.mark.parametrize("make", [latents, reference_latents])
@pytest.mark.parametrize(("first", "last"), [(0, 4), (3, 7), (9, 10), (0, 10)])
def test_reading_a_block_stacks_the_items(make, first, last):
    source = make(10, 6)
    assert isinstance(source, BlockSource)
    block = source.read(first, last)
    assert block.keys() == {"latent"} and block["latent"].dtype == np.float32
    np.testing.assert_array_equal(block["latent"], stacked(source)[first:last])


@pytest.mark.parametrize("make", [latents, reference_latents])
def test_batches_hold_the_examples_in_order(make):
    source = make(10, 6)
    found = [batch["latent"][batch["weight"]] for batch in batches(source, 4)]
    assert [len(batch) for batch in found] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(found), stacked(source))


@pytest.mark.parametrize("make", [latents, reference_latents])
def test_numbers_are_standard_normal(make):
    """Bounds are five standard errors; mixing up axes would show in the correlations."""
    number, size = 2000, 32
    numbers = make(number, size, seed=4).read(0, number)["latent"].astype(np.float64)
    error = (number * size) ** -0.5
    assert abs(numbers.mean()) < 5 * error
    assert abs(numbers.var() - 1) < 5 * 2**0.5 * error
    assert abs((numbers**3).mean()) < 5 * 15**0.5 * error
    assert abs((numbers**4).mean() - 3) < 5 * 96**0.5 * error
    assert abs((np.abs(numbers) > 1.959964).mean() - 0.05) < 5 * (0.05 * 0.95) ** 0.5 * error
    between_entries = np.corrcoef(numbers.T) - np.eye(size)
    assert np.abs(between_entries).max() < 5 * number**-0.5
    between_examples = (numbers[:-1] * numbers[1:]).mean()
    assert abs(between_examples) < 5 * error


def test_reference_latents_are_one_stream_of_numpy():
    expected = np.random.RandomState(1).standard_normal(15).reshape(5, 3).astype(np.float32)
    source = reference_latents(5, 3)
    np.testing.assert_array_equal(stacked(source), expected)
    np.testing.assert_array_equal(stacked(reference_latents(9, 3))[:5], expected)
    assert not np.isin(stacked(reference_latents(5, 3, seed=2)), expected).any()


def test_reference_latents_are_those_of_the_reference():
    arrays, meta = golden.load("sampling")
    seed = meta["seed"]
    found = stacked(reference_latents(5, 16, seed=seed))
    np.testing.assert_array_equal(found, arrays["z_5x16_seed1"])
    np.testing.assert_array_equal(stacked(reference_latents(5, 16)), arrays["z_5x16_seed1"])
    large = stacked(reference_latents(3, 512, seed=seed))
    np.testing.assert_array_equal(large[:, :8], arrays["z_3x512_seed1_first8"])


@pytest.mark.parametrize(("make", "bits"), [(latents, 64), (reference_latents, 32)])
def test_senseless_options_are_refused(make, bits):
    with pytest.raises(ValueError, match=r"`num_examples` \(=0\) must be at least 1"):
        make(0, 4)
    with pytest.raises(ValueError, match=r"`size` \(=-1\) must be at least 1"):
        make(4, -1)
    for seed in (-1, 2**bits):
        with pytest.raises(ValueError, match=rf"`seed` \(={seed}\) .* below 2\^{bits}"):
            make(4, 4, seed=seed)
    assert make(1, 1, seed=2**bits - 1)[0]["latent"].shape == (1,)
