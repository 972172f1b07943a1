"""Options that all `jaxdissect generate` commands share, and what they name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64
from tyro.conf import arg

from jaxdissect.commands.options.generator import (
    FoundGenerator,
    choose_generator_layers,
    find_generator,
    find_segmenter,
)
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output import table_files
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.data.latent_vectors import Latents, latents
from jaxdissect.engine.folding import Progress
from jaxdissect.generators.dissection import dissect_generator, ranked_units
from jaxdissect.generators.interventions import Interventions
from jaxdissect.networks.network import Network
from jaxdissect.networks.segmenters.segmenter import Segmenter

Size = tuple[int, int]

_OTHERS = {"ranking": 0, "measuring": 2**32, "learning": 2**33}
"""Added to the seed, so that what ranks units, what learns and what measures are other latents."""


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(TableOptions):
    """Options of every command."""

    model: Annotated[str, arg(metavar="NAME")]
    """`scenes`, a published generator such as proggan_church (downloaded once), proggan with
    --weights, or a function without arguments that returns the generator, as FILE.py:FUNCTION or
    package.module:FUNCTION, from latents [B, Z] to images [B, height, width, 3]."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a proggan: .pth, .safetensors, .npz."""
    latent_size: Annotated[int | None, arg(metavar="Z", help_behavior_hint="")] = None
    """Numbers of a latent, for a function of yours."""
    pixel_range: Annotated[tuple[float, float], arg(metavar="LOW HIGH")] = (-1.0, 1.0)
    """What the generator gives for black and for white."""
    num_images: Annotated[int, arg(metavar="N")] = 256
    """Images to measure with."""
    num_ranking_images: Annotated[int, arg(metavar="N")] = 256
    """Other images, to rank units with."""
    seed: int = 0
    """Of the latents."""
    batch_size: Annotated[int, arg(metavar="N")] = 4
    """Latents in a step; does not change results."""
    chunk_size: Annotated[int, arg(metavar="N")] = 8
    """Interventions that run together; does not change results."""

    def find(self) -> FoundGenerator:
        """Check the numbers and the place of the results, and build the generator.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        for name in ("num_images", "num_ranking_images", "batch_size", "chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` (={self.seed}) must be at least 0 and below 2^32")
        self.check_free()
        return find_generator(self.model, self.weights, self.latent_size, self.pixel_range)

    def latents(
        self, found: FoundGenerator, purpose: Literal["ranking", "measuring", "learning"]
    ) -> Latents:
        """Draw the latents of a purpose, other ones for each."""
        number = self.num_images if purpose == "measuring" else self.num_ranking_images
        return latents(number, found.latent_size, seed=self.seed + _OTHERS[purpose])

    def write(
        self,
        folder: Path,
        written: Mapping[str, table_files.Rows],
        facts: Mapping[str, Any],
    ) -> None:
        """Write tables in the formats of the options, and the settings."""
        self.write_tables(folder, written)
        write_settings(folder / "generation.json", self, facts)


@dataclass(frozen=True, kw_only=True)
class SegmentedOptions(GeneratorOptions):
    """Options of commands that look at images with a segmenter."""

    segmenter: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: that of the model)")
    ] = None
    """`scenes`, a published one such as netpqc (downloaded once), or a function that returns a
    `Segmenter`, as FILE.py:FUNCTION."""
    grid: Annotated[Size, arg(metavar="H W")] = (64, 64)
    """Size of the label maps."""


@dataclass(frozen=True, kw_only=True)
class ConceptOptions(SegmentedOptions):
    """Options of commands about the units of one layer and one concept."""

    layer: Annotated[str, arg(metavar="L")]
    """Where to intervene. A wrong name lists the right ones."""
    concept: Annotated[str, arg(metavar="NAME")]
    """What to look for, such as tree."""
    category: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Its category, such as object, where several concepts have that name."""

    def case(self) -> "ConceptCase":
        """Build and check all that the options name.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        found = self.find()
        choose_generator_layers(found, (self.layer,))
        segmenter = find_segmenter(self.segmenter, found.segmenter)
        concept = segmenter.vocabulary.index(self.concept, self.category)
        source = self.latents(found, "measuring")
        layer = Interventions(found.model.network, source, self.layer, found.to_pixels, 1)
        return ConceptCase(self, found, segmenter, concept, source, layer.cells, layer.num_units)


class RankedUnits(NamedTuple):
    """Units of a layer and a concept.

    Attributes:
        iou: IoU of every unit with the concept.
        ranking: Units by it, best first.
        levels: What each unit exceeds on 0.5% of the pixels.
    """

    iou: Float[np.ndarray, "U"]
    ranking: Int64[np.ndarray, "U"]
    levels: Float32[np.ndarray, "U"]


class ConceptCase(NamedTuple):
    """A generator, a layer of it, and a concept.

    Attributes:
        options: What the user asked for.
        found: The generator.
        segmenter: Says what its images show.
        concept: Id of the concept.
        source: Latents to measure with.
        cells: Height and width of the layer.
        num_units: U.
    """

    options: ConceptOptions
    found: FoundGenerator
    segmenter: Segmenter
    concept: int
    source: Latents
    cells: Size
    num_units: int

    @property
    def network(self) -> Network:
        """The generator."""
        return self.found.model.network

    @property
    def category(self) -> str:
        """Category of the concept."""
        return self.segmenter.vocabulary.categories[self.concept]

    def subject(self) -> tuple[Network, Latents, Segmenter, str]:
        """Name what all experiments begin with."""
        return self.network, self.source, self.segmenter, self.options.layer

    def looking(self) -> dict[str, Any]:
        """Name the options that all experiments share."""
        return {
            "grid": self.options.grid,
            "to_pixels": self.found.to_pixels,
            "batch_size": self.options.batch_size,
            "chunk_size": self.options.chunk_size,
        }

    def dissect(self, progress: Progress) -> RankedUnits:
        """Rank the units of the layer by their IoU with the concept, on other latents."""
        result = dissect_generator(
            self.network,
            self.options.latents(self.found, "ranking"),
            self.segmenter,
            layers=(self.options.layer,),
            grid=self.options.grid,
            to_pixels=self.found.to_pixels,
            num_top_images=1,
            batch_size=self.options.batch_size,
            progress=progress,
        )
        layer = result[self.options.layer]
        ranking = ranked_units(result, self.options.layer, self.concept)
        return RankedUnits(layer.iou[self.concept], ranking, layer.thresholds)
