"""Image folders: pairing, pixel values, label ids, and every fault named in one message."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

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
    names = ["a/b.bmp", "a/c/d.PNG", "a.webp", "b.JPEG", "b-c/x.jpg", "c.TIF", "d.tiff"]
    for name in names:
        save(tmp_path / name, pixels)
    for name in (".hidden.png", ".cache/e.png", "a/._b.jpg"):
        save(tmp_path / name, pixels)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    source = image_folder(tmp_path)
    expected = ("a/b.bmp", "a/c/d.PNG", "a.webp", "b-c/x.jpg", "b.JPEG", "c.TIF", "d.tiff")
    assert source.names == expected
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


def test_linked_folders_are_followed_once(paired):
    """Links to other folders count; a link to a folder above, or a second one, adds nothing."""
    os.symlink(paired / "images", paired / "linked")
    before = image_folder(paired / "linked").names
    assert len(before) == 3
    os.symlink(paired / "images", paired / "images/a/back")
    os.symlink(paired, paired / "images/b/above")
    os.symlink(paired / "images/a", paired / "images/z")
    assert image_folder(paired / "images").names == image_folder(paired / "linked").names == before
    save(paired / "elsewhere/deep/7.png", photograph())
    os.symlink(paired / "elsewhere", paired / "elsewhere/deep/loop")
    os.symlink(paired / "elsewhere/deep", paired / "images/c")
    os.symlink(paired / "elsewhere/deep", paired / "images/d")
    assert image_folder(paired / "images").names == (*before, "c/7.png")


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
        ({"ignore_label": -1}, r"`ignore_label` \(=-1\)"),
        ({"first_label": 2}, r"`first_label` \(=2\) must be 0 or 1"),
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


def test_masks_of_several_sizes_are_read_at_the_size_of_the_images(paired):
    save(paired / "parts/b/1.png", large := mask(size=(12, 16)))
    masks = [paired / "objects", paired / "parts"]
    with pytest.raises(ValueError, match=r"masks must all.*: 1 of 6 are .*parts.b.1.png \(12 x 16"):
        image_folder(paired / "images", masks=masks)
    labels = image_folder(paired / "images", masks=masks, image_size=(6, 8))[2]["labels"]
    assert labels.shape == (6, 8, 2)
    np.testing.assert_array_equal(labels[..., 1], large[1::2, 1::2])
    small = stored(paired / "objects/b/1.png")
    np.testing.assert_array_equal(labels[..., 0], small.repeat(2, axis=0).repeat(2, axis=1))


def test_masks_must_have_the_shape_of_their_images(paired):
    save(paired / "objects/a/2.png", mask(size=(4, 3)))
    for size in (None, (6, 8)):
        with pytest.raises(
            ValueError, match=r"objects.a.2.png \(4 x 3.*images.a.2.png \(6 x 8\);.*EXIF"
        ):
            image_folder(paired / "images", masks=[paired / "objects"], image_size=size)


def test_masks_have_the_endings_of_label_maps_in_either_case(paired):
    os.rename(paired / "objects/a/2.png", paired / "objects/a/2.PNG")
    save(paired / "objects/b/1.tif", labels := mask(900, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"b/1.png has two, .*objects.b.1.png and .*1.tif"):
        image_folder(paired / "images", masks=[paired / "objects"])
    os.unlink(paired / "objects/b/1.png")
    source = image_folder(paired / "images", masks=[paired / "objects"])
    np.testing.assert_array_equal(source[2]["labels"][..., 0], labels)
    save(paired / "images/b/1.bmp", photograph())
    with pytest.raises(ValueError, match=r"b/1.bmp and b/1.png would have the same label map"):
        image_folder(paired / "images", masks=[paired / "objects"])


UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What each EXIF orientation says how to turn what is stored."""


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_images_and_masks_are_turned_upright(tmp_path, suffix, orientation):
    pixels, labels = photograph(), mask()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} | ({"lossless": True} if suffix == "webp" else {})
    save(tmp_path / f"images/a.{suffix}", pixels, **options)
    save(tmp_path / "masks/a.png", labels, exif=exif)
    source = image_folder(tmp_path / "images", masks=[tmp_path / "masks"])
    upright = UPRIGHT[orientation]
    np.testing.assert_array_equal(source[0]["image"] * 255, upright(pixels))
    np.testing.assert_array_equal(source[0]["labels"][..., 0], upright(labels))


def test_orientation_behind_the_pixels_of_a_png_counts(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", photograph(6, 8), exif=exif)
    signature, chunks, data = path.read_bytes()[:8], [], path.read_bytes()[8:]
    while data:
        end = 12 + int.from_bytes(data[:4])
        chunks.append(data[:end])
        data = data[end:]
    chunks.sort(key=lambda chunk: (b"IHDR", b"IDAT", b"eXIf", b"IEND").index(chunk[4:8]))
    path.write_bytes(signature + b"".join(chunks))
    save(tmp_path / "b.png", photograph(8, 6))
    assert image_folder(tmp_path)[0]["image"].shape == (8, 6, 3)


def test_damaged_images_may_be_skipped(paired):
    damaged = paired / "images/a/2.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    (paired / "objects/b/1.png").write_bytes(b"no picture")
    masks = [paired / "objects"]
    with pytest.raises(ValueError, match=r"objects.b.1.png.*`on_error` 'skip' leaves out"):
        image_folder(paired / "images", masks=masks)
    with pytest.raises(ValueError, match=r"cannot read .*a.2.png: .*`on_error` 'skip'"):
        image_folder(paired / "images")[1]
    source = image_folder(paired / "images", masks=masks, on_error="skip")
    assert source.names == ("a/10.png",) and "a/2.png" in source.skipped[0]
    assert len(source.skipped) == 2 and "objects/b/1.png" in source.skipped[1]
    for path in paired.glob("images/*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="10.png.*2.png.*1.png"):
        image_folder(paired / "images", on_error="skip")


def test_values_of_label_maps_may_mean_nothing_or_begin_with_zero(paired):
    for path in paired.glob("objects/*/*.png"):
        save(path, np.array([[0, 1, 255, 2]], np.uint8).repeat(3, axis=0))
    folders: dict[str, Any] = {"images": paired / "images", "masks": [paired / "objects"]}
    with pytest.raises(ValueError, match=r"label 255 lies .* 0 to 2; .* give `ignore_label` 255"):
        image_folder(**folders, vocabulary_size=3)[0]
    for first, size in ((1, 3), (0, 4)):
        options: dict[str, Any] = {"ignore_label": 255, "first_label": first}
        labels = image_folder(**folders, **options, vocabulary_size=size)[0]["labels"]
        np.testing.assert_array_equal(labels[0, :, 0], [1 - first, 2 - first, 0, 3 - first])
        with pytest.raises(ValueError, match=r"label 2 lies .* 0 to 1; .*`ignore_label` 2"):
            image_folder(**folders, **options, vocabulary_size=size - 1)[0]


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
    for color_type, channels in ((2, 3), (4, 2), (6, 4)):
        (tmp_path / "a.png").write_bytes(png(4, 4, 16, color_type, bytes(4 * (1 + 8 * channels))))
        with pytest.raises(ValueError, match=r"a\.png has more than 8 bits per channel"):
            image_folder(tmp_path)


def png(width: int, height: int, bits: int, color_type: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return len(data).to_bytes(4) + kind + data + check.to_bytes(4)

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_images_too_large_to_decode_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png(2**13, 2**13, 8, 2, b""))
    assert image_folder(tmp_path).names == ("a.png",)
    for width in (2**13 + 1, 2**20):
        (tmp_path / "a.png").write_bytes(png(width, 2**13, 8, 2, b""))
        with pytest.raises(ValueError, match=r"a\.png: it has more than 67,108,864 pixels"):
            image_folder(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_only_pictures_are_opened_as_pictures(tmp_path, suffix):
    """Pillow would hand PostScript to another program."""
    (tmp_path / f"a.{suffix}").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(ValueError, match=rf"a\.{suffix}: it is no PNG, JPEG, BMP, WebP or TIFF"):
        image_folder(tmp_path)
    os.unlink(tmp_path / f"a.{suffix}")
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match=rf"a\.{suffix}: it is no ordinary file"):
        image_folder(tmp_path)


def test_exotic_tiffs_are_refused(tmp_path):
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", None):
        save(tmp_path / "a.tif", pixels := photograph(), compression=compression)
        np.testing.assert_array_equal(image_folder(tmp_path)[0]["image"] * 255, pixels)
    save(tmp_path / "a.tif", photograph(), compression="jpeg")
    with pytest.raises(ValueError, match=r"a\.tif: TIFF compressed by jpeg is not supported"):
        image_folder(tmp_path)
    pages = {"save_all": True, "append_images": [Image.fromarray(photograph())]}
    save(tmp_path / "a.tif", photograph(), **pages)
    with pytest.raises(ValueError, match=r"a\.tif: it holds 2 pictures"):
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


def test_masks_must_be_png_or_tiff_whatever_their_name(tmp_path):
    save(tmp_path / "images/a.jpg", photograph())
    save(tmp_path / "masks/a.png", mask(), format="jpeg")
    with pytest.raises(ValueError, match=r"masks.a.png is no PNG or TIFF file"):
        image_folder(tmp_path / "images", masks=[tmp_path / "masks"])


def test_importing_the_module_leaves_the_image_library_alone():
    code = "import sys, jaxdissect.engine.data.folders; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
