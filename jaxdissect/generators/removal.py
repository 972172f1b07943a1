"""Remove units of a generator: which objects go, and what comes in their place?

Shapes: N images, C concepts including "none", U units, S conditions (sets of removed units), k
chosen concepts.

Bau et al. 2020, "The role of units in a GAN": units of a layer are set to zero in all images, which
are segmented anew. Removing the units that match `tree` best removes trees, and the buildings
behind them appear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, Int64

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import fold_resumably
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.interventions import EditedLayer, checked_areas, checked_concepts
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.edits import keep_units
from jaxdissect.stats import int64_counter, paired_changes
from jaxdissect.stats.int64_counter import Int64Counter
from jaxdissect.stats.intervals import student_t


@dataclass(frozen=True)
class Removal:
    """How the areas of all concepts change when units are removed.

    Areas are numbers of pixels of the label grid. Concept 0 stands for pixels without any.

    Attributes:
        layer: Where units were removed.
        vocabulary: The concepts.
        keep: For each condition, the units that were left in place.
        num_pixels: Pixels of an image's label grid.
        before: Areas in every image, with all units in place.
        changes: Sums of the changes of area in an image, and of their squares, by condition.
        concepts: Ids of the concepts whose areas were kept for every image.
        after: Areas of these under each condition.
        replaced: What took their place: labels of the concepts of the last axis where one of these
            was and is no more, over all images. A pixel is compared label channel by label
            channel, so that an object is replaced by objects, or by 0, none in this channel.
    """

    layer: str
    vocabulary: Vocabulary
    keep: Bool[np.ndarray, "S U"]
    num_pixels: int
    before: Int32[np.ndarray, "N C"]
    changes: paired_changes.PairedChanges
    concepts: tuple[int, ...]
    after: Int32[np.ndarray, "S N k"]
    replaced: Int64[np.ndarray, "S k C"]

    __repr__ = short_repr

    @property
    def num_removed(self) -> Int64[np.ndarray, "S"]:
        """How many units were removed under each condition."""
        return (~self.keep).sum(axis=1, dtype=np.int64)

    def area_left(self, concept: int) -> Int32[np.ndarray, "S N"]:
        """Area of one of `concepts` in every image, under each condition.

        Raises:
            ValueError: If it is none of them.
        """
        return self.after[:, :, self._place(concept)]

    def in_place_of(self, concept: int) -> Int64[np.ndarray, "S C"]:
        """Labels that took the place of one of `concepts`, over all images; see `replaced`.

        Raises:
            ValueError: If it is none of them.
        """
        return self.replaced[:, self._place(concept)]

    def _place(self, concept: int) -> int:
        if concept not in self.concepts:
            raise ValueError(f"`concept` (={concept}) must be one of {list(self.concepts)}")
        return self.concepts.index(concept)

    @cached_property
    def mean_before(self) -> Float64[np.ndarray, "C"]:
        """Mean area in an image, with all units in place."""
        return self.before.mean(axis=0, dtype=np.float64)

    @cached_property
    def mean_change(self) -> Float64[np.ndarray, "S C"]:
        """Mean change of the area in an image."""
        return paired_changes.mean(self.changes)

    @cached_property
    def mean_after(self) -> Float64[np.ndarray, "S C"]:
        """Mean area in an image, without the units."""
        return (self.before.sum(axis=0, dtype=np.int64) + self.changes.sums) / len(self.before)

    @cached_property
    def standard_error(self) -> Float64[np.ndarray, "S C"]:
        """Standard error of `mean_change`; infinite for a single image."""
        return paired_changes.standard_error(self.changes)

    @property
    def fraction_left(self) -> Float64[np.ndarray, "S C"]:
        """Mean area after over mean area before; of a concept that is never there, 1."""
        return 1 + paired_changes.relative(self.mean_change, self.mean_before)

    @property
    def fraction_band(self) -> Float64[np.ndarray, "S C"]:
        """Half of the paper's 99% band of `fraction_left`: that of `mean_change`, over mean areas.

        It takes the mean area before as known but keeps all the spread of areas before within the
        change. So it is wider than the ratio's own confidence band wherever images with more of a
        concept lose more of it: a cautious band. By Student's t, which allows for few images;
        infinite for a single one.
        """
        return student_t(len(self.before)) * paired_changes.relative(
            self.standard_error, self.mean_before
        )

    def most_shown(self, concept: int, number: int) -> Int64[np.ndarray, "_"]:
        """The images with most of a concept before, greatest area first, equals by image."""
        return np.argsort(-self.before[:, concept], kind="stable")[:number]

    def gained(self, condition: int, *, number: int = 10) -> Int64[np.ndarray, "_"]:
        """The ids of the concepts whose mean area grows most, greatest first, equals by id."""
        change = self.changes.sums[condition]
        order = np.argsort(-change, kind="stable")[:number]
        return order[change[order] > 0]


def remove_units(
    generator: Generator,
    source: Source,
    layer: str,
    keep: Bool[np.ndarray, "S U"] | Bool[Array, "S U"],
    *,
    concepts: Sequence[int] = (),
    batch_size: int = 2,
    chunk_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Removal:
    """Measure how the areas of all concepts change when units of a generator are removed.

    Units are set to zero at the layer's output, as in the reference. Counts are exact and sums are
    integers; `batch_size`, `chunk_size` and `mesh` change the result only where they change how
    the networks round, and then by pixels on the border between two labels.

    Args:
        generator: What makes the images and labels them.
        source: Examples with a ``latent`` [Z].
        layer: Where to remove units, a layer that gives [B, h, w, U].
        keep: For each condition, False for the units that are removed together;
            `jaxdissect.networks.ablation_masks` makes them.
        concepts: Ids of concepts to keep the areas of for every image and condition, and what
            replaces them.
        batch_size: Latents in a step.
        chunk_size: Conditions that run together; ``batch_size * chunk_size`` images are made and
            segmented at once, which is what needs memory.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far the pass has come.

    Returns:
        Areas before, and changes under every condition.

    Raises:
        ValueError: If there are no examples or one has no latent, the layer is unknown, `keep` or
            `concepts` do not fit, there is no segmenter or its labels are not in its vocabulary, or
            another argument makes no sense, or `checkpoints` holds another computation or is
            damaged; the message says which.
    """
    generator.check_latents(source)
    vocabulary, num_concepts = generator.vocabulary, len(generator.vocabulary)
    edited = EditedLayer(generator, layer, chunk_size=chunk_size)
    keep = ablation_masks.checked_masks(keep, edited.num_units, layer)
    chosen = checked_concepts(concepts, num_concepts)

    def count(
        edited: EditedLayer,
        replaced: Int64Counter,
        params: GeneratorParams,
        batch: Mapping[str, Array],
        sets: Array,
    ) -> tuple[Int64Counter, Array]:
        latents = batch["latent"]
        if not len(chosen):
            areas, _ = edited.areas_of_each(params, latents, keep_units, sets)
            return replaced, areas.swapaxes(0, 1)
        areas, labels = edited.areas_of_each(
            params, latents, keep_units, sets, look=lambda labels: labels
        )
        whole = jnp.where(batch["weight"][:, None, None, None], labels[0], -1)

        def replacing(labels: Array) -> Array:
            counted = jax.vmap(lambda concept: _replacing(whole, labels, concept, num_concepts))
            return counted(jnp.asarray(chosen, jnp.int32))

        counted = int64_counter.add(replaced, jax.lax.map(replacing, labels[1:]))
        return counted, areas.swapaxes(0, 1)

    before = np.zeros((len(source), num_concepts), np.int32)
    after = np.zeros((len(keep), len(source), len(chosen)), np.int32)
    seen = paired_changes.init(len(keep), num_concepts)

    def receive(batch: Batch, found: Array) -> None:
        areas = checked_areas(found, batch["weight"], batch["example"])
        examples = batch["example"][batch["weight"]]
        before[examples] = areas[0]
        after[:, examples] = areas[1:, :, chosen]
        condition = np.repeat(np.arange(len(keep)), len(examples))
        change = areas[1:] - areas[:1]
        paired_changes.add(seen, condition[:, None], change.reshape(-1, num_concepts))

    # Condition 0: nothing is removed.
    sets = jnp.asarray(np.concatenate([np.ones_like(keep[:1]), keep]))
    step, one_by_one = jax.jit(partial(count, edited)), EditedLayer(generator, layer)
    params, placed_sets = replicated((generator.params, sets), mesh)
    replaced = fold_resumably(
        lambda replaced, batch: step(replaced, params, batch, placed_sets),
        int64_counter.zeros((len(keep), len(chosen), num_concepts)),
        source,
        checkpoints,
        plain_step=lambda replaced, batch: count(
            one_by_one, replaced, generator.params, batch, sets
        ),
        settings=lambda: {
            "layer": layer,
            "keep": content(keep),
            "concepts": chosen.tolist(),
            **generator.settings(),
        },
        save_every=save_every,
        batch_size=batch_size,
        kept={"before": before, "after": after},
        sums=paired_changes.named(seen, "changes"),
        receive=receive,
        mesh=mesh,
        description="removing units",
        progress=progress,
    )
    return Removal(
        layer,
        vocabulary,
        keep,
        generator.grid[0] * generator.grid[1],
        before,
        seen,
        tuple(chosen.tolist()),
        after,
        int64_counter.to_int64(replaced),
    )


def _replacing(
    before: Int32[Array, "B H W K"],
    after: Int32[Array, "B H W K"],
    concept: Int32[Array, ""],
    num_concepts: int,
) -> Int32[Array, "C"]:
    """Count what stands in the place of a concept, where it was and is no more."""
    lost = (before == concept) & (after != concept)
    place = jnp.where(lost, after, num_concepts).reshape(-1)
    counts = jnp.zeros(num_concepts, jnp.int32)
    return counts.at[place].add(1, mode="drop", wrap_negative_indices=False)
