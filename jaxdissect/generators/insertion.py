"""Insert units into a generator: where does an object appear, and where is it refused?

Shapes: B batch, N images, C concepts including "none", K labels per pixel, k units, m cells,
c chosen concepts.

Bau et al. 2020, "The role of units in a GAN": the units that match `door` best are set to high
values at one cell of a layer, and the images that follow are segmented anew. Whether a door
appears depends on what was there: on a building it does, in the sky it does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int, Int32, Int64

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.images import images_with_units
from jaxdissect.generators.interventions import (
    EditedLayer,
    checked_areas,
    checked_concepts,
    checked_values,
)
from jaxdissect.networks.edits import Edit, insert
from jaxdissect.stats import agreement, paired_changes
from jaxdissect.stats.intervals import student_t
from jaxdissect.stats.paired_changes import PairedChanges


@dataclass(frozen=True)
class Insertion:
    """How the areas of all concepts change when units are inserted, given what was there.

    A sample is an image with the units inserted at one cell. Its context is the concepts that the
    image without them shows at the centre of that cell; a sample counts for each of these. Context
    0 stands for all samples, concept 0 for pixels without any concept. Areas are numbers of pixels
    of the label grid.

    Attributes:
        layer: Where units were inserted.
        vocabulary: The concepts.
        units: The inserted units.
        values: What they were set to.
        cells: Row and column of each cell where they were.
        num_pixels: Pixels of an image's label grid.
        before: Areas in every image, with nothing inserted.
        changes: Number of samples of each context, and sums of their changes of area [context,
            concept] and of the squares of these.
        by_image: The same with the images as samples, each with the sum over all its cells [1,
            concept].
        contexts: What the image without them shows at the centre of each cell, each concept once;
            0 for none.
        concepts: Ids of the concepts whose changes were kept for every image and cell.
        added: Changes of area of these.
    """

    layer: str
    vocabulary: Vocabulary
    units: Int64[np.ndarray, "k"]
    values: Float32[np.ndarray, "k"]
    cells: Int64[np.ndarray, "m 2"]
    num_pixels: int
    before: Int32[np.ndarray, "N C"]
    changes: PairedChanges
    by_image: PairedChanges
    contexts: Int32[np.ndarray, "N m K"]
    concepts: tuple[int, ...]
    added: Int32[np.ndarray, "N m c"]

    __repr__ = short_repr

    @property
    def number(self) -> Int64[np.ndarray, "C"]:
        """Number of samples of each context; the reference reports those with 1000 or more."""
        return self.changes.number

    @cached_property
    def mean_before(self) -> Float64[np.ndarray, "C"]:
        """Mean area in an image, with nothing inserted."""
        return self.before.mean(axis=0, dtype=np.float64)

    @cached_property
    def mean_change(self) -> Float64[np.ndarray, "C C"]:
        """Mean change of area [context, concept]; 0 in contexts without samples."""
        return paired_changes.mean(self.changes)

    @cached_property
    def standard_error(self) -> Float64[np.ndarray, "C C"]:
        """Standard error of `mean_change`, infinite in contexts of less than two samples.

        Samples are taken to be independent. Those of one image are not: `clustered_error` and
        `error_by_image` are larger, and the ones to judge by. The reference's is not comparable:
        its variance misses most of the spread between samples.
        """
        return paired_changes.standard_error(self.changes)

    @cached_property
    def error_by_image(self) -> Float64[np.ndarray, "C"]:
        """Standard error of the mean change over all samples, by images; infinite for one image."""
        return paired_changes.standard_error(self.by_image)[0] / len(self.cells)

    def clustered_error(self, concept: int) -> Float64[np.ndarray, "C"]:
        """Standard error of the mean change of one of `concepts` in every context, by images.

        Cells of one image are no independent samples; images are. The mean is a ratio of sums over
        images, whose error is that of its linearisation (Cochran, Sampling Techniques, 1977,
        section 6.3). Infinite in contexts of less than two images.

        Raises:
            ValueError: If it is none of `concepts`.
        """
        return self._by_images(concept)[0]

    def _by_images(self, concept: int) -> tuple[Float64[np.ndarray, "C"], Int64[np.ndarray, "C"]]:
        """Standard errors by images in every context, and numbers of images that have it."""
        change = self.added_at(concept)
        num_contexts = len(self.vocabulary)
        image, cell, channel = np.nonzero(self.contexts)
        context = self.contexts[image, cell, channel]
        number, sums = np.zeros((2, len(change), num_contexts))
        np.add.at(number, (image, context), 1)
        np.add.at(sums, (image, context), change[image, cell])
        number[:, 0], sums[:, 0] = change.shape[1], change.sum(axis=1)
        total, images = number.sum(axis=0), (number > 0).sum(axis=0)
        mean = sums.sum(axis=0) / np.maximum(total, 1)
        squares = ((sums - mean * number) ** 2).sum(axis=0) * images / np.maximum(images - 1, 1)
        return np.where(images > 1, np.sqrt(squares) / np.maximum(total, 1), np.inf), images

    def added_at(self, concept: int) -> Int32[np.ndarray, "N m"]:
        """Change of area of one of `concepts` in every image, by cell.

        Raises:
            ValueError: If it is none of them.
        """
        if concept not in self.concepts:
            raise ValueError(f"`concept` (={concept}) must be one of {list(self.concepts)}")
        return self.added[:, :, self.concepts.index(concept)]

    def best_places(
        self, concept: int, number: int, *, worst: bool = False
    ) -> Int64[np.ndarray, "_ 2"]:
        """Find images and cells (positions in `cells`) where most of a concept is added, or least.

        The best or worst cell of every image, and of these the best or worst `number`, equals by
        image.

        Raises:
            ValueError: If it is none of `concepts`.
        """
        value = self.added_at(concept).astype(np.int64) * (1 if worst else -1)
        cell = value.argmin(axis=1)
        images = np.argsort(value.min(axis=1), kind="stable")[:number]
        return np.stack([images, cell[images]], axis=1)

    def added_area(self, concept: int) -> Float64[np.ndarray, "C"]:
        """Mean change of a concept's area in each context, relative to its mean area before.

        The paper's measure of how well an object can be inserted; its 99% confidence band is
        `added_band` on either side. Both are 0 for a concept that is never there, infinite for one
        that was in no image before.
        """
        return paired_changes.relative(self.mean_change[:, [concept]], self.mean_before[[concept]])[
            :, 0
        ]

    def added_band(self, concept: int) -> Float64[np.ndarray, "C"]:
        """Half of the 99% confidence band of `added_area`, by images, given the mean area before.

        By Student's t, which allows for few images; infinite in contexts of less than two.

        Raises:
            ValueError: If it is none of `concepts`.
        """
        error, images = self._by_images(concept)
        band = (student_t(images) * error)[:, None]
        return paired_changes.relative(band, self.mean_before[[concept]])[:, 0]


def insert_units(
    generator: Generator,
    source: Source,
    layer: str,
    units: Sequence[int] | Int[np.ndarray, "k"],
    values: Sequence[float] | Float[np.ndarray, "k"] | Float[Array, "k"],
    *,
    cells: Sequence[tuple[int, int]] | Int[np.ndarray, "m 2"] | None = None,
    concepts: Sequence[int] = (),
    batch_size: int = 2,
    chunk_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Insertion:
    """Measure how the areas of all concepts change when units are inserted, cell by cell.

    For every image and every cell, `units` are set to `values` at that cell alone; the rest of the
    generator makes another image, which is segmented. The grid's pixel at the centre of cell
    (y, x) is ((y + 1/2) H / h, (x + 1/2) W / w), rounded down. Counts are exact and sums are
    integers; `batch_size`, `chunk_size` and `mesh` change the result only where they change how
    the networks round, and then by pixels on the border between two labels.

    Args:
        generator: What makes the images and labels them, on a grid no smaller than the layer.
        source: Examples with a ``latent`` [Z]; for some of them, ``[source[i] for i in chosen]``.
        layer: Where to insert, a layer that gives [B, h, w, U].
        units: Which units, such as the 20 that match a concept best.
        values: What to set each of them to; the reference takes the 0.995 quantile of the unit.
        cells: Rows and columns of the cells to insert at; all cells of the layer when None.
        concepts: Ids of concepts whose change is to be kept for every image and cell.
        batch_size: Latents in a step.
        chunk_size: Cells that run together; ``batch_size * chunk_size`` images are made and
            segmented at once, which is what needs memory.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Returns:
        Areas before, and changes in every context.

    Raises:
        ValueError: If there are no examples or one has no latent, the layer is unknown, `units`,
            `values`, `cells` or the grid do not fit it, there is no segmenter or its labels are not
            in its vocabulary, another argument makes no sense, or `checkpoints` holds another
            computation or is damaged; the message says which.
    """
    generator.check_latents(source)
    vocabulary, num_concepts = generator.vocabulary, len(generator.vocabulary)
    edited, grid = EditedLayer(generator, layer, chunk_size=chunk_size), generator.grid
    units = np.asarray(units)
    values = checked_values(values, units.size, "of the `units`")
    chosen = checked_concepts(concepts, num_concepts)
    insert(units, jnp.asarray(values), edited.num_units)  # refuses units that do not fit
    if len(np.unique(units)) < units.size:
        raise ValueError(f"`units` (={units.tolist()}) must name each unit once")
    height, width = edited.cells
    if grid[0] < height or grid[1] < width:
        raise ValueError(
            f"`grid` (={grid}) must not be smaller than layer {layer!r}, whose cells are "
            f"{(height, width)}: every cell needs a pixel of its own"
        )
    cells = _checked_cells(cells, (height, width), layer)
    rows, columns = (
        (2 * cells[:, axis] + 1) * grid[axis] // (2 * edited.cells[axis]) for axis in range(2)
    )

    def edit_at(cell: Array) -> Edit:
        here = (jnp.arange(height) == cell[0])[:, None] & (jnp.arange(width) == cell[1])[None]
        strength = here.astype(jnp.float32)
        return insert(units, jnp.asarray(values), edited.num_units, where=strength)

    def at_centers(labels: Array) -> Array:
        return agreement.without_repeats(labels[:, rows, columns])

    def observe(
        edited: EditedLayer, params: GeneratorParams, batch: Mapping[str, Array], places: Array
    ) -> tuple[Array, Array]:
        latents = batch["latent"]
        areas, labels = edited.areas_of_each(params, latents, edit_at, places, look=at_centers)
        return areas.swapaxes(0, 1), labels[0]

    before = np.zeros((len(source), num_concepts), np.int32)
    added = np.zeros((len(source), len(cells), len(chosen)), np.int32)
    image = jax.ShapeDtypeStruct((1, *generator.image_size, 3), jnp.float32)
    labels_per_pixel = jax.eval_shape(generator.label, generator.params, image).shape[-1]
    contexts = np.zeros((len(source), len(cells), labels_per_pixel), np.int32)
    seen = paired_changes.init(num_concepts, num_concepts)
    by_image = paired_changes.init(1, num_concepts)

    def receive(batch: Batch, found: tuple[Array, Array]) -> None:
        areas = checked_areas(found[0], batch["weight"], batch["example"])
        examples = batch["example"][batch["weight"]]
        before[examples] = areas[0]
        change = areas[1:] - areas[:1]
        added[examples] = change[:, :, chosen].swapaxes(0, 1)
        labels = np.asarray(found[1])[batch["weight"]]
        contexts[examples] = labels
        context = np.where(labels == 0, -1, labels).swapaxes(0, 1)  # [m, B, K], like areas
        context = np.insert(context.reshape(-1, labels.shape[-1]), 0, 0, axis=1)
        paired_changes.add(seen, context, change.reshape(-1, num_concepts))
        total = change.sum(axis=0, dtype=np.int64)
        paired_changes.add(by_image, np.zeros((len(total), 1), np.int64), total)

    # The first place is no cell: nothing is inserted.
    places = jnp.asarray(np.concatenate([[[-1, -1]], cells]), jnp.int32)
    step, one_by_one = jax.jit(partial(observe, edited)), EditedLayer(generator, layer)
    params, placed_places = replicated((generator.params, places), mesh)
    map_resumably(
        lambda batch: step(params, batch, placed_places),
        source,
        checkpoints,
        plain_step=lambda batch: observe(one_by_one, generator.params, batch, places),
        settings=lambda: {
            "layer": layer,
            "units": units.tolist(),
            "values": content(values),
            "cells": content(cells),
            "concepts": chosen.tolist(),
            **generator.settings(),
        },
        save_every=save_every,
        batch_size=batch_size,
        kept={"before": before, "added": added, "contexts": contexts},
        sums=paired_changes.named(seen, "concepts") | paired_changes.named(by_image, "images"),
        receive=receive,
        mesh=mesh,
        description="inserting units",
        progress=progress,
    )
    return Insertion(
        layer,
        vocabulary,
        units.astype(np.int64),
        values,
        cells,
        grid[0] * grid[1],
        before,
        seen,
        by_image,
        contexts,
        tuple(chosen.tolist()),
        added,
    )


def images_of_places(
    generator: Generator, source: Source, insertion: Insertion, concept: int, *, number: int = 8
) -> Float[np.ndarray, "4 n height width 3"]:
    """Make the images where an insertion adds most of a concept, and where it adds least.

    Args:
        generator: What the insertion was measured with.
        source: Its examples.
        insertion: The result of `insert_units`.
        concept: One of its `concepts`.
        number: At most so many images, those of `Insertion.best_places`.

    Returns:
        The best places without and with the units there, the worst without and with them.

    Raises:
        ValueError: If it is none of these concepts.
    """
    height, width, _ = generator.map_shape(insertion.layer)
    examples, where = [], []
    for worst in (False, True):
        places = insertion.best_places(concept, number, worst=worst)
        rows, columns = insertion.cells[places[:, 1]].T
        here = np.zeros((len(places), height, width), np.float32)
        here[np.arange(len(places)), rows, columns] = 1
        examples += [places[:, 0]] * 2
        where += [0 * here, here]
    return images_with_units(
        generator,
        source,
        insertion.layer,
        insertion.units,
        insertion.values,
        np.stack(examples),
        np.stack(where),
    )


def _checked_cells(cells: Any, shape: Shape, layer: str) -> Int64[np.ndarray, "m 2"]:
    every = np.indices(shape).reshape(2, -1).T
    if cells is None:
        return every
    chosen = np.asarray(cells)
    inside = chosen.ndim == 2 and chosen.shape[1:] == (2,) and len(chosen) > 0
    if not inside or not ((chosen >= 0) & (chosen < shape)).all() or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"`cells` (={chosen.tolist()}) must be rows and columns [m, 2] of layer {layer!r}, "
            f"which has {shape[0]} x {shape[1]} cells"
        )
    return chosen.astype(np.int64)
