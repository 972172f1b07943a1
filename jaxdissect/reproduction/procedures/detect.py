"""One unit as a detector of a class: the peak of the unit against a threshold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxdissect.classifiers.detectors import (
    PeakActivations,
    as_binary,
    best_detectors,
    peak_activations,
    reference_detectors,
)
from jaxdissect.networks.imagenet import imagenet_classes, imagenet_synsets
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import ImageSize, Materials
from jaxdissect.reproduction.procedures.procedure import (
    Measured,
    Procedure,
    Step,
    known,
    num_images,
)
from jaxdissect.reproduction.way import Way

_JOINED = 1  # number of the joined class


@dataclass(frozen=True, kw_only=True)
class Detect:
    """Settings.

    Attributes:
        layer: The layer.
        unit: The unit.
        classes: Numbers of the classes that count as the one to detect.
        named_by: How folders of images are matched with classes: "imagenet", by number or name, or
            "folders", sorted by name.
        resized: Images are resized to a square of so many pixels a side,
        cut: and cut to one of so many.
    """

    layer: str
    unit: int
    classes: tuple[int, ...]
    named_by: str = "imagenet"
    resized: int = 256
    cut: int = 224

    def class_names(self) -> tuple[str, ...] | None:
        """Return the names of all classes, as they are matched with folders."""
        if self.named_by == "folders":
            return None
        pairs = zip(imagenet_synsets(), imagenet_classes(), strict=True)
        return tuple(" ".join(pair) for pair in pairs)


def steps(experiment: Experiment, settings: Detect) -> tuple[Step, ...]:
    """List what is done."""
    train, val = (num_images(data) for data in experiment.data)
    network = experiment.networks[0]
    return (
        Step(f"peaks of {settings.layer} over {train:,} training images", {network: train}),
        Step(f"the threshold of unit {settings.unit}, by the paper's rule and by ours"),
        Step(
            f"peaks over {val:,} validation images, to judge it on images that it was not chosen "
            "on (the paper does not)",
            {network: val},
        ),
    )


def quantities(settings: Detect) -> tuple[str, ...]:
    """Name what is measured."""
    del settings
    return (
        *("threshold", "accuracy/paper's threshold, training", "best threshold"),
        *("accuracy/best threshold, training", "accuracy/best threshold, validation"),
        "AUROC, validation",
    )


def run(
    experiment: Experiment, settings: Detect, materials: Materials, way: Way, folder: Path
) -> Measured:
    """Find peaks, choose thresholds, and measure."""
    network = materials.network(experiment.networks[0])
    size = ImageSize(settings.resized, settings.cut)
    batch_size = way.size_of_batches(
        network, (size.cut, size.cut, 3), layers=(settings.layer,), on_processor=16
    )

    def peaks(data: str) -> PeakActivations:
        source, _ = materials.classed_images(data, size, class_names=settings.class_names())
        found = peak_activations(
            network,
            source,
            settings.layer,
            batch_size=batch_size,
            checkpoints=way.checkpoints_of(data),
            mesh=way.mesh,
            progress=way.progress,
        )[settings.layer]
        return found._replace(labels=as_binary(found.labels, np.array(settings.classes)))

    choosing, judging = (peaks(data) for data in experiment.data)
    every = best_detectors(choosing, judging, units=(settings.unit,))
    found = every.of_class(_JOINED)
    np.savez_compressed(
        folder / "peaks.npz",
        training=choosing.values[:, settings.unit],
        training_labels=choosing.labels,
        validation=judging.values[:, settings.unit],
        validation_labels=judging.labels,
    )
    measured = {
        "best threshold": float(found.thresholds[0, 0]),
        "accuracy/best threshold, training": 100 * found.chosen_accuracy[0, 0],
        "accuracy/best threshold, validation": 100 * found.accuracy[0, 0],
        "AUROC, validation": 100 * found.auroc[0, 0],
    }
    for rule in reference_detectors(found, choosing):  # none where the rule gives no threshold
        measured["threshold"] = rule.threshold
        measured["accuracy/paper's threshold, training"] = 100 * rule.chosen_accuracy
    return known(measured)


PROCEDURE = Procedure(Detect, steps, quantities, run)
