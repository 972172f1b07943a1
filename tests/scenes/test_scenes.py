"""The small world: exact labels, variety, and no object that alone gives the scene away."""

import inspect
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays.colors import COLOR_NAMES, color_labels
from jaxdissect.engine.batching import BlockSource, batches
from jaxdissect.engine.image_bytes import Bytes, looked_up
from jaxdissect.scenes import dataset
from jaxdissect.scenes.concepts import (
    CHANNELS,
    CONCEPTS,
    FIRST_COLOR,
    MATERIALS,
    OBJECTS,
    label,
    scene_vocabulary,
)
from jaxdissect.scenes.dataset import BLOCK_SIZE, scenes_dataset
from jaxdissect.scenes.rendering import SCENES, RenderedScene, render, stylised
from jaxdissect.scenes.training.pool import draw_pool

pytestmark = pytest.mark.optimised

NUM_EXAMPLES = 20 * BLOCK_SIZE
VISIBLE = 12  # pixels from which an object counts as being there
OBJECT_IDS = np.arange(1, 1 + len(OBJECTS))


@pytest.fixture(scope="module")
def drawn():
    """One block of every scene in turn."""
    return scenes_dataset(BLOCK_SIZE, seed=5).read(0, BLOCK_SIZE)


@pytest.fixture(scope="module")
def census():
    """Scenes of many pictures, and the pixels of every concept in each."""
    source = scenes_dataset(NUM_EXAMPLES, seed=11)
    scenes, pixels = [], []
    for first in range(0, NUM_EXAMPLES, BLOCK_SIZE):
        block = source.read(first, first + BLOCK_SIZE)
        scenes.append(block["scene"])
        # Each picture counts in a range of its own.
        number = 1 + len(CONCEPTS)
        places = block["labels"] + number * np.arange(BLOCK_SIZE)[:, None, None, None]
        counts = np.bincount(places.ravel(), minlength=number * BLOCK_SIZE)
        pixels.append(counts.reshape(BLOCK_SIZE, number))
    return np.concatenate(scenes), np.concatenate(pixels)


@pytest.fixture(scope="module")
def occurrence(census):
    """P(object | scene), [scenes, objects]."""
    scenes, pixels = census
    there = pixels[:, OBJECT_IDS] >= VISIBLE
    return np.stack([there[scenes == scene].mean(axis=0) for scene in range(len(SCENES))])


def test_world_is_as_large_as_promised():
    assert len(SCENES) == len(set(SCENES)) >= 9
    assert len(OBJECTS) >= 24
    known = scene_vocabulary()
    assert known.category_names == CHANNELS
    assert [known.names[i] for i in known.of_category("color")] == list(COLOR_NAMES)
    assert known.index("door", category="object") == label("door", "object")


def test_pictures_are_in_range_and_labels_are_of_their_channel(drawn):
    image, labels = drawn["image"], drawn["labels"]
    assert (image.dtype, labels.dtype) == (np.float32, np.int32)
    assert image.shape == (BLOCK_SIZE, 64, 64, 3) and labels.shape == (BLOCK_SIZE, 64, 64, 4)
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.15
    np.testing.assert_allclose(image * 255, np.round(image * 255), atol=1e-3)
    known = scene_vocabulary()
    for channel, category in enumerate(CHANNELS):
        assert set(np.unique(labels[..., channel])) <= {0, *known.of_category(category)}
    assert (labels[..., [0, 3]] > 0).all()  # nothing is without an object and a color


def test_colors_are_measured_from_the_pixels(drawn):
    measured = color_labels(jnp.asarray(drawn["image"]))
    np.testing.assert_array_equal(drawn["labels"][..., 3], measured + (FIRST_COLOR - 1))


@pytest.mark.slow
def test_all_concepts_occur(census):
    _, pixels = census
    pictures = (pixels > 0).sum(axis=0)
    rare = [CONCEPTS[i - 1] for i in range(1, len(pictures)) if pictures[i] < 20]
    assert not rare


@pytest.mark.slow
def test_every_object_occurs_in_two_scenes_or_more(occurrence):
    homes = (occurrence > 0.01).sum(axis=0)
    assert not [name for name, number in zip(OBJECTS, homes, strict=True) if number < 2]


@pytest.mark.slow
def test_no_object_alone_decides_the_scene(occurrence):
    """The best of all guesses from one object's presence, or absence, stays well off."""
    for scene, name in enumerate(SCENES):
        hits, alarms = occurrence[scene], np.delete(occurrence, scene, axis=0).mean(axis=0)
        balanced_accuracy = 0.5 + np.abs(hits - alarms) / 2
        best = balanced_accuracy.argmax()
        assert balanced_accuracy[best] < 0.92, f"{OBJECTS[best]} decides {name}"


@pytest.mark.slow
def test_all_objects_together_tell_the_scene(census):
    """Naive Bayes on the areas of objects, on pictures that it has not seen."""
    scenes, pixels = census
    areas, half = pixels[:, OBJECT_IDS], NUM_EXAMPLES // 2
    seen = np.stack([areas[:half][scenes[:half] == i].sum(axis=0) for i in range(len(SCENES))])
    rates = (seen + 1) / (seen + 1).sum(axis=1, keepdims=True)
    guesses = (areas[half:] @ np.log(rates).T).argmax(axis=1)
    assert (guesses == scenes[half:]).mean() >= 0.9


def test_pictures_of_a_scene_differ(drawn):
    for scene in range(len(SCENES)):
        images = drawn["image"][drawn["scene"] == scene]
        apart = np.abs(images[:, None] - images[None]).mean(axis=(2, 3, 4))
        assert apart[~np.eye(len(images), dtype=bool)].min() > 0.05


def test_borders_of_labels_are_borders_of_the_picture(drawn):
    """Pixels change more where the object changes than where it does not."""
    image, objects = drawn["image"], drawn["labels"][..., 0]
    for axis in (1, 2):
        # Across two pixels, as the one on a border is a mixture of both sides.
        first, last = np.arange(62), np.arange(2, 64)
        steps = np.abs(image.take(last, axis) - image.take(first, axis)).mean(axis=-1)
        border = objects.take(last, axis) != objects.take(first, axis)
        assert steps[border].mean() > 3 * steps[~border].mean()


@pytest.mark.slow
def test_towns_and_farms_have_doors_that_can_be_seen(census):
    """A generator is to be trained on them: doors of about 4 x 8 pixels in most pictures."""
    scenes, pixels = census
    for name, share in [("street", 0.6), ("farm", 0.55)]:
        doors = pixels[scenes == SCENES.index(name), label("door", "object")]
        trees = pixels[scenes == SCENES.index(name), label("tree", "object")]
        assert np.mean(doors >= 4 * 8) > share
        assert np.mean(trees >= 100) > 0.4


@pytest.mark.slow
def test_same_key_gives_the_same_picture_alone(drawn):
    alone = jax.jit(render)
    for i in (0, 17, 38):
        picture = alone(jax.random.fold_in(jax.random.key(5), i), jnp.int32(i % len(SCENES)))
        np.testing.assert_array_equal(picture.labels[..., :3], drawn["labels"][i, ..., :3])
        np.testing.assert_allclose(picture.image, drawn["image"][i], atol=1.1 / 255)
        assert np.mean(picture.labels[..., 3] != drawn["labels"][i, ..., 3]) < 1e-3
        assert picture.scene == drawn["scene"][i]


@pytest.mark.slow
def test_compiled_picture_is_the_eager_one(drawn):
    picture = render(jax.random.fold_in(jax.random.key(5), 17), 17 % len(SCENES))
    np.testing.assert_array_equal(picture.labels[..., :3], drawn["labels"][17, ..., :3])
    np.testing.assert_allclose(picture.image, drawn["image"][17], atol=1.1 / 255)


@pytest.mark.slow
def test_stylised_pictures_keep_the_layout(drawn):
    styled = scenes_dataset(BLOCK_SIZE, seed=5, stylised=True).read(0, BLOCK_SIZE)
    np.testing.assert_array_equal(styled["labels"][..., :2], drawn["labels"][..., :2])
    np.testing.assert_array_equal(styled["scene"], drawn["scene"])
    # Colors and materials do not say any more what a thing is.
    assert np.mean(styled["labels"][..., 3] == drawn["labels"][..., 3]) < 0.25
    trees = drawn["labels"][..., 0] == label("tree", "object")
    found = np.unique(styled["labels"][trees][:, 2])
    assert len(found) > len(MATERIALS) / 2 and found.min() > 0


def test_wrong_arguments_are_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"`scene` \(=10\) must be a position in SCENES, 0 to 9"):
        render(key, 10)
    unchecked = inspect.unwrap(render)
    with pytest.raises(ValueError, match=r"`key` \(=key<fry>\[2\]\) must be one typed key"):
        unchecked(jax.random.split(key), 0)
    unchecked = inspect.unwrap(stylised)
    with pytest.raises(ValueError, match=r"`style_key` \(=uint32\[2\]\) must be one typed key"):
        unchecked(key, 0, jax.random.PRNGKey(0))


def test_data_set_is_a_sequence_of_balanced_scenes(drawn):
    source = scenes_dataset(70, seed=5)
    assert isinstance(source, BlockSource) and len(source) == 70
    assert source[3].keys() == {"image", "labels", "scene"}
    np.testing.assert_array_equal(source[-7]["image"], source[np.int64(63)]["image"])
    np.testing.assert_array_equal(drawn["scene"], np.arange(BLOCK_SIZE) % len(SCENES))
    for name, array in source.read(60, 67).items():
        np.testing.assert_array_equal(array, np.stack([source[i][name] for i in range(60, 67)]))
    with pytest.raises(IndexError):
        source[70]


def test_pool_holds_the_very_pictures():
    source = scenes_dataset(70, seed=5)
    pool = draw_pool(source)
    example = source[66]
    np.testing.assert_allclose(pool["image"][66] / 255, example["image"], atol=1e-6)
    np.testing.assert_array_equal(pool["labels"][66], example["labels"])
    assert pool["scene"][66] == example["scene"]


def test_examples_depend_on_seed_and_place_alone(drawn):
    dataset._kept_block.cache_clear()
    longer = pickle.loads(pickle.dumps(scenes_dataset(1000, seed=5)))
    for i in (63, 0):
        for name, array in longer[i].items():
            np.testing.assert_array_equal(array, drawn[name][i])
    other = scenes_dataset(10, seed=6)[0]
    assert np.abs(other["image"] - drawn["image"][0]).mean() > 0.05


def test_no_image_is_drawn_twice_in_any_order(monkeypatch):
    dataset._kept_block.cache_clear()
    source = scenes_dataset(12 * BLOCK_SIZE, seed=5)
    blank = RenderedScene(*(jnp.zeros((BLOCK_SIZE, 1), dtype) for dtype in ("f4", "i4", "i4")))
    drawn = []
    monkeypatch.setattr(dataset, "_draw_plain", lambda *_: drawn.append(1) or blank)
    order = np.random.default_rng(0).permutation(len(source))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(source.__getitem__, [*order, *range(len(source))]))
    source.read(0, len(source))
    assert len(drawn) == 12
    dataset._kept_block.cache_clear()


@pytest.mark.parametrize(("first", "last"), [(0, 1), (60, 70), (64, 70), (3, 67)])
def test_examples_stay_on_the_device_as_bytes(drawn, first, last):
    source = scenes_dataset(70, seed=5)
    block, expected = source.read_as_bytes(first, last), source.read(first, last)
    assert isinstance(block["image"], Bytes) and isinstance(block["image"].values, jax.Array)
    for name, array in expected.items():
        np.testing.assert_array_equal(np.asarray(block[name]), array, strict=True)
    found = looked_up(jax.device_put(block))
    np.testing.assert_array_equal(np.asarray(found["image"]), expected["image"], strict=True)


def test_large_data_sets_are_not_kept(monkeypatch):
    """Of 30 blocks four are at hand; those of a smaller data set stay."""
    blank = RenderedScene(*(jnp.zeros((BLOCK_SIZE, 1), dtype) for dtype in ("f4", "i4", "i4")))
    monkeypatch.setattr(dataset, "_draw_plain", lambda *_: blank)
    monkeypatch.setattr(dataset, "MAX_KEPT", 3 * BLOCK_SIZE)
    dataset._kept_block.cache_clear()
    for number in (3, 30):
        seen = [b["example"][b["weight"]] for b in batches(scenes_dataset(64 * number), 48)]
        np.testing.assert_array_equal(np.concatenate(seen), np.arange(64 * number))
    assert dataset._kept_block.cache_info().currsize == 3
    assert dataset._block_at_hand.cache_info().currsize <= 4
    dataset._kept_block.cache_clear()
    dataset._block_at_hand.cache_clear()


LARGE = """
import ctypes, re
import jax, jax.numpy as jnp, numpy as np
from jaxdissect.networks.network import as_network
from jaxdissect.engine.folding import map_batches
from jaxdissect.scenes import dataset
from jaxdissect.scenes.rendering import RenderedScene
from jaxdissect.scenes.shipped import load_classifier

@jax.jit
def quick(keys, scenes):  # drawing them takes minutes
    shape = (len(scenes), 64, 64)
    images = jnp.broadcast_to(scenes[:, None, None, None] / 255, (*shape, 3))
    return RenderedScene(images, jnp.ones((*shape, 4), jnp.int32), scenes)

dataset._draw_plain = quick
network = as_network(load_classifier())
predict = jax.jit(lambda images: network.apply(network.params, images)[0].argmax(axis=-1))
resident = []

def receive(batch, output):
    if batch["example"][0] % 500 == 0:
        ctypes.CDLL(None).malloc_trim(0)  # what is free but not given back comes and goes
        resident.append(int(re.search(r"VmRSS:\\s*(\\d+) kB", open("/proc/self/status").read())[1]))

source = dataset.scenes_dataset(20_000)
map_batches(lambda batch: predict(batch["image"]), source, batch_size=50, receive=receive)
assert len(resident) == 40
# It comes and goes with what threads hold: the least of each half tells whether it grows.
print((min(resident[24:]) - min(resident[8:24])) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is asked for as Linux tells it")
def test_memory_is_flat():
    """20,000 images through the classifier take less than 1 MB per 1,000 of them."""
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    found = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, check=True, env=environment
    )
    assert float(found.stdout) < 8  # MB, from 4,000 to 12,000 images to 12,000 to 20,000


def test_data_set_of_some_scenes():
    source = scenes_dataset(6, seed=5, scenes=("farm", "street"))
    assert [SCENES[source[i]["scene"]] for i in range(6)] == ["farm", "street"] * 3
    (batch,) = batches(source, 8)
    assert (
        batch["image"].shape == (8, 64, 64, 3)
        and batch["weight"].tolist() == [True] * 6 + [False] * 2
    )
    with pytest.raises(ValueError, match="`num_examples`"):
        scenes_dataset(0)
    for scenes in [("farm", "moon"), ("farm", "farm"), ()]:
        with pytest.raises(ValueError, match="`scenes` .* must be different names among: street"):
            scenes_dataset(6, scenes=scenes)
