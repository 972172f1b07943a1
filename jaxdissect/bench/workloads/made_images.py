"""Images and labels of whole dissections: in memory, or as files like those of photographs.

Shapes: I images, S side of an image in pixels, G side of the label grid, K labels per pixel.
"""

import shutil
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxdissect.engine.batching import Batch
from jaxdissect.engine.data.folders import ImageFolder, image_folder
from jaxdissect.engine.image_bytes import OF_FILES, Bytes
from jaxdissect.engine.reader_threads import num_cores

STORED = (375, 500)
"""Height and width of the files of images, those of most photographs of the web's data sets."""

_QUALITY = 90


class InMemory:
    """Drawn images of coarse noise, as bytes, and labels, all in the memory of the host.

    Args:
        images: I.
        size: S, a multiple of 8.
        labels: [I, G, G, K].
    """

    thread_safe = True

    def __init__(self, images: int, size: int, labels: Int32[np.ndarray, "I G G K"]) -> None:
        coarse = np.stack(
            [
                np.random.default_rng((7, index)).integers(0, 256, (size // 8, size // 8, 3))
                for index in range(images)
            ]
        ).astype(np.uint8)
        self.images = Bytes(coarse.repeat(8, axis=1).repeat(8, axis=2), OF_FILES)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": np.asarray(self.images[index]), "labels": self.labels[index]}

    def read(self, first: int, last: int) -> Batch:
        """Return the items from `first` up to, not including, `last`."""
        return {"image": np.asarray(self.images[first:last]), "labels": self.labels[first:last]}

    def read_as_bytes(self, first: int, last: int) -> Batch:
        """Return the same with bytes for images, as files have them."""
        return {"image": self.images[first:last], "labels": self.labels[first:last]}

    def describe(self) -> str:
        """Name the source for people."""
        return f"{len(self):,} images in memory"


class TemporaryFolder:
    """A folder that is removed when nothing refers to this, at the latest when Python ends.

    Attributes:
        path: Where it is.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jaxdissect-bench-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class MadeFiles:
    """JPEG files, and label maps, in a temporary folder, which is removed with this.

    Attributes:
        folder: What is removed.
        images: Folder of the JPEG files.
        masks: A folder of PNG files for each label channel.
        bytes: Of all files of images.
    """

    folder: TemporaryFolder
    images: Path
    masks: tuple[Path, ...]
    bytes: int

    def source(self, size: int | None) -> ImageFolder:
        """Read them as the library does, images resized to `size` pixels along each side."""
        side = None if size is None else (size, size)
        return image_folder(self.images, masks=self.masks, image_size=side)


def make_files(
    images: int,
    labels: Int32[np.ndarray, "I G G K"] | None = None,
) -> MadeFiles:
    """Write JPEG files of noise with about as many bytes as photographs of their size have.

    They are likely to be still in the memory of the system when they are read: the disk is not
    what is measured.

    Args:
        images: I.
        labels: Label maps to be written beside them, half as large again and more, in the shape of
            the images; read at pixel centres of the grid, they are these labels.
    """
    from PIL import Image

    temporary = TemporaryFolder()
    root = temporary.path
    channels, grid = (0, 1) if labels is None else (labels.shape[-1], labels.shape[1])
    each = -(-grid // 2)
    rows, columns = (
        ((np.arange(side) + 0.5) * grid / side).astype(int) for side in (3 * each, 4 * each)
    )
    masks = tuple(root / f"labels-{channel}" for channel in range(channels))
    for folder in (root / "images", *masks):
        folder.mkdir()

    def write(index: int) -> int:
        file = root / "images" / f"{index:06d}.jpg"
        Image.fromarray(_noise(index)).save(file, quality=_QUALITY)
        for channel, folder in enumerate(masks):
            assert labels is not None
            ids = labels[index, :, :, channel][rows[:, None], columns].astype(np.uint16)
            Image.fromarray(ids).save(folder / f"{index:06d}.png")
        return file.stat().st_size

    with ThreadPoolExecutor(num_cores()) as writers:
        sizes = list(writers.map(write, range(images)))
    return MadeFiles(temporary, root / "images", masks, sum(sizes))


def _noise(index: int) -> np.ndarray:
    """Coarse and fine noise [H, W, 3] of bytes."""
    from PIL import Image

    random = np.random.default_rng((11, index))
    height, width = STORED
    coarse = random.integers(0, 200, (-(-height // 16), -(-width // 16), 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(smooth, np.int16) + random.integers(0, 24, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8)


def decoded_by_pillow(file: Path, size: int) -> np.ndarray:
    """Decode and resize a file of an image by Pillow alone, uint8 [S, S, 3]."""
    from PIL import Image

    with Image.open(file) as image:
        resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(resized)
