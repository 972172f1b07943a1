"""What experiments run on: images cut as published, and files of reduced runs."""

import dataclasses

import numpy as np
import pytest

from jaxdissect.engine.batching import Joined, Stored, read_block
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.image_bytes import Bytes
from jaxdissect.networks.loading import load_network
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction import (
    make_reduced_materials,
    materials,
    published_materials,
    read_experiments,
    reduced_materials,
)
from jaxdissect.reproduction.images import CentreCut
from jaxdissect.reproduction.materials import ImageSize, Materials
from jaxdissect.reproduction.narrow_networks import NUM_CLASSES
from jaxdissect.reproduction.reduced_materials import draw_images, write_narrow

EXPERIMENTS = read_experiments("pnas2020")


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (7, 8)])
def test_images_are_cut_at_their_centres(size):
    images = np.random.RandomState(0).random_sample((3, 7, 8, 3)).astype(np.float32)
    cut = CentreCut(Stored({"image": images, "label": np.arange(3)}), size)
    top, left = round((7 - size[0]) / 2), round((8 - size[1]) / 2)
    expected = images[:, top : top + size[0], left : left + size[1]]
    np.testing.assert_array_equal(np.stack([cut[i]["image"] for i in range(3)]), expected)
    assert [int(cut[i]["label"]) for i in range(len(cut))] == [0, 1, 2]


def test_cut_images_of_files_stay_bytes(tmp_path):
    folder = image_folder(draw_images(tmp_path / "images", stem="one", seed=3), image_size=(32, 32))
    cut = CentreCut(folder, (24, 24))
    found = read_block(cut, 0, 4, as_bytes=True)["image"]
    assert isinstance(found, Bytes) and found.shape == (4, 24, 24, 3)
    whole = np.stack([folder[i]["image"] for i in range(4)])
    np.testing.assert_array_equal(np.asarray(found), whole[:, 4:28, 4:28])
    assert cut.describe() == "folder of 24 PNG files"
    assert cut.thread_safe


def test_images_too_small_to_be_cut():
    images = Stored({"image": np.zeros((1, 8, 8, 3), np.float32)})
    with pytest.raises(ValueError, match="`size` .=8 x 9 pixels"):
        CentreCut(images, (8, 9))


def test_drawn_images_follow_their_seed(tmp_path):
    def drawn(name, seed):
        folder = draw_images(tmp_path / name, stem="one", seed=seed)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}

    first = drawn("first", 1)
    assert len(first) == 4 * NUM_CLASSES and first == drawn("again", 1) != drawn("other", 2)
    assert len(set(first.values())) == len(first)


@pytest.mark.parametrize("name", ["alexnet_places365", "proggan_church", "adain_decoder"])
def test_narrow_weights_are_read_as_published_ones_are(name, tmp_path):
    paths = [
        write_narrow(name, tmp_path / str(place), seed) for place, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (
        parameters(load_network(PUBLISHED[name].architecture, path)) for path in paths
    )
    assert all(np.array_equal(first[key], again[key]) for key in first)
    kernels = [key for key in first if key.endswith("kernel")]
    assert kernels and not any(np.array_equal(first[key], other[key]) for key in kernels)


@pytest.mark.slow
def test_reduced_materials_have_what_the_experiment_needs(tmp_path):
    experiment = EXPERIMENTS["remove-class-units"]
    materials = make_reduced_materials(experiment, tmp_path)
    assert materials.is_reduced and materials.comparable == "not comparable: random weights"
    assert set(materials.weights) == set(experiment.networks)
    assert set(materials.folders) == {"places-train", "places-val"}
    segmenter = materials.segmenter("reference")
    assert {"object", "part", "material", "color"} <= set(segmenter.vocabulary.category_names)
    source, names = materials.classed_images("places-val", ImageSize(40, 32))
    assert isinstance(source, Joined) and len(names) == NUM_CLASSES
    assert source[5]["label"] == 1 and source[5]["image"].shape == (32, 32, 3)


@pytest.mark.slow
def test_rules_of_the_preset_make_the_vocabulary(tmp_path):
    materials = make_reduced_materials(EXPERIMENTS["remove-trees"], tmp_path)
    ours, theirs = (
        len(materials.segmenter(preset).vocabulary) for preset in ("pnas2020", "reference")
    )
    assert theirs == ours + 1  # "none" of the colors is an entry of its own there


def test_a_limit_goes_through_all_classes(tmp_path):
    folders = {"places-val": draw_images(tmp_path / "images", stem="one", seed=1)}
    few = Materials({}, folders, limit=NUM_CLASSES)
    source, names = few.classed_images("places-val", ImageSize(8, 8))
    assert [int(source[i]["label"]) for i in range(len(source))] == list(range(NUM_CLASSES))
    assert len(names) == NUM_CLASSES
    assert len(Materials({}, folders, limit=100).folder("places-val", 8)) == 4 * NUM_CLASSES


def test_images_that_are_not_given(tmp_path):
    experiment = EXPERIMENTS["style"]
    with pytest.raises(ValueError, match="paintings: .*--data paintings=DIR.*--reduced"):
        published_materials(experiment, {"places-val": tmp_path}, cache=tmp_path)
    assert not list(tmp_path.iterdir())  # nothing was downloaded before


def test_other_images_than_the_published_ones_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(materials, "fetch", lambda name, **_: {"": tmp_path / name})
    experiment = dataclasses.replace(EXPERIMENTS["vgg16-layers"], networks=("vgg16_places365",))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="no images in .*empty, given for places-val"):
        published_materials(experiment, {"places-val": empty})
    folders = {"places-val": draw_images(tmp_path / "images", stem="one", seed=1)}
    number = 4 * NUM_CLASSES
    found = published_materials(experiment, folders)
    assert found.comparable == (
        f"not comparable: places-val has {number} images here, and 36,500 published"
    )
    published = materials.DATA_SETS["places-val"]._replace(num_images=number)
    monkeypatch.setitem(materials.DATA_SETS, "places-val", published)
    assert published_materials(experiment, folders).comparable == ""


def test_a_folder_that_was_half_drawn_is_drawn_anew(tmp_path, monkeypatch):
    whole = draw_images(tmp_path / "whole", stem="one", seed=1)
    drawn, number = reduced_materials._drawn, iter(range(5))

    def stop(*arguments):
        if next(number) == 4:
            raise KeyboardInterrupt
        return drawn(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(reduced_materials, "_drawn", stop)
        with pytest.raises(KeyboardInterrupt):
            draw_images(tmp_path / "again", stem="one", seed=1)
    again = draw_images(tmp_path / "again", stem="one", seed=1)
    names = [
        sorted(str(path.relative_to(top)) for path in top.rglob("*.png")) for top in (whole, again)
    ]
    assert names[0] == names[1] and len(names[0]) == 4 * NUM_CLASSES
