"""Options that several `jaxdissect generate` commands share."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from tyro.conf import arg

from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.options.generator import GeneratedSegmenterOptions, GeneratorOptions
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.size import Size
from jaxdissect.engine.data.latent_vectors import Latents, latents
from jaxdissect.engine.folding import Progress
from jaxdissect.generators.dissection import RankedUnits, rank_units_by_iou
from jaxdissect.generators.generator import Generator

SETTINGS_FILE = "generation.json"

_SEEDS = {"ranking": 0, "measuring": 2**32, "learning": 2**33}
"""Added to the seed, so that units are ranked, learned and measured with different latents."""


@dataclass(frozen=True, kw_only=True)
class LatentOptions(CheckpointOptions, ComputingOptions):
    """Options of the latents that images are made of, and of how many run together."""

    num_images: Annotated[int, arg(metavar="N")] = 256
    """Images to measure with."""
    num_ranking_images: Annotated[int, arg(metavar="N")] = 256
    """Other images, to rank units with."""
    seed: int = 0
    """Seed of the latents."""
    chunk_size: Annotated[int, arg(metavar="N")] = 8
    """Interventions that run together; does not change results."""

    def check_latents(self) -> None:
        """Check these numbers.

        Raises:
            ValueError: If one of them makes no sense.
        """
        check_at_least(self, num_images=1, num_ranking_images=1, chunk_size=1)
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` (={self.seed}) must be at least 0 and below 2^32")

    def size_of_batches(self, generator: Generator) -> int:
        """Return how many latents run together, with the interventions of each."""
        latent = jax.ShapeDtypeStruct((1, generator.latent_size), jnp.float32)
        return self.computing.size_of_batches(
            generator.network, latent, on_processor=4, copies=self.chunk_size
        )

    def latents(
        self, latent_size: int, purpose: Literal["ranking", "measuring", "learning"]
    ) -> Latents:
        """Draw the latents of a purpose, different ones for each."""
        number = self.num_images if purpose == "measuring" else self.num_ranking_images
        return latents(number, latent_size, seed=self.seed + _SEEDS[purpose])


@dataclass(frozen=True, kw_only=True)
class ConceptOptions(GeneratedSegmenterOptions, LatentOptions, GeneratorOptions):
    """Options of commands about the units of one layer and one concept."""

    grid: Annotated[Size, arg(metavar="H [W]")] = (64, 64)
    """Height and width of the label maps."""
    layer: Annotated[str, arg(metavar="L")]
    """Layer to intervene in. A wrong name lists the right ones."""
    concept: Annotated[str, arg(metavar="NAME")]
    """Name of the concept, such as tree."""
    category: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Category of the concept, such as object, where several have that name."""

    def find_subject(self) -> tuple[Generator, int]:
        """Build and check what the options name.

        Returns:
            The generator with its segmenter, and the id of the concept.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        found = self.find_generator()
        generator = found.generator(self.find_segmenter(found), grid=self.grid)
        generator.map_shape(self.layer)  # refuses layers that do not exist
        return generator, generator.vocabulary.index(self.concept, category=self.category)

    def rank_units(
        self, generator: Generator, concept: int, batch_size: int, progress: Progress
    ) -> RankedUnits:
        """Rank the units of the layer by their IoU with the concept, on latents of their own."""
        return rank_units_by_iou(
            generator,
            self.latents(generator.latent_size, "ranking"),
            self.layer,
            concept,
            batch_size=batch_size,
            checkpoints=self.checkpoints_of("ranking"),
            progress=progress,
        )
