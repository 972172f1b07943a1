"""Remove units of a generator that match a concept: how much of it goes?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdissect.generators.removal import remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.procedures.procedure import Measured, Procedure, Step, known
from jaxdissect.reproduction.procedures.ranked_units import ranked_by_iou
from jaxdissect.reproduction.way import Way

TOGETHER = 4
"""Sets of units that run together."""


@dataclass(frozen=True, kw_only=True)
class RemoveFromGenerator:
    """Settings.

    Attributes:
        layer: The layer.
        concept: Name of the concept,
        category: and its category.
        most: The greatest number of units that are removed together.
        num_images: Images that are made.
        preset: Convention for thresholds, scores and the segmenter.
        grid: Rows and columns of the label grid.
    """

    layer: str
    concept: str
    category: str
    most: int
    num_images: int = 10_000
    preset: str = "reference"
    grid: int = 64


def steps(experiment: Experiment, settings: RemoveFromGenerator) -> tuple[Step, ...]:
    """List what is done."""
    number, name = settings.num_images, experiment.networks[0]
    again = number * (settings.most + 2)
    return (
        Step(
            f"dissect {settings.layer} in {number:,} images, and rank its units by their IoU with "
            f"{settings.concept}",
            {name: 2 * number, "segmenter": number},
        ),
        Step(
            f"remove the 0 to {settings.most} best of them, in the same {number:,} images, and "
            "segment all anew",
            {name: number, f"{name} after the layer": again, "segmenter": again},
        ),
    )


def quantities(settings: RemoveFromGenerator) -> tuple[str, ...]:
    """Name what is measured."""
    return ("shown", *(f"removed/{number}" for number in range(settings.most + 1)))


def run(
    experiment: Experiment,
    settings: RemoveFromGenerator,
    materials: Materials,
    way: Way,
    folder: Path,
) -> Measured:
    """Rank units, remove them, and measure how much of the concept goes."""
    generator = materials.generator(experiment.networks[0], settings.preset, settings.grid)
    concept = generator.vocabulary.index(settings.concept, category=settings.category)
    source = materials.latents(generator, settings.num_images)
    ranking = ranked_by_iou(
        generator, source, settings.layer, concept, settings.preset, way, folder
    )
    keep = best_unit_masks(ranking, settings.most, len(ranking))
    removal = remove_units(
        generator,
        source,
        settings.layer,
        keep,
        concepts=[concept],
        batch_size=way.size_of_batches(
            generator.network, (generator.latent_size,), copies=TOGETHER, on_processor=2
        ),
        chunk_size=TOGETHER,
        checkpoints=way.checkpoints_of("removal"),
        mesh=way.mesh,
        progress=way.progress,
    )
    np.savez_compressed(
        folder / "areas.npz",
        ranking=ranking,
        before=removal.before[:, concept],
        after=removal.area_left(concept),
    )
    left = removal.fraction_left[:, concept]
    shown = float(removal.mean_before[concept])
    if not shown:
        return {"shown": 0.0}
    numbers = {f"removed/{n}": 100 * (1 - part) for n, part in enumerate(left.tolist())}
    return known({"shown": 100 * shown / removal.num_pixels, **numbers})


PROCEDURE = Procedure(RemoveFromGenerator, steps, quantities, run)
