"""`jaxdissect generate remove`: what goes without units, and what comes in its place."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tyro.conf import arg

from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import SETTINGS_FILE, ConceptOptions
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.generators.images import images_without_units
from jaxdissect.generators.removal import remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks, single_unit_masks

_SHOWN_NUMBERS = (0, 2, 4, 8, 20)
_SHOWN_IMAGES = 8


@dataclass(frozen=True, kw_only=True)
class RemoveUnits(ConceptOptions, TableOptions):
    """Remove the units that match a concept best: what goes, and what comes in its place?

    Units are ranked by their IoU with the concept on some images, and removed from others.
    """

    most: Annotated[int, arg(metavar="N")] = 30
    """Remove the 0, 1, ..., N best units together."""
    shown: Annotated[
        tuple[int, ...] | None,
        arg(metavar="N [N ...]", help_behavior_hint="(default: 0 2 4 8 20, up to --most)"),
    ] = None
    """Numbers of removed units to show images of."""
    singles: bool = True
    """Also remove every unit alone."""

    of_results_alone: ClassVar = frozenset(("shown",))

    @looked_at_once()
    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_latents()
        self.check_free()
        self.check_checkpoints()
        generator, concept = self.find_subject()
        batch_size = self.size_of_batches(generator)
        _, _, num_units = generator.map_shape(self.layer)
        if not 1 <= self.most <= num_units:
            raise ValueError(f"`most` (={self.most}) must be 1 to {num_units}, units there are")
        shown = self.shown
        if shown is None:
            shown = tuple(number for number in _SHOWN_NUMBERS if number <= self.most)
        if not shown or not all(0 <= number <= self.most for number in shown):
            raise ValueError(f"`shown` (={shown}) must be numbers from 0 to {self.most}")
        source = self.latents(generator.latent_size, "measuring")
        self.claim_checkpoints({"weights of model": generator.params})
        with self.working() as (folder, progress):
            units = self.rank_units(generator, concept, batch_size, progress)
            sets = remove_units(
                generator,
                source,
                self.layer,
                best_unit_masks(units.ranking, self.most, num_units),
                concepts=[concept],
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("sets"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            written = {
                "sets": tables.set_table(sets, concept, units.ranking),
                "changes": tables.change_table(sets),
                "replaced": tables.replaced_table(sets, concept),
                "images": tables.image_table(sets, concept),
            }
            if self.singles:
                singles = remove_units(
                    generator,
                    source,
                    self.layer,
                    single_unit_masks(num_units),
                    batch_size=batch_size,
                    checkpoints=self.checkpoints_of("singles"),
                    mesh=self.computing.mesh,
                    chunk_size=self.chunk_size,
                    progress=progress,
                )
                written["units"] = tables.single_table(singles, concept, units.iou)
            examples = sets.most_shown(concept, _SHOWN_IMAGES)
            images = images_without_units(
                generator, source, self.layer, examples, sets.keep[list(shown)]
            )
            self.write_tables(folder, written)
            facts = {"ranking by IoU": units.ranking[: self.most].tolist()}
            facts["network"] = digest(generator.network.params)
            write_settings(folder / SETTINGS_FILE, self, facts)
            width = self.figure_inches
            self.save_figure(folder, "left", figures.left_figure(sets, concept, width=width))
            replaced = figures.replaced_figure(sets, concept, width=width)
            self.save_figure(folder, "replaced", replaced)
            strip = figures.removal_strip(images, examples, shown, width=width)
            self.save_figure(folder, "images", strip)
        self.print_table(
            f"Removing units of {self.layer} that match {self.concept} best", written["sets"]
        )
