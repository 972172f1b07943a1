"""Attack images of a classifier towards one class, beside how much each unit matters to it.

Units are ranked on some images, others are attacked, as in Bau et al., "Understanding the role of
individual units in a deep neural network", PNAS 2020: those whose class and prediction both differ
from the target.

Letters: B images, H W image, U units, N classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.attacks.attack_interface import (
    Attack,
    Attacked,
    ClassScores,
    count_classes,
    predict_scores,
)
from jaxdissect.attacks.resumable_attack import attack_resumably
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import Measure, ablation_sweep
from jaxdissect.classifiers.class_checks import check_scores, first_example, read_classes
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content, looked_at_once
from jaxdissect.engine.processes import replicated
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import Network, as_network, layer_shapes
from jaxdissect.stats import accuracy


class RankedDamage(NamedTuple):
    """How much the removal of each unit damages each class, and what ranks equal damage.

    Attributes:
        damage: Damage of single removals.
        margin_lost: How far the mean margin of each class falls, see `importance.ranking`.
    """

    damage: Float[np.ndarray, "U N"]
    margin_lost: Float[np.ndarray, "U N"]

    __repr__ = short_repr


@runtime_checkable
class UnitDamage(Protocol):
    """Measures how much the removal of each unit of a layer damages each class.

    `removal_damage` makes one that removes units, and returns what ranks equal damage beside it;
    `classifiers.estimated_damage` is one that does not.
    """

    def __call__(
        self,
        network: Network,
        source: Source,
        layer: str,
        num_classes: int,
        /,
        *,
        label_key: str,
        batch_size: int,
        checkpoints: Path | None = None,
        mesh: jax.sharding.Mesh | None = None,
        progress: Progress,
    ) -> Float[np.ndarray, "U N"] | RankedDamage: ...


def removal_damage(measure: Measure) -> UnitDamage:
    """Measure damage by removing one unit at a time: how far a measure of each class falls."""

    def damage(
        network: Network,
        source: Source,
        layer: str,
        num_classes: int,
        /,
        *,
        label_key: str,
        batch_size: int,
        checkpoints: Path | None = None,
        mesh: jax.sharding.Mesh | None = None,
        progress: Progress,
    ) -> RankedDamage:
        images = jnp.asarray(first_example(source, label_key)["image"])
        num_units = layer_shapes(network, images, (layer,))[layer].shape[-1]
        removals = ablation_sweep(
            network,
            source,
            layer,
            single_unit_masks(num_units),
            label_key=label_key,
            batch_size=batch_size,
            checkpoints=checkpoints,
            mesh=mesh,
            progress=progress,
        )
        return RankedDamage(removals.damage(measure=measure), removals.margin_lost())

    return damage


BALANCED_ACCURACY = removal_damage(accuracy.balanced_accuracy)
"""The measure of the paper."""


@dataclass(frozen=True)
class AttackStudy:
    """Images that were attacked, and how much each unit matters to each class.

    Attributes:
        layer: The layer of the units.
        target: The class that images should be classified as.
        examples: Positions of the images in their source.
        images: The original images.
        labels: Their classes.
        sources: The classes that they are classified as.
        attacked: The adversarial images, as NumPy arrays.
        damage: How much the removal of each unit damages each class.
        margin_lost: What ranks units of equal damage, 0 where that is not known.
        important: Whether the unit is one of those that matter most to the class, and damages it at
            all.
    """

    layer: str
    target: int
    examples: Int64[np.ndarray, "B"]
    images: Float[np.ndarray, "B H W 3"]
    labels: Int[np.ndarray, "B"]
    sources: Int[np.ndarray, "B"]
    attacked: Attacked
    damage: Float[np.ndarray, "U N"]
    margin_lost: Float[np.ndarray, "U N"]
    important: Bool[np.ndarray, "U N"]

    __repr__ = short_repr

    @property
    def targets(self) -> Int[np.ndarray, "B"]:
        """The target, once for each image."""
        return np.full(len(self.images), self.target, np.int32)

    @property
    def adversarial(self) -> Float[np.ndarray, "B H W 3"]:
        """The adversarial images; the originals where the attack failed."""
        return np.asarray(self.attacked.images)

    @property
    def succeeded(self) -> Int64[np.ndarray, "_"]:
        """Positions, among these images, of those that are misclassified as the target."""
        return np.flatnonzero(self.attacked.success)

    @property
    def ranking(self) -> Int64[np.ndarray, "U"]:
        """Units by how much they matter to the target, most first."""
        return importance.ranking(self.damage, margin_lost=self.margin_lost)[self.target]

    @property
    def median_distance(self) -> float | None:
        """Median L2 distance of the images on which the attack succeeded; None if on none."""
        distances = np.asarray(self.attacked.distance)[self.succeeded]
        return float(np.median(distances)) if len(distances) else None


@looked_at_once()
def study_attack(
    network: Any,
    ranking: Source,
    judging: Source,
    layer: str,
    target: int,
    attack: Attack,
    *,
    label_key: str = "label",
    num_attacked: int = 64,
    seed: int = 0,
    damage: UnitDamage = BALANCED_ACCURACY,
    top: int = importance.NUM_TOP,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> AttackStudy:
    """Rank units on some images, and attack others.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N], of images in [0, 1].
        ranking: Images to rank units with.
        judging: Other images, of which some are attacked.
        layer: The layer of the units.
        target: The class that images should be classified as.
        attack: Attacks images; it must accept images that are classified as the target.
        label_key: Name of the class of an example, an integer in [0, N).
        num_attacked: Images to attack: the first of a random order whose class and prediction both
            differ from the target, or all of these if there are fewer.
        seed: Seed of that order.
        damage: Measures how much each unit matters to each class; units of equal damage are ranked
            by the margin lost where it returns that too.
        top: Number of units that are called important to a class.
        batch_size: Images in a step; changes results by rounding only.
        checkpoints: Folder from which an interrupted study resumes, which `damage` takes too where
            it is not None; None keeps none. What a `PartwiseAttack` has made is saved after some
            images, which changes results by rounding only.
        mesh: Devices to spread batches over (see `fold`), which `damage` takes too where it is not
            None; `attack` has its own.
        progress: Is called with how far the study has come.

    Raises:
        ValueError: If `num_attacked`, `target` or `top` makes no sense, every image is of the
            target class or classified as it, no unit matters to the target, or a pass refuses the
            rest, or `checkpoints` holds another computation or is damaged.
    """
    for name, value in (("num_attacked", num_attacked), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    network = as_network(network)
    scores = ClassScores(network)
    example = first_example(judging, label_key, name="judging")
    first_example(ranking, label_key, name="ranking")
    images = jnp.asarray(example["image"])
    num_classes = count_classes(scores, scores.params, images)
    if not 0 <= target < num_classes:
        raise ValueError(f"`target` (={target}) must lie in [0, {num_classes})")
    num_units = layer_shapes(network, images, (layer,))[layer].shape[-1]
    importance.is_important(np.zeros((num_units, 1)), top=top)  # refuses `top` before any work
    params = replicated(scores.params, mesh)
    predict = partial(predict_scores, scores, params, batch_size=batch_size, mesh=mesh)
    examples = _choose(predict, judging, label_key, target, num_attacked, seed, batch_size)
    images, labels = (
        np.stack([np.asarray(judging[int(i)][name]) for i in examples])
        for name in ("image", label_key)
    )
    sources = predict(images).argmax(1).astype(np.int32)
    if checkpoints is None:  # or the passes show it
        progress("attacking", 0, 1)
    # Before units are ranked, which takes as long: an attack refuses its settings at once.
    found = attack_resumably(
        attack,
        scores,
        scores.params,
        images,
        np.full(len(images), target, np.int32),
        None if checkpoints is None else checkpoints / "attack",
        settings={"weights": content(scores.params)},
        progress=progress,
    )
    if checkpoints is None:
        progress("attacking", 1, 1)
    where: dict[str, Any] = {} if mesh is None else {"mesh": mesh}
    if checkpoints is not None:
        where["checkpoints"] = checkpoints / "damage"
    lost = damage(
        network,
        ranking,
        layer,
        num_classes,
        label_key=label_key,
        batch_size=batch_size,
        progress=progress,
        **where,
    )
    if not isinstance(lost, RankedDamage):
        lost = RankedDamage(lost, np.zeros_like(lost))
    if not any(part[:, target].any() for part in lost):
        raise ValueError(
            f"`target` (={target}): the removal of no unit of layer {layer!r} changes anything for "
            "this class, so that none can be important to it; are there images of it in `ranking`?"
        )
    important = importance.is_important(lost.damage, top=top, margin_lost=lost.margin_lost)
    return AttackStudy(
        layer, target, examples, images, labels.astype(np.int32), sources, found, *lost, important
    )


def _choose(
    predict: Callable[[np.ndarray], np.ndarray],
    source: Source,
    label_key: str,
    target: int,
    number: int,
    seed: int,
    batch_size: int,
) -> Int64[np.ndarray, "B"]:
    """Choose images whose class and prediction both differ from the target, as in the paper."""
    order = np.random.default_rng(seed).permutation(len(source))
    chosen: list[int] = []
    for first in range(0, len(order), batch_size):
        some = order[first : first + batch_size]
        blocks = [read_block(source, int(i), int(i) + 1) for i in some]
        batch = {
            name: np.concatenate([block[name] for block in blocks]) for name in ("image", label_key)
        }
        batch |= {"example": some, "weight": np.ones(len(some), bool)}
        scores = predict(batch["image"])
        labels = read_classes(batch, label_key, scores.shape[1])
        check_scores(np.isfinite(scores).all(1), batch, label_key)
        chosen += some[(scores.argmax(1) != target) & (labels != target)].tolist()
        if len(chosen) >= number:
            break
    if not chosen:
        raise ValueError("`target`: every image is of this class, or is already classified as it")
    return np.array(chosen[:number], np.int64)
