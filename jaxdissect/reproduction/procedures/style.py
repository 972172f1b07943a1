"""Images in another style: which units stay active at the same places, which follow textures?"""

from dataclasses import dataclass
from pathlib import Path

from jaxdissect.dissection.presets import PRESETS
from jaxdissect.engine.data.folders import image_folder
from jaxdissect.engine.data.pairs import paired_folders
from jaxdissect.engine.labelers import segmented
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.procedures.found_concepts import FOLDER
from jaxdissect.reproduction.procedures.procedure import (
    Measured,
    Procedure,
    Step,
    known,
    num_images,
)
from jaxdissect.reproduction.way import Way
from jaxdissect.styles.style_study import study_style
from jaxdissect.styles.stylisation import stylise_folder

STYLISED = "stylised"
"""Where stylised images are kept, in the folder of the experiment."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """Settings.

    Attributes:
        layers: The layers.
        side: Pixels of a side of the images,
        style_side: and of those that styles are taken from.
        alpha: Strength of the style.
        min_style_iou: A unit is shape-sensitive above this IoU of its two regions.
        preset: Convention for thresholds, scores and the segmenter.
        grid: Rows and columns of the label grid.
    """

    layers: tuple[str, ...]
    side: int = 256
    style_side: int = 256
    alpha: float = 1.0
    min_style_iou: float = 0.1
    preset: str = "reference"
    grid: int = 64


def steps(experiment: Experiment, settings: Style) -> tuple[Step, ...]:
    """List what is done."""
    number, network = num_images(experiment.data[0]), experiment.networks[0]
    return (
        Step(
            f"render {number:,} images in the style of a painting each", {"style transfer": number}
        ),
        Step(
            f"dissect {len(settings.layers)} layers on the originals and on the stylised images, "
            "and compare where each unit is active in both",
            {network: 6 * number, "segmenter": number},
        ),
        Step("count interpretable units that are shape-sensitive, and texture-sensitive ones"),
    )


def quantities(settings: Style) -> tuple[str, ...]:
    """Name what is measured."""
    kinds = ("shape-sensitive", "texture-sensitive")
    return tuple(f"{kind}/{layer}" for layer in settings.layers for kind in kinds)


def run(
    experiment: Experiment, settings: Style, materials: Materials, way: Way, folder: Path
) -> Measured:
    """Render images in other styles, study units under both, and count."""
    network = materials.network(experiment.networks[0])
    data, paintings = experiment.data
    originals = materials.folder(data, settings.side)
    files = stylise_folder(
        materials.module("adain_encoder"),
        materials.module("adain_decoder"),
        originals,
        materials.folder(paintings, settings.style_side),
        folder / STYLISED,
        alpha=settings.alpha,
        batch_size=way.batch_size or 4,
        checkpoints=way.checkpoints_of("stylised"),
        mesh=way.mesh,
        progress=way.progress,
    )
    assert len(files) == len(originals)
    size = (settings.side, settings.side)
    source = paired_folders(originals, image_folder(folder / STYLISED, image_size=size))
    study = study_style(
        network,
        source,
        segmented(materials.segmenter(settings.preset)),
        layers=settings.layers,
        min_style_iou=settings.min_style_iou,
        preset=PRESETS[settings.preset],
        grid=(settings.grid, settings.grid),
        batch_size=way.size_of_batches(network, (*size, 3), layers=settings.layers),
        checkpoints=way.checkpoints_of("study"),
        mesh=way.mesh,
        progress=way.progress,
    )
    study.originals.save(folder / FOLDER)
    measured = {}
    for name, layer in study.layers.items():
        measured[f"shape-sensitive/{name}"] = len(layer.shape_sensitive)
        measured[f"texture-sensitive/{name}"] = len(layer.texture_sensitive)
    return known(measured)


PROCEDURE = Procedure(Style, steps, quantities, run)
