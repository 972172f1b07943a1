"""Folders of images, alone or with label maps drawn beside them.

    photographs/park/1.jpg      the image "park/1.jpg"
    objects/park/1.png          its label map, channel 0
    parts/park/1.png            its label map, channel 1

A label map is a grayscale (8 or 16 bits) or palette PNG whose values are the ids of a vocabulary
(`jaxdissect.arrays.concepts`), 0 where nothing is labelled. Every image of the image folder must
have a label map at the same place in each mask folder; other files there are ignored. Whatever can
be wrong with a folder without decoding pixels is found at once, before hours of work.

Pixels are taken as stored: no rotation by EXIF, transparency dropped, colour profiles ignored.
"""

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
from jaxtyping import Float32, Int32

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings of the files that count as images, in either case."""

NUM_NAMED = 5
"""How many of many faulty files a message names."""

# Bit depth and colour type of the PNGs whose samples are label ids as they stand. Grayscale of
# fewer bits is left out: by the PNG standard its samples are scaled to 8 bits, ids would change.
_MASK_KINDS = {(8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3)}
_COLOR_TYPES = {0: "grayscale", 2: "RGB", 3: "palette", 4: "grayscale + alpha", 6: "RGB + alpha"}
_PNG_HEADER = struct.Struct(">16xIIBB")  # width, height, bit depth, colour type


@dataclass(frozen=True)
class ImageFolder:
    """A source of images and their label maps; built by `image_folder`.

    `source[i]` decodes one example, a dictionary of NumPy arrays:

    - "image": float32 [H, W, 3], RGB in [0, 1];
    - "labels": int32 [h, w, K], one channel per mask folder, ids in 0 .. vocabulary_size - 1, at
      the masks' own resolution. Only with masks.

    It raises ValueError, naming the file, if an image or mask is damaged or a label lies outside
    the vocabulary. Reading keeps no state, so threads may share a source.
    """

    names: tuple[str, ...]  # paths below the image folder, parts joined by "/", sorted
    image_files: tuple[Path, ...]
    mask_files: tuple[tuple[Path, ...], ...]  # one tuple of K files per image
    image_size: tuple[int, int] | None = None  # (H, W) images are resized to; None: as stored
    vocabulary_size: int | None = None  # label ids lie below it; None: not checked

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        example: dict[str, np.ndarray] = {
            "image": _read_image(self.image_files[index], self.image_size)
        }
        if self.mask_files[index]:
            masks = [_read_mask(file, self.vocabulary_size) for file in self.mask_files[index]]
            example["labels"] = np.stack(masks, axis=-1)
        return example

    def name(self, index: SupportsIndex) -> str:
        """Return the path of an example below the image folder, such as "park/1.jpg"."""
        return self.names[index]

    def check(self) -> None:
        """Open the header of every file; decode none.

        Raises:
            ValueError: If files cannot be opened, masks are no label maps, masks differ in size,
                or images do and are not resized; the message names the files.
        """
        sizes = _collect(self.image_files, _image_header)
        if self.image_size is None:
            _same_size(self.image_files, sizes, "images", "; or give `image_size`")
        masks = [file for files in self.mask_files for file in files]
        _same_size(masks, _collect(masks, _mask_header), "masks", "")


def image_folder(
    images: str | os.PathLike[str],
    masks: Sequence[str | os.PathLike[str]] = (),
    *,
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int | None = None,
    limit: int | None = None,
) -> ImageFolder:
    """Find the images below a folder, and the label map of each in every mask folder.

    All headers are opened once (well under 0.1 ms per local file), see `ImageFolder.check`.

    Args:
        images: folder searched with its subfolders for `IMAGE_SUFFIXES`, sorted by path; hidden
            files are skipped, and so are mask folders that lie inside it.
        masks: K folders of label maps, one per label channel; the map of `a/b.jpg` is `a/b.png`.
        image_size: (H, W) in pixels to which images are resized (bilinear over the area that a
            new pixel covers, whatever the aspect, as in Bau et al., PNAS 2020); left out, images
            must all have one size.
        vocabulary_size: number of label ids including 0, `len(vocabulary)`; with it labels are
            checked when they are read.
        limit: take only so many images, the first by path.

    Raises:
        FileNotFoundError: If a folder is missing, holds no images, or masks are missing.
        ValueError: If an option makes no sense, or `ImageFolder.check` finds a fault.
    """
    if isinstance(masks, (str, os.PathLike)):
        raise ValueError(f"`masks` (={str(masks)!r}) must be a list of folders, even of one")
    root, folders = Path(images), [Path(folder) for folder in masks]
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise ValueError(f"`image_size` (={image_size}) must be (H, W) of at least 1 pixel")
    for name, value in (("vocabulary_size", vocabulary_size), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    for name, folder in (("images", root), *(("masks", folder) for folder in folders)):
        if not folder.is_dir():
            raise FileNotFoundError(f"`{name}`: there is no folder {folder}")
    if root.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"`masks` must lie in another folder than `images` (={str(root)!r})")

    found = sorted(_image_paths(root, folders), key=lambda path: path.parts)[:limit]
    if not found:
        endings = ", ".join(IMAGE_SUFFIXES)
        raise FileNotFoundError(f"`images`: found no images ({endings}) in {root}")
    paired = tuple(tuple(folder / path.with_suffix(".png") for folder in folders) for path in found)
    if missing := [str(file) for files in paired for file in files if not file.is_file()]:
        raise FileNotFoundError(f"{len(missing)} masks are missing: {_listing(missing)}")

    source = ImageFolder(
        names=tuple(path.as_posix() for path in found),
        image_files=tuple(root / path for path in found),
        mask_files=paired,
        image_size=image_size,
        vocabulary_size=vocabulary_size,
    )
    source.check()
    return source


def _image_paths(root: Path, mask_folders: Sequence[Path]) -> Iterator[Path]:
    """Yield images relative to `root`, following links to folders."""
    skipped = {folder.resolve() for folder in mask_folders}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and (here / name).resolve() not in skipped
        ]
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield (here / name).relative_to(root)


@contextmanager
def _opened(path: Path) -> "Iterator[Image.Image]":
    """Open an image; what the decoders raise becomes one ValueError that names the file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, struct.error, Image.DecompressionBombError) as problem:
        raise ValueError(f"cannot read {path}: {problem}") from None


def _read_image(path: Path, size: tuple[int, int] | None) -> Float32[np.ndarray, "H W 3"]:
    from PIL import Image

    with _opened(path) as image:
        # Straight to RGB, a palette with several transparent colours makes Pillow warn.
        opaque = image.convert("RGBA") if image.mode == "P" else image
        pixels = opaque.convert("RGB")
        if size is not None:
            height, width = size
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.float32) / 255


def _read_mask(path: Path, vocabulary_size: int | None) -> Int32[np.ndarray, "h w"]:
    with _opened(path) as image:
        labels = np.asarray(image).astype(np.int32)
    if vocabulary_size is not None and labels.max() >= vocabulary_size:
        raise ValueError(
            f"{path}: label {labels.max()} lies outside the vocabulary, "
            f"whose ids are 0 to {vocabulary_size - 1}"
        )
    return labels


def _image_header(path: Path) -> tuple[int, int]:
    """Return (H, W) of an image with 8 bits per channel."""
    with _opened(path) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"{path} has more than 8 bits per channel; convert it to 8 bits")
        return image.height, image.width


def _mask_header(path: Path) -> tuple[int, int]:
    """Return (h, w) of a label map, read from the first bytes of its PNG file."""
    with path.open("rb") as file:
        header = file.read(_PNG_HEADER.size)
    if len(header) < _PNG_HEADER.size or not header.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{path} is not a PNG file, as label maps must be")
    width, height, depth, color_type = _PNG_HEADER.unpack(header)
    if (depth, color_type) not in _MASK_KINDS:
        kind = _COLOR_TYPES.get(color_type, "unknown")
        raise ValueError(
            f"{path} is {kind} with {depth} bits, but a label map must hold one id per pixel: "
            "grayscale with 8 or 16 bits, or a palette (colours do not say which id they mean)"
        )
    return height, width


def _collect(
    files: Sequence[Path], header: Callable[[Path], tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the size that `header` finds in each file, or raise for all faulty files at once."""
    sizes, faults = [], []
    for file in files:
        try:
            sizes.append(header(file))
        except (ValueError, OSError) as fault:
            faults.append(str(fault))
    if faults:
        raise ValueError(_listing(faults))
    return sizes


def _same_size(
    files: Sequence[Path], sizes: Sequence[tuple[int, int]], what: str, hint: str
) -> None:
    if len(set(sizes)) <= 1:
        return
    (usual, _), *_ = Counter(sizes).most_common(1)
    others = [
        f"{file} ({height} x {width})"
        for file, (height, width) in zip(files, sizes, strict=True)
        if (height, width) != usual
    ]
    raise ValueError(
        f"{what} must all have one size{hint}: {len(others)} of {len(files)} are not "
        f"{usual[0]} x {usual[1]} pixels (H x W): {_listing(others)}"
    )


def _listing(items: Sequence[str]) -> str:
    rest = len(items) - NUM_NAMED
    return "; ".join(items[:NUM_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
