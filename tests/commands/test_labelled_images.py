"""Options that name images with their label maps: what the values of these mean."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxdissect.commands.options.labelled_images import LabelledImages, find_labelled_images
from jaxdissect.engine.data.folders import ImageFolder

ROW = [0, 1, 2, 255]


@pytest.fixture
def options(tmp_path):
    """Make options of one image whose label map has the values of `ROW`."""

    def make(concepts, **others):
        for part in ("images", "masks"):
            (tmp_path / part).mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "images/a.jpg")
        Image.fromarray(np.array([ROW] * 4, np.uint8)).save(tmp_path / "masks/a.png")
        (tmp_path / "concepts.txt").write_text(concepts)
        given = {"images": tmp_path / "images", "masks": (tmp_path / "masks",), "colors": False}
        return LabelledImages(**given, concepts=tmp_path / "concepts.txt", **others)

    return make


@pytest.mark.parametrize(
    ("concepts", "first", "expected"),
    [
        ("0: unlabeled\n1: sky\n2: sea\n", 1, ["-", "sky", "sea", "-"]),
        ("sky\nsea\n", 1, ["-", "sky", "sea", "-"]),
        ("0: sky\n1: sea\n2: sand\n", 0, ["sky", "sea", "sand", "-"]),
    ],
)
def test_values_of_label_maps(options, concepts, first, expected):
    found = find_labelled_images(options(concepts, ignore_label=255, first_label=first))
    ids = found.source[0]["labels"][0, :, 0]
    assert [found.labeler.vocabulary.names[i] for i in ids] == expected


def test_what_values_mean_is_asked_for(options):
    with pytest.raises(ValueError, match="label 255 lies outside .* give `ignore_label` 255"):
        find_labelled_images(options("sky\nsea\n")).source[0]
    with pytest.raises(ValueError, match="id 0 is 'sky', .* give `first_label` 0"):
        find_labelled_images(options("0: sky\n1: sea\n", ignore_label=255))


def test_what_values_mean_goes_with_label_maps(tmp_path):
    option: dict[str, Any]
    for option in ({"ignore_label": 255}, {"first_label": 0}):
        with pytest.raises(ValueError, match="`ignore_label` and `first_label` go with label maps"):
            find_labelled_images(LabelledImages(images=tmp_path, **option))
        with pytest.raises(ValueError, match="not go with `sample`"):
            find_labelled_images(LabelledImages(sample="scenes", **option))


def test_damaged_images_may_be_skipped(options, tmp_path):
    given = options("sky\nsea\n", ignore_label=255, on_error="skip")
    for place in ("images/b.jpg", "masks/b.png"):
        (tmp_path / place).write_bytes(b"no picture")
    source = find_labelled_images(given).source
    assert isinstance(source, ImageFolder)
    assert len(source) == 1 and "b.jpg" in source.skipped[0]


def test_decoded_images_are_kept(options, tmp_path):
    found = options("sky\nsea\n", ignore_label=255, image_cache=tmp_path / "decoded")
    source, _ = find_labelled_images(found)
    kept = found.keep_decoded(source)
    for name, array in source[0].items():
        np.testing.assert_array_equal(kept[0][name], array, strict=True)
    (folder,) = (tmp_path / "decoded").iterdir()
    assert folder.name.startswith("images-")
    scenes, _ = find_labelled_images(LabelledImages(sample="scenes"))
    assert found.keep_decoded(scenes) is scenes
