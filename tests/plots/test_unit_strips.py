"""Strips of images: lit regions, and sheets that can be read."""

import numpy as np
import pytest
from support import drawn_results

from jaxdissect.dissection import unit_images
from jaxdissect.plots import regions, unit_strips


@pytest.mark.parametrize("thickness", [1, 2])
def test_highlight_against_an_oracle(thickness):
    rng = np.random.default_rng(1)
    image, mask = rng.random((15, 20, 3)).astype(np.float32), rng.random((15, 20)) > 0.93
    found = regions.highlight(image, mask, thickness=thickness)
    np.testing.assert_array_equal(found, drawn_results.highlighted(image, mask, thickness))


def strip_of(images: np.ndarray, *, detects: bool = True) -> unit_images.UnitImages:
    pixels = images.astype(np.float32) / 255
    everywhere = np.ones(images.shape[:-1], bool)
    name = "a concept of quite some length"
    return unit_images.UnitImages(3, name, "object", 0.123, detects, pixels, everywhere)


def test_a_sheet_holds_enlarged_images_in_rows_with_labels():
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (2, 50, 40, 3)).astype(np.uint8)
    sheet = np.asarray(
        unit_strips.draw_unit_strips("conv", [strip_of(images), strip_of(images[:1])])
    )
    factor = 3  # brings 50 pixels closest to 128
    pitch = np.array([50, 40]) * factor + 6
    assert sheet.shape == (34 + 2 * pitch[0], 230 + 2 * pitch[1], 3)
    for row, column, image in ((0, 0, 0), (0, 1, 1), (1, 0, 0)):
        top, left = 34 + row * pitch[0], 230 + column * pitch[1]
        cell = sheet[top : top + 50 * factor, left : left + 40 * factor]
        np.testing.assert_array_equal(cell[1::factor, 1::factor], images[image])
    empty = sheet[34 + pitch[0] :, 230 + pitch[1] :]
    assert (empty == 255).all()
    for row in range(2):
        label = sheet[34 + row * pitch[0] :][: pitch[0], :230]
        assert (label < 128).any() and (label[:, -2:] == 255).all()


def test_large_images_are_shrunk():
    images = np.zeros((1, 600, 300, 3), np.uint8)
    assert unit_strips.draw_unit_strips("conv", [strip_of(images)]).size == (
        230 + 128 + 6,
        34 + 256 + 6,
    )


def test_file_names_are_safe_and_different():
    some = [strip_of(np.zeros((1, 4, 4, 3), np.uint8))]
    names = unit_strips.file_names({"a/b": some, "a b": some, "blocks.3": some, "none": []})
    assert names == {
        "top_units_a_b.png": "a/b",
        "top_units_a_b_.png": "a b",
        "top_units_blocks.3.png": "blocks.3",
    }
