"""What there is to show of every unit, against a restatement in NumPy."""

import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdissect.arrays import resampling
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.dissection.layer_examples import load_unit_examples, photo_path
from jaxdissect.dissection.presets import Preset, annotated_images, annotated_pixels
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork

CONCEPTS = vocabulary(
    [("red", "color"), ("green", "color"), ("left", "side"), ("right", "side"), ("spot", "part")]
)
GRID, SIZE, NUMBER = (10, 12), (20, 24), 23
LABELER = annotated(CONCEPTS)
TENTH = Preset("a tenth", fraction=0.1, min_iou=0.0)


def source():
    """Images, and labels of which some are absent from many images."""
    rng = np.random.default_rng(4)
    images = rng.random((NUMBER, *SIZE, 3)).astype(np.float32)
    labels = np.zeros((NUMBER, *SIZE, 2), np.int32)
    labels[..., 0] = np.where(images[..., 0] > 0.8, 1, np.where(images[..., 1] > 0.8, 2, 0))
    labels[::2, :, :12, 1], labels[1::3, :, 12:, 1] = 3, 4
    labels[5, 2:6, 2:6, 1] = 5
    return Stored({"image": images, "labels": labels})


def network():
    """Layers of image size, with equal peaks, and smaller, with one dead unit."""
    weights = np.random.default_rng(5).standard_normal((3, 6)).astype(np.float32)

    def pooled(params, x):
        x = x[:, ::4, ::4]
        return jnp.concatenate([x * 0, jnp.minimum(x[..., :2], 0.5)], axis=-1)

    return StagedNetwork(
        {"wide": lambda params, x: x @ params, "small": pooled}, jnp.array(weights)
    )


def dissected(net, data, *, batch_size=4, preset=TENTH, **options):
    arguments = {"layers": ("wide", "small"), "grid": GRID, "num_top_images": 5} | options
    return dissect(net, data, LABELER, preset=preset, batch_size=batch_size, **arguments)


def maps_of(net, data, layer):
    found = net.activations(net.params, jnp.asarray(data.arrays["image"]), layers=(layer,))
    return np.asarray(found[layer])


def on_grid(maps):
    return np.asarray(jax.jit(resampling.resample, static_argnums=1)(jnp.asarray(maps), GRID))


def packed(mask):
    return np.packbits(mask.ravel())


def expected_mistakes(ranks, number):
    """The positions of the highest ranks, equals by position, without those of rank 0."""
    order = sorted(ranks, key=lambda position: (-ranks[position][0], position))
    return [position for position in order if ranks[position][0] > 0][:number]


def check_layer(found, layer, net, data, sampled, scope=None):
    """Compare what was found of a layer with what loops over units and examples find."""
    maps = maps_of(net, data, layer.name)
    pixels = on_grid(maps)
    rows, columns = (
        ((np.arange(few) + 0.5) * many / few).astype(int)
        for few, many in zip(GRID, SIZE, strict=True)
    )
    labels = data.arrays["labels"][:, rows[:, None], columns[None]]
    category = np.array([0, *(CONCEPTS.category_names.index(c) for c in CONCEPTS.categories[1:])])
    assert found.examples.shape[1] == 4 and found.cells == maps.shape[1:3]
    for index, unit in enumerate(found.units):
        concept = layer.best_concept[unit]
        assert found.concepts[index] == concept
        active = pixels[..., unit] > layer.thresholds[unit]
        np.testing.assert_array_equal(found.examples[index], layer.top_examples[unit, :4])
        for column, example in enumerate(found.examples[index]):
            np.testing.assert_array_equal(found.masks[index, column], packed(active[example]))
            own = maps[example, ..., unit]
            assert found.peaks[index, column] == own.max() == layer.top_values[unit, column]
            cells = np.argwhere(own == own.max())
            distance = np.abs(cells * len(cells) - cells.sum(axis=0)).sum(axis=1)
            np.testing.assert_array_equal(found.places[index, column], cells[distance.argmin()])
        values = pixels[sampled, ..., unit]
        edges = found.edges[index]
        assert len(edges) == 33 and (np.diff(edges) > 0).all()
        assert layer.thresholds[unit] in edges
        bins = np.digitize(values.ravel(), edges[1:-1], right=True)
        np.testing.assert_array_equal(found.counts[index], np.bincount(bins, minlength=32))
        above = found.counts[index][np.argmax(edges == layer.thresholds[unit]) :].sum()
        assert above == active[sampled].sum()
        positive, negative = {}, {}
        for example in sampled if concept else ():
            here = (labels[example] == concept).any(axis=-1)
            counts = np.ones(GRID, bool)
            if scope is not None:
                of_category = (labels[example] > 0) & (
                    category[labels[example]] == category[concept]
                )
                counts = of_category.any(axis=-1)
                if scope is annotated_images:
                    counts[...] = counts.any()
            outside = (active[example] & ~here & counts).sum()
            missed = (here & ~active[example]).sum()
            whole = math.prod(GRID)
            positive[example] = outside + whole * (outside > 0 and not here.any()), outside
            hits = (here & active[example]).any()
            negative[example] = missed + whole * (missed > 0 and not hits), missed
        for ranks, mistakes in (
            (positive, found.false_positives),
            (negative, found.false_negatives),
        ):
            wanted = expected_mistakes(ranks, 3)
            assert list(mistakes.examples[index]) == wanted + [-1] * (3 - len(wanted))
            for column, example in enumerate(mistakes.examples[index]):
                if example < 0:
                    assert mistakes.pixels[index, column] == 0
                    assert not mistakes.masks[index, column].any()
                    assert not mistakes.concept_masks[index, column].any()
                    continue
                assert mistakes.pixels[index, column] == ranks[example][1]
                here = (labels[example] == concept).any(axis=-1)
                np.testing.assert_array_equal(
                    mistakes.masks[index, column], packed(active[example])
                )
                np.testing.assert_array_equal(mistakes.concept_masks[index, column], packed(here))


@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize("sample", [7, 100])
def test_everything_against_loops_over_units_and_examples(batch_size, sample):
    net, data = network(), source()
    result = dissected(net, data, batch_size=batch_size)
    found = unit_examples(result, net, data, LABELER, num_images=4, num_mistakes=3, sample=sample)
    assert result.provenance is not None
    assert list(found.layers) == ["wide", "small"] and found.network == result.provenance.network
    assert len(found.sample) == min(sample, NUMBER) and (np.diff(found.sample) > 0).all()
    assert found.image_size == SIZE and found.mask_size == GRID
    kinds = set()
    for name, layer in found.layers.items():
        check_layer(layer, result[name], net, data, found.sample)
        kinds |= set(layer.concepts)
    assert len(kinds) > 2  # several concepts are looked for
    mistaken = found.layers["wide"].false_positives.examples
    assert (mistaken >= 0).any()


@pytest.mark.parametrize("scope", [annotated_images, annotated_pixels])
def test_mistakes_lie_within_the_scope_of_the_concept(scope):
    net, data = network(), source()
    result = dissected(net, data, preset=TENTH_OF[scope])
    found = unit_examples(result, net, data, LABELER, num_images=4, num_mistakes=3)
    for name, layer in found.layers.items():
        check_layer(layer, result[name], net, data, found.sample, scope)


TENTH_OF = {
    scope: Preset("scoped", fraction=0.1, min_iou=0.0, scope=scope)
    for scope in (annotated_images, annotated_pixels)
}


def assert_same(one, other):
    one, other = (found._replace(photos=dict(found.photos)) for found in (one, other))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_same_on_four_devices():
    net, data = network(), source()
    result = dissected(net, data)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))
    alone = unit_examples(result, net, data, LABELER)
    assert_same(alone, unit_examples(result, net, data, LABELER, mesh=mesh))


def test_some_units_and_smaller_masks():
    net, data = network(), source()
    result = dissected(net, data)
    every = unit_examples(result, net, data, LABELER)
    units = {"wide": [4, 1], "small": [2]}
    some = unit_examples(result, net, data, LABELER, units=units, mask_size=(5, 4))
    for name, chosen in units.items():
        whole, part = every.layers[name], some.layers[name]
        assert list(part.units) == chosen
        np.testing.assert_array_equal(part.counts, whole.counts[chosen])
        np.testing.assert_array_equal(
            part.false_negatives.examples, whole.false_negatives.examples[chosen]
        )
        # Their pixels are those of the label grid that lie below their centres.
        large = every.mask(whole.masks[chosen])[..., 1::2, :][..., [1, 4, 7, 10]]
        np.testing.assert_array_equal(some.mask(part.masks), large)


def test_photographs_are_those_that_any_unit_shows():
    net, data = network(), source()
    result = dissected(net, data)
    found = unit_examples(result, net, data, LABELER, num_images=2, num_mistakes=1, sample=5)
    shown = set()
    for layer in found.layers.values():
        shown |= set(layer.examples.ravel())
        shown |= set(layer.false_positives.examples.ravel())
        shown |= set(layer.false_negatives.examples.ravel())
    assert set(found.photos) == shown - {-1}
    for position, photo in found.photos.items():
        image = np.asarray(Image.open(io.BytesIO(photo)), np.float32) / 255
        assert image.shape == (*SIZE, 3)
        assert (
            np.abs(image.mean(axis=(0, 1)) - data[position]["image"].mean(axis=(0, 1))).max() < 0.05
        )


def test_examples_are_saved_and_read_again(tmp_path):
    net, data = network(), source()
    found = unit_examples(dissected(net, data), net, data, LABELER)
    found.save(tmp_path)
    loaded = load_unit_examples(tmp_path)
    assert_same(found, loaded)
    some = next(iter(found.photos))
    assert photo_path(tmp_path, some).read_bytes() == loaded.photos[some]
    with pytest.raises(KeyError):
        loaded.photos[10**6]
    with pytest.raises(FileNotFoundError, match=r"unit_examples\.npz is missing"):
        load_unit_examples(tmp_path / "photos")
    path = tmp_path / "unit_examples.npz"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole[:999] + b"\0\0\0" + whole[1002:]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"unit_examples\.npz is damaged"):
            load_unit_examples(tmp_path)
