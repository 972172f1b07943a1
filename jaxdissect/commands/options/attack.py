"""What `jaxdissect attack` and `jaxdissect defend` have in common: attacked images of classes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree
from tyro.conf import arg

from jaxdissect.attacks import carlini_wagner_l2, pgd
from jaxdissect.attacks.attack_interface import Attacked, ClassScores, Scores
from jaxdissect.attacks.defence import Attack
from jaxdissect.classifiers import importance
from jaxdissect.classifiers.ablation import ablation_sweep
from jaxdissect.classifiers.taylor_importance import estimated_damage
from jaxdissect.commands.ablate.command import RANKINGS
from jaxdissect.commands.ablate.tables import full_names
from jaxdissect.commands.options.class_images import ClassImages, class_numbers, read_data
from jaxdissect.commands.options.model import choose_layers, find_model
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.folding import Progress
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import Network, layer_shapes

BALLS = {"pgd-l2": pgd.EUCLIDEAN, "pgd-linf": pgd.MAXIMUM}


@dataclass(frozen=True, kw_only=True)
class AttackedImages(TableOptions, ClassImages):
    """Options of an attack: which images, towards what, and how."""

    model: Annotated[str, arg(metavar="NAME")]
    """The classifier; see `jaxdissect dissect --help`. Its images are in [0, 1]."""
    target: Annotated[str, arg(metavar="CLASS")]
    """What images are to be taken for."""
    layer: Annotated[str | None, arg(metavar="L", help_behavior_hint="(default: the last)")] = None
    """Whose units are looked at. A wrong name lists the right ones."""
    weights: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights of a kind of network."""
    num_attacked: Annotated[int, arg(metavar="N")] = 64
    """Images to attack: the first of a random order whose class and prediction both differ from
    the target."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of that order, and of whatever else is random."""
    rank_by: Literal["balanced-accuracy", "confidence", "estimate"] = "balanced-accuracy"
    """What makes a unit important: what its removal costs, by the paper's measure or by the mean
    probability of the class, or the estimate of one backward pass."""
    top: Annotated[int, arg(metavar="N")] = importance.NUM_TOP
    """Units that are called important to a class."""
    attack: Literal["carlini-wagner", "pgd-l2", "pgd-linf"] = "carlini-wagner"
    """The nearest image that is taken for the target, or projected gradients within --epsilon."""
    binary_search_steps: Annotated[int, arg(metavar="N")] = 5
    """Constants that Carlini and Wagner's attack tries."""
    max_iterations: Annotated[int, arg(metavar="N")] = 1000
    """Its gradient steps with each."""
    confidence: Annotated[float, arg(metavar="X")] = 0.0
    """How far it puts the target ahead, in scores."""
    learning_rate: Annotated[float, arg(metavar="X")] = 5e-3
    """Of its gradient steps."""
    initial_const: Annotated[float, arg(metavar="X")] = 1e-2
    """Its first constant."""
    epsilon: Annotated[float, arg(metavar="X")] = 1.0
    """Greatest distance of projected gradients."""
    steps: Annotated[int, arg(metavar="N")] = 40
    """Steps of projected gradients."""
    batch_size: Annotated[int, arg(metavar="N")] = 16
    """Images in a step; does not change results."""


class Case(NamedTuple):
    """A network, images that were attacked, and which units matter.

    Attributes:
        network, layer: Whose units.
        names: Of all classes.
        examples: Positions of the images among those to measure with.
        images: The originals.
        labels, sources, targets: Their classes, what they are taken for, and what they should be.
        damage: How much each unit matters to each class.
        important: Whether it is one of those that matter most.
        attacked: The adversarial images.
    """

    network: Network
    layer: str
    names: tuple[str, ...]
    examples: Int[np.ndarray, "B"]
    images: Float[np.ndarray, "B H W 3"]
    labels: Int[np.ndarray, "B"]
    sources: Int[np.ndarray, "B"]
    targets: Int[np.ndarray, "B"]
    damage: Float[np.ndarray, "U N"]
    important: Bool[np.ndarray, "U N"]
    attacked: Attacked


def attack_case(options: AttackedImages, progress: Progress) -> Case:
    """Choose images, find out which units matter, and attack.

    Raises:
        ValueError, OSError: If the options cannot be followed.
    """
    if options.num_attacked < 1:
        raise ValueError(f"`num_attacked` (={options.num_attacked}) must be at least 1")
    attack = chosen_attack(options)
    data = read_data(options)
    model = find_model(options.model, options.weights)
    wanted = (options.layer,) if options.layer else model.default_layers[-1:]
    image_size = data.judging[0]["image"].shape[:2]
    (layer,) = choose_layers(model, wanted, image_size)
    example = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    num_units = layer_shapes(model.network, example, (layer,))[layer].shape[-1]
    scores = ClassScores(model.network)
    num_classes = jax.eval_shape(scores, scores.params, example).shape[1]
    names = full_names(data.class_names, num_classes)
    (target,) = class_numbers("target", (options.target,), names)
    chosen = _choose(options, scores, data.judging, data.label_key, target)
    shared: dict[str, Any] = {"label_key": data.label_key, "batch_size": options.batch_size}
    shared["progress"] = progress
    if options.rank_by == "estimate":
        damage = estimated_damage(model.network, data.ranking, layer, num_classes, **shared)
    else:
        each = single_unit_masks(num_units)
        removals = ablation_sweep(model.network, data.ranking, layer, each, **shared)
        damage = removals.damage(RANKINGS[options.rank_by])
    important = importance.is_important(damage, top=options.top)
    block = {
        name: np.stack([np.asarray(data.judging[int(i)][name]) for i in chosen])
        for name in ("image", data.label_key)
    }
    images = block["image"]
    sources = _predict(scores, images, options.batch_size)
    targets = np.full(len(chosen), target, np.int32)
    progress("attacking", 0, 1)
    found = attack(scores, scores.params, jnp.asarray(images), jnp.asarray(targets))
    found = jax.tree.map(np.asarray, found)
    progress("attacking", 1, 1)
    return Case(
        model.network, layer, names, chosen, images, block[data.label_key].astype(np.int32),
        sources, targets, damage, important, found,
    )  # fmt: skip


def chosen_attack(options: AttackedImages, *, confidence: float | None = None) -> Attack:
    """Make the attack of the options, perhaps with another confidence."""
    if options.attack == "carlini-wagner":
        settings = carlini_wagner_l2.Settings(
            binary_search_steps=options.binary_search_steps,
            max_iterations=options.max_iterations,
            confidence=options.confidence if confidence is None else confidence,
            learning_rate=options.learning_rate,
            initial_const=options.initial_const,
        )
        # Those images are left out here, and a defence may take others for the target.
        return partial(carlini_wagner_l2.carlini_wagner, settings=settings, refuse_reached=False)
    within = pgd.Settings(options.epsilon, ball=BALLS[options.attack], steps=options.steps)

    def attack(scores: Scores, params: PyTree, images: Array, targets: Array) -> Attacked:
        key = jax.random.key(options.seed)
        return pgd.projected_gradient(key, scores, params, images, targets, within)

    return attack


def _choose(
    options: AttackedImages, scores: ClassScores, source: Source, label_key: str, target: int
) -> Int[np.ndarray, "B"]:
    """Choose images whose class and prediction both differ from the target, as in the paper."""
    order = np.random.default_rng(options.seed).permutation(len(source))
    chosen: list[int] = []
    for first in range(0, len(order), options.batch_size):
        some = order[first : first + options.batch_size]
        blocks = [read_block(source, int(i), int(i) + 1) for i in some]
        images, labels = (
            np.concatenate([block[name] for block in blocks]) for name in ("image", label_key)
        )
        predictions = _predict(scores, images, options.batch_size)
        chosen += some[(predictions != target) & (labels != target)].tolist()
        if len(chosen) >= options.num_attacked:
            break
    if not chosen:
        raise ValueError("`target`: every image is of this class, or is taken for it already")
    return np.array(chosen[: options.num_attacked])


def _predict(scores: ClassScores, images: np.ndarray, batch_size: int) -> Int[np.ndarray, "B"]:
    score = jax.jit(scores)
    found = []
    for first in range(0, len(images), batch_size):
        some = images[first : first + batch_size]
        # Filled up, so that the last part is not compiled anew.
        filled = np.concatenate([some, np.repeat(some[-1:], batch_size - len(some), axis=0)])
        found.append(np.asarray(score(scores.params, jnp.asarray(filled)))[: len(some)])
    return np.concatenate(found).argmax(1).astype(np.int32)
