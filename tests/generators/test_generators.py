"""Removing and inserting units of generators: brute force, invariances, faults."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.interrupted import assert_resumes
from support.toy_generators import (
    CONCEPTS,
    SIZES,
    colors_segmenter,
    generator,
    labelled_generator,
    labelled_painter,
    latents,
    painter,
    painter_source,
    source,
    strongest_color,
)

from jaxdissect.engine.batching import Stored
from jaxdissect.generators import (
    Generator,
    concept_areas,
    insert_units,
    paint_units,
    remove_units,
)
from jaxdissect.networks.ablation_masks import best_unit_masks, single_unit_masks, unit_set_masks
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.network import as_network
from jaxdissect.stats import intervals

UNITS, VALUES = [1, 4, 7], [2.0, -1.0, 3.5]


# --- brute force ----------------------------------------------------------------------------------


@functools.cache
def labels_after(layer, grid):
    """Labels of one image of which the maps of a layer are given, by calling block after block."""
    module, segmenter = generator(), colors_segmenter(grid)
    blocks = [f"layer{number}" for number in range(1, 2 * len(SIZES) - 1)]

    @jax.jit
    def after(maps):
        for name in blocks[blocks.index(layer) + 1 :]:
            maps = getattr(module, name)(maps)
        images = (getattr(module, module.output)(maps) + 1) / 2
        return segmenter.segment(segmenter.params, jnp.clip(images, 0, 1), grid)[0]

    @jax.jit
    def before(vectors):
        maps = vectors[:, None, None]
        for name in blocks[: blocks.index(layer) + 1]:
            maps = getattr(module, name)(maps)
        return maps

    return before, after


def areas_of(labels):
    """Pixels of every concept, one pixel after the other."""
    areas = np.zeros(len(CONCEPTS), np.int64)
    for pixel in np.asarray(labels).reshape(-1, labels.shape[-1]):
        for concept in set(pixel.tolist()) - {0} or {0}:
            areas[concept] += 1
    return areas


def brute_removal(layer, grid, keep):
    """Areas [1 + S, N, C] with all units, then without those of each condition."""
    before, after = labels_after(layer, grid)
    maps = np.asarray(before(jnp.asarray(latents())))
    conditions = [np.ones(maps.shape[3], bool), *keep]
    return np.array(
        [[areas_of(after(image[None] * kept)) for image in maps] for kept in conditions]
    )


def brute_insertion(layer, grid):
    """(context, change) of every sample, one forward pass for each image and cell."""
    before, after = labels_after(layer, grid)
    samples, baseline = [], []
    for image in np.asarray(before(jnp.asarray(latents()))):
        original = np.asarray(after(image[None]))
        baseline.append(areas_of(original))
        for y, x in np.ndindex(*image.shape[:2]):
            changed = image.copy()
            changed[y, x, UNITS] = VALUES
            change = areas_of(after(changed[None])) - baseline[-1]
            row = int((y + 0.5) * grid[0] / image.shape[0])
            column = int((x + 0.5) * grid[1] / image.shape[1])
            labels = set(original[row, column].tolist()) - {0}
            samples.append((y, x, labels, change))
    return samples, np.array(baseline)


@pytest.mark.parametrize(("layer", "grid"), [("layer2", (8, 8)), ("layer3", (4, 8))])
def test_removal_is_the_brute_force(layer, grid):
    singles = single_unit_masks(10 if layer == "layer2" else 8)
    keep = np.concatenate([singles[:4], ~singles[:1], np.zeros_like(singles[:1])])
    areas = brute_removal(layer, grid, keep)
    found = remove_units(labelled_generator(grid), source(), layer, keep, concepts=[4, 1, 0])
    change = areas[1:] - areas[0]
    assert np.count_nonzero(change) > 30
    np.testing.assert_array_equal(found.before, areas[0])
    np.testing.assert_array_equal(found.after, areas[1:][..., [4, 1, 0]])
    np.testing.assert_array_equal(found.changes.sums, change.sum(axis=1))
    np.testing.assert_array_equal(found.changes.squares, (change**2).sum(axis=1))
    np.testing.assert_array_equal(found.keep, keep)
    np.testing.assert_allclose(found.mean_after, areas[1:].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.mean_change, change.mean(axis=1), rtol=1e-12)
    error = change.std(axis=1, ddof=1) / np.sqrt(len(areas[0]))
    np.testing.assert_allclose(found.standard_error, error, rtol=1e-12)
    seen = areas[0].sum(axis=0) > 0
    fraction = areas[1:].sum(axis=1)[:, seen] / areas[0].sum(axis=0)[seen]
    np.testing.assert_allclose(found.fraction_left[:, seen], fraction, rtol=1e-12)
    band = intervals.student_t(len(areas[0])) * error[:, seen] / areas[0].mean(axis=0)[seen]
    np.testing.assert_allclose(found.fraction_band[:, seen], band, rtol=1e-12)
    for condition in range(len(keep)):
        growth = change[condition].sum(axis=0)
        gained = found.gained(condition, number=2)
        assert gained.tolist() == sorted(np.flatnonzero(growth > 0), key=lambda c: -growth[c])[:2]


@pytest.mark.parametrize(("layer", "grid"), [("layer2", (8, 8)), ("layer2", (4, 8))])
def test_insertion_is_the_brute_force(layer, grid):
    samples, baseline = brute_insertion(layer, grid)
    found = insert_units(labelled_generator(grid), source(), layer, UNITS, VALUES, concepts=[2])
    np.testing.assert_array_equal(found.before, baseline)
    for context in range(len(CONCEPTS)):
        group = np.array([c for _, _, labels, c in samples if context in labels or context == 0])
        group = group.reshape(-1, len(CONCEPTS))
        assert found.number[context] == len(group)
        np.testing.assert_array_equal(found.changes.sums[context], group.sum(axis=0))
        np.testing.assert_array_equal(found.changes.squares[context], (group**2).sum(axis=0))
        if len(group) > 1:
            np.testing.assert_allclose(found.mean_change[context], group.mean(axis=0), rtol=1e-12)
            error = group.std(axis=0, ddof=1) / np.sqrt(len(group))
            np.testing.assert_allclose(found.standard_error[context], error, rtol=1e-12)
    assert np.count_nonzero(found.number[1:] > 1) >= 3
    added = found.mean_change[:, 2] / baseline[:, 2].mean()
    np.testing.assert_allclose(found.added_area(2), added, rtol=1e-12)
    cells = len(samples) // len(baseline)
    images = [
        len({i // cells for i, sample in enumerate(samples) if c in sample[2] or c == 0})
        for c in range(len(CONCEPTS))
    ]
    band = intervals.student_t(np.array(images)) * found.clustered_error(2)
    band /= baseline[:, 2].mean()
    np.testing.assert_allclose(found.added_band(2), band, rtol=1e-12)
    of_images = np.array([change for *_, change in samples])
    of_images = of_images.reshape(len(baseline), -1, len(CONCEPTS))
    by_image = of_images.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(len(baseline))
    np.testing.assert_allclose(found.error_by_image, by_image, rtol=1e-12)
    # Some cells of some images, with the same oracle.
    cells, images = [(3, 1), (0, 2)], [5, 2]
    part = insert_units(
        labelled_generator(grid, model=as_network(generator())),
        [source()[i] for i in images],
        layer,
        np.array(UNITS),
        np.array(VALUES, np.float32),
        cells=cells,
    )
    chosen = [samples[16 * i + 4 * y + x] for i in images for y, x in cells]
    assert part.number[0] == len(chosen)
    np.testing.assert_array_equal(part.changes.sums[0], sum(c for *_, c in chosen))
    for context in range(1, len(CONCEPTS)):
        assert part.number[context] == sum(context in labels for *_, labels, _ in chosen)


# --- what stands there instead, and where things appear -------------------------------------------


def shown_colors(maps):
    """Colors [8, 8] of one image of the painter, given its maps."""
    images, _ = painter().apply(painter().params, jnp.asarray(maps.reshape(1, -1), jnp.float32))
    segmenter = strongest_color()
    return np.asarray(segmenter.segment(segmenter.params, (images + 1) / 2, (8, 8)))[0, ..., 0]


def painter_maps(number):
    return np.maximum(painter_source(number).read(0, number)["latent"], 0).reshape(-1, 4, 4, 6)


def test_what_takes_the_place_of_removed_colors():
    keep = np.array([[0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1] * 6], bool)
    found = remove_units(
        labelled_painter(), painter_source(7), "maps", keep, concepts=[3, 1], batch_size=4
    )
    for condition, kept in enumerate(keep):
        for concept in (3, 1):
            replaced, left = np.zeros(4, int), []
            for maps in painter_maps(7):
                before, after = shown_colors(maps), shown_colors(maps * kept)
                replaced += np.bincount(
                    after[(before == concept) & (after != concept)], minlength=4
                )
                left.append((after == concept).sum())
            np.testing.assert_array_equal(found.in_place_of(concept)[condition], replaced)
            np.testing.assert_array_equal(found.area_left(concept)[condition], left)
    assert found.in_place_of(1)[0, 2:].all() and not found.in_place_of(1)[2].any()
    # Every pixel of the one label channel has one color or none: what goes comes elsewhere.
    np.testing.assert_array_equal(found.changes.sums.sum(axis=1), 0)
    np.testing.assert_array_equal(found.before.sum(axis=1), 64)
    assert np.abs(found.changes.sums).max() > 50
    with pytest.raises(ValueError, match=r"`concept` \(=2\) must be one of \[3, 1\]"):
        found.area_left(2)


def test_where_colors_appear():
    number, cells, red = 7, [(0, 3), (2, 1), (3, 3)], 1
    found = insert_units(
        labelled_painter(),
        painter_source(number),
        "maps",
        [0, 4],
        [3.0, 0.5],
        cells=cells,
        concepts=[red],
        batch_size=3,
    )
    added, contexts = np.zeros((number, 3), int), np.zeros((number, 3), int)
    for image, maps in enumerate(painter_maps(number)):
        before = shown_colors(maps)
        for place, (y, x) in enumerate(cells):
            changed = maps.copy()
            changed[y, x, [0, 4]] = 3.0, 0.5
            added[image, place] = (shown_colors(changed) == red).sum() - (before == red).sum()
            contexts[image, place] = before[2 * y + 1, 2 * x + 1]
    np.testing.assert_array_equal(found.added_at(red), added)
    np.testing.assert_array_equal(found.contexts[..., 0], contexts)
    assert added.max() > 0
    for context in range(4):
        here = contexts == context if context else np.ones_like(contexts, bool)
        images = np.flatnonzero(here.any(axis=1))
        mean = added[here].mean() if here.any() else 0.0
        apart = [(added[i][here[i]] - mean).sum() for i in images]
        expected = np.inf
        if len(images) > 1:
            variance = np.square(apart).sum() * len(images) / (len(images) - 1)
            expected = np.sqrt(variance) / here.sum()
        np.testing.assert_allclose(found.clustered_error(red)[context], expected, rtol=1e-12)
    best = found.best_places(red, 3)
    assert [added[i, c] for i, c in best] == sorted(added.max(axis=1), reverse=True)[:3]
    worst = found.best_places(red, 2, worst=True)
    assert [added[i, c] for i, c in worst] == sorted(added.min(axis=1))[:2]
    with pytest.raises(ValueError, match=r"`concept` \(=2\) must be one of \[1\]"):
        found.added_at(2)


# --- invariances ----------------------------------------------------------------------------------


def removed(keep=None, *, grid=(8, 8), concepts=(5,), **options):
    keep = single_unit_masks(10) if keep is None else keep
    subject = labelled_generator(grid)
    return remove_units(subject, source(), "layer2", keep, concepts=concepts, **options)


def inserted(*, grid=(8, 8), units=UNITS, values=VALUES, **options):
    subject = labelled_generator(grid)
    return insert_units(subject, source(), "layer2", units, values, concepts=[2, 0], **options)


def four_devices():
    return jax.make_mesh((4,), ("data",))


@pytest.mark.parametrize("run", [removed, inserted])
def test_batches_chunks_and_devices_change_nothing(run):
    expected = run()
    for options in (
        {"batch_size": 3, "chunk_size": 1},
        {"batch_size": 7, "chunk_size": 4},
        {"batch_size": 4, "chunk_size": 1000, "mesh": four_devices()},
    ):
        found = run(**options)
        for array, other in zip(found.changes, expected.changes, strict=True):
            np.testing.assert_array_equal(array, other)
        np.testing.assert_array_equal(found.before, expected.before)
        if run is removed:
            np.testing.assert_array_equal(found.after, expected.after)
            np.testing.assert_array_equal(found.replaced, expected.replaced)
        else:
            np.testing.assert_array_equal(found.contexts, expected.contexts)
            np.testing.assert_array_equal(found.added, expected.added)


def test_conditions_do_not_depend_on_each_other():
    some = [7, 2]
    every, part = removed(), removed(single_unit_masks(10)[some])
    np.testing.assert_array_equal(part.changes.sums, every.changes.sums[some])
    np.testing.assert_array_equal(part.after, every.after[some])


def test_what_changes_nothing_changes_no_pixel():
    for chunk_size in (2, 3):
        kept = removed(np.ones((4, 10), bool), chunk_size=chunk_size)
        assert not kept.changes.squares.any()
        assert not kept.standard_error.any()
        np.testing.assert_array_equal(kept.fraction_left, 1)
        np.testing.assert_array_equal(kept.fraction_band, 0)
        assert kept.gained(0).size == 0
    nothing = inserted(units=np.zeros(0, int), values=[])
    assert nothing.number[0] == 7 * 16
    assert not nothing.changes.squares.any()


def test_painting_is_what_insertion_does():
    subject, segmenter = labelled_generator((8, 8)), colors_segmenter((8, 8))

    @jax.jit
    def areas(params, where):
        vectors, values = jnp.asarray(latents()), jnp.float32(VALUES)
        images = paint_units(subject, params, vectors, "layer2", UNITS, values, where)
        return concept_areas(segmenter.segment(segmenter.params, images, (8, 8)), 6)

    here = jnp.zeros((4, 4)).at[2, 0].set(1)
    before, after = areas(subject.params, 0 * here), areas(subject.params, here)
    np.testing.assert_array_equal(areas(subject.params, jnp.stack([here] * 7)), after)
    found = inserted(cells=[(2, 0)])
    np.testing.assert_array_equal(found.before, before)
    np.testing.assert_array_equal(found.changes.sums[0], (after - before).sum(axis=0))


def test_areas():
    labels = np.random.RandomState(0).randint(0, 5, (3, 5, 6, 4)).astype(np.int32)
    labels[1] = 0
    labels[0, 0, 0] = [2, 2, 2, 2]
    count = jax.jit(concept_areas, static_argnums=1)
    found = count(labels, 6)
    np.testing.assert_array_equal(found, [areas_of(image) for image in labels])
    assert found[1].tolist() == [30, 0, 0, 0, 0, 0]
    labels[..., 0] = 3
    labels[..., 1:] = [-1, 6, 100]
    assert count(labels, 6).tolist() == [[0, 0, 0, 30, 0, 0]] * 3


def test_best_units():
    keep = best_unit_masks([3, 0, 2, 1], 2, 4)
    assert keep.tolist() == [[True] * 4, [True, True, True, False], [False, True, True, False]]
    np.testing.assert_array_equal(best_unit_masks([2], 1, 3)[1], single_unit_masks(3)[2])
    assert best_unit_masks([], 0, 2).all()
    for ranking, most in (([3, 3], 2), ([4], 1), ([1], 2), ([-1], 1)):
        with pytest.raises(ValueError, match=f"`most` \\(={most}\\) different units in"):
            best_unit_masks(ranking, most, 4)


def test_without():
    assert unit_set_masks([[], [1]], 2).tolist() == [[True, True], [True, False]]
    with pytest.raises(ValueError, match="must be numbers of units, integers"):
        unit_set_masks([[True, False]], 3)
    with pytest.raises(ValueError, match=r"must lie in \[0, 3\)"):
        unit_set_masks([[3]], 3)


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": np.ones((2, 9), bool)}, r"`keep` \(=bool\[2, 9\]\) must be bool \[S, 10\]"),
        (
            {"keep": np.ones((0, 10), bool)},
            "some ablation masks, each with the units of .*'layer2'",
        ),
        ({"concepts": [True]}, r"`concepts` \(=\[True\]\) must be ids, integers"),
        ({"concepts": [1, 6]}, r"`concepts` must be in \[0, 6\), got \[6\]"),
        ({"chunk_size": 0}, r"`chunk_size` \(=0\) must be at least 1"),
        ({"batch_size": 0}, r"`batch_size` \(=0\) must be at least 1"),
        ({"grid": (0, 8)}, r"`grid` \(=\(0, 8\)\) must have a positive"),
    ],
)
def test_bad_removals(change, message):
    with pytest.raises(ValueError, match=message):
        removed(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": VALUES[:2]}, r"`values` \(=\[2.0, -1.0\]\) must be 3 finite numbers"),
        ({"values": [1.0, np.nan, 2.0]}, "`values` .* must be 3 finite numbers"),
        ({"units": [1, 4, 4]}, r"`units` \(=\[1, 4, 4\]\) must name each unit once"),
        ({"units": [1, 4, 10]}, r"`units` must be in \[0, 10\), got \[10\]"),
        (
            {"grid": (8, 3)},
            r"`grid` \(=\(8, 3\)\) must not be smaller than layer 'layer2'.*\(4, 4\)",
        ),
        ({"cells": [(0, 4)]}, r"`cells` \(=\[\[0, 4\]\]\) .* has 4 x 4 cells"),
        ({"cells": []}, r"`cells` \(=\[\]\) must be rows and columns"),
    ],
)
def test_bad_insertions(change, message):
    with pytest.raises(ValueError, match=message):
        inserted(**change)


def test_bad_generators():
    keep = single_unit_masks(10)

    def run(network=None, data=None, layer="layer2", offset=0):
        subject = labelled_generator((8, 8), model=network, offset=offset)
        return remove_units(subject, source() if data is None else data, layer, keep)

    with pytest.raises(ValueError, match="no layer 'layer9'; valid names: layer1, "):
        run(layer="layer9")
    with pytest.raises(ValueError, match="must give examples with a 'latent'.* they have: image"):
        run(data=Stored({"image": np.zeros((2, 6), np.float32)}))
    with pytest.raises(ValueError, match=r"'latent' of shape \(6,\), .* not \(5,\)"):
        run(data=Stored({"latent": np.zeros((2, 5), np.float32)}))
    with pytest.raises(ValueError, match="`source` has no examples"):
        run(data=Stored({"latent": latents(0)}))
    colors = StagedNetwork(
        {"layer2": lambda params, x: x}, {}, head=lambda params, x: x[:, None, None, :3]
    )
    with pytest.raises(ValueError, match=r"must give maps \[B, h, w, U\], it gives \(1, 6\)"):
        run(colors)
    flat = StagedNetwork({"layer2": lambda params, x: x}, {})
    with pytest.raises(ValueError, match=r"must give images .*, it gives \(1, 6\)"):
        run(flat)
    maps = StagedNetwork({"layer2": lambda params, x: x[:, None, None]}, {})
    with pytest.raises(ValueError, match=r"must give images .*, it gives \(1, 1, 1, 6\)"):
        run(maps)
    two = StagedNetwork({"layer2": lambda params, x: x}, {}, head=lambda params, x: (x, x))
    with pytest.raises(ValueError, match="must give images, it gives a tuple"):
        run(two)
    with pytest.raises(ValueError, match=r"`latent_size` \(=0\) must be at least 1"):
        Generator(generator(), 0)
    with pytest.raises(TypeError, match="must be a Network or an nnx.Module"):
        Generator(print, 6)
    for offset in (3, -1):
        with pytest.raises(
            ValueError, match="not in its vocabulary, whose ids are 0 to 5, .* 0, 1"
        ):
            run(offset=offset)


def test_bad_paintings():
    subject = labelled_generator((8, 8))

    def run(layer="layer2", number=3, shape=(4, 4)):
        vectors, values = jnp.asarray(latents(2)), jnp.zeros(number)
        return paint_units(subject, subject.params, vectors, layer, UNITS, values, jnp.ones(shape))

    with pytest.raises(ValueError, match="no layer 'layer9'"):
        run(layer="layer9")
    with pytest.raises(ValueError, match=r"`values` \(=\(2,\)\) must be one number"):
        run(number=2)
    for shape in ((4, 5), (3, 4, 4), (4,), (1, 4, 4)):
        with pytest.raises(ValueError, match=r"`where` .* the cells of layer 'layer2', \(4, 4\)"):
            run(shape=shape)


@pytest.mark.slow
@pytest.mark.parametrize("run", [removed, inserted])
def test_interrupted_passes_resume(run, tmp_path):
    then = {"batch_size": 4, "chunk_size": 4, "mesh": four_devices()}
    assert_resumes(run, tmp_path, **then)
