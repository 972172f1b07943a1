"""Decode the files of images and label maps, the same wherever they are stored.

Every function takes the bytes of a file and the `name` by which messages call it, such as its path.
Pixels are taken as stored: no rotation by EXIF, transparency dropped, colour profiles ignored.

A label map is a grayscale (8 or 16 bits) or palette PNG whose values are the ids of a vocabulary
(`jaxdissect.arrays.concepts`), 0 where nothing is labelled.

Shapes: H W image, h w label map.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int32

if TYPE_CHECKING:
    from PIL import Image

# Bit depth and colour type of the PNGs whose samples are label ids as they stand. Grayscale of
# fewer bits is left out: by the PNG standard its samples are scaled to 8 bits, ids would change.
_LABEL_KINDS = {(8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3)}
_COLOR_TYPES = {0: "grayscale", 2: "RGB", 3: "palette", 4: "grayscale + alpha", 6: "RGB + alpha"}
_PNG_HEADER = struct.Struct(">16xIIBB")  # width, height, bit depth, colour type

PNG_HEADER_BYTES = _PNG_HEADER.size
"""How much of a label map's file `label_map_size` needs."""


def check_options(
    *,
    image_size: tuple[int, int] | None,
    vocabulary_size: int | None,
    limit: int | None,
) -> None:
    """Refuse options of a source of pictures that make no sense.

    Args:
        image_size: (H, W) in pixels to which images are resized, None: as stored.
        vocabulary_size: Number of label ids including 0, None: not known.
        limit: How many examples to take, None: all.

    Raises:
        ValueError: If a number is not positive, or `image_size` is no pair.
    """
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise ValueError(f"`image_size` (={image_size}) must be (H, W) of at least 1 pixel")
    for name, value in (("vocabulary_size", vocabulary_size), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")


def read_image(
    name: str, data: bytes, *, size: tuple[int, int] | None = None
) -> Float32[np.ndarray, "H W 3"]:
    """Decode an image with 8 bits per channel.

    Args:
        name: What messages call it.
        data: Its file, of any format that Pillow reads. Grayscale is repeated to three channels.
        size: (H, W) in pixels to which it is resized, bilinear over the area that a new pixel
            covers, whatever the aspect (as in Bau et al., PNAS 2020); None: as stored.

    Returns:
        RGB in [0, 1].

    Raises:
        ValueError: If the file is damaged or no image, or has more than 8 bits per channel.
    """
    from PIL import Image

    with _opened(name, BytesIO(data)) as image:
        _refuse_many_bits(name, image)
        # Straight to RGB, a palette with several transparent colours makes Pillow warn.
        opaque = image.convert("RGBA") if image.mode == "P" else image
        pixels = _resized(opaque.convert("RGB"), size, Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.float32) / 255


def read_label_map(
    name: str,
    data: bytes,
    *,
    size: tuple[int, int] | None = None,
    vocabulary_size: int | None = None,
) -> Int32[np.ndarray, "h w"]:
    """Decode a label map.

    Args:
        name: What messages call it.
        data: Its PNG file.
        size: (h, w) in pixels to which it is resized, read at the centres of the new pixels; None:
            as stored.
        vocabulary_size: Number of label ids including 0; None: labels are not checked.

    Returns:
        Label ids, 0 for none.

    Raises:
        ValueError: If the file is damaged or no label map, or a label is `vocabulary_size` or more.
    """
    from PIL import Image

    label_map_size(name, data)
    with _opened(name, BytesIO(data)) as image:
        labels = np.asarray(_resized(image, size, Image.Resampling.NEAREST)).astype(np.int32)
    if vocabulary_size is not None and labels.max() >= vocabulary_size:
        raise ValueError(
            f"{name}: label {labels.max()} lies outside the vocabulary, "
            f"whose ids are 0 to {vocabulary_size - 1}"
        )
    return labels


def image_file_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of an image file whose header is sound; no pixel is decoded.

    Raises:
        ValueError: If the file cannot be opened, is no image, or has more than 8 bits per channel.
    """
    with _opened(str(path), path) as image:
        _refuse_many_bits(str(path), image)
        return image.height, image.width


def label_map_size(name: str, data: bytes) -> tuple[int, int]:
    """Return (h, w) of a label map from the first `PNG_HEADER_BYTES` of its file.

    Raises:
        ValueError: If it is no PNG file or does not hold one label id per pixel.
    """
    if len(data) < PNG_HEADER_BYTES or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{name} is not a PNG file, as label maps must be")
    width, height, depth, color_type = _PNG_HEADER.unpack_from(data)
    if (depth, color_type) not in _LABEL_KINDS:
        kind = _COLOR_TYPES.get(color_type, "unknown")
        raise ValueError(
            f"{name} is {kind} with {depth} bits, but a label map must hold one id per pixel: "
            "grayscale with 8 or 16 bits, or a palette (colours do not say which id they mean)"
        )
    return height, width


@contextmanager
def _opened(name: str, file: Path | BytesIO) -> "Iterator[Image.Image]":
    """Open a picture; what the decoders raise becomes one ValueError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            yield picture
    except UnidentifiedImageError:  # its own message shows the address of `file` in memory
        raise ValueError(f"cannot read {name}: it is no image of a known format") from None
    except (OSError, SyntaxError, struct.error, Image.DecompressionBombError) as problem:
        raise ValueError(f"cannot read {name}: {problem}") from None


def _refuse_many_bits(name: str, image: "Image.Image") -> None:
    if image.mode.startswith(("I", "F")):  # Pillow's modes for integers and floats
        raise ValueError(f"{name} has more than 8 bits per channel; convert it to 8 bits")


def _resized(
    picture: "Image.Image", size: tuple[int, int] | None, resampling: "Image.Resampling"
) -> "Image.Image":
    return picture if size is None else picture.resize((size[1], size[0]), resampling)
