"""Dissect layers of a classifier: the concept of every unit, and how many a layer detects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxdissect.arrays.resampling import Alignment, ReceptiveField, align_corners
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.labelers import segmented
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import ImageSize, Materials
from jaxdissect.reproduction.procedures.found_concepts import (
    concept_quantities,
    dissected_quantities,
    write_found,
)
from jaxdissect.reproduction.procedures.procedure import Measured, Procedure, Step, num_images
from jaxdissect.reproduction.way import Way


@dataclass(frozen=True, kw_only=True)
class DissectClassifier:
    """Settings.

    Attributes:
        layers: The layers.
        preset: Convention for thresholds, scores and the segmenter.
        grid: Rows and columns of the label grid.
        resized: Images are resized to a square of so many pixels a side,
        cut: and cut to one of so many.
        declared: Scale and offset of the receptive field, and cells of a side, that the published
            code takes every layer to have, right or wrong; empty where it asks the layer.
    """

    layers: tuple[str, ...]
    preset: str = "reference"
    grid: int = 56
    resized: int = 256
    cut: int = 224
    declared: tuple[int, ...] = ()

    def alignments(self) -> Mapping[str, Alignment] | None:
        """Return where the label grid reads the layers, if the published code says so."""
        if not self.declared:
            return None
        scale, offset, cells = self.declared
        field = ReceptiveField((scale, scale), (offset, offset))
        shape = (cells, cells)
        placed = align_corners(field, image=(self.cut, self.cut), declared_shape=shape)
        return dict.fromkeys(self.layers, placed)


def steps(experiment: Experiment, settings: DissectClassifier) -> tuple[Step, ...]:
    """List what is done."""
    (data,) = experiment.data
    number, network = num_images(data), experiment.networks[0]
    layers = f"{len(settings.layers)} layer{'s' * (len(settings.layers) != 1)}"
    return (
        Step(
            f"dissect {layers} on {number:,} images: exact thresholds, labels "
            "of the segmenter, agreement with every concept",
            {network: 2 * number, "segmenter": number},
        ),
        Step("count detectors and the concepts that they detect; draw the best units; a page"),
    )


def quantities(settings: DissectClassifier) -> tuple[str, ...]:
    """Name what is measured."""
    return dissected_quantities(settings.layers)


def run(
    experiment: Experiment,
    settings: DissectClassifier,
    materials: Materials,
    way: Way,
    folder: Path,
) -> Measured:
    """Dissect, write what was found, and count it."""
    network = materials.network(experiment.networks[0])
    (data,) = experiment.data
    source = materials.images(data, ImageSize(settings.resized, settings.cut))
    result = dissect(
        network,
        source,
        segmented(materials.segmenter(settings.preset)),
        layers=settings.layers,
        preset=PRESETS[settings.preset],
        grid=(settings.grid, settings.grid),
        alignments=settings.alignments(),
        batch_size=way.size_of_batches(
            network, (settings.cut, settings.cut, 3), layers=settings.layers
        ),
        checkpoints=way.checkpoints_of("dissection"),
        mesh=way.mesh,
        progress=way.progress,
    )
    write_found(folder, result, network, source, way)
    return concept_quantities(result)


PROCEDURE = Procedure(DissectClassifier, steps, quantities, run)
