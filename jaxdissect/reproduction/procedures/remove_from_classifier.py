"""Remove units of a classifier: which classes need which units, and do these match concepts?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.class_study import ClassStudy, study_classes
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.labelers import segmented
from jaxdissect.networks.network import layer_shapes
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import ImageSize, Materials
from jaxdissect.reproduction.procedures.found_concepts import FOLDER
from jaxdissect.reproduction.procedures.procedure import (
    Measured,
    Procedure,
    Step,
    known,
    num_images,
)
from jaxdissect.reproduction.way import Way
from jaxdissect.stats import accuracy

_PARTS = ("training", "validation")
"""Images to rank units with, and to measure with."""


@dataclass(frozen=True, kw_only=True)
class RemoveFromClassifier:
    """Settings.

    Attributes:
        layer: The layer.
        watched: Name of the class that is looked at by itself,
        units: and units of the layer whose single removals are, by what they stand for.
        sizes: Numbers of most important units, removed together and kept alone.
        preset: Convention for the IoU of units.
        grid: Rows and columns of the label grid.
        resized: Images are resized to a square of so many pixels a side,
        cut: and cut to one of so many.
    """

    layer: str
    watched: str
    units: Mapping[str, int]
    sizes: tuple[int, ...] = (4, 20)
    preset: str = "reference"
    grid: int = 56
    resized: int = 256
    cut: int = 224


def steps(experiment: Experiment, settings: RemoveFromClassifier) -> tuple[Step, ...]:
    """List what is done."""
    train, val = (num_images(data) for data in experiment.data)
    network = experiment.networks[0]
    rest, num_units, num_classes = f"{network} after the layer", 512, 365
    sets = 2 * len(settings.sizes) * num_classes
    return (
        Step(
            f"dissect {settings.layer} on {val:,} validation images, for the IoU of its units",
            {network: 2 * val, "segmenter": val},
        ),
        Step(
            f"remove each of {num_units} units, {train:,} training images: rank them by class",
            {network: train, rest: train * (num_units + 1)},
        ),
        Step(
            f"remove each of {num_units} units, {val:,} validation images",
            {network: val, rest: val * (num_units + 1)},
        ),
        Step(
            f"remove the {' and '.join(map(str, settings.sizes))} units most important to each of "
            f"{num_classes} classes, and all but these ({sets:,} sets), {val:,} validation images",
            {network: val, rest: val * (sets + 1)},
        ),
        Step("group units by the number of classes to which they are important; mean IoU"),
    )


def quantities(settings: RemoveFromClassifier) -> tuple[str, ...]:
    """Name what is measured."""
    sets = ["intact"]
    sets += [f"{how} {size}" for how in ("without", "with alone") for size in settings.sizes]
    measures = ("mean balanced accuracy", "watched class", "all classes")
    return (
        *(f"{measure}/{which}" for measure in measures for which in sets),
        *(f"lost/{name}/{part}" for name in settings.units for part in _PARTS),
        *(f"important to {number}/{what}" for number in range(8) for what in ("units", "IoU")),
    )


def run(
    experiment: Experiment,
    settings: RemoveFromClassifier,
    materials: Materials,
    way: Way,
    folder: Path,
) -> Measured:
    """Dissect, rank and remove units, and measure."""
    network = materials.network(experiment.networks[0])
    size = ImageSize(settings.resized, settings.cut)
    train, val = experiment.data
    ranking, names = materials.classed_images(train, size)
    judging, _ = materials.classed_images(val, size, class_names=names)
    if settings.watched not in names:
        raise ValueError(
            f"data set {train!r} has no images of class {settings.watched!r}, which the published "
            f"figures are of; it has {len(names)} classes: {', '.join(names[:8])}, ..."
        )
    images = judging[0]["image"][None]
    num_units = layer_shapes(network, images, (settings.layer,))[settings.layer].shape[-1]
    batch_size = way.size_of_batches(
        network, images.shape[1:], layers=(settings.layer,), on_processor=16
    )
    found = dissect(
        network,
        materials.images(val, size),
        segmented(materials.segmenter(settings.preset)),
        layers=settings.layer,
        preset=PRESETS[settings.preset],
        grid=(settings.grid, settings.grid),
        batch_size=batch_size,
        checkpoints=way.checkpoints_of("dissection"),
        mesh=way.mesh,
        progress=way.progress,
    )
    found.save(folder / FOLDER)
    study = study_classes(
        network,
        ranking,
        judging,
        settings.layer,
        num_units,
        sizes=settings.sizes,
        batch_size=batch_size,
        checkpoints=way.checkpoints_of("removals"),
        mesh=way.mesh,
        progress=way.progress,
    )
    watched = names.index(settings.watched)
    return known(
        {
            **_all_classes(study),
            **_single_units(study, watched, settings.units),
            **_sets_of_class(study, watched),
            **_importance(study, found[settings.layer].best_iou),
        }
    )


def _all_classes(study: ClassStudy) -> Measured:
    """Mean over classes of their balanced accuracies: intact, without their best, with these."""
    intact, *others = 100 * study.own_balanced_accuracies().mean(axis=1)
    names = [
        f"mean balanced accuracy/{how} {size}"
        for how in ("without", "with alone")
        for size in study.sizes
    ]
    return {"mean balanced accuracy/intact": intact, **dict(zip(names, others, strict=True))}


def _single_units(study: ClassStudy, watched: int, units: Mapping[str, int]) -> Measured:
    """Balanced accuracy that the watched class loses without one unit."""
    removed = (study.ranking_removals, study.judging_removals)
    return {
        f"lost/{name}/{part}": 100 * removals.damage()[unit, watched]
        for part, removals in zip(_PARTS, removed, strict=True)
        for name, unit in units.items()
    }


def _sets_of_class(study: ClassStudy, watched: int) -> Measured:
    """Accuracies of the watched class, and of all, without the units that matter to it."""
    (place,) = np.flatnonzero(study.classes == watched)
    intact = study.set_removals.baseline
    found = {
        "watched class/intact": accuracy.balanced_accuracy(intact)[watched],
        "all classes/intact": accuracy.overall_accuracy(intact),
    }
    grids = {"without": study.without_best, "with alone": study.with_best_alone}
    for how, grid in grids.items():
        own, every = grid(accuracy.balanced_accuracy), grid(accuracy.overall_accuracy)
        for row, size in enumerate(study.sizes):
            found[f"watched class/{how} {size}"] = own[row, place, watched]
            found[f"all classes/{how} {size}"] = every[row, place]
    return {name: 100 * float(share) for name, share in found.items()}


def _importance(study: ClassStudy, best_iou: Float64[np.ndarray, "U"]) -> Measured:
    """Group units by the number of classes to which they are important."""
    groups = importance.by_number_of_classes(study.important, np.nan_to_num(best_iou))
    found = {}
    for value, number, mean in zip(groups.value, groups.number, groups.mean, strict=True):
        found[f"important to {value:.0f}/units"] = float(number)
        found[f"important to {value:.0f}/IoU"] = float(mean)
    return found


PROCEDURE = Procedure(RemoveFromClassifier, steps, quantities, run)
