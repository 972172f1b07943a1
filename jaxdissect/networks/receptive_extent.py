"""Measure which pixels of an image the cells of layers depend on, for any network.

Letters: B batch, H W image, h w cells of a layer, U units.

The gradient of a cell with respect to an image is zero outside the cell's receptive field. A few
cells of every layer are measured in an image of noise; along each axis, fields are taken to move
evenly from cell to cell. Some forms of convolution, such as Winograd's, leave rounding errors where
the gradient should be zero. The highest precision is asked for, which avoids them on CPU; and
beyond a line of pixels where the greatest gradient falls to less than `_NEGLIGIBLE` of what it was
one pixel before, pixels are not counted.
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
_NOISE_BLOCKS = (1, 2, 4, 8, 16)  # pixels of a color; each is tried where those before show nothing

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
        begin, end = np.asarray(begin, np.int32), np.asarray(end, np.int32)
        return begin, np.asarray(np.maximum(end, begin + 1))


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
    shapes = {
        name: (found.shape[1], found.shape[2])
        for name, found in jax.eval_shape(read, params, one).items()
    }
    probes = [
        _Probe(name, axis, line)
        for name, shape in shapes.items()
        for axis in (0, 1)
        for line in _lines(shape[axis])
    ]
    profiles: dict[_Probe, np.ndarray] = {}
    for blocks in _NOISE_BLOCKS:
        images = jnp.asarray(np.broadcast_to(_noise(image_shape, blocks), one.shape))
        # Where a layer is zero all along a line, other noise may show what it depends on.
        open_probes = [probe for probe in probes if not profiles.get(probe, np.zeros(1)).any()]
        for begin in range(0, len(open_probes), batch_size):
            some = open_probes[begin : begin + batch_size]
            missing = [(-1, -1)] * (batch_size - len(some))
            lines = {
                name: np.array([probe.lines_of(name) for probe in some] + missing, np.int32)
                for name in shapes
            }
            with jax.default_matmul_precision("highest"):
                of_axis = [np.asarray(part) for part in _profiles(read, params, images, lines)]
            profiles |= {probe: of_axis[probe.axis][row] for row, probe in enumerate(some)}
    found = {}
    for name, shape in shapes.items():
        rows, columns = (
            _axis({line: profiles[_Probe(name, axis, line)] for line in _lines(number)}, number)
            for axis, number in enumerate(shape)
        )
        found[name] = None if rows is None or columns is None else ReceptiveExtent(rows, columns)
    return found


def _noise(image_shape: tuple[int, int, int], blocks: int) -> Float[np.ndarray, "1 H W _"]:
    """Draw an image of noise whose colors change every so many pixels."""
    height, width, channels = image_shape
    shape = (1, -(-height // blocks), -(-width // blocks), channels)
    noise = np.random.default_rng(0).random(shape, np.float32)
    return noise.repeat(blocks, axis=1).repeat(blocks, axis=2)[:, :height, :width]


class _Probe(NamedTuple):
    """All cells of a row (axis 0) or a column (axis 1) of a layer, whose gradient is found at once.

    So some of them see the last pixels of their fields, where a single one may not: a maximum has a
    gradient in one place only.
    """

    layer: str
    axis: int
    line: int

    def lines_of(self, layer: str) -> tuple[int, int]:
        """Return the row and the column of a layer; -1 for none."""
        if layer != self.layer:
            return -1, -1
        return (self.line, -1) if self.axis == 0 else (-1, self.line)


def _lines(number: int) -> tuple[int, ...]:
    """Choose the cells to measure along an axis: the first, one a quarter from it, and the last."""
    return tuple(sorted({0, min(max(1, number // 4), number - 1), number - 1}))


@partial(jax.jit, static_argnums=0)
def _profiles(
    read: ImageToMaps,
    params: PyTree,
    images: Float[Array, "B H W _"],
    lines: Mapping[str, Array],
) -> tuple[Float[Array, "B H"], Float[Array, "B W"]]:
    """Find the greatest gradient in every row and column of images, of some cells of each.

    Args:
        read: From parameters and images to layers.
        params: The parameters.
        images: The images.
        lines: A row and a column of a layer [B, 2], whose cells these are; -1 for none.
    """

    def probed(images: Array) -> Array:
        total = jnp.zeros((), jnp.float32)
        for number, (name, maps) in enumerate(read(params, images).items()):
            batch, height, width, units = maps.shape
            signs = jax.random.normal(jax.random.key(number), (1, height, width, units))
            row, column = lines[name][:, :1], lines[name][:, 1:]
            is_row = row == jnp.arange(height, dtype=jnp.int32)[None]
            is_column = column == jnp.arange(width, dtype=jnp.int32)[None]
            here = (is_row[:, :, None] | is_column[:, None, :]).reshape(batch, height, width, 1)
            total += jnp.where(here, maps.astype(jnp.float32) * signs, 0).sum()
        return total

    gradient = jnp.abs(jax.grad(probed)(images)).max(axis=3)
    return gradient.max(axis=2), gradient.max(axis=1)


def _axis(profiles: Mapping[int, np.ndarray], number: int) -> AxisExtent | None:
    """Find the fields along an axis from those of some cells, by cell, of `number`."""
    size = len(profiles[0])
    ends = {line: _extent(profile) for line, profile in profiles.items()}
    first, last = ends[0], ends[number - 1]
    if first is None or last is None:
        return None
    second = sorted(ends)[min(1, len(ends) - 1)]
    between = ends[second]
    step = size / number
    if second and between is not None:
        seen = (between[1] - first[1]) / second
        step = seen if between[1] < size else max(step, seen)  # it sees no more than there is
    begin = -np.inf if last[0] == 0 else last[0] - step * (number - 1)
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
