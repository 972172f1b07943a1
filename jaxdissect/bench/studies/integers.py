"""A network and images for studies whose answers must be the same on every device, to the bit.

Every activation is an integer from 0 to 255, and every weight -1, 0 or 1. Their products are exact
in float32, in TF32 and in bfloat16 with float32 sums, in any order, so nothing depends on how a
device multiplies, on the size of a batch or on the number of devices. The label grid has four
pixels to a cell, so that resampled values are multiples of 1/64: exact too.

What it computes is of no use, what it costs is that of any network: matrix products, the same for
every image. Units respond to nothing.

Letters: n images, S side of images and of the label grid, c cells along a side, K labels per pixel,
U units of a layer, W hidden units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdissect.arrays.concepts import Vocabulary, vocabulary
from jaxdissect.engine.image_bytes import OF_FILES, Bytes
from jaxdissect.networks.adapters.tapped_network import Tap, TappedNetwork

PIXELS_OF_CELL = 4
"""Pixels of the label grid along a cell."""

LABELS_PER_IMAGE = 65
"""Different labels that an image is drawn with, about as many as segmented photographs show."""

_VALUES = 256  # numbers that an activation may be


@dataclass(frozen=True, kw_only=True)
class Integers:
    """Sizes of a network of integers and of what it is dissected on.

    Attributes:
        images: Number of images, n.
        units: Units of every layer, U.
        layers: Number of layers.
        concepts: Size of the vocabulary.
        channels: Labels of a pixel, K.
        side: Height and width of images and of the label grid, S; a multiple of 4.
        hidden: Units that a layer is computed from, W.
        depth: Products of W x W weights before every layer.
    """

    images: int = 64
    units: int = 128
    layers: int = 1
    concepts: int = 256
    channels: int = 4
    side: int = 56
    hidden: int = 64
    depth: int = 1

    def __post_init__(self) -> None:
        least = {"concepts": 2, "depth": 0}
        for name, value in vars(self).items():
            if value < least.get(name, 1):
                raise ValueError(f"`{name}` (={value}) must be at least {least.get(name, 1)}")
        if self.side % PIXELS_OF_CELL:
            raise ValueError(
                f"`side` (={self.side}) must be a multiple of {PIXELS_OF_CELL}, the pixels of a "
                "cell"
            )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in order."""
        return tuple(f"layer{number}" for number in range(1, self.layers + 1))

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts, which have numbers for names."""
        return vocabulary((f"concept {number}", "object") for number in range(1, self.concepts))


@dataclass(frozen=True)
class _Function:
    """What the network computes: a value, so that equal ones share compiled programs."""

    names: tuple[str, ...]
    depth: int

    def __call__(self, params: PyTree, images: Array, tap: Tap) -> Array:
        values = _remainder(_patches(jnp.round(images * (_VALUES - 1))) @ params["stem"])
        for place, name in enumerate(self.names):
            for step in range(self.depth):
                values = _remainder(values @ params["hidden"][place][step])
            tap(name, _remainder(values @ params["units"][place]))
        return values.mean((1, 2))


def integer_network(sizes: Integers) -> TappedNetwork:
    """Make the network; layers and units that a larger one has too are the same there."""
    inputs = 3 * PIXELS_OF_CELL**2
    params = {
        "stem": _weights((inputs, sizes.hidden), 0),
        "hidden": [
            [_weights((sizes.hidden, sizes.hidden), 1, layer, step) for step in range(sizes.depth)]
            for layer in range(sizes.layers)
        ],
        "units": [
            _weights((sizes.units, sizes.hidden), 2, layer).T for layer in range(sizes.layers)
        ],
    }
    names = sizes.layer_names
    return TappedNetwork(
        _Function(names, sizes.depth),
        jax.tree.map(jnp.asarray, params),
        layer_names=names,
    )


def _weights(shape: tuple[int, int], *stream: int) -> np.ndarray:
    return np.random.default_rng(stream).integers(-1, 2, shape).astype(np.float32)


def _patches(images: Array) -> Array:
    """Put the pixels of a cell into its channels: [B, S, S, 3] -> [B, c, c, 48]."""
    batch, side, _, colors = images.shape
    cells, pixels = side // PIXELS_OF_CELL, PIXELS_OF_CELL
    parts = images.reshape(batch, cells, pixels, cells, pixels, colors).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(batch, cells, cells, pixels * pixels * colors)


def _remainder(sums: Array) -> Array:
    """Bring integers back to [0, 256), exactly: 256 is a power of two."""
    return sums - _VALUES * jnp.floor(sums / _VALUES)


class Drawn:
    """Images of noise in 8 x 8 blocks and labels in such blocks, in host memory.

    A larger number of images begins with the smaller one.
    """

    thread_safe = True

    def __init__(self, sizes: Integers) -> None:
        self.sizes = sizes
        items = [_draw(sizes, index) for index in range(sizes.images)]
        self.images = Bytes(np.stack([image for image, _ in items]), OF_FILES)
        self.labels = np.stack([labels for _, labels in items])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: array[0] for name, array in self.read(index, index + 1).items()}

    def read(self, first: int, last: int) -> dict[str, Any]:
        """Return the items from `first` up to, not including, `last`."""
        return {"image": np.asarray(self.images[first:last]), "labels": self.labels[first:last]}

    def read_as_bytes(self, first: int, last: int) -> dict[str, Any]:
        """Return the same with bytes for images, as files have them."""
        return {"image": self.images[first:last], "labels": self.labels[first:last]}


def _draw(sizes: Integers, index: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng((3, index))
    blocks = -(-sizes.side // 8)
    colors = random.integers(0, 256, (blocks, blocks, 3), np.uint8)
    chosen = random.integers(1, sizes.concepts, LABELS_PER_IMAGE)
    labels = chosen[random.integers(0, LABELS_PER_IMAGE, (blocks, blocks, sizes.channels))]

    def enlarged(array: np.ndarray) -> np.ndarray:
        return array.repeat(8, axis=0).repeat(8, axis=1)[: sizes.side, : sizes.side]

    return enlarged(colors), enlarged(labels.astype(np.int32))


# --- the same in NumPy ---------------------------------------------------------------------------


def dissect_in_numpy(
    sizes: Integers, source: Drawn, layer: int, units: int, *, fraction: float
) -> Mapping[str, np.ndarray]:
    """Dissect the first units of a layer in float64 and int64, by sorting.

    Args:
        sizes: The network's.
        source: What it is dissected on.
        layer: Place of the layer, from 0.
        units: How many units.
        fraction: Share of all pixels that a unit may be active on.

    Returns:
        "thresholds" [units], in 64ths, "intersection" [C, units] and "concept" [C], as
        `AgreementCounts` has them; row 0 is all pixels.
    """
    weights = integer_network(sizes).params
    products = [weights["stem"]]
    for earlier in range(layer + 1):
        products += weights["hidden"][earlier]
    products.append(weights["units"][layer][:, :units])
    cells, pixels = sizes.side // PIXELS_OF_CELL, PIXELS_OF_CELL
    values = source.images.values.astype(np.int64).reshape(-1, cells, pixels, cells, pixels, 3)
    values = values.transpose(0, 1, 3, 2, 4, 5).reshape(-1, cells, cells, 3 * pixels * pixels)
    for product in products:
        values = (values @ np.asarray(product).astype(np.int64)) % _VALUES
    taps = _taps(cells)  # eighths
    maps = np.einsum("hi,wj,nijk->nhwk", taps, taps, values, optimize=True)
    maps = maps.reshape(-1, maps.shape[-1])
    rank = int(np.floor(fraction * len(maps)))
    thresholds = np.sort(maps, axis=0)[len(maps) - 1 - rank]
    is_active = maps > thresholds
    labels = source.labels.reshape(-1, sizes.channels)
    shows = np.zeros((len(labels), sizes.concepts), bool)
    shows[np.arange(len(labels))[:, None], labels] = True
    shows[:, 0] = True
    return {
        "thresholds": thresholds,
        "intersection": np.stack([is_active[row].sum(0) for row in shows.T]),
        "concept": shows.sum(0),
    }


def _taps(cells: int) -> np.ndarray:
    """How much of every cell is in every pixel along an axis, in eighths [S, c]."""
    taps = np.zeros((cells * PIXELS_OF_CELL, cells), np.int64)
    for pixel in range(len(taps)):
        place = 2 * pixel + 1 - PIXELS_OF_CELL  # of its centre, in eighths of a cell
        cell, beyond = divmod(place, 8)
        taps[pixel, min(max(cell, 0), cells - 1)] += 8 - beyond
        taps[pixel, min(max(cell + 1, 0), cells - 1)] += beyond
    return taps
