"""Strokes of a brush over an image, and the cells of a layer that are under them.

Shapes: H W image, h w cells of a layer.

Image coordinates run from (0, 0), the outer corner of the first pixel, to (W, H): pixel (row i,
column j) is the square from (j, i) to (j + 1, i + 1). The map from strokes to cells is exact:
points are rounded to 1/16 of a pixel, and everything after that is integer arithmetic.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from jaxdissect.arrays.resampling import Shape

FRACTIONS = 16
"""Parts of a pixel that coordinates are rounded to; and twice the parts of a brush's diameter."""

MAX_SIDE = 1024
"""Largest height or width of an image: beyond it, products of coordinates may not fit 64 bits."""

MAX_POINTS = 512
"""Most points of a stroke."""

_PIECES = 128
"""Straight pieces that are marked at once."""

_FAR = 2**40
"""Beyond all coordinates."""


@dataclass(frozen=True)
class Stroke:
    """A round brush, moved along a line of straight pieces.

    Attributes:
        points: Image coordinates (x, y), at least one.
        brush: Diameter of the brush in pixels.

    Raises:
        ValueError: If there are no points or more than `MAX_POINTS`, or a number is not finite or
            out of range.
    """

    points: tuple[tuple[float, float], ...]
    brush: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise ValueError(
                f"`points` must be 1 to {MAX_POINTS} points of a stroke, not {len(self.points)}"
            )
        if not 1 <= self.brush <= MAX_SIDE:
            raise ValueError(f"`brush` (={self.brush}) must be 1 to {MAX_SIDE} pixels")
        for point in self.points:
            if len(point) != 2 or not all(0 <= x <= MAX_SIDE for x in point):
                raise ValueError(
                    f"`points` must be (x, y) with coordinates from 0 to {MAX_SIDE}, not {point}"
                )


@functools.lru_cache(maxsize=512)  # a page sends all its strokes again with each new one
def _under(stroke: Stroke, image_size: Shape, cells: Shape) -> Bool[np.ndarray, "h w"]:
    pixels = pixels_under(stroke, image_size)
    under = np.zeros(cells, bool)
    rows, columns = (
        cell_of_pixels(size, number) for size, number in zip(image_size, cells, strict=True)
    )
    i, j = np.nonzero(pixels)
    under[rows[i], columns[j]] = True
    under.flags.writeable = False
    return under


def cells_under(
    stroke: Stroke, image_size: Sequence[int], cells: Sequence[int]
) -> Bool[np.ndarray, "h w"]:
    """Find the cells that a stroke touches: those with a pixel under the brush.

    Args:
        stroke: What was drawn.
        image_size: Height and width of the image, H and W.
        cells: Height and width of the layer, h and w, not greater than H and W.

    Returns:
        Where the stroke is, not to be written to.

    Raises:
        ValueError: If a point lies beyond the image, the image is too large, or a cell would have
            no pixel.
    """
    return _under(stroke, (int(image_size[0]), int(image_size[1])), (int(cells[0]), int(cells[1])))


def cell_of_pixels(size: int, cells: int) -> Int64[np.ndarray, "size"]:
    """Find the cell of every row (or column) of pixels: the one that the pixel's centre is in.

    Cells divide the image evenly: pixel i is in cell floor((i + 1/2) cells / size).

    Raises:
        ValueError: If a cell would have no pixel.
    """
    if not 1 <= cells <= size:
        raise ValueError(f"`cells` (={cells}) must be 1 to {size}, the pixels of the image")
    return (2 * np.arange(size) + 1) * cells // (2 * size)


def pixels_under(stroke: Stroke, image_size: Sequence[int]) -> Bool[np.ndarray, "H W"]:
    """Find the pixels under a stroke.

    These are the pixels whose centre is no further from the line than half the diameter of the
    brush, and those that the points themselves lie in: even the finest brush marks something.

    Args:
        stroke: What was drawn.
        image_size: Height and width of the image.

    Raises:
        ValueError: If a point lies beyond the image, or the image is too large.
    """
    height, width = image_size
    if not 1 <= min(image_size) <= max(image_size) <= MAX_SIDE:
        raise ValueError(f"`image_size` (={(height, width)}) must be 1 to {MAX_SIDE} pixels a side")
    points = np.rint(np.array(stroke.points, np.float64) * FRACTIONS).astype(np.int64)
    if (points > [width * FRACTIONS, height * FRACTIONS]).any():
        raise ValueError(
            f"`points` must lie within the image, 0 to {width} across and 0 to {height} down"
        )
    radius = round(stroke.brush * FRACTIONS / 2)
    under = np.zeros((height, width), bool)
    j, i = np.minimum(points // FRACTIONS, [width - 1, height - 1]).T
    under[i, j] = True
    starts, ends = _pieces(points)
    for first in range(0, len(starts), _PIECES):
        some = slice(first, first + _PIECES)
        _mark(under, starts[some], ends[some], radius)
    return under


def rows_crossed(stroke: Stroke, image_size: Sequence[int]) -> int:
    """Count the rows of pixels that the straight pieces of a stroke cross, the work of marking."""
    starts, ends = _pieces(np.array(stroke.points, np.float64)[:, 1:])
    rows = np.minimum(np.abs(ends - starts) + stroke.brush + 2, min(image_size[0], MAX_SIDE))
    return int(rows.sum())


def _pieces(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where straight pieces start and where they end; a point is one of length zero."""
    return (points[:-1], points[1:]) if len(points) > 1 else (points, points)


def _mark(
    under: Bool[np.ndarray, "H W"],
    starts: Int64[np.ndarray, "P 2"],
    ends: Int64[np.ndarray, "P 2"],
    radius: int,
) -> None:
    """Mark the pixels near straight pieces, all in parts of a pixel.

    What lies within the radius of a piece is convex: of every row of pixels it is an interval. So
    the work grows with the rows that pieces cross, not with pixels.
    """
    height, width = under.shape
    center = FRACTIONS // 2
    low, high = np.sort([starts[:, 1], ends[:, 1]], axis=0)
    low = np.clip((low - radius) // FRACTIONS, 0, height - 1)
    count = np.clip((high + radius) // FRACTIONS, 0, height - 1) + 1 - low
    piece = np.repeat(np.arange(len(starts)), count)
    row = np.arange(len(piece)) - np.repeat(count.cumsum() - count - low, count)
    left, right = _intervals(row * FRACTIONS + center, starts, ends, piece, radius)
    first = np.maximum(-((center - left) // FRACTIONS), 0)
    last = np.minimum((right - center) // FRACTIONS, width - 1)
    there = first <= last
    steps = np.zeros((height, width + 1), np.int32)
    np.add.at(steps, (row[there], first[there]), 1)
    np.add.at(steps, (row[there], last[there] + 1), -1)
    under |= steps.cumsum(axis=1)[:, :width] > 0


def _intervals(
    row: Int64[np.ndarray, "R"],
    starts: Int64[np.ndarray, "P 2"],
    ends: Int64[np.ndarray, "P 2"],
    piece: Int64[np.ndarray, "R"],
    radius: int,
) -> tuple[Int64[np.ndarray, "R"], Int64[np.ndarray, "R"]]:
    """Find the first and the last x of rows that are within the radius of pieces; exact.

    The nearest point of a piece is its start, its end (discs), or between (a strip). With the
    vector d of a piece and its length squared L, points (x, y) from its start are in the strip
    where 0 < x dx + y dy < L and |x dy - y dx| <= floor(sqrt(r^2 L)).
    """
    offsets = ends - starts
    lengths = (offsets * offsets).sum(axis=1)
    roots = np.array([math.isqrt(radius * radius * length) for length in lengths.tolist()])
    start_x, start_y = starts[piece].T
    dx, dy = offsets[piece].T
    length, across = lengths[piece], roots[piece]
    y = row - start_y

    # Along the piece: if it is upright, a row is in the strip with all its x, or with none.
    sign = np.where(dx < 0, -1, 1)
    divisor = np.where(dx == 0, 1, np.abs(dx))
    bound = np.minimum(-sign * y * dy, sign * (length - y * dy))
    left = np.where(dx == 0, -_FAR, bound // divisor + 1)
    right = np.where(dx == 0, _FAR, -(-(bound + length) // divisor) - 1)
    inside = (dx != 0) | ((y * dy > 0) & (y * dy < length))
    # Across the piece.
    divisor = np.where(dy == 0, 1, np.abs(dy))
    middle = np.where(dy < 0, -1, 1) * y * dx
    left = np.maximum(left, np.where(dy == 0, -_FAR, -((across - middle) // divisor)))
    right = np.minimum(right, np.where(dy == 0, _FAR, (middle + across) // divisor))
    inside &= ((dy != 0) | (np.abs(y * dx) <= across)) & (left <= right)
    left = np.where(inside, left, _FAR)
    right = np.where(inside, right, -_FAR)
    for x, away in ((0, y), (dx, y - dy)):
        # Exact: a root of so small an integer is never rounded past an integer.
        square = radius * radius - away * away
        half = np.sqrt(np.maximum(square, 0)).astype(np.int64)
        left = np.minimum(left, np.where(square >= 0, x - half, _FAR))
        right = np.maximum(right, np.where(square >= 0, x + half, -_FAR))
    return left + start_x, right + start_x
