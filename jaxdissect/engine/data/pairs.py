"""Images that come in pairs: with the same layout in another style, or with any other image.

An example of `Paired` is that of the original, with the stylised image under `STYLISED`. Two
folders are matched by the names of their files, see `pair_name`. An example of `WithDonors` holds
under `DONOR` the image whose activations stand in for its own in resample ablation.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from jaxdissect.arrays.names import listed
from jaxdissect.engine.batching import (
    Batch,
    Source,
    is_thread_safe,
    read_block,
    read_item,
    source_name,
)
from jaxdissect.engine.data.folders import ImageFolder

STYLISED = "stylised"
"""Key of the stylised image of a pair."""

DONOR = "donor"
"""Key of the donor image of an example."""

STYLE_MARK = "-stylized-"
"""What stands between the names of content and style in the files of the paper's code."""

# Places365_val_00000001, and whatever follows the number.
_PLACES = re.compile(r"(.*Places365_[a-z]+_\d+)")


class Paired:
    """Originals, each with its stylised image.

    Args:
        originals: Examples with an "image" [H, W, 3], and labels or whatever else.
        stylised: As many examples with an "image" of the same size.

    Raises:
        ValueError: If there are none, or not as many of both, or the images of the first pair
            differ in size.
    """

    def __init__(self, originals: Source, stylised: Source) -> None:
        if not len(originals) == len(stylised) > 0:
            raise ValueError(
                f"`stylised` (={len(stylised)}) must be as many as `originals` (={len(originals)})"
            )
        sizes = [np.shape(source[0]["image"])[:2] for source in (originals, stylised)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"`stylised` images of {sizes[1][0]} x {sizes[1][1]} pixels (H x W) must have the "
                f"size of `originals`, {sizes[0][0]} x {sizes[0][1]}; or resize both"
            )
        self.originals, self.stylised = originals, stylised

    def __len__(self) -> int:
        return len(self.originals)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return {**self.originals[index], STYLISED: self.stylised[index]["image"]}

    def read(self, first: int, last: int) -> Batch:
        """Stack the pairs from `first` up to, not including, `last`."""
        return read_block(self, first, last)

    def parts(self) -> Sequence[tuple[Source, Callable[[Batch], Batch]]]:
        """Return both sources; of the stylised one, images alone are taken."""
        return [(self.originals, dict), (self.stylised, _as_stylised)]

    def describe(self) -> str:
        """Name both sources for people."""
        return " and ".join(dict.fromkeys(map(source_name, (self.originals, self.stylised))))

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)


def _as_stylised(items: Batch) -> Batch:
    return {STYLISED: items["image"]}


class WithDonors:
    """Examples, each with a donor image: that of another example, as unlike as chance makes it.

    Every example is the donor of exactly one, and none of itself.

    Args:
        source: Examples with an "image".
        seed: Seed of the order in which examples are paired.

    Attributes:
        donors: For each example, the number of the one whose image it holds too.

    Raises:
        ValueError: If there are less than two examples.
    """

    def __init__(self, source: Source, *, seed: int = 0) -> None:
        number = len(source)
        if number < 2:
            raise ValueError(f"`source` (={number} examples) must have at least 2, to pair them")
        order = np.random.default_rng(seed).permutation(number)
        self.source = source
        self.donors = np.empty(number, np.int64)
        self.donors[order] = np.roll(order, 1)
        self._donors = _Donors(source, self.donors)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return {**self.source[index], **self._donors[index]}

    def parts(self) -> Sequence[tuple[Source, Callable[[Batch], Batch]]]:
        """Return the examples and the donor images."""
        return [(self.source, dict), (self._donors, dict)]

    def describe(self) -> str:
        """Name the source for people."""
        return source_name(self.source)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return {"source": self.source, "donors": self.donors}


class _Donors:
    """Images of a source in another order, as donors."""

    def __init__(self, source: Source, places: np.ndarray) -> None:
        self._source, self._places = source, places
        self.thread_safe = is_thread_safe(source)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return {DONOR: self._source[int(self._places[index])]["image"]}

    def item_as_bytes(self, index: int) -> Mapping[str, Any]:
        """Return a donor as `Bytes`, if the source has them."""
        return {DONOR: read_item(self._source, int(self._places[index]), as_bytes=True)["image"]}


def pair_name(path: str) -> str:
    """Return the part of a path that both files of a pair have in common.

    That is the path below the folder, without ending, and without what follows the number of an
    image of Places365 or else `STYLE_MARK`. So `a/1.png` and `a/1-stylized-monet.jpg` have the same
    name, and so have `Places365_val_00000001.jpg` and `Places365_val_00000001_cubist.png`.
    """
    name = str(PurePosixPath(path).with_suffix(""))
    places = _PLACES.match(name)
    return places[1] if places else name.partition(STYLE_MARK)[0]


def paired_folders(
    originals: ImageFolder,
    stylised: ImageFolder,
    *,
    name: Callable[[str], str] = pair_name,
    limit: int | None = None,
) -> Paired:
    """Match the images of two folders.

    An original may have several stylised images; each is a pair.

    Args:
        originals, stylised: Folders of images, read at the same size (see `image_folder`).
        name: From the path of a file below its folder to the name that both files of a pair have.
        limit: Take only so many pairs, the first by path of the stylised image.

    Raises:
        ValueError: If images have no partner (some are named), two originals have the same name, or
            `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` (={limit}) must be at least 1")
    of_name: dict[str, int] = {}
    for place, path in enumerate(originals.names):
        other = of_name.setdefault(name(path), place)
        if other != place:
            raise ValueError(f"`originals`: {originals.names[other]} and {path} have the same name")
    wanted = [name(path) for path in stylised.names]
    unmatched = {
        "originals": [originals.names[of_name[key]] for key in of_name.keys() - set(wanted)],
        "stylised": [
            path for path, key in zip(stylised.names, wanted, strict=True) if key not in of_name
        ],
    }
    if any(unmatched.values()):
        faults = [
            f"{len(paths)} of `{folder}`: {listed(sorted(paths))}"
            for folder, paths in unmatched.items()
            if paths
        ]
        raise ValueError(f"images without a partner of the same name: {'; '.join(faults)}")
    places = [of_name[key] for key in wanted][:limit]
    return Paired(originals.chosen(places), stylised.chosen(range(len(places))))
