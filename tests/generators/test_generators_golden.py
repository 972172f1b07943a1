"""Interventions in generators against the reference's own runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden
from support.toy_generators import CONCEPTS

from jaxdissect.engine.batching import Stored
from jaxdissect.generators import Generator, insert_units, paint_units, remove_units
from jaxdissect.networks.models import proggan
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.networks.weights.mapping import with_parameters


def stored_generator(stored):
    weights = {key[2:]: array for key, array in stored.items() if key.startswith("w:")}
    shapes = {name: array.shape for name, array in weights.items()}
    return with_parameters(lambda: proggan.from_shapes(shapes), weights, dtype=jnp.float32)


def as_is(images):
    return images


def golden_segmenter(downsample) -> Segmenter:
    """The rule of the golden run, on images as the generator gives them."""

    def segment(params, images, grid):
        del params
        b, h, w, _ = images.shape
        d = downsample
        pixels = images.reshape(b, h // d, d, w // d, d, 3).mean(axis=(2, 4))
        mean = pixels.mean(axis=-1)
        second = jnp.where(mean > -0.2, 4, jnp.where(mean < -1.0, 5, 0))
        return jnp.stack([pixels.argmax(axis=-1) + 1, second], axis=-1).astype(jnp.int32)

    return Segmenter(CONCEPTS, (), segment)


def chan_as_the_reference(samples, batch):
    """The reference's variance, whose distance between batches is weighted before it is squared."""
    number, mean, moment = 0, np.zeros(samples.shape[1]), np.zeros(samples.shape[1])
    for first in range(0, len(samples), batch):
        part = samples[first : first + batch]
        number += len(part)
        delta = (part.mean(axis=0) - mean) * len(part) / number
        moment += ((part - part.mean(axis=0)) ** 2).sum(axis=0)
        moment += delta**2 * (number - len(part)) * len(part) / number
        mean = mean + delta
    return moment / (number - 1)


@pytest.mark.parametrize("name", ["gan_intervention_a", "gan_intervention_b"])
def test_golden_painting(name):
    stored, meta = golden.load(name)
    layer, vectors = meta["layer"], jnp.asarray(stored["z"][:, :, 0, 0])
    subject = Generator(stored_generator(stored), vectors.shape[1], to_pixels=as_is)
    num_units, height, width = stored["rep"].shape[1:]

    @functools.partial(jax.jit, static_argnums=0)
    def painted(units, values, where):
        return paint_units(subject, subject.params, vectors, layer, units, values, where)

    def assert_images(images, key):
        expected = stored[key].transpose(0, 2, 3, 1)
        atol = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(images, expected, rtol=0, atol=atol)

    units, values = tuple(meta["units"]), jnp.float32(meta["values"])
    for y, x in meta["locs"]:
        here = jnp.zeros((2, height, width)).at[:, y, x].set(1)
        assert_images(painted(units, values, here), f"insert_{y}_{x}")
    everywhere = jnp.ones((2, height, width))
    assert_images(painted(units, 0 * values, everywhere), "ablated")
    assert_images(painted(units, values, 0 * everywhere), "baseline")
    every = tuple(range(num_units))
    assert_images(painted(every, jnp.zeros(num_units), everywhere / 2), "half")


def test_golden_removal():
    stored, meta = golden.load("gan_segstats_a")
    vectors, segmenter = stored["z"], golden_segmenter(meta["downsample"])
    subject = Generator(
        stored_generator(stored),
        vectors.shape[1],
        segmenter=segmenter,
        grid=(4, 4),
        to_pixels=as_is,
    )
    keep = np.ones((len(meta["unit_sets"]), 16), bool)
    for condition, units in enumerate(meta["unit_sets"]):
        keep[condition, units] = False
    found = remove_units(
        subject,
        Stored({"latent": vectors}),
        meta["layer"],
        keep,
        concepts=range(6),
        batch_size=7,
    )
    # The reference's area of 0 adds up channels without a label; ours, pixels without any.
    np.testing.assert_array_equal(found.before[:, 1:], stored["segcount_all"][:, 1:])
    assert not found.before[:, 0].any()
    pixels = found.num_pixels
    np.testing.assert_allclose(found.mean_before[1:] / pixels, stored["baseline_mean"][1:], 1e-6)
    defective = chan_as_the_reference(found.before / pixels, meta["batch"])
    np.testing.assert_allclose(defective[1:], stored["baseline_var_asref"][1:], 1e-5, 1e-9)
    for condition in range(len(keep)):
        fraction = found.mean_after[condition] / pixels
        np.testing.assert_allclose(fraction[1:], stored[f"ablated_mean_{condition}"][1:], 1e-6)
        delta = found.mean_change[condition] / pixels
        np.testing.assert_allclose(delta[1:], stored[f"delta_mean_{condition}"][1:], 1e-5, 1e-8)
        assert found.changes.number[condition] == stored[f"delta_count_{condition}"]
        samples = (found.after[condition] - found.before) / pixels
        defective = np.sqrt(chan_as_the_reference(samples, meta["batch"]))
        expected = stored[f"delta_stdev_asref_{condition}"]
        np.testing.assert_allclose(defective[1:], expected[1:], 1e-5, 1e-8)


def test_golden_insertion():
    stored, meta = golden.load("gan_insertion_a")
    subject = Generator(
        stored_generator(stored),
        stored["z"].shape[1],
        segmenter=golden_segmenter(4),
        grid=(4, 4),
        to_pixels=as_is,
    )
    found = insert_units(
        subject,
        Stored({"latent": stored["z"]}),
        meta["layer"],
        stored["door_units"],
        stored["door_values"],
    )
    keys, raw, condition = stored["keys"], stored["raw_delta"], stored["raw_condition"]
    np.testing.assert_array_equal(found.number[keys], stored["size"])
    assert found.number[0] == 12 * 16
    baseline = stored["baseline_segcount_mean"]
    np.testing.assert_allclose(found.mean_before[1:], baseline[1:], 1e-6)
    for key in keys:
        delta = raw[condition == key][:, 1:].astype(int)
        np.testing.assert_array_equal(found.changes.sums[key, 1:], delta.sum(axis=0))
        np.testing.assert_array_equal(found.changes.squares[key, 1:], (delta**2).sum(axis=0))
    mean_change = found.mean_change[keys]
    np.testing.assert_allclose(mean_change[:, 1:], stored["mean_delta"][:, 1:], 1e-6, 1e-7)
    added = found.added_area(meta["door_label"])
    np.testing.assert_allclose(added[keys], stored["added_area"], 1e-6, 1e-7)
