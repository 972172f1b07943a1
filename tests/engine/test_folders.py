"""Image folders: pairing, pixel values, label ids, and every fault named in one message."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdissect.engine.data.folders import image_folder

RANDOM = np.random.default_rng(0)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def stored(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def photograph(height: int = 6, width: int = 8) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3)).astype(np.uint8)


def mask(high: int = 5, *, dtype: type = np.uint8, size: tuple[int, int] = (3, 4)) -> np.ndarray:
    labels = RANDOM.integers(0, high, size).astype(dtype)
    labels.flat[0] = high - 1
    return labels


@pytest.fixture
def paired(tmp_path) -> Path:
    """Three photographs in subfolders, each with a label map in two folders."""
    for name in ("b/1", "a/2", "a/10"):
        save(tmp_path / f"images/{name}.png", photograph())
        save(tmp_path / f"objects/{name}.png", mask(5))
        save(tmp_path / f"parts/{name}.png", mask(900, dtype=np.uint16))
    return tmp_path


def test_images_are_found_in_subfolders_sorted_by_path(tmp_path):
    pixels = photograph()
    names = ["a/b.bmp", "a/c/d.PNG", "a.webp", "b.JPEG", "b-c/x.jpg"]
    for name in names:
        save(tmp_path / name, pixels)
    for name in (".hidden.png", ".cache/e.png", "a/._b.jpg"):
        save(tmp_path / name, pixels)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    source = image_folder(tmp_path)
    assert source.names == ("a/b.bmp", "a/c/d.PNG", "a.webp", "b-c/x.jpg", "b.JPEG")
    assert [source.name(i) for i in range(len(source))] == list(source.names)
    assert image_folder(tmp_path, limit=2).names == source.names[:2]


def test_images_are_rgb_in_unit_range(tmp_path):
    pixels = photograph()
    save(tmp_path / "a.png", pixels)
    source = image_folder(tmp_path)
    assert source[0].keys() == {"image"}
    assert source[0]["image"].dtype == np.float32
    np.testing.assert_array_equal(source[0]["image"], pixels.astype(np.float32) / 255)
    with pytest.raises(IndexError):
        source[1]


def test_other_pixel_formats_become_rgb(tmp_path):
    grey = RANDOM.integers(0, 256, (4, 5)).astype(np.uint8)
    save(tmp_path / "1.png", grey)
    save(tmp_path / "2.png", np.dstack([grey, grey, grey, grey]))
    palette = Image.fromarray(grey, "L").convert("P")
    palette.save(tmp_path / "3.png", transparency=bytes(range(256)))
    source = image_folder(tmp_path)
    for i in range(3):
        np.testing.assert_array_equal(source[i]["image"] * 255, np.dstack([grey] * 3))


def test_resizing_ignores_the_aspect_and_averages(tmp_path):
    checkers = np.indices((8, 12)).sum(axis=0) % 2 * 255
    save(tmp_path / "a.png", np.dstack([checkers] * 3).astype(np.uint8))
    save(tmp_path / "b.png", np.full((5, 5, 3), 51, np.uint8))
    source = image_folder(tmp_path, image_size=(4, 3))
    assert source[0]["image"].shape == source[1]["image"].shape == (4, 3, 3)
    np.testing.assert_allclose(source[0]["image"], 0.5, atol=0.02)
    np.testing.assert_allclose(source[1]["image"], 0.2, atol=1e-6)


def test_every_mask_folder_is_a_label_channel(paired):
    source = image_folder(paired / "images", masks=[paired / "objects", paired / "parts"])
    assert source.names == ("a/10.png", "a/2.png", "b/1.png")
    for i, name in enumerate(source.names):
        example = source[i]
        assert example["labels"].dtype == np.int32 and example["labels"].shape == (3, 4, 2)
        for k, folder in enumerate(("objects", "parts")):
            labels = example["labels"][:, :, k]
            np.testing.assert_array_equal(labels, stored(paired / folder / name))
        pixels = stored(paired / "images" / name).astype(np.float32)
        np.testing.assert_array_equal(example["image"], pixels / 255)
    assert max(source[i]["labels"].max() for i in range(3)) == 899


@pytest.mark.parametrize(("num_colours", "bits"), [(4, 2), (256, 8)])
def test_palette_masks_give_indices_not_colours(tmp_path, num_colours, bits):
    """Pillow stores an index into few colours in fewer bits."""
    save(tmp_path / "images/a.jpg", photograph())
    (tmp_path / "masks").mkdir()
    labels = mask(4)
    drawn = Image.fromarray(labels)
    drawn.putpalette(photograph(num_colours, 1).tobytes())
    drawn.save(tmp_path / "masks/a.png")
    assert (tmp_path / "masks/a.png").read_bytes()[24:26] == bytes([bits, 3])
    source = image_folder(tmp_path / "images", masks=[tmp_path / "masks"])
    np.testing.assert_array_equal(source[0]["labels"][:, :, 0], labels)


def test_masks_inside_the_image_folder_and_masks_without_image_are_left_out(paired):
    os.rename(paired / "objects", paired / "images/objects")
    save(paired / "images/objects/extra.png", mask(size=(9, 9)))
    source = image_folder(paired / "images", masks=[paired / "images/objects"])
    assert len(source) == 3
    with pytest.raises(ValueError, match="`masks` must lie in another folder"):
        image_folder(paired / "images", masks=[paired / "images/../images"])


def test_linked_folders_are_followed(paired):
    os.symlink(paired / "images", paired / "linked")
    os.symlink(paired / "images/a", paired / "images/z")
    assert image_folder(paired / "linked").names[-2:] == ("z/10.png", "z/2.png")


def test_missing_folders_and_images_are_named(paired):
    with pytest.raises(FileNotFoundError, match="`images`: there is no folder .*nowhere"):
        image_folder(paired / "nowhere")
    with pytest.raises(FileNotFoundError, match="`masks`: there is no folder .*nowhere"):
        image_folder(paired / "images", masks=[paired / "nowhere"])
    (paired / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"found no images .*\.webp.* in .*empty"):
        image_folder(paired / "empty")


def test_missing_masks_are_counted_and_five_named(tmp_path):
    (tmp_path / "masks").mkdir()
    for i in range(7):
        save(tmp_path / f"images/{i}.png", photograph())
    with pytest.raises(FileNotFoundError, match="7 masks are missing: .*; and 2 more") as caught:
        image_folder(tmp_path / "images", masks=[tmp_path / "masks"])
    named = [str(tmp_path / f"masks/{i}.png") in str(caught.value) for i in range(7)]
    assert named == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (0, 4)}, r"`image_size` \(=\(0, 4\)\)"),
        ({"masks": "objects"}, r"`masks` \(='objects'\) must be a list of folders"),
        ({"limit": 0}, r"`limit` \(=0\) must be at least 1"),
        ({"vocabulary_size": 0}, r"`vocabulary_size` \(=0\) must be at least 1"),
    ],
)
def test_senseless_options_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path, **options)


def test_sizes_must_agree(paired):
    odd = save(paired / "images/a/2.png", photograph(7, 8))
    with pytest.raises(ValueError, match=r"1 of 3 are not 6 x 8 .*a.2.png \(7 x 8\)") as caught:
        image_folder(paired / "images")
    assert "`image_size`" in str(caught.value) and str(odd) in str(caught.value)
    resized = image_folder(paired / "images", masks=[paired / "objects"], image_size=(6, 8))
    assert resized[1]["image"].shape == (6, 8, 3)

    save(paired / "parts/b/1.png", mask(size=(3, 5)))
    with pytest.raises(ValueError, match=r"masks must all.*: 1 of 6 are .*parts.b.1.png \(3 x 5"):
        image_folder(
            paired / "images", masks=[paired / "objects", paired / "parts"], image_size=(6, 8)
        )


def test_labels_outside_the_vocabulary_are_named_when_read(paired):
    source = image_folder(paired / "images", masks=[paired / "objects"], vocabulary_size=5)
    assert [source[i]["labels"].max() for i in range(3)] == [4, 4, 4]
    source = image_folder(paired / "images", masks=[paired / "objects"], vocabulary_size=4)
    with pytest.raises(ValueError, match=r"objects.b.1.png: label 4 lies .* ids are 0 to 3"):
        source[2]


def test_unreadable_files_are_named_together(paired):
    (paired / "images/a/2.png").write_bytes(b"no image")
    (paired / "images/b/1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read .*a.2.png: .*; cannot read .*b.1.png"):
        image_folder(paired / "images")
    os.unlink(paired / "images/a/2.png")
    os.symlink(paired / "nowhere", paired / "images/a/2.png")
    with pytest.raises(ValueError, match=r"cannot read .*a.2.png.*No such file"):
        image_folder(paired / "images")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_truncated_images_are_named(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", photograph(64, 64))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"cannot read .*a\.{suffix}: ") as caught:
        image_folder(tmp_path)[0]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("damage", [b"\0\1\2\3", b"IEND"])
def test_damaged_images_are_named(tmp_path, damage):
    """Pillow reports a broken chunk of PNG as a SyntaxError, other damage as an OSError."""
    path = save(tmp_path / "a.png", photograph(200, 200))
    path.write_bytes(damage.join(path.read_bytes().rsplit(b"IDAT", 1)))
    with pytest.raises(ValueError, match=r"cannot read .*a\.png: "):
        image_folder(tmp_path)[0]


def test_truncated_masks_are_named(paired):
    path = save(paired / "objects/a/2.png", mask(200, size=(3, 4)))
    path.write_bytes(path.read_bytes()[:45])
    source = image_folder(paired / "images", masks=[paired / "objects"])
    with pytest.raises(ValueError, match=r"cannot read .*objects.a.2.png: "):
        source[1]


def test_images_of_many_bits_are_refused(tmp_path):
    save(tmp_path / "a.png", mask(60000, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"a\.png has more than 8 bits per channel"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (photograph(3, 4), "is RGB with 8 bits.*colours do not say which id"),
        (np.dstack([photograph(3, 4), mask()]), r"is RGB \+ alpha with 8 bits"),
        (mask(2).astype(bool), "is grayscale with 1 bits"),
    ],
)
def test_masks_without_one_id_per_pixel_are_refused(tmp_path, pixels, message):
    save(tmp_path / "images/a.jpg", photograph())
    save(tmp_path / "masks/a.png", pixels)
    with pytest.raises(ValueError, match=rf"masks.a.png {message}"):
        image_folder(tmp_path / "images", masks=[tmp_path / "masks"])


def test_masks_must_be_png_whatever_their_name(tmp_path):
    save(tmp_path / "images/a.jpg", photograph())
    save(tmp_path / "masks/a.png", mask(), format="jpeg")
    with pytest.raises(ValueError, match=r"masks.a.png is not a PNG file"):
        image_folder(tmp_path / "images", masks=[tmp_path / "masks"])


def test_importing_the_module_leaves_the_image_library_alone():
    code = "import sys, jaxdissect.engine.data.folders; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
