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


def test_a_picture_holds_enlarged_images_in_rows_with_labels():
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (2, 50, 40, 3)).astype(np.uint8)
    images[..., 0] = 128 + images[..., 0] // 2  # unlike text, which is gray
    images[..., 2] = 0
    sheet = np.asarray(
        unit_strips.draw_unit_strips("conv", [strip_of(images), strip_of(images[:1])])
    )
    factor = 3  # brings 50 pixels closest to 128
    pitch = np.array([50, 40]) * factor + 6
    filled = np.argwhere((sheet[..., 0] >= 128) & (sheet[..., 2] == 0))
    corner, end = filled.min(axis=0), filled.max(axis=0) + 1
    np.testing.assert_array_equal(end - corner, 2 * pitch - 6)
    for row, column, image in ((0, 0, 0), (0, 1, 1), (1, 0, 0)):
        top, left = corner + (row, column) * pitch
        cell = sheet[top : top + 50 * factor, left : left + 40 * factor]
        np.testing.assert_array_equal(cell, images[image].repeat(factor, 0).repeat(factor, 1))
    empty = sheet[corner[0] + pitch[0] :, corner[1] + pitch[1] :]
    assert (empty == 255).all()
    for row in range(2):
        label = sheet[corner[0] + row * pitch[0] :][: pitch[0], : corner[1]]
        assert (label < 128).any() and (label[:, -2:] == 255).all()


def test_large_images_are_shrunk():
    images = np.zeros((1, 600, 300, 3), np.uint8)
    sheet = np.asarray(unit_strips.draw_unit_strips("conv", [strip_of(images)]))
    black = np.argwhere((sheet[:, 250:] == 0).all(-1))
    np.testing.assert_array_equal(np.ptp(black, axis=0) + 1, (256, 128))


def test_strips_say_their_layer_unit_concept_and_iou():
    strip = strip_of(np.zeros((1, 8, 8, 3), np.uint8), detects=False)
    strip = strip._replace(layer="layer4", concept="sky")
    beside = unit_strips.strip_figure("", [strip])
    assert [text.get_text() for text in beside.texts] == [
        "layer4 unit 3",
        "sky",
        "object, IoU 0.123, no detector",
    ]
    above = unit_strips.strip_figure("title", [strip], width=3.42)
    title, line = (text.get_text() for text in above.texts)
    assert title == "title" and line.replace("\n", " ") == (
        "layer4 unit 3: sky (object), IoU 0.123, no detector"
    )
    long = strip._replace(layer="features.denseblock4.denselayer24.conv2.and.more", unit=1023)
    cut = unit_strips.strip_figure("", [long]).texts[0].get_text()
    assert "…" in cut and cut.endswith(" unit 1023") and cut.startswith("features.")


def test_sheets_of_layers_are_written_in_all_formats(tmp_path):
    strip = strip_of(np.zeros((1, 8, 8, 3), np.uint8))
    unit_strips.save_unit_strips(tmp_path, {"head.0": [strip]}, formats=("png", "svg", "pdf"))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"top_units_head.0.{ending}" for ending in ("png", "svg", "pdf")}
    assert ">head.0<" in (tmp_path / "top_units_head.0.svg").read_text()


def test_file_names_are_safe_and_different():
    some = [strip_of(np.zeros((1, 4, 4, 3), np.uint8))]
    names = unit_strips.file_names({"a/b": some, "a b": some, "blocks.3": some, "none": []})
    assert names == {
        "top_units_a_b.png": "a/b",
        "top_units_a_b_.png": "a b",
        "top_units_blocks.3.png": "blocks.3",
    }
