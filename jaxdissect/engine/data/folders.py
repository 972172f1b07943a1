"""Folders of images, alone or with label maps drawn beside them.

    photographs/park/1.jpg      the image "park/1.jpg"
    objects/park/1.png          its label map, channel 0
    parts/park/1.tif            its label map, channel 1

What the files may be stands in `pictures`. Every image of the image folder must have a label map
at the same place in each mask folder; other files there are ignored. Whatever can be wrong with a
folder without decoding pixels is found at once, before hours of work.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, SupportsIndex

import numpy as np

from jaxdissect.arrays.names import listed, printable
from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.data import pictures
from jaxdissect.engine.image_bytes import labels_as_bytes

_log = logging.getLogger(__name__)

_KINDS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WebP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}

IMAGE_SUFFIXES = tuple(_KINDS)
"""Endings of the files that count as images, in either case."""

MASK_SUFFIXES = (".png", ".tif", ".tiff")
"""Endings of the files that count as label maps, in either case."""

OnError = Literal["raise", "skip"]
"""What to do about files that cannot be read: refuse the folder, or leave out these images."""

_listing = partial(listed, separator="; ")

_WAY_OUT = "`on_error` 'skip' leaves out what cannot be read"


@dataclass(frozen=True)
class ImageFolder:
    """A source of images and their label maps; built by `image_folder`.

    `source[i]` decodes one example, a dictionary of NumPy arrays:

    - "image": float32 [H, W, 3], RGB in [0, 1];
    - "labels": int32 [h, w, K], one channel per mask folder, ids in 0 .. vocabulary_size - 1, at
      the masks' own resolution, or that of the images where masks differ in size. Only with masks.

    It raises ValueError, naming the file, if an image or mask is damaged or a label lies outside
    the vocabulary. Reading keeps no state, so threads may share a source.
    """

    thread_safe: ClassVar[bool] = True

    names: tuple[str, ...]  # paths below the image folder, parts joined by "/", sorted
    image_files: tuple[Path, ...]
    mask_files: tuple[tuple[Path, ...], ...]  # one tuple of K files per image
    image_size: tuple[int, int] | None = None  # (H, W) images are resized to; None: as stored
    mask_size: tuple[int, int] | None = None  # (h, w) masks are resized to; None: as stored
    ids: pictures.LabelIds = pictures.LabelIds()  # what the values of masks mean
    skipped: tuple[str, ...] = ()  # why images were left out, a message for each that names it

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        return {name: np.asarray(array) for name, array in self.item_as_bytes(index).items()}

    def item_as_bytes(self, index: SupportsIndex) -> dict[str, Any]:
        """Decode one example, and leave the image, and labels below 256, as `Bytes`."""
        try:
            return self._read(index)
        except pictures.UnreadablePicture as problem:
            raise pictures.UnreadablePicture(f"{problem}; {_WAY_OUT}") from None

    def _read(self, index: SupportsIndex) -> dict[str, Any]:
        file = self.image_files[index]
        image = pictures.read_image_bytes(str(file), file, size=self.image_size)
        if not self.mask_files[index]:
            return {"image": image}
        masks = [
            pictures.read_label_map(str(mask), mask, size=self.mask_size, ids=self.ids)
            for mask in self.mask_files[index]
        ]
        return {"image": image, "labels": labels_as_bytes(np.stack(masks, axis=-1))}

    def describe(self) -> str:
        """Name the source for people, such as "folder of 3,492 JPEG files"."""
        kinds = {_KINDS.get(file.suffix.lower(), "image") for file in self.image_files}
        kind = kinds.pop() if len(kinds) == 1 else "image"
        return f"folder of {len(self):,} {kind} {'files' if len(self) != 1 else 'file'}"

    def name(self, index: SupportsIndex) -> str:
        """Return the path of an example below the image folder, such as "park/1.jpg"."""
        return self.names[index]

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`.

        Files are known by name, size and time.
        """
        return vars(self)

    def chosen(self, places: Sequence[int]) -> "ImageFolder":
        """Return some of the images, in the order of their places here."""
        return replace(
            self,
            names=tuple(self.names[i] for i in places),
            image_files=tuple(self.image_files[i] for i in places),
            mask_files=tuple(self.mask_files[i] for i in places),
        )

    def check(self) -> "ImageFolder":
        """Open the header of every file; decode none.

        Returns:
            The source, whose masks are resized like the images if they differ in size.

        Raises:
            ValueError: If files cannot be opened, masks are no label maps or do not have the shape
                of their images, or images or masks differ in size and are not resized; the message
                names the files.
        """
        sizes = _collect(self.image_files, pictures.image_file_size)
        if self.image_size is None:
            _same_size(self.image_files, sizes, "images")
        masks = [file for files in self.mask_files for file in files]
        mask_sizes = _collect(masks, pictures.label_map_size)
        owners = [i for i, files in enumerate(self.mask_files) for _ in files]
        faults = [
            pictures.shape_fault(str(self.image_files[i]), sizes[i], str(mask), mask_size)
            for i, mask, mask_size in zip(owners, masks, mask_sizes, strict=True)
        ]
        if found := [fault for fault in faults if fault is not None]:
            raise ValueError(_listing(found))
        if self.image_size is None:
            _same_size(masks, mask_sizes, "masks")
        return self if len(set(mask_sizes)) <= 1 else replace(self, mask_size=self.image_size)

    def without_unreadable(self) -> "ImageFolder":
        """Decode every file once, and leave out the images that have one which cannot be read.

        Raises:
            ValueError: If none can be read.
        """
        with ThreadPoolExecutor() as readers:
            faults = list(readers.map(self._fault, range(len(self))))
        kept = [place for place, reason in enumerate(faults) if reason is None]
        reasons = tuple(reason for reason in faults if reason is not None)
        if not kept:
            raise ValueError(_listing(reasons))
        return replace(self.chosen(kept), skipped=reasons)

    def _fault(self, index: int) -> str | None:
        """Decode the files of an example, and return why one of them cannot be read."""
        file, masks = self.image_files[index], self.mask_files[index]
        try:
            pictures.read_image_bytes(str(file), file, size=(1, 1))
            for mask in masks:
                pictures.read_label_map(str(mask), mask, ids=pictures.LabelIds())
        except pictures.UnreadablePicture as problem:
            return str(problem)
        return None


def image_folder(
    images: str | os.PathLike[str],
    *,
    masks: Sequence[str | os.PathLike[str]] = (),
    image_size: tuple[int, int] | None = None,
    vocabulary_size: int | None = None,
    ignore_label: int | None = None,
    first_label: int = 1,
    limit: int | None = None,
    on_error: OnError = "raise",
) -> ImageFolder:
    """Find the images below a folder, and the label map of each in every mask folder.

    All headers are opened once (well under 0.1 ms per local file), see `ImageFolder.check`.

    Args:
        images: folder searched with its subfolders for `IMAGE_SUFFIXES`, sorted by path; hidden
            files are skipped, and so are mask folders that lie inside it. Links to folders are
            followed, but no folder is searched twice.
        masks: K folders of label maps, one per label channel; the map of `a/b.jpg` is `a/b.png` or
            `a/b.tif`.
        image_size: (H, W) in pixels to which images are resized (bilinear over the area that a
            new pixel covers, whatever the aspect, as in Bau et al., PNAS 2020), and label maps too
            if they differ in size, read at pixel centres; left out, all must have one size.
        vocabulary_size: number of label ids including 0, `len(vocabulary)`; with it labels are
            checked when they are read.
        ignore_label: value of label maps where nothing is labelled besides 0, often 255.
        first_label: value of the first concept in label maps: 1, or 0 where 0 is a concept.
        limit: take only so many images, the first by path.
        on_error: "raise", or "skip" to leave out images that are damaged or whose label maps are,
            or that are no such pictures, see `ImageFolder.skipped`; every file is then decoded
            once beforehand, and what was left out is logged.

    Raises:
        FileNotFoundError: If a folder is missing, holds no images, or masks are missing.
        ValueError: If an option makes no sense, or `ImageFolder.check` finds a fault.
    """
    if isinstance(masks, (str, os.PathLike)):
        raise ValueError(f"`masks` (={str(masks)!r}) must be a list of folders, even of one")
    root, folders = Path(images), [Path(folder) for folder in masks]
    pictures.check_options(image_size=image_size, limit=limit)
    ids = pictures.LabelIds(vocabulary_size, ignore_label, first_label)
    ids.check()
    if on_error not in ("raise", "skip"):
        raise ValueError(f"`on_error` (={on_error!r}) must be 'raise' or 'skip'")
    for name, folder in (("images", root), *(("masks", folder) for folder in folders)):
        if not folder.is_dir():
            raise FileNotFoundError(f"`{name}`: there is no folder {folder}")
    if root.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"`masks` must lie in another folder than `images` (={str(root)!r})")

    found = sorted(_image_paths(root, folders), key=lambda path: path.parts)[:limit]
    if not found:
        endings = ", ".join(IMAGE_SUFFIXES)
        raise FileNotFoundError(f"`images`: found no images ({endings}) in {root}")
    source = ImageFolder(
        names=tuple(path.as_posix() for path in found),
        image_files=tuple(root / path for path in found),
        mask_files=_mask_files(found, folders),
        image_size=image_size,
        ids=ids,
    )
    if on_error == "skip":
        source = source.without_unreadable()
    if source.skipped:
        number, reasons = len(source.skipped), printable(_listing(source.skipped))
        _log.warning("%d of %d images of %s are left out: %s", number, len(found), root, reasons)
    return source.check()


def count_image_files(folder: Path) -> int:
    """Count the images that `image_folder` would find below a folder, without opening them."""
    return sum(1 for _ in _image_paths(folder, ()))


def _image_paths(root: Path, mask_folders: Sequence[Path]) -> Iterator[Path]:
    """Yield images relative to `root`, each folder once: those that lie in it, then linked ones."""
    seen = {folder.resolve() for folder in mask_folders}
    waiting = deque([root])
    while waiting:
        start = waiting.popleft()
        # A link to a folder above is a loop, even before that folder was seen.
        if start != root and start.parent.resolve().is_relative_to(start.resolve()):
            continue
        for folder, subfolders, files in os.walk(start):
            here = Path(folder)
            if here.resolve() in seen:
                subfolders.clear()
                continue
            seen.add(here.resolve())
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            waiting += [here / name for name in subfolders if (here / name).is_symlink()]
            for name in files:
                if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                    yield (here / name).relative_to(root)


def _mask_files(images: Sequence[Path], folders: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Find the label map of every image in every folder.

    Raises:
        FileNotFoundError: If some are missing.
        ValueError: If an image has two, or two images have one.
    """
    if not folders:
        return ((),) * len(images)

    @cache
    def label_maps(folder: Path) -> dict[str, list[Path]]:
        """List the label maps of one folder by their names without ending."""
        found: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix.lower() in MASK_SUFFIXES:
                found.setdefault(path.stem, []).append(path)
        return found

    twins = [
        path for path, number in Counter(p.with_suffix("") for p in images).items() if number > 1
    ]
    if twins:
        same = [path.as_posix() for path in images if path.with_suffix("") == twins[0]]
        raise ValueError(f"`images`: {' and '.join(same)} would have the same label map")
    every, missing = [], []
    for path in images:
        own = []
        for folder in folders:
            found = label_maps((folder / path).parent).get(path.stem, [])
            if len(found) > 1:
                raise ValueError(f"`masks`: {path.as_posix()} has two, {found[0]} and {found[1]}")
            own += found or [folder / path.with_suffix(MASK_SUFFIXES[0])]
            missing += [] if found else [str(own[-1])]
        every.append(tuple(own))
    if missing:
        raise FileNotFoundError(f"{len(missing)} masks are missing: {_listing(missing)}")
    return tuple(every)


def _collect(
    files: Sequence[Path], size: Callable[[str, Path], tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the size that `size` finds of each file, or raise for all faulty files at once."""
    sizes, faults = [], []
    for file in files:
        try:
            sizes.append(size(str(file), file))
        except pictures.UnreadablePicture as fault:
            faults.append(str(fault))
    if faults:
        raise ValueError(f"{_listing(faults)}; {_WAY_OUT}")
    return sizes


def _same_size(files: Sequence[Path], sizes: Sequence[tuple[int, int]], what: str) -> None:
    if len(set(sizes)) <= 1:
        return
    (usual, _), *_ = Counter(sizes).most_common(1)
    others = [
        f"{file} ({height} x {width})"
        for file, (height, width) in zip(files, sizes, strict=True)
        if (height, width) != usual
    ]
    raise ValueError(
        f"{what} must all have one size; or give `image_size`: {len(others)} of {len(files)} are "
        f"not {usual[0]} x {usual[1]} pixels (H x W): {_listing(others)}"
    )
