"""Attack a classifier towards some classes: which units do adversarial images change?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdissect.attacks import (
    AttackStudy,
    CarliniWagnerSettings,
    PartwiseAttack,
    carlini_wagner,
    changes_by_group,
    measure_peaks,
    removal_damage,
    study_attack,
)
from jaxdissect.attacks.attack_study import RankedDamage
from jaxdissect.networks.network import Network
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
from jaxdissect.stats import accuracy

_COPIES = 4  # of the memory of a forward pass, which gradients take
_NORMAL_99 = 2.58  # of the published code


@dataclass(frozen=True, kw_only=True)
class AttackClasses:
    """Settings.

    Attributes:
        layer: The layer of the units that are looked at.
        targets: Classes that images should be classified as.
        num_attacked: Images that are attacked towards each.
        binary_search_steps: Constants that the attack tries,
        max_iterations: and gradient steps with each.
        resized: Images are resized to a square of so many pixels a side,
        cut: and cut to one of so many.
    """

    layer: str
    targets: tuple[str, ...]
    num_attacked: int = 1000
    binary_search_steps: int = 5
    max_iterations: int = 1000
    resized: int = 256
    cut: int = 224


def steps(experiment: Experiment, settings: AttackClasses) -> tuple[Step, ...]:
    """List what is done."""
    train, number = num_images(experiment.data[0]), settings.num_attacked
    network, targets = experiment.networks[0], len(settings.targets)
    most = number * targets * settings.binary_search_steps * settings.max_iterations
    return (
        Step(
            f"remove each of 512 units of {settings.layer}, {train:,} training images: rank them "
            "by class",
            {network: train, f"{network} after the layer": train * 513},
        ),
        Step(
            f"attack {number:,} validation images towards each of {targets} classes (Carlini and "
            f"Wagner, L2): at most {most:,} gradient steps, of three forward passes each",
            {network: 3 * most},
        ),
        Step(
            "compare the peaks of units before and after, by what they are important to",
            {network: 2 * number * targets},
        ),
    )


class _RankedOnce:
    """Damage of single removals, computed for the first target and kept for the others."""

    def __init__(self, way: Way) -> None:
        self._damage = removal_damage(accuracy.balanced_accuracy)
        self._checkpoints = way.checkpoints_of("damage")
        self._found: RankedDamage | None = None

    def __call__(
        self, network: Network, source: Any, layer: str, num_classes: int, /, **options: Any
    ) -> RankedDamage:
        if self._found is None:
            options["checkpoints"] = self._checkpoints
            found = self._damage(network, source, layer, num_classes, **options)
            assert isinstance(found, RankedDamage)  # `removal_damage` returns it
            self._found = found
        return self._found


def quantities(settings: AttackClasses) -> tuple[str, ...]:
    """Name what is measured."""
    measures = ("successful", "median distance")
    measures += tuple(f"change of units of {group}" for group in ("target", "source", "other"))
    return tuple(f"{target}/{measure}" for target in settings.targets for measure in measures)


def run(
    experiment: Experiment, settings: AttackClasses, materials: Materials, way: Way, folder: Path
) -> Measured:
    """Rank units, attack images towards every target, and measure."""
    network = materials.network(experiment.networks[0])
    size = ImageSize(settings.resized, settings.cut)
    train, val = experiment.data
    ranking, names = materials.classed_images(train, size)
    judging, _ = materials.classed_images(val, size, class_names=names)
    unknown = [name for name in settings.targets if name not in names]
    if unknown:
        raise ValueError(
            f"data set {train!r} has no images of class {', '.join(unknown)}, towards which images "
            f"were attacked; it has {len(names)} classes: {', '.join(names[:8])}, ..."
        )
    how = CarliniWagnerSettings(
        binary_search_steps=settings.binary_search_steps, max_iterations=settings.max_iterations
    )
    batch_size = way.size_of_batches(
        network, (size.cut, size.cut, 3), layers=(settings.layer,), copies=_COPIES, on_processor=16
    )
    attack = partial(carlini_wagner, settings=how, refuse_reached=False, mesh=way.mesh)
    damage = _RankedOnce(way)
    measured: dict[str, float] = {}
    for target in settings.targets:
        study = study_attack(
            network,
            ranking,
            judging,
            settings.layer,
            names.index(target),
            PartwiseAttack(lambda first: attack, ("carlini-wagner", how)),
            num_attacked=settings.num_attacked,
            damage=damage,
            batch_size=batch_size,
            checkpoints=way.checkpoints_of(target),
            mesh=way.mesh,
            progress=way.progress,
        )
        measured |= _measured(network, study, target, batch_size, way, folder)
    return known(measured)


def _measured(
    network: Network, study: AttackStudy, target: str, batch_size: int, way: Way, folder: Path
) -> Mapping[str, float]:
    """Measure what an attack has changed, and keep it."""
    there = study.succeeded
    found = {f"{target}/successful": 100 * len(there) / len(study.images)}
    if not len(there):
        return found
    peaks = measure_peaks(
        network,
        study.images[there],
        study.adversarial[there],
        study.layer,
        batch_size=batch_size,
        checkpoints=way.checkpoints_of(f"{target}/peaks"),
        mesh=way.mesh,
        progress=way.progress,
    )
    groups = changes_by_group(
        peaks.change,
        study.important,
        study.sources[there],
        study.targets[there],
        factor=_NORMAL_99,
    )
    np.savez_compressed(
        folder / f"{target}.npz",
        examples=study.examples[there],
        before=peaks.before,
        after=peaks.after,
        distance=np.asarray(study.attacked.distance)[there],
    )
    assert study.median_distance is not None  # some succeeded
    found[f"{target}/median distance"] = study.median_distance
    found |= {f"{target}/change of units of {g.name}": g.mean for g in groups if g.pairs}
    return found


PROCEDURE = Procedure(AttackClasses, steps, quantities, run)
