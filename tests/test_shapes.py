"""Pictures of shapes: outlines against areas, labels against pixels; and their classifier."""

import inspect
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from jaxdissect.arrays.colors import COLOR_NAMES, color_labels
from jaxdissect.engine.data import shapes as pictures
from jaxdissect.engine.data.shapes import CONCEPTS, SHAPES, TEXTURES, render, shapes_dataset
from jaxdissect.networks.models import shapes as models
from jaxdissect.networks.models.shapes import shapes_classifier

NAMES = [name for name, _ in CONCEPTS]
SOLID = 1 + NAMES.index("solid")


@pytest.fixture(scope="module")
def drawn():
    dataset = shapes_dataset(192, seed=5)
    examples = [dataset[i] for i in range(192)]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


@pytest.fixture(scope="module")
def alone():
    """The example at place 6 of `drawn`, from its key."""
    return jax.jit(render)(jax.random.fold_in(jax.random.key(5), 6))


def plane(extent: float, points: int = 600):
    steps = (jnp.arange(points, dtype=jnp.float32) + 0.5) * (2 * extent / points) - extent
    x, y = jnp.meshgrid(steps, steps)
    return x, y, (2 * extent / points) ** 2


def lens(first: float, second: float, apart: float) -> float:
    """Area shared by two discs, as two circular segments."""
    x = (apart**2 + first**2 - second**2) / (2 * apart)
    areas = [
        r**2 * np.arccos(d / r) - d * np.sqrt(r**2 - d**2)
        for r, d in [(first, x), (second, apart - x)]
    ]
    return sum(areas)


AREAS = {
    "disc": np.pi * 0.85**2,
    "ring": np.pi * (0.94**2 - 0.5**2),
    "square": 1.5**2,
    "triangle": 3 * np.sqrt(3) / 4,
    "cross": 2 * 1.9 * 0.6 - 0.6**2,
    "star": 5 * 0.45 * np.sin(np.pi / 5),
    "heart": (4 + np.pi) * 0.58**2,
    "crescent": np.pi * 0.95**2 - lens(0.95, 0.78, 0.42),
}

INKED = {
    "solid": 0.0,
    "striped": 1 / 2,
    "dotted": np.pi * 0.3**2,
    "checkered": 1 / 2,
    "latticed": 1 - 0.76**2,
    "zigzagged": 1 / 2,
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_shape_has_its_area_and_lies_within_reach(shape):
    x, y, pixel = plane(1.3)
    inside = np.asarray(shape(x, y)) < 0
    assert inside.sum() * pixel == pytest.approx(AREAS[shape.__name__], rel=0.01)
    assert np.hypot(x, y)[inside].max() < 1.1


@pytest.mark.parametrize("texture", TEXTURES, ids=lambda texture: texture.__name__)
def test_texture_repeats_and_has_its_share_of_ink(texture):
    x, y, pixel = plane(1.0)
    distance = texture(x, y)
    np.testing.assert_allclose(texture(x + 1.0, y), distance, atol=1e-5)
    np.testing.assert_allclose(texture(x, y - 2.0), distance, atol=1e-5)
    inked = (np.asarray(distance) < 0).sum() * pixel / 4
    assert inked == pytest.approx(INKED[texture.__name__], abs=0.01)


@pytest.mark.parametrize("outline", SHAPES + TEXTURES[1:], ids=lambda outline: outline.__name__)
def test_outline_is_a_distance_near_its_border(outline):
    """It grows by 1 per unit of length, or smoothed borders would be blurred or jagged."""
    x, y, pixel = plane(1.3)
    distance = np.asarray(outline(x, y))
    steepness = np.hypot(*np.gradient(distance, np.sqrt(pixel)))
    near = np.abs(distance) < 0.04
    right = np.abs(steepness[near] - 1) < 0.02
    assert near.sum() > 1000 and right.mean() > 0.94  # all but corners


def test_palette_has_the_colors_it_names():
    labels = np.asarray(color_labels(jnp.asarray(pictures.PALETTE)[None]))[0]
    assert [COLOR_NAMES[label - 1] for label in labels] == list(COLOR_NAMES)


def test_example_of_a_data_set_is_the_picture_of_its_key(drawn, alone):
    np.testing.assert_allclose(alone.image, drawn["image"][6], atol=1e-4)
    np.testing.assert_array_equal(alone.labels, drawn["labels"][6])
    assert len(np.unique(drawn["image"].mean(axis=(1, 2, 3)))) == len(drawn["image"])


@pytest.mark.slow
def test_compiled_picture_is_the_eager_one(alone):
    eager = render(jax.random.fold_in(jax.random.key(5), 6))
    np.testing.assert_allclose(eager.image, alone.image, atol=1e-4)
    np.testing.assert_array_equal(eager.labels, alone.labels)
    np.testing.assert_array_equal(eager.present, alone.present)


def test_several_or_untyped_keys_are_refused():
    unchecked = inspect.unwrap(render)
    with pytest.raises(ValueError, match=r"`key` \(=key<fry>\[2\]\) must be one typed key"):
        unchecked(jax.random.split(jax.random.key(0)))
    with pytest.raises(ValueError, match=r"`key` \(=uint32\[2\]\) must be one typed key"):
        unchecked(jax.random.PRNGKey(0))


def test_pictures_are_in_range_and_labels_are_concepts(drawn):
    image, objects, textures = drawn["image"], drawn["labels"][..., 0], drawn["labels"][..., 1]
    assert (image.dtype, drawn["labels"].dtype) == (np.float32, np.int32)
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.1
    assert np.unique(objects).tolist() == list(range(1 + len(SHAPES)))
    assert np.unique(textures).tolist() == list(range(1 + len(SHAPES), 1 + len(CONCEPTS)))
    assert {CONCEPTS[i - 1][1] for i in np.unique(textures)} == {"texture"}


def test_pictures_show_something_but_are_not_full(drawn):
    covered = (drawn["labels"][..., 0] > 0).mean(axis=(1, 2))
    assert covered.min() > 0.015  # at least a crescent, cut by the edge
    assert covered.max() < 0.7
    assert 0.15 < covered.mean() < 0.35


def test_present_shapes_are_those_with_enough_pixels(drawn, alone):
    present = np.asarray(jax.vmap(pictures.present_shapes)(jnp.asarray(drawn["labels"])))
    kinds = np.arange(1, 1 + len(SHAPES))
    counts = (drawn["labels"][..., :1] == kinds).sum(axis=(1, 2))
    np.testing.assert_array_equal(present, counts >= pictures.MIN_VISIBLE)
    np.testing.assert_array_equal(present[6], alone.present)
    assert present.any(axis=1).all()


def test_slivers_are_not_present():
    labels = np.zeros((64 * 64, 2), np.int32)
    labels[: pictures.MIN_VISIBLE, 0] = 2
    labels[-pictures.MIN_VISIBLE + 1 :, 0] = 5
    present = pictures.present_shapes(jnp.asarray(labels.reshape(64, 64, 2)))
    assert np.flatnonzero(present).tolist() == [1]


def test_edges_of_the_picture_are_edges_of_the_labels(drawn):
    """Solid surfaces change at the borders of shapes and hardly anywhere else."""
    image, objects = drawn["image"], drawn["labels"][..., 0]
    solid = drawn["labels"][..., 1] == SOLID
    for axis in (1, 2):
        # Across two pixels, as the one on a border is a mixture of both sides.
        ends = [np.arange(64 - 2), np.arange(2, 64)]
        steps = np.abs(image.take(ends[1], axis) - image.take(ends[0], axis)).mean(axis=-1)
        both = solid.take(ends[0], axis) & solid.take(ends[1], axis)
        border = objects.take(ends[0], axis) != objects.take(ends[1], axis)
        interior = ~border & (objects.take(ends[0], axis) == objects.take(ends[0] + 1, axis))
        assert (both & border).sum() > 100
        # Eight in a hundred were the shapes behind labelled where they overlap.
        assert np.mean(steps[both & border] < 0.1) < 0.03
        assert np.quantile(steps[both & interior], 0.95) < 0.1


def test_solid_surfaces_vary_less_than_others(drawn):
    """Within the surfaces of each texture, steps between neighbours tell ink from no ink."""
    steps = np.abs(np.diff(drawn["image"], axis=2)).mean(axis=-1)
    labels = drawn["labels"]
    inside = np.all(labels[:, :, 1:] == labels[:, :, :-1], axis=-1)
    means = {
        name: steps[inside & (labels[:, :, 1:, 1] == 1 + NAMES.index(name))].mean()
        for name, category in CONCEPTS
        if category == "texture"
    }
    assert all(means[name] > 1.5 * means["solid"] for name in means if name != "solid")


def test_examples_do_not_depend_on_the_order_of_access():
    forwards, backwards = shapes_dataset(70, seed=1), shapes_dataset(200, seed=1)
    first = [forwards[i] for i in (0, 1, 69)]
    pictures._block.cache_clear()
    again = [backwards[i] for i in (69, 1, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        assert one.keys() == other.keys() == {"image", "labels"}
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    other_seed = shapes_dataset(70, seed=2)[0]
    assert np.abs(other_seed["image"] - first[0]["image"]).mean() > 0.05


def test_data_set_is_a_sequence():
    dataset = shapes_dataset(3, seed=5)
    assert len(dataset) == 3
    np.testing.assert_array_equal(dataset[-1]["image"], dataset[np.int64(2)]["image"])
    assert [len(dataset[i]) for i in range(3)] == [2, 2, 2]
    with pytest.raises(IndexError):
        dataset[3]
    with pytest.raises(ValueError, match=r"`num_examples` \(=0\) must be at least 1"):
        shapes_dataset(0)


def test_classifier_tells_the_shapes_of_new_pictures(drawn):
    present = np.asarray(jax.vmap(pictures.present_shapes)(jnp.asarray(drawn["labels"])))
    found = np.asarray(shapes_classifier()(jnp.asarray(drawn["image"]))) > 0
    hits = (found & present).sum(axis=0) / present.sum(axis=0)
    rejections = (~found & ~present).sum(axis=0) / (~present).sum(axis=0)
    assert models.NUM_SHAPES == len(SHAPES) == found.shape[1]
    assert np.mean((hits + rejections) / 2) >= 0.85


def test_layers_are_rectified_convolutions(drawn):
    model = shapes_classifier()
    units = jnp.asarray(drawn["image"][:8])
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        layer = getattr(model, name)
        before, units = layer.convolution(units), layer(units)
        np.testing.assert_array_equal(units, np.maximum(before, 0))
        assert (np.asarray(before) < 0).any() and (np.asarray(units) > 0).any()


def test_images_of_other_sides_are_refused():
    unchecked = inspect.unwrap(models.ShapesClassifier.__call__)
    with pytest.raises(ValueError, match=r"`images` \(=\(1, 63, 64, 3\)\) must have axes"):
        unchecked(shapes_classifier(), jnp.zeros((1, 63, 64, 3)))


def test_weights_are_small_and_say_how_they_were_made():
    with resources.as_file(resources.files("jaxdissect.networks.models") / models.WEIGHTS) as path:
        assert path.stat().st_size < 400_000
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            assert {file.get_tensor(name).dtype for name in file.keys()} == {np.dtype("float32")}
    assert {"steps", "seed", "balanced_accuracy", "command"} <= metadata.keys()
    assert float(metadata["balanced_accuracy"]) >= 0.9
