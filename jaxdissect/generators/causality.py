"""What a set of units causes: the average causal effect of units on a concept.

Shapes: B batch, Z latent, N images, S sets of units, U units, h w cells of a layer, H W label grid,
C concepts including "none".

Bau et al., "GAN Dissection", ICLR 2019, section 3.2: at places P of a layer, units are inserted
(set to values k) and ablated (set to zero), to the degree alpha in [0, 1] for every unit,

    x_i = f(alpha k + (1 - alpha) r at P),    x_a = f((1 - alpha) r at P),

and the average causal effect on concept c is E[s_c(x_i)] - E[s_c(x_a)], over latents and places.
Here s_c is the area of c in the whole image over the area of the places, so that an effect of 1
means: as many pixels appear as the places have. A set of units has alpha 1 for its units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int32, Key

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.interventions import (
    EditedLayer,
    checked_areas,
    checked_concepts,
    checked_values,
)
from jaxdissect.networks.edits import Edit
from jaxdissect.stats import paired_changes


def random_patches(
    key: Key[Array, ""], examples: Int32[Array, "B"], cells: Shape, size: int
) -> Float32[Array, "B h w"]:
    """Choose a square of cells for each example, all squares equally likely.

    The square of an example depends on `key` and its number alone.

    Args:
        key: Random key.
        examples: Numbers of the examples.
        cells: Height and width of the layer.
        size: Cells a side.

    Returns:
        1 in the square, 0 elsewhere.
    """

    def choose(example: Array) -> Array:
        own = jax.random.split(jax.random.fold_in(key, example))
        inside = [
            (first <= jnp.arange(side)) & (jnp.arange(side) < first + size)
            for first, side in (
                (jax.random.randint(own[axis], (), 0, cells[axis] - size + 1), cells[axis])
                for axis in range(2)
            )
        ]
        return (inside[0][:, None] & inside[1][None]).astype(jnp.float32)

    return jax.vmap(choose)(examples)


def partial_edit(
    strength: Float[Array, "U"] | Float[Array, "B U"],
    target: Float[Array, "U"],
    where: Float[Array, "B h w"],
) -> Edit:
    """Bring units a part of the way, `strength`, to their targets at places `where`."""
    degree = where[..., None] * strength.reshape(-1, 1, 1, strength.shape[-1])
    return Edit(1 - degree, degree * target.reshape(1, 1, 1, -1))


class MeanEffect(NamedTuple):
    """A mean over images and its standard error, for each set."""

    mean: Float64[np.ndarray, "S"]
    standard_error: Float64[np.ndarray, "S"]

    __repr__ = short_repr


@dataclass(frozen=True)
class CausalEffect:
    """How much of a concept sets of units cause, image by image.

    Attributes:
        layer: Where the units are.
        vocabulary: The concepts.
        concept: Id of the concept.
        strengths: Alpha of every set.
        values: What units are set to when they are inserted.
        place_area: Pixels of the label grid that the places of an image have.
        before: Area of the concept in every image.
        inserted: Its area with the units inserted.
        ablated: Its area with the units ablated.
    """

    layer: str
    vocabulary: Vocabulary
    concept: int
    strengths: Float32[np.ndarray, "S U"]
    values: Float32[np.ndarray, "U"]
    place_area: float
    before: Int32[np.ndarray, "N"]
    inserted: Int32[np.ndarray, "S N"]
    ablated: Int32[np.ndarray, "S N"]

    __repr__ = short_repr

    @cached_property
    def effect(self) -> MeanEffect:
        """Average causal effect: pixels that the units cause, over those of the places."""
        return self._mean(self.inserted - self.ablated)

    @cached_property
    def insertion(self) -> MeanEffect:
        """The part of insertion: pixels that appear when the units are inserted."""
        return self._mean(self.inserted - self.before)

    @cached_property
    def ablation(self) -> MeanEffect:
        """The part of ablation: pixels that go when the units are ablated."""
        return self._mean(self.before - self.ablated)

    def difference(self, sets: Sequence[int], others: Sequence[int]) -> MeanEffect:
        """Effect of some sets less that of others, pair by pair, on the same images and places."""
        found = self.inserted - self.ablated
        return self._mean(found[list(sets)] - found[list(others)])

    def _mean(self, pixels: Int32[np.ndarray, "S N"]) -> MeanEffect:
        num_sets, number = pixels.shape
        seen = paired_changes.init(num_sets, 1)
        groups = np.repeat(np.arange(num_sets), number)[:, None]
        paired_changes.add(seen, groups, pixels.reshape(-1, 1))
        mean, error = paired_changes.mean(seen), paired_changes.standard_error(seen)
        return MeanEffect(mean[:, 0] / self.place_area, error[:, 0] / self.place_area)


def causal_effect(
    key: Key[Array, ""],
    generator: Generator,
    source: Source,
    layer: str,
    concept: int,
    strengths: Float[np.ndarray, "S _"],
    values: Sequence[float] | Float[np.ndarray, "U"] | Float[Array, "U"],
    *,
    patch: int = 1,
    batch_size: int = 2,
    chunk_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> CausalEffect:
    """Measure the average causal effect of sets of units on a concept, from labels.

    Every image has one square of cells at random, the same for all sets. Counts are exact;
    `batch_size`, `chunk_size` and `mesh` change them only where they change how networks round.

    Args:
        key: Random key of the places.
        generator: What makes the images and labels them.
        source: Examples with a ``latent`` [Z].
        layer: Layer of the units, which gives [B, h, w, U].
        concept: Id of the concept.
        strengths: Alpha in [0, 1] of every set: 1 for its units, 0 for others.
        values: k, what each unit is set to when it is inserted, such as the level that it exceeds
            on 0.5% of the pixels, or `mean_where_present`.
        patch: Cells of a side of the square.
        batch_size: Latents in a step.
        chunk_size: Interventions, two for each set, that run together.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If there are no examples or one has no latent, the layer is unknown,
            `strengths`, `values`, `concept` or `patch` do not fit it or the vocabulary, or the
            segmenter's labels are not in its vocabulary, or `checkpoints` holds another computation
            or is damaged.
    """
    generator.check_latents(source)
    edited = EditedLayer(generator, layer, chunk_size=chunk_size)
    (concept,) = checked_concepts([concept], len(generator.vocabulary)).tolist()
    values = checked_values(values, edited.num_units, f"unit of {layer!r}")
    strengths = np.asarray(strengths, np.float32)
    fits = strengths.ndim == 2 and strengths.shape[1] == len(values) and strengths.size
    if not fits or not ((strengths >= 0) & (strengths <= 1)).all():
        raise ValueError(
            f"`strengths` (={list(strengths.shape)}) must be [S, {len(values)}] in [0, 1]: some "
            f"sets, each with the units of layer {layer!r}"
        )
    check_patch(patch, edited.cells)

    def count(
        edited: EditedLayer,
        params: GeneratorParams,
        batch: Mapping[str, Array],
        interventions: Array,
    ) -> Array:
        where = random_patches(key, batch["example"], edited.cells, patch)

        def edit_of(intervention: Float[Array, "2 U"]) -> Edit:
            return partial_edit(intervention[0], intervention[1], where)

        return edited.areas_of_each(params, batch["latent"], edit_of, interventions)[0].swapaxes(
            0, 1
        )

    number = len(strengths)
    areas = np.zeros((1 + 2 * number, len(source)), np.int32)

    def receive(batch: Batch, found: Array) -> None:
        counted = checked_areas(found, batch["weight"], batch["example"])
        areas[:, batch["example"][batch["weight"]]] = counted[:, :, concept]

    targets = np.broadcast_to(values, strengths.shape)
    nothing = np.zeros((1, 2, len(values)), np.float32)
    inserted, ablated = (np.stack([strengths, to], axis=1) for to in (targets, 0 * targets))
    interventions = jnp.asarray(np.concatenate([nothing, inserted, ablated]))
    step, one_by_one = jax.jit(partial(count, edited)), EditedLayer(generator, layer)
    params, placed = replicated((generator.params, interventions), mesh)
    map_resumably(
        lambda batch: step(params, batch, placed),
        source,
        checkpoints,
        plain_step=lambda batch: count(one_by_one, generator.params, batch, interventions),
        settings=lambda: {
            "layer": layer,
            "concept": concept,
            "strengths": content(strengths),
            "values": content(values),
            "patch": patch,
            "key": content(key),
            **generator.settings(),
        },
        save_every=save_every,
        batch_size=batch_size,
        kept={"areas": areas},
        receive=receive,
        mesh=mesh,
        description="causal effects",
        progress=progress,
    )
    return CausalEffect(
        layer,
        generator.vocabulary,
        concept,
        strengths,
        values,
        place_area(patch, edited.cells, generator.grid),
        areas[0],
        areas[1 : 1 + number],
        areas[1 + number :],
    )


def mean_where_present(
    generator: Generator,
    source: Source,
    layer: str,
    concept: int,
    *,
    batch_size: int = 8,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Float32[np.ndarray, "U"]:
    """Average the output of every unit where a concept is shown, which gives values to insert.

    Cells are weighted with the part of their pixels that shows it.

    Args:
        generator: What makes the images and labels them, on a grid that is a multiple of the
            layer's cells.
        source: Examples with a ``latent`` [Z].
        layer: Layer of the units, which gives [B, h, w, U].
        concept: Id of the concept.
        batch_size: Latents in a step; changes results by rounding only.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If no image shows the concept, the grid is no multiple of the cells, there are
            no examples or one has no latent, the layer is unknown, or the concept is not in the
            vocabulary.
    """
    generator.check_latents(source)
    edited, grid = EditedLayer(generator, layer), generator.grid
    (concept,) = checked_concepts([concept], len(generator.vocabulary)).tolist()
    height, width = edited.cells
    if grid[0] % height or grid[1] % width:
        raise ValueError(
            f"`grid` (={grid}) must be a multiple of layer {layer!r}, of {height} x {width} cells"
        )

    @jax.jit
    def step(params: GeneratorParams, batch: Mapping[str, Array]) -> tuple[Array, Array]:
        output, maps = generator.network.apply(params.network, batch["latent"], layers=(layer,))
        labels = generator.label(params, generator.to_pixels(output))
        shown = (labels == concept).any(axis=-1).astype(jnp.float32)
        tiles = (-1, height, grid[0] // height, width, grid[1] // width)
        part = shown.reshape(tiles).mean(axis=(2, 4))
        summed = (maps[layer].astype(jnp.float32) * part[..., None]).sum(axis=(1, 2))
        return summed, part.sum(axis=(1, 2))

    kept = {
        "sums": np.zeros((len(source), edited.num_units), np.float32),
        "parts": np.zeros(len(source), np.float32),
    }

    def receive(batch: Batch, found: tuple[Array, Array]) -> None:
        for rows, part in zip(kept.values(), found, strict=True):
            rows[batch["example"][batch["weight"]]] = np.asarray(part)[batch["weight"]]

    params = replicated(generator.params, mesh)
    map_resumably(
        lambda batch: step(params, batch),
        source,
        checkpoints,
        plain_step=lambda batch: step(generator.params, batch),
        settings=lambda: {"layer": layer, "concept": concept, **generator.settings()},
        save_every=save_every,
        batch_size=batch_size,
        kept=kept,
        receive=receive,
        mesh=mesh,
        description="where it is shown",
        progress=progress,
    )
    sums, parts = (rows.sum(axis=0, dtype=np.float64) for rows in kept.values())
    if not parts:
        name = generator.vocabulary.names[concept]
        raise ValueError(f"`concept` (={name!r}) is in none of the {len(source)} images")
    return (sums / parts).astype(np.float32)


def place_area(patch: int, cells: Shape, grid: Shape) -> float:
    """Pixels of the label grid in a square of `patch` cells a side."""
    return patch**2 * grid[0] * grid[1] / (cells[0] * cells[1])


def check_patch(patch: int, cells: Shape) -> None:
    """Refuse squares that do not fit into a layer.

    Raises:
        ValueError: If `patch` is less than one cell, or more than the layer has.
    """
    if not 1 <= patch <= min(cells):
        raise ValueError(f"`patch` (={patch}) must be 1 to {min(cells)} cells")
