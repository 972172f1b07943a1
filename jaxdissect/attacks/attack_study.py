"""Attack images of a classifier towards one class, beside how much each unit matters to it.

Units are ranked on some images, others are attacked, as in Bau et al., "Understanding the role of
individual units in a deep neural network", PNAS 2020: those whose class and prediction both differ
from the target.

Letters: B images, H W image, U units, N classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from jaxdissect.attacks.attack_interface import (
    Attack,
    Attacked,
    ClassScores,
    count_classes,
    predict_scores,
)
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import Measure, ablation_sweep
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import Network, as_network, layer_shapes
from jaxdissect.stats import accuracy


@runtime_checkable
class UnitDamage(Protocol):
    """Measures how much the removal of each unit of a layer damages each class, [U, N].

    `removal_damage` makes one that removes units; `classifiers.estimated_damage` is one that does
    not.
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
        progress: Progress,
    ) -> Float[np.ndarray, "U N"]: ...


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
        progress: Progress,
    ) -> Float[np.ndarray, "U N"]:
        images = jnp.asarray(read_block(source, 0, 1)["image"])
        num_units = layer_shapes(network, images, (layer,))[layer].shape[-1]
        removals = ablation_sweep(
            network,
            source,
            layer,
            single_unit_masks(num_units),
            label_key=label_key,
            batch_size=batch_size,
            progress=progress,
        )
        return removals.damage(measure=measure)

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
        important: Whether the unit is one of those that matter most to the class.
    """

    layer: str
    target: int
    examples: Int64[np.ndarray, "B"]
    images: Float[np.ndarray, "B H W 3"]
    labels: Int[np.ndarray, "B"]
    sources: Int[np.ndarray, "B"]
    attacked: Attacked
    damage: Float[np.ndarray, "U N"]
    important: Bool[np.ndarray, "U N"]

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
        return importance.ranking(self.damage)[self.target]

    @property
    def median_distance(self) -> float | None:
        """Median L2 distance of the images on which the attack succeeded; None if on none."""
        distances = np.asarray(self.attacked.distance)[self.succeeded]
        return float(np.median(distances)) if len(distances) else None


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
        damage: Measures how much each unit matters to each class.
        top: Number of units that are called important to a class.
        batch_size: Images in a step; changes results by rounding only.
        progress: Is called with how far the study has come.

    Raises:
        ValueError: If `num_attacked`, `target` or `top` makes no sense, every image is of the
            target class or classified as it, or a pass refuses the rest.
    """
    if num_attacked < 1:
        raise ValueError(f"`num_attacked` (={num_attacked}) must be at least 1")
    network = as_network(network)
    scores = ClassScores(network)
    images = jnp.asarray(read_block(judging, 0, 1)["image"])
    num_classes = count_classes(scores, scores.params, images)
    if not 0 <= target < num_classes:
        raise ValueError(f"`target` (={target}) must lie in [0, {num_classes})")
    predict = partial(_predict, scores, batch_size=batch_size)
    examples = _choose(predict, judging, label_key, target, num_attacked, seed, batch_size)
    lost = damage(
        network,
        ranking,
        layer,
        num_classes,
        label_key=label_key,
        batch_size=batch_size,
        progress=progress,
    )
    important = importance.is_important(lost, top=top)
    images, labels = (
        np.stack([np.asarray(judging[int(i)][name]) for i in examples])
        for name in ("image", label_key)
    )
    sources = predict(images)
    targets = jnp.full(len(images), target, jnp.int32)
    progress("attacking", 0, 1)
    found = attack(scores, scores.params, jnp.asarray(images), targets)
    found = jax.tree.map(np.asarray, found)
    progress("attacking", 1, 1)
    return AttackStudy(
        layer, target, examples, images, labels.astype(np.int32), sources, found, lost, important
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
        images, labels = (
            np.concatenate([block[name] for block in blocks]) for name in ("image", label_key)
        )
        chosen += some[(predict(images) != target) & (labels != target)].tolist()
        if len(chosen) >= number:
            break
    if not chosen:
        raise ValueError("`target`: every image is of this class, or is already classified as it")
    return np.array(chosen[:number], np.int64)


def _predict(scores: ClassScores, images: np.ndarray, *, batch_size: int) -> Int[np.ndarray, "B"]:
    found = predict_scores(scores, scores.params, jnp.asarray(images), batch_size=batch_size)
    return found.argmax(1).astype(np.int32)
