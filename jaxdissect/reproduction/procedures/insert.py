"""Insert the units that match a concept, cell by cell: where does it appear?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxdissect.dissection.presets import PRESETS
from jaxdissect.generators.dissection import dissect_generator
from jaxdissect.generators.insertion import insert_units
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.procedures.procedure import Measured, Procedure, Step, known
from jaxdissect.reproduction.procedures.ranked_units import ranked_by_iou
from jaxdissect.reproduction.way import Way

TOGETHER = 4
"""Cells that run together."""


@dataclass(frozen=True, kw_only=True)
class Insert:
    """Settings.

    Attributes:
        layer: The layer.
        concept: Name of the concept,
        category: and its category.
        num_units: Number of best units that are inserted.
        level: They are set to what each exceeds on this share of the pixels.
        contexts: What is there before, by name, with its category.
        least: Contexts with fewer samples are left out.
        cells: Rows and columns of the layer, for the cost.
        num_images: Images that are made.
        preset: Convention for thresholds, scores and the segmenter.
        grid: Rows and columns of the label grid.
    """

    layer: str
    concept: str
    category: str
    contexts: Mapping[str, str]
    num_units: int = 20
    level: float = 0.005
    least: int = 1000
    cells: int = 8
    num_images: int = 10_000
    preset: str = "reference"
    grid: int = 64


def steps(experiment: Experiment, settings: Insert) -> tuple[Step, ...]:
    """List what is done."""
    number, name = settings.num_images, experiment.networks[0]
    samples = number * settings.cells**2
    return (
        Step(
            f"dissect {settings.layer} in {number:,} images, and rank its units by their IoU with "
            f"{settings.concept}",
            {name: 2 * number, "segmenter": number},
        ),
        Step(
            f"find the level that each unit exceeds on {settings.level:.1%} of the pixels",
            {name: 2 * number, "segmenter": number},
        ),
        Step(
            f"set the {settings.num_units} best to their levels at one of {settings.cells**2} "
            f"cells after the other, and segment all anew: {samples:,} images",
            {name: number, f"{name} after the layer": samples, "segmenter": samples + number},
        ),
    )


def quantities(settings: Insert) -> tuple[str, ...]:
    """Name what is measured."""
    names = (f"{what}/{name}" for name in settings.contexts for what in ("added", "samples"))
    return ("shown", *names)


def run(
    experiment: Experiment, settings: Insert, materials: Materials, way: Way, folder: Path
) -> Measured:
    """Rank units, insert them, and measure how much of the concept appears in every context."""
    generator = materials.generator(experiment.networks[0], settings.preset, settings.grid)
    index = generator.vocabulary.index
    concept = index(settings.concept, category=settings.category)
    contexts = {n: index(n, category=kind) for n, kind in settings.contexts.items()}
    source = materials.latents(generator, settings.num_images)
    ranking = ranked_by_iou(
        generator, source, settings.layer, concept, settings.preset, way, folder
    )
    units = ranking[: settings.num_units]
    levels = dissect_generator(
        generator,
        source,
        layers=(settings.layer,),
        preset=replace(PRESETS[settings.preset], fraction=settings.level),
        num_top_images=1,
        batch_size=way.size_of_batches(generator.network, (generator.latent_size,)),
        checkpoints=way.checkpoints_of("levels"),
        mesh=way.mesh,
        progress=way.progress,
    )[settings.layer].thresholds
    insertion = insert_units(
        generator,
        source,
        settings.layer,
        units,
        levels[units],
        concepts=[concept],
        batch_size=way.size_of_batches(
            generator.network, (generator.latent_size,), copies=TOGETHER, on_processor=2
        ),
        chunk_size=TOGETHER,
        checkpoints=way.checkpoints_of("insertion"),
        mesh=way.mesh,
        progress=way.progress,
    )
    added, number = insertion.added_area(concept), insertion.number
    np.savez_compressed(
        folder / "insertion.npz",
        units=insertion.units,
        values=insertion.values,
        added=added,
        band=insertion.added_band(concept),
        number=number,
    )
    measured = {"shown": 100 * float(insertion.mean_before[concept]) / insertion.num_pixels}
    for name, context in contexts.items():
        measured[f"samples/{name}"] = float(number[context])
        if number[context] >= settings.least:
            measured[f"added/{name}"] = 100 * float(added[context])
    return known(measured)


PROCEDURE = Procedure(Insert, steps, quantities, run)
