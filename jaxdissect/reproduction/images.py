"""Images as the paper's code reads them: resized whatever their aspect, then cut at the centre."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from jaxdissect.engine.batching import Joined, Source, is_thread_safe, read_item, source_name
from jaxdissect.engine.data.classes import with_classes
from jaxdissect.engine.data.folders import ImageFolder
from jaxdissect.engine.image_bytes import Bytes


class CentreCut:
    """A source whose images are cut to a smaller size around their centres.

    Args:
        source: Examples with an "image" [H, W, 3].
        size: Height and width of what is left.

    Raises:
        ValueError: If the images are smaller.
    """

    def __init__(self, source: Source, size: tuple[int, int]) -> None:
        height, width = np.shape(source[0]["image"])[:2]
        if size[0] > height or size[1] > width:
            raise ValueError(
                f"`size` (={size[0]} x {size[1]} pixels, H x W) must not be above that of the "
                f"images, {height} x {width}"
            )
        # Where the published code begins: halves are rounded as by `round`.
        self._top, self._left = round((height - size[0]) / 2), round((width - size[1]) / 2)
        self._source, self._size = source, size
        self.thread_safe = is_thread_safe(source)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        item = self.item_as_bytes(index)
        return {name: np.asarray(value) for name, value in item.items()}

    def item_as_bytes(self, index: SupportsIndex) -> dict[str, Any]:
        """Return one example, its image as `Bytes` where the source has them."""
        item: Mapping[str, Any] = read_item(self._source, int(index), as_bytes=True)
        image = item["image"]
        if isinstance(image, Bytes):
            return {**item, "image": Bytes(self._cut(image.values), image.table)}
        return {**item, "image": self._cut(image)}

    def _cut(self, image: np.ndarray) -> np.ndarray:
        height, width = self._size
        return image[self._top : self._top + height, self._left : self._left + width]

    def describe(self) -> str:
        """Name the source for people."""
        return source_name(self._source)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return {"source": self._source, "size": self._size}


def cut_images(folder: ImageFolder, cut: int) -> Source:
    """Cut the images of a folder to a square at their centres."""
    return CentreCut(folder, (cut, cut))


def cut_images_with_classes(
    folder: ImageFolder, cut: int, *, class_names: Sequence[str] | None
) -> tuple[Source, tuple[str, ...]]:
    """Cut the images of a folder, and add their classes, those of the folders that they lie in.

    Args:
        folder: Images, all of one size.
        cut: Pixels of a side of what is left.
        class_names: All classes in the order of the outputs; None: the folders sorted by name.

    Returns:
        The images with their "label", and the names of the classes.

    Raises:
        ValueError: If an image lies in no folder of a class, or is too small.
    """
    classed, names = with_classes(folder, class_names=class_names)
    others = [part for part, _ in classed.parts()][1:]
    return Joined(cut_images(folder, cut), *others), names
