"""Folders of images, alone or with label maps drawn beside them.

    photographs/park/1.jpg      the image "park/1.jpg"
    objects/park/1.png          its label map, channel 0
    parts/park/1.png            its label map, channel 1

What the files may be stands in `pictures`. Every image of the image folder must have a label map
at the same place in each mask folder; other files there are ignored. Whatever can be wrong with a
folder without decoding pixels is found at once, before hours of work.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

import numpy as np

from jaxdissect.engine.data import pictures

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings of the files that count as images, in either case."""

NUM_NAMED = 5
"""How many of many faulty files a message names."""


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
        file = self.image_files[index]
        image = pictures.read_image(str(file), file.read_bytes(), size=self.image_size)
        if not self.mask_files[index]:
            return {"image": image}
        masks = [
            pictures.read_label_map(
                str(mask), mask.read_bytes(), vocabulary_size=self.vocabulary_size
            )
            for mask in self.mask_files[index]
        ]
        return {"image": image, "labels": np.stack(masks, axis=-1)}

    def name(self, index: SupportsIndex) -> str:
        """Return the path of an example below the image folder, such as "park/1.jpg"."""
        return self.names[index]

    def check(self) -> None:
        """Open the header of every file; decode none.

        Raises:
            ValueError: If files cannot be opened, masks are no label maps, masks differ in size,
                or images do and are not resized; the message names the files.
        """
        sizes = _collect(self.image_files, pictures.image_file_size)
        if self.image_size is None:
            _same_size(self.image_files, sizes, "images", "; or give `image_size`")
        masks = [file for files in self.mask_files for file in files]
        _same_size(masks, _collect(masks, _mask_size), "masks", "")


def image_folder(
    images: str | os.PathLike[str],
    *,
    masks: Sequence[str | os.PathLike[str]] = (),
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
    pictures.check_options(image_size=image_size, vocabulary_size=vocabulary_size, limit=limit)
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


def _mask_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return pictures.label_map_size(str(path), file.read(pictures.PNG_HEADER_BYTES))


def _collect(
    files: Sequence[Path], size: Callable[[Path], tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the size that `size` finds of each file, or raise for all faulty files at once."""
    sizes, faults = [], []
    for file in files:
        try:
            sizes.append(size(file))
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
