"""Measure which pixels of an image the cells of layers depend on, for any network.

Letters: B batch, H W image, h w cells of a layer, U units.

The gradient of a cell with respect to an image is zero outside the cell's receptive field. A few
cells of every layer are measured in an image of noise; along each axis, fields are taken to move
evenly from cell to cell. Some forms of convolution, such as Winograd's, leave rounding errors where
the gradient should be zero: beyond a line of pixels where the greatest gradient falls to less than
`_NEGLIGIBLE` of what it was one pixel before, pixels are not counted.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, PyTree

from jaxdissect.arrays.resampling import Shape

_NEGLIGIBLE = 1e-4

# From parameters and images [B, H, W, channels] to layers [B, h, w, U].
ImageToMaps = Callable[[PyTree, Array], Mapping[str, Array]]


class AxisExtent(NamedTuple):
    """The receptive fields of the cells along one axis, in pixels.

    Attributes:
        begin: First pixel that cell 0 depends on, below 0 beyond the image; -inf where every cell
            depends on the first pixel.
        end: Pixel after the last one that cell 0 depends on; inf where every cell depends on the
            last pixel.
        step: Pixels from a cell to the next.
        size: Pixels of the image.
    """

    begin: float
    end: float
    step: float
    size: int

    @property
    def is_everything(self) -> bool:
        """Whether every cell depends on the first and on the last pixel."""
        return self.begin == -np.inf and self.end == np.inf

    def of(self, cells: Int[np.ndarray, "*n"]) -> tuple[Int32[np.ndarray, "*n"], ...]:
        """Find where the fields of cells begin and end within the image, the end exclusive."""
        begin = np.clip(np.floor(self.begin + self.step * cells), 0, self.size - 1)
        end = np.clip(np.ceil(self.end + self.step * cells), 1, self.size)
        return begin.astype(np.int32), np.maximum(end, begin + 1).astype(np.int32)


class ReceptiveExtent(NamedTuple):
    """The receptive fields of the cells of a layer, along both axes."""

    rows: AxisExtent
    columns: AxisExtent

    @property
    def size(self) -> Shape | None:
        """Height and width of a whole field; None where it covers the image from every cell.

        Where it does so along one axis, it has the size of the image there.
        """
        if self.rows.is_everything and self.columns.is_everything:
            return None
        sides = (
            axis.size if not np.isfinite(axis.end - axis.begin) else round(axis.end - axis.begin)
            for axis in self
        )
        height, width = sides
        return height, width

    def boxes(self, places: Int[np.ndarray, "*n 2"]) -> Int32[np.ndarray, "*n 4"]:
        """Find the boxes of cells: left, top, right, bottom; right and bottom exclusive.

        Args:
            places: Row and column of every cell.
        """
        top, bottom = self.rows.of(places[..., 0])
        left, right = self.columns.of(places[..., 1])
        return np.stack([left, top, right, bottom], axis=-1)


def measure_receptive_extents(
    read: ImageToMaps, params: PyTree, image_shape: tuple[int, int, int], *, batch_size: int = 8
) -> dict[str, ReceptiveExtent | None]:
    """Measure the receptive fields of the cells of some layers.

    Args:
        read: From parameters and images [B, H, W, channels] to layers; traced, hashable, and
            differentiable.
        params: The parameters.
        image_shape: Height, width and channels of an image.
        batch_size: Images that are looked at together.

    Returns:
        By layer; None where no cell that was looked at depends on the image.

    Raises:
        ValueError, TypeError, NotImplementedError: If JAX cannot differentiate the network.
    """
    one = jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32)
    shapes = {name: found.shape[1:3] for name, found in jax.eval_shape(read, params, one).items()}
    probes = [(name, cell) for name, shape in shapes.items() for cell in _cells(shape)]
    noise = np.random.default_rng(0).random((1, *image_shape), np.float32)
    images = jnp.asarray(np.broadcast_to(noise, one.shape))
    profiles: dict[tuple[str, tuple[int, int]], tuple[np.ndarray, np.ndarray]] = {}
    for begin in range(0, len(probes), batch_size):
        some = probes[begin : begin + batch_size]
        places = {
            name: np.array(
                [cell if layer == name else (-1, -1) for layer, cell in some]
                + [(-1, -1)] * (batch_size - len(some)),
                np.int32,
            )
            for name in shapes
        }
        rows, columns = map(np.asarray, _profiles(read, params, images, places))
        profiles |= {probe: (rows[i], columns[i]) for i, probe in enumerate(some)}
    found = {}
    for name, (height, width) in shapes.items():
        cells = _cells((height, width))
        lines = [profiles[name, cell] for cell in cells]
        axes = [
            _axis([cell[axis] for cell in cells], [line[axis] for line in lines], number)
            for axis, number in enumerate((height, width))
        ]
        rows, columns = axes
        found[name] = None if rows is None or columns is None else ReceptiveExtent(rows, columns)
    return found


def _cells(shape: Shape) -> list[tuple[int, int]]:
    """Choose the cells to measure: the first, the last, and one a quarter from either."""
    rows, columns = (
        [0, max(1, number // 4), number - 1 - max(1, number // 4), number - 1] for number in shape
    )
    height, width = shape
    return [
        (min(max(row, 0), height - 1), min(max(column, 0), width - 1))
        for row, column in zip(rows, columns, strict=True)
    ]


@partial(jax.jit, static_argnums=0)
def _profiles(
    read: ImageToMaps,
    params: PyTree,
    images: Float[Array, "B H W _"],
    places: Mapping[str, Array],
) -> tuple[Float[Array, "B H"], Float[Array, "B W"]]:
    """Find the greatest gradient in every row and column of images, of a cell of each.

    Args:
        read: From parameters and images to layers.
        params: The parameters.
        images: The images.
        places: Row and column of a cell by layer [B, 2]; (-1, -1) for none of the layer.
    """

    def probed(images: Array) -> Array:
        total = jnp.zeros((), jnp.float32)
        for number, (name, maps) in enumerate(read(params, images).items()):
            batch, height, width, units = maps.shape
            signs = jax.random.normal(jax.random.key(number), (1, 1, 1, units), jnp.float32)
            row, column = places[name][:, 0], places[name][:, 1]
            is_row = row[:, None] == jnp.arange(height, dtype=jnp.int32)[None]
            is_column = column[:, None] == jnp.arange(width, dtype=jnp.int32)[None]
            here = (is_row[:, :, None] & is_column[:, None, :]).reshape(batch, height, width, 1)
            total += jnp.where(here, maps.astype(jnp.float32) * signs, 0).sum()
        return total

    gradient = jnp.abs(jax.grad(probed)(images)).max(axis=3)
    return gradient.max(axis=2), gradient.max(axis=1)


def _axis(cells: list[int], profiles: list[np.ndarray], number: int) -> AxisExtent | None:
    """Find the fields along an axis from those of four cells, in order, of `number`."""
    size = len(profiles[0])
    ends = [_extent(profile) for profile in profiles]
    if None in (ends[0], ends[-1]):
        return None
    first, last = ends[0], ends[-1]
    assert first is not None and last is not None
    steps = [
        (ends[b][side] - ends[a][side]) / (cells[b] - cells[a])  # type: ignore[index]
        for side, a, b in ((1, 0, 1), (0, 2, 3))
        if ends[a] is not None
        and ends[b] is not None
        and cells[b] > cells[a]
        and 0 < ends[a][side] < size  # type: ignore[index]
        and 0 < ends[b][side] < size  # type: ignore[index]
    ]
    step = float(np.mean(steps)) if steps else size / number
    begin = -np.inf if last[0] == 0 else last[0] - step * cells[-1]
    end = np.inf if first[1] == size else float(first[1])
    return AxisExtent(begin, end, step, size)


def _extent(profile: np.ndarray) -> tuple[int, int] | None:
    """Find the first pixel and the one after the last whose gradient counts."""
    if not np.isfinite(profile).all() or not profile.any():
        return None
    peak = int(profile.argmax())
    end = peak + _reach(profile[peak:])
    begin = peak + 1 - _reach(profile[peak::-1])
    return begin, end


def _reach(profile: np.ndarray) -> int:
    """Count the values, from the first one on, before all that follow are negligible."""
    beyond = np.maximum.accumulate(profile[::-1])[::-1]
    falls = np.flatnonzero(beyond[1:] <= _NEGLIGIBLE * beyond[:-1])
    return int(falls[0]) + 1 if len(falls) else len(profile)
