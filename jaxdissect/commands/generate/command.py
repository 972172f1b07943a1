"""`jaxdissect generate`: dissect a generator, and remove or insert its units."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, arg, subcommand

from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.generate.options import ConceptCase, ConceptOptions, SegmentedOptions
from jaxdissect.commands.generate.unit_sets import FindArtifacts, OptimiseUnits
from jaxdissect.commands.options.generator import choose_generator_layers, find_segmenter
from jaxdissect.commands.options.preset import PresetName
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.dissection_files import write_dissection
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.dissection.top_images import top_images
from jaxdissect.generators.dissection import (
    Generated,
    dissect_generator,
    latent_input,
)
from jaxdissect.generators.insertion import Insertion, insert_units
from jaxdissect.generators.removal import Removal, remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks, single_unit_masks
from jaxdissect.plots import concept_chart, unit_strips
from jaxdissect.plots.figure_files import save_figure


@dataclass(frozen=True, kw_only=True)
class DissectGenerator(SegmentedOptions):
    """Find the concept, in the images that a generator makes, of every unit of some layers.

    Dissects --num-ranking-images images.
    """

    layers: Annotated[
        tuple[str, ...],
        arg(metavar="L [L ...]", help_behavior_hint="(default: known generators have some)"),
    ] = ()
    """Layers to dissect. A wrong name lists the right ones."""
    preset: PresetName = "gandissect2019"
    """Convention for thresholds and scores."""
    num_top_images: Annotated[int, arg(metavar="N")] = 10
    """Images to find with the highest peaks of each unit."""
    memory_budget_gib: Annotated[float, arg(metavar="GIB")] = 2.0
    """Keep activations up to this size; others are computed again in every pass."""

    def run(self) -> None:
        """Dissect as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        found = self.find()
        layers = choose_generator_layers(found, self.layers)
        segmenter = find_segmenter(self.segmenter, found.segmenter)
        source = self.latents(found, "ranking")
        network, preset = found.model.network, PRESETS[self.preset]
        with self.working() as (folder, progress):
            result = dissect_generator(
                network,
                source,
                segmenter,
                layers=layers,
                preset=preset,
                grid=self.grid,
                to_pixels=found.to_pixels,
                num_top_images=self.num_top_images,
                batch_size=self.batch_size,
                memory_budget=int(self.memory_budget_gib * 2**30),
                progress=progress,
            )
            write_dissection(folder, result, source, self)
            self.write(folder, {"detectors": dissection_tables.layer_table(result)}, {})
            save_figure(folder / "concepts.png", concept_chart.concept_figure(result))
            top = top_images(
                result,
                network,
                Generated(network, source, to_pixels=found.to_pixels),
                inputs=latent_input,
                border=preset.border,
                batch_size=self.batch_size,
                progress=progress,
            )
            unit_strips.save_unit_strips(folder, top)
        self.print_summary(dissection_tables.summary(result))


@dataclass(frozen=True, kw_only=True)
class RemoveUnits(ConceptOptions):
    """Remove the units that match a concept best: what goes, and what comes in its place?

    Units are ranked by their IoU with the concept on some images, and removed from others.
    """

    most: Annotated[int, arg(metavar="N")] = 30
    """Remove the 0, 1, ..., N best units together."""
    shown: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (0, 2, 4, 8, 20)
    """Numbers of removed units to show images of."""
    singles: bool = True
    """Also remove every unit alone."""

    def run(self) -> None:
        """Rank and remove units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        case = self.case()
        if not 1 <= self.most <= case.num_units:
            raise ValueError(
                f"`most` (={self.most}) must be 1 to {case.num_units}, units there are"
            )
        if not self.shown or not all(0 <= number <= self.most for number in self.shown):
            raise ValueError(f"`shown` (={self.shown}) must be numbers from 0 to {self.most}")
        with self.working() as (folder, progress):
            units = case.dissect(progress)
            options: dict[str, Any] = {**case.looking(), "progress": progress}
            keep = best_unit_masks(units.ranking, self.most, case.num_units)
            sets = remove_units(*case.subject(), keep, concepts=[case.concept], **options)
            singles = None
            if self.singles:
                singles = remove_units(
                    *case.subject(), single_unit_masks(case.num_units), **options
                )
            self._write(folder, case, units.ranking, units.iou, sets, singles)
        self.print_table(
            f"Removing units of {self.layer} that match {self.concept} best",
            tables.set_table(sets, case.concept, units.ranking),
        )

    def _write(
        self,
        folder: Path,
        case: ConceptCase,
        ranking: np.ndarray,
        iou: np.ndarray,
        sets: Removal,
        singles: Removal | None,
    ) -> None:
        concept = case.concept
        written = {
            "sets": tables.set_table(sets, concept, ranking),
            "changes": tables.change_table(sets),
            "replaced": tables.replaced_table(sets, concept),
            "images": tables.image_table(sets, concept),
        }
        if singles is not None:
            written["units"] = tables.single_table(singles, concept, iou)
        self.write(folder, written, {"ranking by IoU": ranking[: self.most].tolist()})
        save_figure(folder / "left.png", figures.left_figure(sets, concept))
        replaced = figures.replaced_figure(sets, concept)
        if replaced is not None:
            save_figure(folder / "replaced.png", replaced)
        strip = figures.removal_strip(
            case.network, case.source, sets, concept, self.shown, to_pixels=case.found.to_pixels
        )
        strip.save(folder / "images.png")


@dataclass(frozen=True, kw_only=True)
class InsertUnits(ConceptOptions):
    """Insert the units that match a concept best, at every cell: where does it appear?

    Units are ranked by their IoU with the concept on some images, and set to the level that each
    exceeds on 0.5% of the pixels, at one cell after the other, in others.
    """

    num_units: Annotated[int, arg(metavar="N")] = 20
    """How many of the best units."""
    times: Annotated[float, arg(metavar="X")] = 1.0
    """Set them to so many times their level."""
    min_samples: Annotated[int, arg(metavar="N")] = 100
    """Show contexts with so many samples; the reference takes 1000 of 640,000."""

    def run(self) -> None:
        """Rank and insert units as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        case = self.case()
        if not 1 <= self.num_units <= case.num_units:
            raise ValueError(f"`num_units` (={self.num_units}) must be 1 to {case.num_units}")
        if self.min_samples < 2:
            raise ValueError(f"`min_samples` (={self.min_samples}) must be at least 2")
        with self.working() as (folder, progress):
            found = case.dissect(progress)
            units = found.ranking[: self.num_units]
            insertion = insert_units(
                *case.subject(),
                units,
                self.times * found.levels[units],
                concepts=[case.concept],
                progress=progress,
                **case.looking(),
            )
            self._write(folder, case, insertion)
        header, rows = tables.context_table(insertion, case.concept, min_samples=self.min_samples)
        title = f"Inserting {self.num_units} units of {self.layer} at one cell"
        self.print_table(title, (header, rows[:20]))

    def _write(self, folder: Path, case: ConceptCase, insertion: Insertion) -> None:
        concept = case.concept
        facts = {"units": insertion.units.tolist(), "values": insertion.values.tolist()}
        self.write(
            folder,
            {
                "contexts": tables.context_table(insertion, concept),
                "cells": tables.cell_table(insertion, concept),
                "places": tables.place_table(insertion, concept),
                "changes": tables.side_effect_table(insertion),
            },
            facts,
        )
        contexts = figures.context_figure(
            insertion, concept, category=case.category, min_samples=self.min_samples
        )
        if contexts is not None:
            save_figure(folder / "contexts.png", contexts)
        cells = figures.cell_figure(insertion, concept, case.cells)
        save_figure(folder / "cells.png", cells)
        places = figures.place_sheet(
            case.network,
            case.source,
            insertion,
            concept,
            case.cells,
            to_pixels=case.found.to_pixels,
        )
        places.save(folder / "places.png")


Task = (
    Annotated[DissectGenerator, subcommand("dissect")]
    | Annotated[RemoveUnits, subcommand("remove")]
    | Annotated[InsertUnits, subcommand("insert")]
    | Annotated[OptimiseUnits, subcommand("optimise")]
    | Annotated[FindArtifacts, subcommand("artifacts")]
)


@dataclass(frozen=True)
class GenerateOptions:
    """Find out what the units of an image generator cause in its images."""

    task: OmitSubcommandPrefixes[OmitArgPrefixes[Task]]

    def run(self) -> None:
        """Do the task."""
        self.task.run()
