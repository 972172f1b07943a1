"""`jaxdissect generate optimise`: the units that cause a concept, learned by gradient."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import numpy as np
from tyro.conf import arg

from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import SETTINGS_FILE, ConceptOptions
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.engine.identity import digest, looked_at_once
from jaxdissect.generators.causality import causal_effect, mean_where_present
from jaxdissect.generators.optimise import optimise_units
from jaxdissect.generators.removal import remove_units
from jaxdissect.networks.ablation_masks import unit_set_masks

RANKINGS = ("IoU", "strength")


@dataclass(frozen=True, kw_only=True)
class OptimiseUnits(ConceptOptions, TableOptions):
    """Learn which units cause a concept, and compare them with those that match it best.

    A strength of every unit is learned by gradient through generator and segmenter. Sets of the
    strongest units and of the units with the best IoU are then inserted and removed in other
    images.
    """

    sizes: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (1, 2, 4, 8, 12, 20, 30)
    """Numbers of units of the sets."""
    values: Literal["level", "present"] = "level"
    """Values of inserted units: the level that each exceeds on 0.5% of the pixels, or its mean
    where the concept is present."""
    patch: Annotated[int, arg(metavar="N")] = 1
    """Cells of a side of the places of the layer."""
    steps: Annotated[int, arg(metavar="N")] = 200
    """Steps of learning."""
    step_size: Annotated[int, arg(metavar="N")] = 8
    """Latents in a step of learning."""
    learning_rate: Annotated[float, arg(metavar="X")] = 0.05
    """Learning rate of Adam."""
    penalty: Annotated[float, arg(metavar="X")] = 0.05
    """Weight of the length of the vector of strengths."""

    @looked_at_once()
    def run(self) -> None:
        """Learn strengths and compare rankings as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_latents()
        self.check_free()
        self.check_checkpoints()
        generator, concept = self.find_subject()
        batch_size = self.size_of_batches(generator)
        _, _, num_units = generator.map_shape(self.layer)
        if not self.sizes or not all(1 <= size <= num_units for size in self.sizes):
            raise ValueError(f"`sizes` (={self.sizes}) must be numbers from 1 to {num_units}")
        source = self.latents(generator.latent_size, "measuring")
        learning = self.latents(generator.latent_size, "learning")
        self.claim_checkpoints({"weights of model": generator.params})
        with self.working() as (folder, progress):
            units = self.rank_units(generator, concept, batch_size, progress)
            values = units.levels
            if self.values == "present":
                values = mean_where_present(
                    generator,
                    learning,
                    self.layer,
                    concept,
                    batch_size=batch_size,
                    checkpoints=self.checkpoints_of("values"),
                    mesh=self.computing.mesh,
                    progress=progress,
                )
            learn, place = jax.random.split(jax.random.key(self.seed))
            learned = optimise_units(
                learn,
                generator,
                learning,
                self.layer,
                concept,
                values,
                patch=self.patch,
                steps=self.steps,
                batch_size=self.step_size,
                learning_rate=self.learning_rate,
                penalty=self.penalty,
                checkpoints=self.checkpoints_of("strengths"),
                mesh=self.computing.mesh,
                progress=progress,
            )
            chosen = [
                ranking[:size]
                for ranking in (units.ranking, learned.ranking)
                for size in self.sizes
            ]
            keep = unit_set_masks(chosen, num_units)
            effect = causal_effect(
                place,
                generator,
                source,
                self.layer,
                concept,
                (~keep).astype(np.float32),
                values,
                patch=self.patch,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("effects"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            removal = remove_units(
                generator,
                source,
                self.layer,
                keep,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("removal"),
                mesh=self.computing.mesh,
                chunk_size=self.chunk_size,
                progress=progress,
            )
            compared = tables.effect_table(effect, removal, self.sizes, RANKINGS)
            written = {
                "units": tables.strength_table(learned, units.iou),
                "steps": tables.step_table(learned),
                "effects": compared,
            }
            self.write_tables(folder, written)
            facts = {"values": values.tolist(), "network": digest(generator.network.params)}
            write_settings(folder / SETTINGS_FILE, self, facts)
            chart = figures.effect_figure(effect, self.sizes, RANKINGS, width=self.figure_inches)
            self.save_figure(folder, "effects", chart)
            steps = figures.step_figure(learned, width=self.figure_inches)
            self.save_figure(folder, "steps", steps)
        self.print_table(f"What units of {self.layer} cause of {self.concept}", compared)
