"""Dissecting generators: the image is the output; any generator; edits that change nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.toy_generators import (
    SIZES,
    generator,
    labelled_painter,
    latents,
    painter,
    painter_source,
    source,
    strongest_color,
)

from jaxdissect.dissection.presets import GANDISSECT2019
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.labelers import segmented
from jaxdissect.generators import (
    GeneratedImages,
    Generator,
    dissect_generator,
    generate,
    in_range,
    latent_input,
    ranked_units,
    remove_units,
)
from jaxdissect.generators.causality import partial_edit
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.networks.edits import Edit, ablate, insert
from jaxdissect.networks.network import Network

GRID = (8, 8)


def four_devices():
    return jax.make_mesh((4,), ("data",))


@functools.cache
def dissected(layers=("maps", "pixels"), **options):
    return dissect_generator(labelled_painter(GRID), painter_source(30), layers=layers, **options)


def assert_same(found, expected):
    for layer, other in zip(found.layers.values(), expected.layers.values(), strict=True):
        np.testing.assert_array_equal(layer.thresholds, other.thresholds)
        np.testing.assert_array_equal(layer.counts.intersection, other.counts.intersection)
        np.testing.assert_array_equal(layer.counts.concept, other.counts.concept)
        np.testing.assert_array_equal(layer.iou, other.iou)
        np.testing.assert_array_equal(layer.top_examples, other.top_examples)


# --- the image is the output ----------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_the_dissection_of_images_made_before():
    network, data = painter(), painter_source(30)
    images, _ = network.apply(network.params, jnp.asarray(data.read(0, 30)["latent"]))
    stored = Joined(data, Stored({"image": (np.asarray(images) + 1) / 2}))
    expected = dissect(
        network,
        stored,
        segmented(strongest_color()),
        layers=("maps", "pixels"),
        preset=GANDISSECT2019,
        grid=GRID,
        inputs=latent_input,
    )
    found = dissected()
    assert_same(found, expected)
    for layer in ("maps", "pixels"):
        assert [ranked_units(found, layer, color)[0] for color in (1, 2, 3)] == [0, 1, 2]
    best = ranked_units(found, "maps", 2)
    assert sorted(best.tolist()) == list(range(6))
    assert (np.diff(found["maps"].iou[2][best]) <= 0).all()


@pytest.mark.slow
def test_batches_memory_and_devices_change_nothing():
    expected = dissected()
    assert_same(dissected(batch_size=7, memory_budget=0), expected)
    assert_same(dissected(batch_size=4, mesh=four_devices()), expected)


def test_images_come_with_their_latents():
    images = GeneratedImages(Generator(generator(), SIZES[0]), source())
    every = images.read(0, 7)
    assert len(images) == 7
    assert every["image"].shape == (7, 8, 8, 3)
    assert 0 <= every["image"].min() < 0.1 < 0.9 < every["image"].max() <= 1
    np.testing.assert_array_equal(every["latent"], latents())
    np.testing.assert_allclose(images[5]["image"], every["image"][5], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(images[-1]["latent"], latents()[6])


def test_ranges():
    values = jnp.array([[-1.5, -1.0, 0.0], [0.5, 1.0, 3.0]])
    np.testing.assert_allclose(in_range(-1.0, 1.0)(values), [[0, 0, 0.5], [0.75, 1, 1]])
    np.testing.assert_allclose(in_range(-1.0, 3.0)(values), [[0, 0, 0.25], [0.375, 0.5, 1]])
    with pytest.raises(ValueError, match=r"`low` \(=1.0\) must be below `high` \(=1.0\)"):
        in_range(1.0, 1.0)
    assert in_range(-1.0, 3.0) == in_range(-1.0, 3.0) != in_range(-1.0, 2.0)


def test_bad_sources_and_layers():
    with pytest.raises(ValueError, match="must give examples with a 'latent'.* they have: image"):
        wrong = Stored({"image": np.zeros((2, 6), np.float32)})
        GeneratedImages(Generator(generator(), SIZES[0]), wrong)
    with pytest.raises(ValueError, match="no layer 'layer9'; valid names: maps, pixels"):
        dissected(("layer9",))
    with pytest.raises(ValueError, match="`source` has no examples"):
        dissect_generator(labelled_painter(GRID), painter_source(0), layers=("maps",))
    with pytest.raises(ValueError, match="`generator` has no segmenter"):
        unlabelled = labelled_painter(GRID, segmenter=None)
        dissect_generator(unlabelled, painter_source(2), layers=("maps",))


# --- edits that change nothing --------------------------------------------------------------------


def test_edits_of_zero_strength_change_nothing_bit_for_bit():
    subject = labelled_painter(GRID)
    vectors, values = jnp.asarray(painter_source(3).read(0, 3)["latent"]), jnp.arange(6.0)
    every, nowhere = np.arange(6), jnp.zeros((4, 4))
    plain = generate(subject, subject.params, vectors)
    for edit in (
        Edit(jnp.ones(6), jnp.zeros(6)),
        ablate([], 6),
        insert(every, values, 6, where=nowhere),
        partial_edit(jnp.zeros(6), values, jnp.ones((3, 4, 4))),
        partial_edit(jnp.ones(6), values, jnp.zeros((3, 4, 4))),
    ):
        found = generate(subject, subject.params, vectors, edits={"maps": edit})
        np.testing.assert_array_equal(found, plain)
    everywhere = partial_edit(jnp.ones(6), values, jnp.ones((3, 4, 4)))
    assert (generate(subject, subject.params, vectors, edits={"maps": everywhere}) != plain).any()


def test_they_change_nothing_in_one_and_the_same_program():
    subject, vectors = Generator(generator(), SIZES[0]), jnp.asarray(latents())

    @jax.jit
    def images(params, strength, values, where):
        edit = partial_edit(strength, values, where)
        return generate(subject, params, vectors, edits={"layer2": edit})

    none, every = jnp.zeros((7, 4, 4)), jnp.ones((7, 4, 4))
    plain = images(subject.params, jnp.zeros(10), jnp.zeros(10), none)
    for strength, values, where in (
        (jnp.zeros(10), jnp.full(10, 9.0), every),
        (jnp.ones(10), jnp.full(10, 9.0), none),
        (jnp.zeros(10), -jnp.arange(10.0), every),
    ):
        np.testing.assert_array_equal(images(subject.params, strength, values, where), plain)
    assert (images(subject.params, jnp.ones(10), jnp.ones(10), every) != plain).any()


# --- any generator --------------------------------------------------------------------------------


class MyGenerator(nnx.Module):
    """A generator as a user would write one."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.spread = nnx.Linear(5, 4 * 4 * 6, rngs=rngs)
        self.middle = nnx.Conv(6, 7, (3, 3), rngs=rngs)
        self.colors = nnx.Conv(7, 3, (3, 3), rngs=rngs)

    def __call__(self, latents):
        maps = nnx.relu(self.spread(latents)).reshape(-1, 4, 4, 6)
        maps = nnx.relu(self.middle(maps)).repeat(2, axis=1).repeat(2, axis=2)
        return nnx.sigmoid(3 * self.colors(maps))


def as_it_is(images):
    return images


def test_a_module_of_the_users():
    module = MyGenerator(rngs=nnx.Rngs(0))
    data = Stored({"latent": np.random.RandomState(1).standard_normal((9, 5)).astype(np.float32)})
    segmenter = strongest_color()
    subject = Generator(module, 5, segmenter=segmenter, grid=GRID, to_pixels=as_it_is)
    keep = ~np.eye(7, dtype=bool)[:2]
    found = remove_units(subject, data, "middle", keep)
    definition, state = nnx.split(module)
    for condition, kept in enumerate(keep):
        # The same by hand: the kernel and the bias of the unit are zero.
        other = nnx.merge(definition, jax.tree.map(jnp.array, state))
        other.middle.kernel[...] *= kept.astype(np.float32)[None, None, None]
        assert other.middle.bias is not None
        other.middle.bias[...] *= kept.astype(np.float32)
        labels = segmenter.segment(
            segmenter.params, other(jnp.asarray(data.read(0, 9)["latent"])), GRID
        )
        areas = [(np.asarray(labels) == c).sum() for c in range(4)]
        np.testing.assert_array_equal(
            found.before.sum(axis=0) + found.changes.sums[condition], areas
        )
    assert found.changes.squares.any()


def test_a_function_with_taps():
    network = painter()
    assert isinstance(network, Network)
    vectors = jnp.asarray(painter_source(3).read(0, 3)["latent"])
    images, maps = network.apply(network.params, vectors, layers=("maps", "pixels"))
    assert images.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(maps["maps"], jax.nn.relu(vectors.reshape(3, 4, 4, 6)))
    assert network.activations(network.params, vectors, layers=("maps",)).keys() == {"maps"}
    without_blue, _ = network.apply(network.params, vectors, edits={"maps": ablate([2], 6)})
    np.testing.assert_array_equal(without_blue[..., :2], images[..., :2])
    assert (without_blue[..., 2] < images[..., 2]).any()
    with pytest.raises(ValueError, match="no layer 'map'; valid names: maps, pixels"):
        network.apply(network.params, vectors, layers=("map",))
    twice = TappedNetwork(lambda params, x, tap: tap("x", tap("x", x)), {})
    with pytest.raises(ValueError, match="called more than once"):
        twice.apply({}, vectors, layers=("x",))
