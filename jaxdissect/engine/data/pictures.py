"""Decode the files of images and label maps, the same wherever they are stored.

Every function takes a file and the `name` by which messages call it, such as its path. This is the
one place where picture files are opened: PNG, JPEG, BMP, WebP, and TIFF that is uncompressed or
compressed by LZW, Deflate or PackBits; nothing else, whatever the name of the file ends in. Images
and label maps are turned upright as their EXIF orientation says. Transparency is dropped, colour
profiles are ignored.

A label map is a grayscale (8 or 16 bits) or palette PNG or TIFF whose values are the ids of a
vocabulary (`jaxdissect.arrays.concepts`), 0 where nothing is labelled; see `LabelIds` for others.

Shapes: H W image, h w label map.
"""

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from jaxdissect.engine.image_bytes import OF_FILES, Bytes

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 2**26
"""Pixels of the largest picture that is decoded, 67 million: 0.8 GB as floats."""

MAX_BYTES = 2**29
"""Size of the largest file that is read, more than such a picture takes uncompressed."""

# What Pillow may try. Left to itself it would also start other programs for some formats.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits")

# Bit depth and colour type of the PNGs whose samples are label ids as they stand. Grayscale of
# fewer bits is left out: by the PNG standard its samples are scaled to 8 bits, ids would change.
_LABEL_KINDS = {(8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3)}
_COLOR_TYPES = {0: "grayscale", 2: "RGB", 3: "palette", 4: "grayscale + alpha", 6: "RGB + alpha"}
_PNG_HEADER = struct.Struct(">8s8xIIBB")  # signature, width, height, bit depth, colour type

# Tags of TIFF: bits per sample, photometric interpretation, sample format.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_TIFF_COLOR_TYPES = {1: 0, 3: 3}  # photometric interpretations that are colour types of PNG

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width
_LONGEST_EXIF = 2**16 + 64  # bytes from the beginning of EXIF data to the end of a PNG


class UnreadablePicture(ValueError):
    """A file is damaged, or is no picture of the kind that it should be."""


class LabelIds(NamedTuple):
    """What the values stored in label maps mean.

    Attributes:
        vocabulary_size: Number of ids including 0; None: ids are not checked.
        ignore_label: Value where nothing is labelled besides 0, often 255; None: there is none.
        first_label: Value of the first concept: 1, or 0 for label maps in which 0 is a concept.
    """

    vocabulary_size: int | None = None
    ignore_label: int | None = None
    first_label: int = 1

    def check(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            ValueError: If a number is too small, or `first_label` is neither 0 nor 1.
        """
        if self.vocabulary_size is not None and self.vocabulary_size < 1:
            raise ValueError(f"`vocabulary_size` (={self.vocabulary_size}) must be at least 1")
        if self.ignore_label is not None and self.ignore_label < 0:
            raise ValueError(f"`ignore_label` (={self.ignore_label}) must be at least 0")
        if self.first_label not in (0, 1):
            raise ValueError(f"`first_label` (={self.first_label}) must be 0 or 1")

    def of(self, name: str, stored: Int32[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
        """Return ids of the vocabulary, 0 for none.

        Args:
            name: What messages call the label map.
            stored: Its values.

        Raises:
            ValueError: If an id is `vocabulary_size` or more.
        """
        ids = stored + (1 - self.first_label)
        if self.ignore_label is not None:
            ids[stored == self.ignore_label] = 0
        if self.vocabulary_size is not None and (highest := ids.max()) >= self.vocabulary_size:
            found = highest - (1 - self.first_label)
            last = self.vocabulary_size - 1 - (1 - self.first_label)
            raise ValueError(
                f"{name}: label {found} lies outside the vocabulary, whose ids are 0 to {last}; if "
                f"it means that nothing is labelled, give `ignore_label` {found}"
            )
        return ids


def check_options(*, image_size: tuple[int, int] | None, limit: int | None) -> None:
    """Refuse options of a source of pictures that make no sense.

    Args:
        image_size: (H, W) in pixels to which images are resized, None: as stored.
        limit: How many examples to take, None: all.

    Raises:
        ValueError: If a number is not positive, or `image_size` is no pair.
    """
    if image_size is not None and (np.shape(image_size) != (2,) or min(image_size) < 1):
        raise ValueError(f"`image_size` (={image_size}) must be (H, W) of at least 1 pixel")
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` (={limit}) must be at least 1")


def read_image(
    name: str, file: Path | bytes, *, size: tuple[int, int] | None = None
) -> Float32[np.ndarray, "H W 3"]:
    """Decode an image with 8 bits per channel.

    Args:
        name: What messages call it.
        file: Its file, or what that holds. Grayscale is repeated to three channels.
        size: (H, W) in pixels to which it is resized, bilinear over the area that a new pixel
            covers, whatever the aspect (as in Bau et al., PNAS 2020); None: as stored.

    Returns:
        RGB in [0, 1].

    Raises:
        UnreadablePicture: If the file is damaged or no image, has more than 8 bits per channel,
            or more than `MAX_PIXELS`.
    """
    return np.asarray(read_image_bytes(name, file, size=size))


def read_image_bytes(
    name: str, file: Path | bytes, *, size: tuple[int, int] | None = None
) -> Bytes:
    """Decode an image as `read_image` does, and leave its colors as bytes.

    Args:
        name, file, size: What `read_image` takes.

    Returns:
        RGB [H, W, 3], with the table of colors in [0, 1].

    Raises:
        UnreadablePicture: If `read_image` would refuse it.
    """
    from PIL import Image

    with _opened(name, file) as image:
        _refuse_many_bits(name, image)
        _turn_upright(image)
        # Straight to RGB, a palette with several transparent colours makes Pillow warn.
        opaque = image.convert("RGBA") if image.mode == "P" else image
        colored = opaque if opaque.mode == "RGB" else opaque.convert("RGB")
        return Bytes(np.asarray(_resized(colored, size, Image.Resampling.BILINEAR)), OF_FILES)


def read_label_map(
    name: str, file: Path | bytes, *, size: tuple[int, int] | None = None, ids: LabelIds
) -> Int32[np.ndarray, "h w"]:
    """Decode a label map.

    Args:
        name: What messages call it.
        file: Its file, or what that holds.
        size: (h, w) in pixels to which it is resized, read at the centres of the new pixels; None:
            as stored.
        ids: What its values mean.

    Returns:
        Label ids, 0 for none.

    Raises:
        UnreadablePicture: If the file is damaged or no label map.
        ValueError: If a label lies outside the vocabulary.
    """
    from PIL import Image

    with _opened(name, file) as image:
        _check_label_map(name, image, _header(file))
        _turn_upright(image)
        labels = np.asarray(_resized(image, size, Image.Resampling.NEAREST)).astype(np.int32)
    return ids.of(name, labels)


def image_file_size(name: str, file: Path | bytes) -> tuple[int, int]:
    """Return (H, W) of an image whose header is sound; no pixel is decoded.

    Raises:
        UnreadablePicture: If the file cannot be opened, is no image, has more than 8 bits per
            channel, or more than `MAX_PIXELS`.
    """
    with _opened(name, file) as image:
        _refuse_many_bits(name, image)
        return _upright_size(image)


def label_map_size(name: str, file: Path | bytes) -> tuple[int, int]:
    """Return (h, w) of a label map whose header is sound; no pixel is decoded.

    Raises:
        UnreadablePicture: If the file cannot be opened, is neither PNG nor TIFF, or does not hold
            one label id per pixel.
    """
    header = _header(file)
    with _opened(name, file) as image:
        _check_label_map(name, image, header)
        return _upright_size(image)


def shape_fault(
    image: str, image_size: tuple[int, int], mask: str, mask_size: tuple[int, int]
) -> str | None:
    """Say what is wrong with a label map that is not as wide, for its height, as its image.

    Args:
        image, mask: What messages call them.
        image_size, mask_size: (H, W) of both.

    Returns:
        The message; None if it is as wide.
    """
    (height, width), (rows, columns) = image_size, mask_size
    # Sides may have been rounded when one was made smaller than the other.
    if 2 * abs(rows * width - columns * height) <= width + height:
        return None
    turned = 2 * abs(columns * width - rows * height) <= width + height
    hint = "; perhaps one is turned by its EXIF orientation and the other not" if turned else ""
    return (
        f"{mask} ({rows} x {columns}, H x W) does not have the shape of its image {image} "
        f"({height} x {width}){hint}"
    )


@contextmanager
def _opened(name: str, file: Path | bytes) -> "Iterator[Image.Image]":
    """Open a picture; whatever the decoders raise becomes one exception that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        _check_file(name, file)
        source = BytesIO(file) if isinstance(file, bytes) else file
        with Image.open(source, formats=_FORMATS) as picture:
            _check_picture(name, picture)
            yield picture
    except UnreadablePicture:
        raise
    except UnidentifiedImageError:  # its own message shows the address of `file` in memory
        raise UnreadablePicture(
            f"cannot read {name}: it is no PNG, JPEG, BMP, WebP or TIFF picture"
        ) from None
    except Image.DecompressionBombError:
        raise UnreadablePicture(f"cannot read {name}: {_TOO_LARGE}") from None
    except Exception as problem:  # decoders of damaged files raise nearly everything
        reason = str(problem) or type(problem).__name__
        raise UnreadablePicture(f"cannot read {name}: {reason}") from None


_TOO_LARGE = f"it has more than {MAX_PIXELS:,} pixels; make it smaller"


def _check_file(name: str, file: Path | bytes) -> None:
    """Refuse what is no ordinary file, which might never end, or is too large."""
    if isinstance(file, bytes):
        size = len(file)
    else:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnreadablePicture(f"cannot read {name}: it is no ordinary file")
        size = found.st_size
    if size > MAX_BYTES:
        raise UnreadablePicture(f"cannot read {name}: it has more than {MAX_BYTES:,} bytes")


def _check_picture(name: str, picture: "Image.Image") -> None:
    """Refuse pictures that are too large, or several in one file."""
    if picture.width * picture.height > MAX_PIXELS:
        raise UnreadablePicture(f"cannot read {name}: {_TOO_LARGE}")
    if picture.format == "TIFF":
        compression = picture.info.get("compression", "unknown")
        if compression not in _TIFF_COMPRESSIONS:
            raise UnreadablePicture(
                f"cannot read {name}: TIFF compressed by {compression} is not supported; store it "
                "uncompressed, by LZW or Deflate, or as PNG"
            )
        if (pages := getattr(picture, "n_frames", 1)) > 1:
            raise UnreadablePicture(f"cannot read {name}: it holds {pages} pictures; keep one")


def _header(file: Path | bytes) -> bytes:
    """Return the beginning of a file, as far as the header of a PNG; nothing if there is none."""
    if isinstance(file, bytes):
        return file[: _PNG_HEADER.size]
    if not file.is_file():  # `_opened` will say so
        return b""
    with file.open("rb") as opened:
        return opened.read(_PNG_HEADER.size)


def _check_label_map(name: str, picture: "Image.Image", header: bytes) -> None:
    """Refuse pictures whose samples are no label ids."""
    if picture.format == "PNG":
        _, _, _, depth, color_type = _PNG_HEADER.unpack(header)
    elif picture.format == "TIFF":
        tags = getattr(picture, "tag_v2")  # noqa: B009  (only TIFF pictures have tags)
        depth = max(tags.get(_BITS, (1,)))
        color_type = _TIFF_COLOR_TYPES.get(tags.get(_PHOTOMETRIC), 2)
        if set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:  # signed integers or floats
            color_type = -1
    else:
        raise UnreadablePicture(f"{name} is no PNG or TIFF file, as label maps must be")
    if (depth, color_type) not in _LABEL_KINDS:
        kind = _COLOR_TYPES.get(color_type, "unknown")
        raise UnreadablePicture(
            f"{name} is {kind} with {depth} bits, but a label map must hold one id per pixel: "
            "grayscale with 8 or 16 bits, or a palette (colours do not say which id they mean)"
        )


def _refuse_many_bits(name: str, image: "Image.Image") -> None:
    # Of three channels with 16 bits Pillow keeps the upper 8, which only the tags or the raw mode
    # of what is stored still show.
    tags = getattr(image, "tag_v2", {})
    stored = [str(tile.args) for tile in getattr(image, "tile", ())] if not tags else []
    deep = image.format == "PNG" and any("16" in mode for mode in stored)
    if deep or max(tags.get(_BITS, (1,))) > 8 or image.mode.startswith(("I", "F")):
        raise UnreadablePicture(f"{name} has more than 8 bits per channel; convert it to 8 bits")


def _turn_upright(picture: "Image.Image") -> None:
    """Decode a picture, and turn it as its EXIF orientation says."""
    from PIL import ImageOps

    ImageOps.exif_transpose(picture, in_place=True)


def _upright_size(picture: "Image.Image") -> tuple[int, int]:
    """Return (H, W) of a picture as `_turn_upright` will leave it."""
    turned = _has_orientation(picture) and picture.getexif().get(_ORIENTATION, 1) in _TURNED
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def _has_orientation(picture: "Image.Image") -> bool:
    """Whether a picture may be turned; only then its EXIF data are worth asking for."""
    if picture.format == "TIFF":  # Pillow has seen to its size already
        return False
    if picture.format != "PNG" or "exif" in picture.info:
        return True
    if "Raw profile type exif" in picture.info:
        return True
    # Asked for EXIF data that do not come before the pixels, Pillow decodes the PNG to look behind.
    file = getattr(picture, "fp")  # noqa: B009  (of pictures that come from files)
    place = file.tell()
    file.seek(max(file.seek(0, 2) - _LONGEST_EXIF, 0))
    found = b"eXIf" in file.read()
    file.seek(place)
    return found


def _resized(
    picture: "Image.Image", size: tuple[int, int] | None, resampling: "Image.Resampling"
) -> "Image.Image":
    return picture if size is None else picture.resize((size[1], size[0]), resampling)
