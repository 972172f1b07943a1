"""Dissect layers of an image generator: the concept of every unit, in the images that it makes."""

from dataclasses import dataclass
from pathlib import Path

from jaxdissect.dissection.presets import PRESETS
from jaxdissect.generators.dissection import dissect_generator
from jaxdissect.generators.generator import latent_input
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.procedures.found_concepts import (
    concept_quantities,
    dissected_quantities,
    write_found,
)
from jaxdissect.reproduction.procedures.procedure import Measured, Procedure, Step
from jaxdissect.reproduction.way import Way


@dataclass(frozen=True, kw_only=True)
class DissectGenerator:
    """Settings.

    Attributes:
        layers: The layers.
        listed: Of these, the layers whose detectors are counted concept by concept.
        num_images: Images that are made.
        preset: Convention for thresholds, scores and the segmenter.
        grid: Rows and columns of the label grid.
    """

    layers: tuple[str, ...]
    listed: tuple[str, ...] = ()
    num_images: int = 10_000
    preset: str = "reference"
    grid: int = 64


def steps(experiment: Experiment, settings: DissectGenerator) -> tuple[Step, ...]:
    """List what is done."""
    number = settings.num_images
    return (
        Step(
            f"dissect {len(settings.layers)} layers in {number:,} generated images: exact "
            "thresholds, labels of the segmenter, agreement with every concept",
            {experiment.networks[0]: 2 * number, "segmenter": number},
        ),
        Step("count detectors and the concepts that they detect; draw the best units; a page"),
    )


def quantities(settings: DissectGenerator) -> tuple[str, ...]:
    """Name what is measured."""
    listed = (f"units/{layer}/*/*" for layer in settings.listed)
    return (*dissected_quantities(settings.layers), *listed)


def run(
    experiment: Experiment,
    settings: DissectGenerator,
    materials: Materials,
    way: Way,
    folder: Path,
) -> Measured:
    """Dissect, write what was found, and count it."""
    generator = materials.generator(experiment.networks[0], settings.preset, settings.grid)
    source = materials.latents(generator, settings.num_images)
    result = dissect_generator(
        generator,
        source,
        layers=settings.layers,
        preset=PRESETS[settings.preset],
        batch_size=way.size_of_batches(
            generator.network, (generator.latent_size,), layers=settings.layers
        ),
        checkpoints=way.checkpoints_of("dissection"),
        mesh=way.mesh,
        progress=way.progress,
    )
    made = {"inputs": latent_input, "output_image": generator.to_pixels}
    write_found(folder, result, generator.network, source, way, **made)
    wanted = {figure.quantity for figure in experiment.figures}
    return concept_quantities(result, with_units_of=settings.listed, wanted=wanted)


PROCEDURE = Procedure(DissectGenerator, steps, quantities, run)
