"""What a source may hold: fields that nobody reads, and those that are refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.engine.batching import Stored, read_block
from jaxdissect.engine.images import check_unit_range
from jaxdissect.engine.labelers import annotated, colored, together
from jaxdissect.engine.layer_reader import image_input

IMAGE = np.linspace(0, 1, 8 * 6 * 3, dtype=np.float32).reshape(8, 6, 3)
LABELS = np.ones((8, 6, 1), np.int64)
SKY = annotated(vocabulary([("sky", "object")]))


def block(*items):
    return read_block(list(items), 0, len(items))


def on_device(batch):
    return {name: jnp.asarray(array) for name, array in batch.items()}


def test_fields_without_numbers_are_left_out():
    found = block(
        {"image": IMAGE, "name": "a.jpg", "raw": b"x", "note": None},
        {"image": IMAGE, "name": "longer.jpg", "raw": b"", "note": None},
    )
    assert found.keys() == {"image"}
    assert read_block(Stored({"n": np.arange(2), "name": np.array(["a", "b"])}), 0, 2).keys() == {
        "n"
    }


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((IMAGE, LABELS), r"`source`\[1\] must be a dictionary of arrays, .* is of type tuple"),
        ({"image": IMAGE, "labels": LABELS + 2**32}, "'labels' of example 1 contains 4294967297"),
        ({"image": IMAGE, "labels": LABELS - 2**31 - 2}, "'labels' of example 1 contains -2147483"),
        (
            {"image": IMAGE * 255, "labels": LABELS},
            "'image' of example 1 has values up to 255",
        ),
        ({"image": IMAGE, "labels": [[1], [2, 3]]}, "'labels' of example 1 is no array"),
        ({"image": IMAGE}, "'labels' of example 1 is missing"),
    ],
)
def test_odd_fields_are_named(item, message):
    with pytest.raises(ValueError, match=message):
        block({"image": IMAGE, "labels": LABELS}, item)


def test_images_of_any_other_range_are_for_the_network_to_take():
    for images in (IMAGE * 9, IMAGE * 255 - 120, (IMAGE * 255).astype(np.uint8)):
        assert (block({"image": images})["image"] == images).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((IMAGE * 255).astype(np.uint8), "`source` gives uint8 in 'image'; give images as floats"),
        (Image.fromarray((IMAGE * 255).astype(np.uint8)), "`source` gives uint8 in 'image'"),
        (IMAGE.transpose(2, 0, 1), r"'image' of shape \[3, 8, 6\], channels first"),
        (IMAGE[..., 0], r"'image' of shape \[8, 6\]; give images \[H, W, 3\]"),
        ("a.jpg", "`source` has no array of numbers 'image'; it has: 'labels'"),
    ],
)
def test_images_must_be_floats_with_channels_last(images, message):
    batch = on_device(block({"image": images, "labels": LABELS}))
    for read in (image_input, lambda batch: colored().label((), batch, (4, 4))):
        with pytest.raises(ValueError, match=message):
            read(batch)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[..., 0], r"'labels' as int32\[8, 6\], .* add an axis of one channel"),
        (LABELS.astype(np.float32), r"'labels' as float32\[8, 6, 1\], but must give integers"),
        (LABELS == 1, "'labels' as bool"),
        (
            LABELS.transpose(2, 0, 1),
            r"\[1, 8, 6\] beside an image of 8 x 6 .*, channels first",
        ),
        (
            LABELS.transpose(1, 0, 2),
            r"\[6, 8, 1\] beside an image of 8 x 6 .*, rows and columns",
        ),
        ("sky", "`source` has no array of numbers 'labels'; it has: 'image'"),
    ],
)
def test_labels_must_be_integers_with_channels(labels, message):
    batch = on_device(block({"image": IMAGE, "labels": labels}))
    with pytest.raises(ValueError, match=message):
        SKY.label((), batch, (4, 4))


def test_labels_of_32_bits_do_not_wrap():
    batch = on_device(block({"labels": LABELS.astype(np.uint32) + 2**31}))
    assert (np.asarray(SKY.label((), batch, (4, 4))) == np.iinfo(np.int32).max).all()


def test_colors_are_found_in_images_of_unit_range_only():
    assert together(SKY, colored(), colored(key="other")).images == ("image", "other")
    images = np.stack([IMAGE, IMAGE * 2 - 1, np.full_like(IMAGE, 1.0005)])
    with pytest.raises(ValueError, match="'image' of example 1 has values from -1 to 1"):
        check_unit_range({"image": images}, colored().images)
    check_unit_range({"image": images[[0, 2]]}, colored().images)
