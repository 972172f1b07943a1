"""What sets of units cause, and which units to choose: brute force, gradients, known causes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.interrupted import assert_resumes
from support.toy_generators import (
    PAINTER_SIZE,
    PAINTS,
    labelled_painter,
    painter,
    painter_source,
    strongest_color,
)

from jaxdissect.generators import (
    Features,
    GeneratedImages,
    Generator,
    causal_effect,
    mean_where_present,
    measure_realism,
    moments_of_images,
    optimise_units,
)
from jaxdissect.generators.causality import place_area, random_patches
from jaxdissect.generators.interventions import EditedLayer
from jaxdissect.generators.optimise import soft_effects
from jaxdissect.networks.ablation_masks import single_unit_masks, unit_set_masks
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.stats.frechet import frechet_distance
from jaxdissect.stats.moments import Moments

GRID, NUMBER = (8, 8), 9
RED, GREEN = 1, 2
VALUES = np.array([3, 2, 2.5, 1, 1, 2], np.float32)
STRENGTHS = np.array(
    [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 1, 0], [0] * 6, [0.5, 0, 0.25, 0, 0, 1]],
    np.float32,
)


def to_unit(images):
    return (images + 1) / 2


def subject(**others):
    return labelled_painter(**{"grid": GRID, "to_pixels": to_unit} | others)


# --- places ---------------------------------------------------------------------------------------


def test_places_are_squares_anywhere_and_each_examples_own():
    patches = jax.jit(random_patches, static_argnums=(2, 3))
    examples = jnp.arange(600, dtype=jnp.int32)
    every = np.asarray(patches(jax.random.key(0), examples, (4, 5), 2))
    assert set(np.unique(every)) == {0, 1}
    rows, columns = every.max(axis=2) > 0, every.max(axis=1) > 0
    np.testing.assert_array_equal(every, rows[:, :, None] & columns[:, None])
    assert (rows.sum(axis=1) == 2).all() and (columns.sum(axis=1) == 2).all()
    corners, counts = np.unique(
        np.stack([rows.argmax(axis=1), columns.argmax(axis=1)], axis=1), axis=0, return_counts=True
    )
    assert len(corners) == 3 * 4
    assert counts.min() > 20 and counts.max() < 90  # 50 expected
    some = patches(jax.random.key(0), jnp.array([7, 599, 0], jnp.int32), (4, 5), 2)
    np.testing.assert_array_equal(some, every[[7, 599, 0]])
    assert (np.asarray(patches(jax.random.key(1), examples, (4, 5), 2)) != every).any()


# --- average causal effect ------------------------------------------------------------------------


@functools.cache
def measured(**others):
    return causal_effect(
        jax.random.key(3),
        subject(),
        painter_source(NUMBER),
        "maps",
        RED,
        STRENGTHS,
        VALUES,
        **others,
    )


def red_pixels(maps):
    """Red pixels of one image, given its maps, with NumPy."""
    maps = maps.astype(np.float64)
    pixels = np.kron((maps @ PAINTS).transpose(2, 0, 1), np.ones((2, 2)))
    odd = np.indices((8, 8)).sum(axis=0) % 2
    pixels = pixels + np.kron(maps[..., 5], np.ones((2, 2))) * odd
    shown = (np.tanh(pixels - 1) + 1) / 2
    return ((shown.argmax(axis=0) == 0) & (shown.max(axis=0) > 0.4)).sum()


def test_effects_are_the_brute_force():
    found = measured()
    places = random_patches(jax.random.key(3), jnp.arange(NUMBER, dtype=jnp.int32), (4, 4), 1)
    latents = painter_source(NUMBER).read(0, NUMBER)["latent"].reshape(NUMBER, 4, 4, 6)
    for n, (maps, where) in enumerate(zip(np.maximum(latents, 0), np.asarray(places), strict=True)):
        assert found.before[n] == red_pixels(maps)
        for s, strengths in enumerate(STRENGTHS):
            inserted, ablated = maps.copy(), maps.copy()
            for y, x in np.argwhere(where):
                inserted[y, x] = strengths * VALUES + (1 - strengths) * maps[y, x]
                ablated[y, x] = (1 - strengths) * maps[y, x]
            assert found.inserted[s, n] == red_pixels(inserted)
            assert found.ablated[s, n] == red_pixels(ablated)
    assert found.place_area == place_area(1, (4, 4), GRID) == 4
    change = (found.inserted - found.ablated) / 4
    error = change.std(axis=1, ddof=1) / np.sqrt(NUMBER)
    np.testing.assert_allclose(found.effect.mean, change.mean(axis=1))
    np.testing.assert_allclose(found.effect.standard_error, error)
    parts = found.insertion.mean + found.ablation.mean
    np.testing.assert_allclose(parts, found.effect.mean, atol=1e-12)
    paired = change[[0, 2]] - change[[1, 0]]
    np.testing.assert_allclose(found.difference([0, 2], [1, 0]).mean, paired.mean(axis=1))
    paired_error = paired.std(axis=1, ddof=1) / 3
    np.testing.assert_allclose(found.difference([0, 2], [1, 0]).standard_error, paired_error)
    # The unit that paints red causes red, the one that paints green prevents it.
    assert found.effect.mean[0] > 0.5 > 0 >= found.effect.mean[1]


def test_a_set_without_strength_causes_nothing():
    found = measured()
    np.testing.assert_array_equal(found.inserted[3], found.before)
    np.testing.assert_array_equal(found.ablated[3], found.before)


def test_batches_chunks_and_devices_change_no_effect():
    mesh = jax.make_mesh((4,), ("data",))
    for others in ({"batch_size": 4, "chunk_size": 3}, {"batch_size": 8, "mesh": mesh}):
        found = measured(**others)
        for name in ("before", "inserted", "ablated"):
            np.testing.assert_array_equal(getattr(found, name), getattr(measured(), name))


def test_mean_where_present():
    source = painter_source(NUMBER)
    found = mean_where_present(subject(), source, "maps", GREEN, batch_size=4)
    sums, parts = np.zeros(6), 0.0
    for latent in source.read(0, NUMBER)["latent"]:
        maps = np.maximum(latent, 0).reshape(4, 4, 6)
        images, _ = painter().apply(painter().params, jnp.asarray(latent[None]))
        labels = strongest_color().segment(jnp.float32(10), to_unit(images), GRID)
        shown = np.asarray(labels)[0, :, :, 0] == GREEN
        for y, x in np.ndindex(4, 4):
            part = shown[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
            sums += part * maps[y, x]
            parts += part
    np.testing.assert_allclose(found, sums / parts, rtol=1e-5)
    assert found.argmax() == 1
    black = StagedNetwork({"maps": lambda params, z: z[:, None, None, :3] * 0}, {})
    dark = Generator(black, PAINTER_SIZE, segmenter=strongest_color(), grid=(1, 1))
    with pytest.raises(ValueError, match=f"`concept` \\(='green'\\) is in none of the {NUMBER}"):
        mean_where_present(dark, source, "maps", GREEN)
    with pytest.raises(ValueError, match=r"`grid` \(=\(6, 8\)\) must be a multiple of .*4 x 4"):
        mean_where_present(labelled_painter((6, 8)), source, "maps", GREEN)


# --- learned strengths ----------------------------------------------------------------------------


def learned(**others):
    given = {"steps": 40, "batch_size": 4, "learning_rate": 0.1, "penalty": 0.1} | others
    return optimise_units(
        jax.random.key(5),
        subject(segmenter=given.pop("segmenter", strongest_color())),
        painter_source(50, seed=4),
        "maps",
        given.pop("concept", RED),
        given.pop("values", VALUES),
        **given,
    )


def test_gradients_are_finite_differences():
    params = subject().params
    effects = soft_effects(EditedLayer(subject(), "maps"), RED, jnp.asarray(VALUES), 2)
    latents = jnp.asarray(painter_source(3).read(0, 3)["latent"])
    where = random_patches(jax.random.key(0), jnp.arange(3, dtype=jnp.int32), (4, 4), 2)
    strengths = jnp.array([0.3, 0.5, 0.2, 0.7, 0.4, 0.6])

    @jax.jit
    def value_and_gradient(strengths):
        def effect(strengths):
            each = jnp.broadcast_to(strengths, (3, 6))
            return effects(each, params, latents, where).mean()

        return jax.value_and_grad(effect)(strengths)

    _, gradient = value_and_gradient(strengths)
    step = 0.02
    for unit in range(6):
        ends = [
            float(value_and_gradient(strengths.at[unit].add(sign * step))[0]) for sign in (-1, 1)
        ]
        slope = (ends[1] - ends[0]) / (2 * step)
        assert slope == pytest.approx(float(gradient[unit]), rel=0.03, abs=2e-3)
    assert float(gradient[0]) > 0.1 > -0.01 > float(gradient[1])


@pytest.mark.slow
def test_learning_finds_the_units_that_cause_a_color():
    found = learned()
    assert found.ranking[0] == 0
    assert found.strengths[0] > 0.8
    assert found.strengths[1] < 0.05 and found.strengths[2] < 0.05
    assert ((found.strengths >= 0) & (found.strengths <= 1)).all()
    assert found.effects.shape == found.losses.shape == (40,)
    assert found.effects[-10:].mean() > found.effects[:10].mean() + 0.05
    again = learned()
    np.testing.assert_array_equal(again.strengths, found.strengths)
    # Programs of other devices round differently, on some processors.
    for devices in (1, 2, 4):  # four latents in a step, and three
        mesh = jax.make_mesh((devices,), ("data",))
        np.testing.assert_allclose(learned(mesh=mesh).strengths, found.strengths, 1e-5, 1e-6)
    np.testing.assert_allclose(
        learned(mesh=mesh, batch_size=3).strengths, learned(batch_size=3).strengths, 1e-5, 1e-6
    )
    strict = learned(penalty=50.0)
    assert strict.strengths.max() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, r"`steps` \(=0\) must be at least 1"),
        ({"patch": 5}, r"`patch` \(=5\) must be 1 to 4 cells"),
        ({"penalty": -1.0}, r"`penalty` \(=-1.0\) not negative"),
        ({"start": 2.0}, r"`start` must be in \[0, 1\]"),
        ({"concept": 4}, r"`concepts` must be in \[0, 4\), got \[4\]"),
        ({"values": VALUES[:3]}, "`values` .* must be 6 finite numbers, one for each unit of"),
        ({"segmenter": Segmenter(*strongest_color()[:3])}, "made without a `score`"),
    ],
)
def test_bad_learning(change, message):
    with pytest.raises(ValueError, match=message):
        learned(**change)


def test_bad_effects():
    def run(strengths=STRENGTHS, **others):
        args = jax.random.key(0), subject(), painter_source(2), "maps", RED
        return causal_effect(*args, strengths, VALUES, **others)

    for wrong in (STRENGTHS[:, :5], STRENGTHS[:0], 2 * STRENGTHS):
        with pytest.raises(ValueError, match=r"`strengths` .* must be \[S, 6\] in \[0, 1\]"):
            run(wrong)
    with pytest.raises(ValueError, match=r"`patch` \(=0\) must be 1 to 4"):
        run(patch=0)


# --- artifacts ------------------------------------------------------------------------------------


def as_features():
    """Means and roughness of the colors of an image."""

    def maps(params, images):
        rough = jnp.abs(jnp.diff(images, axis=2, append=images[:, :, -1:]))
        return jnp.concatenate([images, rough], axis=-1) * params

    return Features(StagedNetwork({"colors": maps}, jnp.float32(2)), "colors")


def real_images():
    """What the painter would make without its checkerboard."""
    network = painter()
    params = {**network.params, "wrong": jnp.float32(0)}
    latents = painter_source(60, seed=9)
    network.params = params
    return GeneratedImages(Generator(network, PAINTER_SIZE, to_pixels=to_unit), latents)


def moments_by_hand(images):
    rough = np.abs(np.diff(images, axis=2, append=images[:, :, -1:]))
    rows = 2 * np.concatenate([images, rough], axis=-1).mean(axis=(1, 2)).astype(np.float64)
    mean = rows.mean(axis=0)
    return Moments(len(rows), mean, mean, np.cov(rows.T), np.zeros((6, 6)))


def realism(keep, **options):
    features = as_features()
    truth = moments_of_images(features, real_images(), batch_size=16)
    source = painter_source(20, seed=8)
    painted = subject(segmenter=None)
    options = {"batch_size": 8, **options}
    return measure_realism(painted, source, "maps", keep, features, truth, **options)


def test_realism_is_the_brute_force_and_finds_what_is_wrong():
    keep = np.concatenate([single_unit_masks(6), unit_set_masks([[5, 3], []], 6)])
    found = realism(keep, parts=2, chunk_size=3)
    truth = moments_by_hand(real_images().read(0, 60)["image"])
    network = painter()
    maps = np.maximum(painter_source(20, seed=8).read(0, 20)["latent"], 0).reshape(20, 4, 4, 6)
    whole = []
    for kept in (np.ones(6), *keep):
        images, _ = network.apply(
            network.params, jnp.asarray((maps * kept).reshape(20, -1), "float32")
        )
        images = np.asarray(to_unit(images))
        whole.append([frechet_distance(moments_by_hand(images[p::2]), truth) for p in range(2)])
    whole = np.array(whole).T
    np.testing.assert_allclose(found.baseline, whole[:, 0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.distances, whole[:, 1:], rtol=1e-3, atol=1e-5)
    cost = (whole[:, :1] - whole[:, 1:]).mean(axis=0)
    np.testing.assert_allclose(found.cost, cost, rtol=1e-2, atol=1e-5)
    error = np.abs(np.diff(whole[:, :1] - whole[:, 1:], axis=0))[0] / 2
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-2, atol=1e-5)
    assert found.ranking[:2].tolist() in ([5, 6], [6, 5])  # unit 5, alone and with another
    assert found.distances[:, 5].mean() < found.baseline.mean() / 3
    np.testing.assert_array_equal(found.distances[:, 7], found.baseline)
    assert np.isinf(realism(keep[:1]).standard_error).all()


def test_bad_realism():
    with pytest.raises(ValueError, match=r"`parts` \(=11\) must be .* `source` has 20"):
        realism(single_unit_masks(6), parts=11)
    with pytest.raises(ValueError, match=r"`keep` \(=bool\[5, 5\]\) must be bool \[S, 6\]"):
        realism(single_unit_masks(5))
    with pytest.raises(ValueError, match="no layer 'shapes'; valid names: colors"):
        moments_of_images(as_features()._replace(layer="shapes"), real_images())


# --- interruption ---------------------------------------------------------------------------------


def present(**others):
    found = mean_where_present(subject(), painter_source(NUMBER), "maps", GREEN, **others)
    return found, found


@pytest.mark.parametrize(
    ("run", "then"),
    [
        pytest.param(
            measured, {"batch_size": 3, "chunk_size": 2}, id="effects", marks=pytest.mark.slow
        ),
        pytest.param(learned, {}, id="strengths"),
        pytest.param(
            functools.partial(present, batch_size=2), {}, id="present", marks=pytest.mark.slow
        ),
        pytest.param(
            functools.partial(realism, single_unit_masks(6), batch_size=4),
            {},
            id="realism",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_interrupted_runs_resume(run, then, tmp_path):
    assert_resumes(run, tmp_path, **then)


@pytest.mark.slow
def test_other_searches_are_refused(tmp_path):
    learned(steps=2, checkpoints=tmp_path)
    with pytest.raises(ValueError, match="other settings: concept is 1 there and 2 here; give"):
        learned(steps=2, concept=GREEN, checkpoints=tmp_path)
    with pytest.raises(ValueError, match="penalty is 0.1 there and 0.2 here"):
        learned(steps=2, penalty=0.2, checkpoints=tmp_path)
