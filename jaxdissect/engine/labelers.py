"""Labelers find which concepts every pixel of the label grid shows.

Shapes: B batch, H W label grid, K labels per pixel, C concepts including "none".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, PyTree

from jaxdissect.arrays.colors import COLOR_NAMES, color_labels
from jaxdissect.arrays.concepts import Vocabulary, merge_vocabularies, vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.images import field, float_images
from jaxdissect.networks.segmenters.segmenter import Grid, Segmenter

Arrays = Mapping[str, Array]


class Labeler(NamedTuple):
    """Concepts and a function that finds them.

    Attributes:
        vocabulary: What the labels mean.
        label: ``label(params, batch, grid) -> [B, H, W, K]`` int32 ids in the vocabulary, 0 = none;
            a pure function of parameters and a batch's arrays, traced into the caller's jit.
        params: Its parameters. Arrays that `label` closed over would be copied into the compiled
            program as constants.
        images: Names of the batch's arrays that it takes as RGB in [0, 1], which are checked.
    """

    vocabulary: Vocabulary
    label: Callable[[PyTree, Arrays, Grid], Int32[Array, "B H W K"]]
    params: PyTree = ()
    images: tuple[str, ...] = ()

    __repr__ = short_repr


def annotated(concepts: Vocabulary, *, key: str = "labels") -> Labeler:
    """Labels that come with the data, as ``batch[key]`` [B, h, w, K], read at pixel centres."""
    return Labeler(concepts, _Annotated(key))


def segmented(segmenter: Segmenter, *, key: str = "image") -> Labeler:
    """Labels that a segmenter finds in ``batch[key]`` [B, h, w, 3], RGB in [0, 1].

    A segmenter of your own is ``Segmenter(vocabulary, params, segment)``. Its labels are read at
    pixel centres, so they need not have the size of the grid that it is asked for.
    """
    label = _Segmented(segmenter.segment, key)
    return Labeler(segmenter.vocabulary, label, segmenter.params, images=(key,))


def colored(*, key: str = "image") -> Labeler:
    """The 11 basic colors, measured from ``batch[key]`` [B, h, w, 3] in [0, 1]."""
    concepts = vocabulary((name, "color") for name in COLOR_NAMES)
    return Labeler(concepts, _Colored(key), images=(key,))


def together(*labelers: Labeler) -> Labeler:
    """All concepts of several labelers, whose labels become further channels.

    Raises:
        ValueError: If there are no labelers.
    """
    if not labelers:
        raise ValueError("`labelers` must not be empty")
    concepts, tables = merge_vocabularies(*(labeler.vocabulary for labeler in labelers))
    label = _Together(
        tuple(labeler.label for labeler in labelers),
        tuple(tuple(map(int, table)) for table in tables),
        len(concepts),
    )
    images = dict.fromkeys(name for labeler in labelers for name in labeler.images)
    return Labeler(concepts, label, tuple(labeler.params for labeler in labelers), tuple(images))


# Functions that are values: equal ones share the programs that were compiled for them.


@dataclass(frozen=True)
class _Annotated:
    key: str

    def __call__(self, params: PyTree, batch: Arrays, grid: Grid) -> Int32[Array, "B H W K"]:
        labels = field(batch, self.key)
        if labels.ndim != 4 or not jnp.issubdtype(labels.dtype, jnp.integer):
            hint = "; add an axis of one channel, [..., None]" if labels.ndim == 3 else ""
            raise ValueError(
                f"`source` gives {self.key!r} as {labels.dtype}{list(labels.shape[1:])}, but must "
                f"give integers [h, w, K], one channel per label of a pixel{hint}"
            )
        if "image" in batch:
            _check_axes(labels.shape[1:], np.shape(batch["image"])[1:], self.key)
        return at_pixel_centers(labels, grid)


def _check_axes(labels: tuple[int, ...], image: tuple[int, ...], key: str) -> None:
    """Refuse label maps [h, w, K] whose axes are surely others, going by the image [H, W, ...]."""
    if len(image) != 3:
        return
    (rows, columns, last), (height, width) = labels, image[:2]
    if (columns, last) == (height, width) and (rows, columns) != (height, width):
        found, way = "channels first", "labels [h, w, K]"
    elif rows != columns and rows * height == columns * width:
        found, way = "rows and columns exchanged", "labels in the order of the image's axes"
    else:
        return
    raise ValueError(
        f"`source` gives {key!r} of shape {list(labels)} beside an image of {height} x {width} "
        f"pixels (H x W), {found}; give {way}"
    )


@dataclass(frozen=True)
class _Segmented:
    segment: Callable[[PyTree, Array, Grid], Array]
    key: str

    def __call__(self, params: PyTree, batch: Arrays, grid: Grid) -> Int32[Array, "B H W K"]:
        labels = self.segment(params, float_images(batch, self.key), grid)
        return at_pixel_centers(labels, grid)


@dataclass(frozen=True)
class _Colored:
    key: str

    def __call__(self, params: PyTree, batch: Arrays, grid: Grid) -> Int32[Array, "B H W K"]:
        return color_labels(float_images(batch, self.key), grid=grid)[..., None]


@dataclass(frozen=True)
class _Together:
    parts: tuple[Callable[[PyTree, Arrays, Grid], Array], ...]
    tables: tuple[tuple[int, ...], ...]
    num_concepts: int

    def __call__(self, params: PyTree, batch: Arrays, grid: Grid) -> Int32[Array, "B H W K"]:
        channels = [
            _translated(label(own, batch, grid), np.array(table), self.num_concepts)
            for label, own, table in zip(self.parts, params, self.tables, strict=True)
        ]
        return jnp.concatenate(channels, axis=-1)


def _translated(labels: Array, table: np.ndarray, num_concepts: int) -> Array:
    """Translate ids; those that are in no vocabulary stay so, to be refused, not clamped."""
    known = (labels >= 0) & (labels < len(table))
    translated = jnp.asarray(table, jnp.int32)[jnp.where(known, labels, 0)]
    return jnp.where(known, translated, jnp.where(labels < 0, -1, num_concepts))


def at_pixel_centers(labels: Integer[Array, "B h w K"], grid: Grid) -> Int32[Array, "B H W K"]:
    """Read label maps of any size at the centres of the grid's pixels.

    Raises:
        ValueError: If the labels are not integers with four axes.
    """
    if labels.ndim != 4 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"`labels` (={labels.dtype}{labels.shape}) must be integers with 4 axes [B, H, W, K]"
        )

    def index(target: int, source: int) -> np.ndarray:
        return ((np.arange(target) + 0.5) * source / target).astype(int)

    rows, columns = index(grid[0], labels.shape[1]), index(grid[1], labels.shape[2])
    if labels.dtype == jnp.uint32:  # what would wrap is to be refused
        labels = jnp.minimum(labels, np.iinfo(np.int32).max)
    return labels[:, rows[:, None], columns[None, :]].astype(jnp.int32)
