"""`jaxdissect generate insert`: where a concept appears when its units are inserted."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tyro.conf import arg

from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import SETTINGS_FILE, ConceptOptions
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.generators.insertion import images_of_places, insert_units


@dataclass(frozen=True, kw_only=True)
class InsertUnits(ConceptOptions, TableOptions):
    """Insert the units that match a concept best, at every cell: where does it appear?

    Units are ranked by their IoU with the concept on some images. In other images they are set to
    the level that each exceeds on 0.5% of the pixels, at one cell after the other.
    """

    num_units: Annotated[int, arg(metavar="N")] = 20
    """Number of the best units to insert."""
    times: Annotated[float, arg(metavar="X")] = 1.0
    """Set them to so many times their level."""
    min_samples: Annotated[int, arg(metavar="N")] = 100
    """Show contexts with so many samples; the reference takes 1000 of 640,000."""

    of_results_alone: ClassVar = frozenset(("min_samples",))

    @looked_at_once()
    def run(self) -> None:
        """Rank and insert units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_latents()
        self.check_free()
        self.check_checkpoints()
        generator, concept = self.find_subject()
        batch_size = self.size_of_batches(generator)
        height, width, num_units = generator.map_shape(self.layer)
        if not 1 <= self.num_units <= num_units:
            raise ValueError(f"`num_units` (={self.num_units}) must be 1 to {num_units}")
        if self.min_samples < 2:
            raise ValueError(f"`min_samples` (={self.min_samples}) must be at least 2")
        source = self.latents(generator.latent_size, "measuring")
        self.claim_checkpoints({"weights of model": generator.params})
        with self.working() as (folder, progress):
            found = self.rank_units(generator, concept, batch_size, progress)
            units = found.ranking[: self.num_units]
            insertion = insert_units(
                generator,
                source,
                self.layer,
                units,
                self.times * found.levels[units],
                concepts=[concept],
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("insertion"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            places = images_of_places(
                generator, source, insertion, concept, number=tables.SHOWN_PLACES
            )
            written = {
                "contexts": tables.context_table(insertion, concept),
                "cells": tables.cell_table(insertion, concept),
                "places": tables.place_table(insertion, concept),
                "changes": tables.side_effect_table(insertion),
            }
            self.write_tables(folder, written)
            facts = {"units": insertion.units.tolist(), "values": insertion.values.tolist()}
            facts["network"] = digest(generator.network.params)
            write_settings(folder / SETTINGS_FILE, self, facts)
            contexts = figures.context_figure(
                insertion,
                concept,
                category=generator.vocabulary.categories[concept],
                min_samples=self.min_samples,
                width=self.figure_inches,
            )
            self.save_figure(folder, "contexts", contexts)
            cells = (height, width)
            charts = {"cells": figures.cell_figure(insertion, concept, cells)}
            charts["places"] = figures.place_sheet(
                places, insertion, concept, cells, width=self.figure_inches
            )
            for name, chart in charts.items():
                self.save_figure(folder, name, chart)
        header, rows = tables.context_table(insertion, concept, min_samples=self.min_samples)
        title = f"Inserting {self.num_units} units of {self.layer} at one cell"
        self.print_table(title, (header, rows[:20]))
