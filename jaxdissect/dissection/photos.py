"""Small photographs as JPEG files in memory, as many as fit a number of bytes.

Shapes: H W pixels of an image.
"""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from PIL import Image

LONGEST_SIDE = 128
"""Pixels of the longest side of a photograph; smaller images are not enlarged."""

_FIRST_QUALITY = 90
_WAYS = ((128, 80), (128, 70), (128, 60), (112, 60), (96, 60), (80, 60), (64, 60), (64, 45))
"""Longest side and quality of JPEG, from the best to the smallest."""
_TRIED = 48  # photographs that tell how large all will be


def default_bytes(num_units: int) -> int:
    """Say how many bytes all photographs of so many units may have: 9 MB for 512 units or fewer."""
    return 18_000 * max(512, num_units)


def photo_of(image: Float[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Make a photograph of an image, RGB in [0, 1] or bytes."""
    from PIL import Image

    if image.dtype != np.uint8:
        image = (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return _encoded(Image.fromarray(image), LONGEST_SIDE, _FIRST_QUALITY)


def within_bytes(photos: Mapping[int, bytes], most: int) -> dict[int, bytes]:
    """Make photographs smaller until all together have at most so many bytes, or nearly so.

    The way is chosen by some of them, evenly spread; the smallest one if none is small enough.

    Args:
        photos: JPEG files by position.
        most: Bytes of them all.

    Returns:
        All of them, in order of position.
    """
    positions = sorted(photos)
    if sum(map(len, photos.values())) <= most:
        return {position: photos[position] for position in positions}
    tried = positions[:: -(-len(positions) // _TRIED)]
    for way in _WAYS:
        size = sum(len(_again(photos[position], *way)) for position in tried)
        if size * len(positions) <= most * len(tried):
            break
    else:
        way = _WAYS[-1]
    return {position: _again(photos[position], *way) for position in positions}


def _again(photo: bytes, longest: int, quality: int) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(photo)) as image:
        return _encoded(image, longest, quality)


def _encoded(image: "Image.Image", longest: int, quality: int) -> bytes:
    from PIL.Image import Resampling

    factor = longest / max(image.size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
