"""What there is to show of every unit, against a restatement in NumPy."""

import io
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdissect.arrays import resampling
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection import example_counts, photos
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.dissection.layer_examples import load_unit_examples, photo_path
from jaxdissect.dissection.presets import Preset, annotated_images, annotated_pixels
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import Labeler, annotated
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


def almost_constant(params, x):
    """A unit that is 5, and in a few places a number that is hardly another one."""
    return jnp.where(x[..., :1] > params, 5 + 8 * np.spacing(np.float32(5)), np.float32(5))


def test_values_that_differ_by_rounding_alone_are_counted_apart():
    net, data = StagedNetwork({"wide": almost_constant}, jnp.float32(0.985)), source()
    result = dissected(net, data, layers=("wide",))
    assert result["wide"].thresholds == 5.0 and result["wide"].counts.unit > 0
    found = unit_examples(result, net, data, LABELER, num_images=4, num_mistakes=3)
    check_layer(found.layers["wide"], result["wide"], net, data, found.sample)


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


def saturating(params, x):
    """Units that are equal to 1 on more cells, the brighter an image is."""
    return jnp.minimum(x[:, ::2, ::2] * params, 1.0)


def test_of_equal_peaks_those_in_more_cells_come_first():
    net = StagedNetwork({"cut": saturating}, jnp.full((), 1.3))
    data = source()
    result = dissected(net, data, layers=("cut",), num_top_images=6)["cut"]
    maps = np.minimum(data.arrays["image"][:, ::2, ::2] * np.float32(1.3), 1)
    assert (result.top_values == 1).all()
    cells = (maps == 1).sum(axis=(1, 2))
    for unit in range(3):
        expected = sorted(range(NUMBER), key=lambda example: (-cells[example, unit], example))
        assert list(result.top_examples[unit]) == expected[:6]


def test_of_equal_cells_the_one_in_their_middle_is_the_place():
    maps = np.zeros((1, 6, 7, 2), np.float32)
    maps[0, 1:4, 2:5, 0] = 3  # its middle
    maps[0, 2, 1, 1] = maps[0, 2, 5, 1] = 2  # the first of two that are as near
    peaks, places = example_counts.peaks_and_places(jnp.asarray(maps))
    assert peaks.tolist() == [[3, 2]]
    assert places.tolist() == [[2 * 7 + 3, 2 * 7 + 1]]


def test_images_that_a_network_makes():
    rng = np.random.default_rng(6)
    latents = rng.standard_normal((11, 4)).astype(np.float32)
    weights = jnp.asarray(rng.standard_normal((4, 5 * 6 * 3)).astype(np.float32))
    stages = {
        "made": lambda params, z: jax.nn.sigmoid(z @ params).reshape(-1, 5, 6, 3),
        "image": lambda params, x: jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2),
    }
    net, data = StagedNetwork(stages, weights), Stored({"latent": latents})
    options = {"inputs": latent_of, "output_image": same}
    labeler = Labeler(CONCEPTS, bright, images=("image",))
    result = dissect(net, data, labeler, layers=("made",), preset=TENTH, grid=GRID, **options)
    found = unit_examples(result, net, data, labeler, sample=4, num_images=3, **options)
    layer = found.layers["made"]
    assert layer.boxes is None and layer.field_size is None
    assert found.image_size == (10, 12)
    images = np.asarray(net.apply(net.params, latents)[0])
    for position, photo in found.photos.items():
        image = np.asarray(Image.open(io.BytesIO(photo)), np.float32) / 255
        brightness = np.abs((image - images[position]) @ np.array([0.299, 0.587, 0.114]))
        assert brightness.mean() < 0.05
    maps = np.asarray(net.activations(net.params, latents, layers=("made",))["made"])
    active = on_grid(maps) > result["made"].thresholds
    for unit, examples in enumerate(layer.examples):
        np.testing.assert_array_equal(found.mask(layer.masks[unit]), active[examples][..., unit])


def latent_of(batch):
    return batch["latent"]


def same(output):
    return output


def bright(params, batch, grid):
    """Label made images by their first two channels; they have the size of the grid."""
    image = batch["image"]
    return jnp.where(image[..., :1] > 0.6, 1, jnp.where(image[..., 1:2] > 0.6, 2, 0))


def test_layers_of_tokens():
    def tokens(params, x):
        cells = x[:, ::4, ::4].reshape(len(x), 30, 3) @ params
        return jnp.concatenate([jnp.full_like(cells[:, :2], 9.0), cells], axis=1)

    weights = np.random.default_rng(8).standard_normal((3, 4)).astype(np.float32)
    net, data = StagedNetwork({"tokens": tokens}, jnp.asarray(weights)), source()
    result = dissected(net, data, layers=("tokens",), token_grid=(5, 6), drop_tokens=2)
    found = unit_examples(result, net, data, LABELER, num_images=4).layers["tokens"]
    assert found.cells == (5, 6) and found.field_size == (1, 1)
    np.testing.assert_array_equal(found.peaks, result["tokens"].top_values[:, :4])
    # A cell sees one pixel, the upper left one of its 4 x 4.
    left_top = found.places[..., ::-1] * 4
    np.testing.assert_array_equal(found.boxes, np.concatenate([left_top, left_top + 1], axis=-1))


def test_arguments_that_make_no_sense_are_refused():
    net, data = network(), source()
    result = dissected(net, data)
    other = annotated(vocabulary([("cat", "object")]))
    few = Stored({name: array[:3] for name, array in data.arrays.items()})
    strange = StagedNetwork(
        {"wide": lambda params, x: x @ params, "small": lambda params, x: x}, net.params + 1
    )
    for arguments, message in (
        ({"num_images": 0}, r"`num_images` \(=0\) must be at least 1"),
        ({"num_mistakes": 0}, r"`num_mistakes` \(=0\) must be at least 1"),
        ({"sample": 0}, r"`sample` \(=0\) must be at least 1"),
        ({"labeler": other}, r"`labeler` knows 2 concepts, other than the 6"),
        ({"source": few}, r"`source` has 3 examples, and the dissection has example \d+"),
        ({"network": strange}, r"`network` is not the one that was dissected"),
        ({"units": {"deep": [0]}}, r"`units` has \['deep'\]; dissected were wide, small"),
        ({"units": {"wide": [99]}}, r"`units` of layer 'wide' must lie in \[0, 6\)"),
        ({"mask_size": (11, 4)}, r"`mask_size` \(=\(11, 4\)\) must be .* \(10, 12\)"),
        ({"image_key": "picture"}, r"`image_key` \(='picture'\) is no array of `source`"),
        ({"inputs": upside_down}, r"the peak of unit \d of layer 'wide' .* must be those of"),
    ):
        given: dict[str, Any] = {"network": net, "source": data, "labeler": LABELER}
        given |= arguments
        own = [given.pop(name) for name in ("network", "source", "labeler")]
        with pytest.raises(ValueError, match=message):
            unit_examples(result, *own, **given)
    empty = Dissection({}, CONCEPTS)
    with pytest.raises(ValueError, match="`dissection` has no layers"):
        unit_examples(empty, net, data, LABELER)


def upside_down(batch):
    return 1 - batch["image"]


def test_photographs_keep_to_a_number_of_bytes():
    rng = np.random.default_rng(7)
    made = {place: photos.photo_of(rng.random((160, 200, 3), np.float32)) for place in (9, 4, 7)}
    size = Image.open(io.BytesIO(made[4])).size
    assert size == (128, 102)
    whole = sum(map(len, made.values()))
    assert photos.within_bytes(made, whole) == made
    before = whole
    for most in (whole // 2, whole // 4, whole // 8):
        smaller = photos.within_bytes(made, most)
        total = sum(map(len, smaller.values()))
        assert list(smaller) == [4, 7, 9] and total <= most < before
        assert smaller == photos.within_bytes(made, most)
        before = total
    least = photos.within_bytes(made, 1)
    assert Image.open(io.BytesIO(least[9])).size == (64, 51)
    assert photos.default_bytes(512) < 15e6 * 0.7
