"""Strokes of a brush over an image, and the cells of a layer that are under them.

Shapes: H W image, h w cells of a layer.

Image coordinates run from (0, 0), the outer corner of the first pixel, to (W, H): pixel (row i,
column j) is the square from (j, i) to (j + 1, i + 1). The map from strokes to cells is exact:
points are rounded to 1/16 of a pixel, and everything after that is integer arithmetic.
"""

import functools
import itertools
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
    pieces = itertools.pairwise(points) if len(points) > 1 else [(points[0], points[0])]
    for start, end in pieces:
        _mark(under, start, end, radius)
    return under


def _mark(
    under: Bool[np.ndarray, "H W"],
    start: Int64[np.ndarray, "2"],
    end: Int64[np.ndarray, "2"],
    radius: int,
) -> None:
    """Mark the pixels near a straight piece, all in parts of a pixel."""
    low = np.maximum((np.minimum(start, end) - radius) // FRACTIONS, 0)
    high = (np.maximum(start, end) + radius) // FRACTIONS + 1
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    rows, columns = under[box].shape
    center = FRACTIONS // 2
    y = ((low[1] + np.arange(rows)) * FRACTIONS + center)[:, None] - start[1]
    x = ((low[0] + np.arange(columns)) * FRACTIONS + center)[None] - start[0]
    dx, dy = (int(side) for side in end - start)
    length = dx * dx + dy * dy  # squared
    along = x * dx + y * dy
    across = x * dy - y * dx
    # The nearest point of the piece is its start, its end, or between: compare squares.
    before, after = x * x + y * y, (x - dx) ** 2 + (y - dy) ** 2
    within = radius * radius
    between = (along > 0) & (along < length) & (across * across <= within * length)
    under[box] |= (before <= within) | (after <= within) | between
