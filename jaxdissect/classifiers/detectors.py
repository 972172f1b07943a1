"""One unit as a detector of a class: its peak activation against a threshold.

Letters: n images, B batch, h w cells of a layer, U units, N classes, C classes that can be judged,
k units per class.

Method (Bau et al. 2020, "airplane" unit 150 of conv5_3): the peak of a unit over an image is
compared with a threshold. Here the threshold is chosen on some images, the best of all there are,
and judged on others; so is the unit, if the best of many is looked for. The published code chooses
and judges on the same images, by a rule of its own: see `reference_threshold` in
`jaxdissect.stats.threshold_classifier`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.classifiers import class_checks
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import (
    Inputs,
    LayerReader,
    all_finite,
    check_finite,
    image_input,
)
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably, network_settings
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.network import as_network
from jaxdissect.stats import threshold_classifier


class PeakActivations(NamedTuple):
    """Peak activations of the units of a layer over images, and the class of each image."""

    values: Float32[np.ndarray, "n U"]
    labels: Int64[np.ndarray, "n"]

    __repr__ = short_repr


class Detectors(NamedTuple):
    """The best units of every class, best first, by the images that they were chosen on.

    Attributes:
        classes: The classes that can be judged: those with images in both parts.
        units: Their units.
        thresholds: An image is classified as the class where the peak exceeds this, strictly.
        chosen_accuracy, chosen_auroc: Balanced accuracy and AUROC on the images to choose with,
            where they are too good to be true.
        accuracy, auroc: Balanced accuracy and AUROC on the images to judge with.
    """

    classes: Int64[np.ndarray, "C"]
    units: Int64[np.ndarray, "C k"]
    thresholds: Float32[np.ndarray, "C k"]
    chosen_accuracy: Float64[np.ndarray, "C k"]
    chosen_auroc: Float64[np.ndarray, "C k"]
    accuracy: Float64[np.ndarray, "C k"]
    auroc: Float64[np.ndarray, "C k"]

    __repr__ = short_repr

    def order(self) -> Int64[np.ndarray, "C"]:
        """Order the classes by the accuracy that their best unit was chosen for; give places."""
        return np.argsort(-self.chosen_accuracy[:, 0], kind="stable")

    def of_class(self, number: int) -> "Detectors":
        """Leave out all classes but one."""
        return Detectors(*(column[self.classes == number] for column in self))


class UnitDetectors(NamedTuple):
    """All units as detectors of all classes, each with its best threshold.

    Attributes:
        classes: The classes that can be judged: those with images in both parts.
        thresholds: An image is classified as the class where the peak exceeds this, strictly.
        chosen_accuracy: Balanced accuracy on the images to choose with.
        auroc: AUROC on the images to judge with.
    """

    classes: Int64[np.ndarray, "C"]
    thresholds: Float32[np.ndarray, "U C"]
    chosen_accuracy: Float64[np.ndarray, "U C"]
    auroc: Float64[np.ndarray, "U C"]

    __repr__ = short_repr

    def of_class(self, number: int) -> "UnitDetectors":
        """Leave out all classes but one."""
        classes, *columns = self
        kept = classes == number
        return UnitDetectors(classes[kept], *(column[:, kept] for column in columns))


class ReferenceDetector(NamedTuple):
    """The best unit of a class, with the threshold that the paper's rule gives it.

    Attributes:
        number: The class.
        unit: Its best unit.
        threshold: The threshold.
        chosen_accuracy: Balanced accuracy on the images that the threshold was chosen with.
    """

    number: int
    unit: int
    threshold: float
    chosen_accuracy: float


def peak_activations(
    network: Any,
    source: Source,
    layers: str | Sequence[str],
    *,
    label_key: str = "label",
    inputs: Inputs = image_input,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> dict[str, PeakActivations]:
    """Find the greatest activation of every unit over each image, in one pass.

    Every call for the same network and layers reads them with the same compiled program, so that
    thresholds of one call hold for the peaks of another.

    Args:
        network: A Network or an nnx.Module.
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layers: The layers whose units are looked at.
        label_key: Name of the class of an example, an integer from 0, or a bool.
        inputs: Makes the network's input of a batch.
        token_grid, drop_tokens: How token layers [B, T, U] are read, if this does not follow from
            the image (see `as_network`). Peaks leave out tokens that are no cells.
        batch_size: Examples in a step; changes results by rounding only.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If there are no examples or layers, a layer is unknown, an example has no class
            or one below 0, activations are not finite, or `checkpoints` holds another computation
            or is damaged.
    """
    network = as_network(network, token_grid=token_grid, drop_tokens=drop_tokens)
    names = as_layers(layers)
    if not names:
        raise ValueError("`layers` must name at least one layer")
    example = class_checks.first_example(source, label_key, allow_bool=True)
    reader = LayerReader.of(network, names, inputs=inputs)
    shapes = reader.shapes(network.params, example).maps
    values = {name: np.zeros((len(source), shapes[name].shape[-1]), np.float32) for name in names}
    labels = np.zeros(len(source), np.int64)

    def receive(batch: Batch, found: tuple[dict[str, Array], dict[str, Array]]) -> None:
        peaks, finite = found
        check_finite(finite, batch)
        examples = batch["example"][batch["weight"]]
        labels[examples] = class_checks.read_classes(batch, label_key)
        for name, of_layer in peaks.items():
            values[name][examples] = np.asarray(of_layer)[batch["weight"]]

    params = replicated(network.params, mesh)
    map_resumably(
        lambda batch: _peaks(reader.read(params, batch).maps),
        source,
        checkpoints,
        plain_step=lambda batch: _peaks(reader.traced(network.params, batch).maps),
        settings=lambda: {
            "layers": list(names),
            "label_key": label_key,
            **network_settings(network, inputs, example),
        },
        save_every=save_every,
        kept={f"peaks/{name}": peaks for name, peaks in values.items()} | {"labels": labels},
        receive=receive,
        batch_size=batch_size,
        mesh=mesh,
        description="peaks of units",
        progress=progress,
    )
    return {name: PeakActivations(values[name], labels) for name in names}


@jax.jit
def _peaks(
    maps: dict[str, Float[Array, "B h w U"]],
) -> tuple[dict[str, Float32[Array, "B U"]], dict[str, Bool[Array, "B"]]]:
    """Find the peaks of every layer, and whether all activations of an example are finite."""
    peaks = {name: of_layer.astype(jnp.float32).max((1, 2)) for name, of_layer in maps.items()}
    return peaks, {name: all_finite(of_layer) for name, of_layer in maps.items()}


def best_detectors(
    choosing: PeakActivations,
    judging: PeakActivations,
    *,
    units: Sequence[int] | None = None,
    units_per_class: int = 1,
    num_classes: int | None = None,
) -> Detectors:
    """Choose units and thresholds for every class on some images, and judge them on others.

    Every unit is tried for every class with its best threshold, which is the best of all there are.

    Args:
        choosing: Peaks over images to choose with.
        judging: Peaks of the same units over other images.
        units: Which units to try; all when None.
        units_per_class: How many units to name for each class, k; fewer if there are not so many.
        num_classes: N; one more than the greatest label when None.

    Raises:
        ValueError: If `units` are out of range, `units_per_class` is below 1, the parts have
            different units or no class in common, or images of one part are all of one class.
    """
    num_units = choosing.values.shape[1]
    if judging.values.shape[1] != num_units:
        raise ValueError(
            f"`judging` (={judging.values.shape[1]} units) must have the {num_units} units of "
            "`choosing`"
        )
    tried = np.arange(num_units) if units is None else np.asarray(units, np.int64)
    if not tried.size or not 0 <= tried.min() <= tried.max() < num_units:
        raise ValueError(f"`units` (={tried.tolist()}) must be some in [0, {num_units})")
    if units_per_class < 1:
        raise ValueError(f"`units_per_class` (={units_per_class}) must be at least 1")
    greatest = max(int(part.labels.max(initial=-1)) for part in (choosing, judging))
    number = greatest + 1 if num_classes is None else num_classes
    chosen = threshold_classifier.fit(choosing.values[:, tried], choosing.labels, number)
    whole = threshold_classifier.fit(judging.values[:, tried], judging.labels, number)
    classes = np.intersect1d(choosing.labels, judging.labels)
    if not len(classes):
        raise ValueError("`judging` must have images of some class that `choosing` has images of")
    # Equally good: the unit that orders the images better, then the first.
    order = np.lexsort((-chosen.auroc, -chosen.balanced_accuracy), axis=0)
    places = order[:units_per_class, classes].T
    rows = classes[:, None]
    thresholds = chosen.threshold[places, rows]
    accuracy = threshold_classifier.evaluate(
        judging.values[:, tried[places].reshape(-1)],
        judging.labels,
        np.repeat(classes, places.shape[1]),
        thresholds.reshape(-1),
    )
    return Detectors(
        classes,
        tried[places],
        thresholds,
        chosen.balanced_accuracy[places, rows],
        chosen.auroc[places, rows],
        accuracy.reshape(places.shape),
        whole.auroc[places, rows],
    )


def unit_detectors(
    choosing: PeakActivations, judging: PeakActivations, num_classes: int
) -> UnitDetectors:
    """Choose the threshold of every unit for every class on some images, and judge it on others.

    Args:
        choosing: Peaks over images to choose with.
        judging: Peaks of the same units over other images.
        num_classes: N.

    Raises:
        ValueError: If images of one part are all of one class, or a class is not in [0, N).
    """
    chosen, whole = (
        threshold_classifier.fit(part.values, part.labels, num_classes)
        for part in (choosing, judging)
    )
    classes = np.intersect1d(choosing.labels, judging.labels)
    columns = (chosen.threshold, chosen.balanced_accuracy, whole.auroc)
    return UnitDetectors(classes, *(column[:, classes] for column in columns))


def reference_detectors(found: Detectors, choosing: PeakActivations) -> list[ReferenceDetector]:
    """Choose thresholds by the rule of the paper's code, on the images to choose with.

    Args:
        found: Detectors, of which the best unit of each class is taken.
        choosing: Peaks over images to choose with.

    Returns:
        Classes in the order of `Detectors.order`; those for which the rule gives no threshold are
        left out.
    """
    detectors = []
    for place in found.order():
        unit, number = int(found.units[place, 0]), int(found.classes[place])
        try:
            rule = threshold_classifier.reference_threshold(
                choosing.values[:, unit], choosing.labels == number
            )
        except ValueError:  # fewer others than images of the class, or all of them lower
            continue
        detectors.append(ReferenceDetector(number, unit, *rule))
    return detectors


def as_binary(labels: Int[np.ndarray, "n"], wanted: Int[np.ndarray, "_"]) -> Int64[np.ndarray, "n"]:
    """Join some classes into class 1, and all others into class 0.

    So the paper looks for a unit that detects airplanes: images of airliners and warplanes.

    Args:
        labels: The class of each image.
        wanted: The classes to join.

    Raises:
        ValueError: If all images are of these classes, or none.
    """
    joined = np.isin(labels, wanted).astype(np.int64)
    if len(np.unique(joined)) < 2:
        few = "all" if joined.any() else "none"
        raise ValueError(f"`labels`: {few} of the {len(labels)} images are of the wanted classes")
    return joined
