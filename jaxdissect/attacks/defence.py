"""Deactivate units of the attacked layer: does that defend, also when the attacker knows?

Letters: B images, M masks, U units, N classes, Z numbers of units, D draws of masks.

A defence that is tested only with attacks on the undefended network proves little: Athalye, Carlini
and Wagner, "Obfuscated gradients give a false sense of security", ICML 2018, section 4. So each is
also attacked by somebody who knows it: the masks themselves where they are fixed, and where they
are random, the units that they are drawn from. Then the attack follows the expectation over masks
that the attacker draws (section 4.1.2 there), not those that the defender will draw. The nearest
image that fools the masks of the attacker rarely fools others, so that this attack alone would make
the defence look stronger than it is. The attacker may go further, and tries images against masks
drawn as the defender draws them.

One draw of random masks says little about others: the defender draws several times (D), and the
attack, which cannot know the draw, is the same for all of them. Intervals are for other images and
other draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Int64, Key, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.attacks.attack_interface import Attack
from jaxdissect.attacks.resumable_attack import attack_resumably
from jaxdissect.engine.batching import Batch, Stored
from jaxdissect.engine.folding import Progress, map_batches, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import replicated
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.network import Network, as_network
from jaxdissect.stats.intervals import Interval, paired_interval, proportion_interval, student_t

Masks = Callable[[Key[Array, ""], int], Bool[Array, "M U"]]
"""Draws masks that deactivate some number of units (False); fixed ones ignore the key."""

NUM_DRAWS = 10
"""Draws of the defender's masks over which accuracies are averaged."""

_MANY = 10**6  # samples, of which Student's t is normal

REHEARSALS = 8
"""Number of draws of masks, as the defender draws them, against which the attacker tries images."""


def first_units(order: Int[np.ndarray, "U"]) -> Masks:
    """Deactivate the first units of an order, such as those that matter most to a class."""
    place = jnp.asarray(np.argsort(order, kind="stable"))
    return lambda key, number: (place >= number)[None]


def random_units(num_units: int, *, num_masks: int = 1) -> Masks:
    """Deactivate units chosen at random, anew for every mask."""
    return random_among(np.arange(num_units), num_units, num_masks=num_masks)


def random_among(order: Int[np.ndarray, "U"], pool: int, *, num_masks: int = 1) -> Masks:
    """Deactivate units chosen at random, anew for every mask, from the first `pool` of an order.

    Raises:
        ValueError: If `pool` or `num_masks` makes no sense.
    """
    if not 1 <= pool <= len(order):
        raise ValueError(f"`pool` (={pool}) must be at least 1 and at most {len(order)}, the units")
    if num_masks < 1:
        raise ValueError(f"`num_masks` (={num_masks}) must be at least 1")
    place = jnp.asarray(np.argsort(order, kind="stable"))

    def masks(key: Key[Array, ""], number: int) -> Bool[Array, "M U"]:
        if number > pool:
            raise ValueError(f"`sizes` has {number}, more than the `pool` (={pool}) of units")

        def mask(key: Key[Array, ""]) -> Bool[Array, "U"]:
            rank = jnp.argsort(jax.random.permutation(key, pool))
            # Units beyond the pool come after all of it.
            turns = jnp.concatenate([rank, jnp.arange(pool, len(order), dtype=rank.dtype)])
            return turns[place] >= number

        return jax.vmap(mask)(jax.random.split(key, num_masks))

    return masks


class DefendedScores:
    """The mean log-probability over masks: for one mask, the scores up to a constant.

    It is called as ``scores((params, keep), images)`` with masks `keep` [M, U]; what comes before
    the layer runs once for all masks. It is equal to that of the same network and layer.

    Args:
        network: A Network that scores classes.
        layer: The layer whose units are deactivated.
    """

    def __init__(self, network: Network, layer: str) -> None:
        self.network, self.layer = network, layer

    def each(self, given: tuple[PyTree, Bool[Array, "M U"]], images: Array) -> Array:
        """Compute log-probabilities under every mask, [M, B, N]."""
        params, keep = given

        def score(keep: Bool[Array, "U"]) -> Array:
            edits = {self.layer: keep_units(keep)}
            return jax.nn.log_softmax(self.network.apply(params, images, edits=edits)[0])

        return jax.vmap(score)(keep)

    def __call__(self, given: tuple[PyTree, Bool[Array, "M U"]], images: Array) -> Array:
        return self.each(given, images).mean(0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DefendedScores):
            return False
        return other.network is self.network and other.layer == self.layer

    def __hash__(self) -> int:
        return hash((id(self.network), self.layer))


def majority_vote(
    scores: DefendedScores,
    params: PyTree,
    keep: Bool[Array, "M U"],
    images: Float[np.ndarray, "B H W C"] | Float[Array, "B H W C"],
    *,
    batch_size: int = 16,
    mesh: jax.sharding.Mesh | None = None,
) -> Int[np.ndarray, "B"]:
    """Predict classes by the votes of all masks; of equal votes the lower class wins.

    Args:
        scores: Scores of the defended network.
        params: Its parameters.
        keep: The masks, False for deactivated units.
        images: The images.
        batch_size: Images in a step.
        mesh: Devices to spread batches over (see `fold`).
    """
    found = np.zeros(len(images), np.int32)
    params, keep = replicated((params, keep), mesh)

    def receive(batch: Batch, classes: Array) -> None:
        found[batch["example"][batch["weight"]]] = np.asarray(classes)[batch["weight"]]

    map_batches(
        lambda batch: _votes(scores, params, keep, batch["defended"]),
        Stored({"defended": np.asarray(images)}),
        batch_size=batch_size,
        kept={"classes": found},
        receive=receive,
        mesh=mesh,
        forward_passes=len(keep),
        description="votes of masks",
    )
    return found


@partial(jax.jit, static_argnums=0)
def _votes(scores: DefendedScores, params: PyTree, keep: Array, images: Array) -> Array:
    each = scores.each((params, keep), images)
    votes = jax.nn.one_hot(each.argmax(-1), each.shape[-1], dtype=jnp.int32)
    return votes.sum(0, dtype=jnp.int32).argmax(-1)


DefenceMeasure = Literal[
    "clean", "transferred", "transferred_success", "adaptive", "adaptive_success"
]
"""What is measured of a defence; see `DefenceCurve`."""

MEASURES: tuple[DefenceMeasure, ...] = get_args(DefenceMeasure)
"""All of them."""


@dataclass(frozen=True)
class DefenceCurve:
    """What a defended network does with every image, by the number of units that are deactivated.

    The measures are
    - clean: The original image is classified correctly.
    - transferred: An image that was made to fool the undefended network is classified correctly.
    - transferred_success: The attacker wanted what that image is classified as: the target, or
      anything but its class.
    - adaptive, adaptive_success: The same of an image that was made against the defence itself.

    Attributes:
        sizes: Numbers of units.
        outcomes: Whether it is so, for each number of units, draw of masks, and image, by measure.
            Fixed masks are one draw.
        undefended: The same without a defence; its adaptive attack is the one that is transferred.
        distances: Median L2 distance of those images whose adaptive attack brought about what the
            attacker wanted; infinite where there are none.
    """

    sizes: Int64[np.ndarray, "Z"]
    outcomes: Mapping[DefenceMeasure, Bool[np.ndarray, "Z D B"]]
    undefended: Mapping[DefenceMeasure, Bool[np.ndarray, "B"]]
    distances: Float64[np.ndarray, "Z"]

    __repr__ = short_repr

    def rate(self, measure: DefenceMeasure) -> Float64[np.ndarray, "Z"]:
        """Return the share of images of which a measure is true, mean over draws."""
        return self.outcomes[measure].mean((1, 2))

    def spread(self, measure: DefenceMeasure) -> Float64[np.ndarray, "Z"]:
        """Compute the standard deviation of that share between draws; NaN for one draw."""
        return _deviations(self.outcomes[measure].mean(2))

    def interval(self, measure: DefenceMeasure, *, level: float = 0.99) -> Interval:
        """Find the interval of that share, for other images and other draws of masks.

        Images are taken as no better than one draw of each (averaging makes them no worse), and
        the variance between draws, with its own uncertainty by Student's t, makes them fewer:
        Kish's effective number of samples, of which the interval is exact.

        Args:
            measure: What is measured.
            level: Chance that the interval holds the true share.

        Returns:
            Shares [Z].
        """
        found = self.outcomes[measure]
        rate = found.mean((1, 2))
        number = _effective_number(found.mean(2), rate * (1 - rate), found.shape[2], level)
        found = proportion_interval(rate * number, number, level=level)
        return found._replace(estimate=rate)

    def change(self, measure: DefenceMeasure, *, level: float = 0.99) -> Interval:
        """Find by how much the defence changes that share, paired image by image.

        Args:
            measure: What is measured.
            level: Chance that the interval holds the true change.

        Returns:
            Changes [Z], defended minus undefended.
        """
        found, before = self.outcomes[measure], self.undefended[measure]
        gained, lost = (found & ~before).mean((1, 2)), (~found & before).mean((1, 2))
        variance = gained + lost - (gained - lost) ** 2
        number = _effective_number(found.mean(2), variance, found.shape[2], level)
        found = paired_interval(gained * number, lost * number, number, level=level)
        return found._replace(estimate=gained - lost)


class _Draws(NamedTuple):
    """All masks of a number of units."""

    own: list[Bool[Array, "M U"]]
    attacker: Bool[Array, "M U"]
    rehearsals: list[Bool[Array, "M U"]]

    @property
    def fixed(self) -> bool:
        """Whether they are always the same."""
        first, *others = (np.asarray(keep) for keep in (*self.own, *self.rehearsals))
        return all(np.array_equal(first, other) for other in others)


def _draw(
    key: Key[Array, ""], size: int, masks: Masks, attacker_masks: Masks, num_draws: int
) -> _Draws:
    own, attacker, tried = jax.random.split(jax.random.fold_in(key, size), 3)
    return _Draws(
        [masks(again, size) for again in jax.random.split(own, num_draws)],
        attacker_masks(attacker, size),
        [masks(again, size) for again in jax.random.split(tried, REHEARSALS)],
    )


def _deviations(rates: Float64[np.ndarray, "Z D"]) -> Float64[np.ndarray, "Z"]:
    return rates.std(1, ddof=1) if rates.shape[1] > 1 else np.full(len(rates), np.nan)


def _effective_number(
    rates: Float64[np.ndarray, "Z D"],
    variance: Float64[np.ndarray, "Z"],
    num_images: int,
    level: float,
) -> Float64[np.ndarray, "Z"]:
    """Find how many images of this variance say as much as the images and the draws together."""
    draws = rates.shape[1]
    if draws == 1:
        return np.full(len(rates), float(num_images))
    widening = float(student_t(draws, level=level) / student_t(_MANY, level=level))
    between = (widening * _deviations(rates)) ** 2 / draws
    return 1 / (1 / num_images + between / np.where(variance > 0, variance, 1.0))


def defence_curve(
    key: Key[Array, ""],
    network: Any,
    images: Float[np.ndarray, "B H W C"],
    labels: Int[np.ndarray, "B"],
    wanted: Int[np.ndarray, "B"],
    adversarial: Float[np.ndarray, "B H W C"],
    layer: str,
    masks: Masks,
    sizes: Sequence[int],
    attacks: Sequence[Attack],
    *,
    targeted: bool = True,
    attacker_masks: Masks | None = None,
    num_draws: int = NUM_DRAWS,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    mesh: jax.sharding.Mesh | None = None,
    description: str = "attacking the defence",
    progress: Progress = no_progress,
) -> DefenceCurve:
    """Measure a defence against attacks that do not know it, and against one that does.

    Args:
        key: Random key of the masks; attacker and defender draw their own.
        network: A Network or an nnx.Module that scores classes, [B, N].
        images: The original images.
        labels: Their classes.
        wanted: The class that the attacker wants each to be classified as; for untargeted attacks,
            the class that each should not be classified as, such as `labels`.
        adversarial: Images that were made to fool the undefended network; the original where that
            failed.
        layer: The layer whose units are deactivated.
        masks: Chooses these units: see `first_units`, `random_units`, `random_among`. Several masks
            vote.
        sizes: Numbers of units to deactivate.
        attacks: Attacks on the defence, the gentlest first, such as with more and more confidence
            (for fixed masks one is enough). For each image the attacker uses the result that fools
            most of `REHEARSALS` draws of masks, the gentlest of equal ones. Defended networks may
            classify an image as its target before it is attacked, which must not be refused.
        targeted: Whether that is what `attacks` and `adversarial` want.
        attacker_masks: Draws the masks of the attacker, perhaps more of them; None means `masks`.
        num_draws: How often the defender draws masks, where they are random.
        batch_size: Images in a step of predictions.
        checkpoints: Folder from which an interrupted measurement resumes; None keeps none.
        mesh: Devices to spread predictions over (see `fold`); attacks have their own.
        description: What the progress is called.
        progress: Is called with how many of `sizes` are done.

    Raises:
        ValueError: If there are no sizes or one is not in [0, U], or more than the pool that masks
            are drawn from, if there are no attacks or draws, an attack refuses the rest, or
            `checkpoints` holds another computation or is damaged.
    """
    network = as_network(network)
    scores = DefendedScores(network, layer)
    nobody = masks(key, 0)
    num_units = nobody.shape[1]
    wrong = [size for size in sizes if not 0 <= size <= num_units]
    if wrong or not len(sizes):
        raise ValueError(f"`sizes` (={list(sizes)}) must be at least 0 and at most {num_units}")
    if not attacks:
        raise ValueError("`attacks` must not be empty")
    if num_draws < 1:
        raise ValueError(f"`num_draws` (={num_draws}) must be at least 1")
    # Drawn before any work: masks may refuse a number of units.
    draws = [_draw(key, size, masks, attacker_masks or masks, num_draws) for size in sizes]
    if all(draw.fixed for draw in draws):
        draws = [draw._replace(own=draw.own[:1]) for draw in draws]
    params = replicated(network.params, mesh)
    predict = partial(majority_vote, scores, params, batch_size=batch_size, mesh=mesh)
    before, fooled_before = predict(nobody, images), predict(nobody, adversarial)

    def as_wanted(predictions: Int[np.ndarray, "*D B"]) -> Bool[np.ndarray, "*D B"]:
        return (predictions == wanted) == targeted

    without = (before == labels, fooled_before == labels, as_wanted(fooled_before))
    undefended = dict(zip(MEASURES, (*without, *without[1:]), strict=True))
    outcomes: dict[DefenceMeasure, list[np.ndarray]] = {measure: [] for measure in MEASURES}
    medians = []
    progress(description, 0, len(sizes))
    for place, draw in enumerate(draws):
        found = images
        fooled = np.full(len(images), -1)
        for number, attack in enumerate(attacks):
            attacked = attack_resumably(
                attack,
                scores,
                (network.params, draw.attacker),
                images,
                wanted,
                None if checkpoints is None else checkpoints / f"{sizes[place]}-{number}",
                settings={
                    "weights": content(network.params),
                    "masks": content(draw.attacker),
                },
                description=f"{description}, {sizes[place]} units",
                progress=progress,
            )
            made = np.asarray(attacked.images)
            fooling = sum(as_wanted(predict(keep, made)).astype(int) for keep in draw.rehearsals)
            found = np.where((fooling > fooled)[:, None, None, None], made, found)
            fooled = np.maximum(fooled, fooling)
        clean, transferred, adaptive = (
            np.stack([predict(keep, seen) for keep in draw.own])
            for seen in (images, adversarial, found)
        )
        measured = (
            clean == labels,
            *(transferred == labels, as_wanted(transferred)),
            *(adaptive == labels, as_wanted(adaptive)),
        )
        for measure, rows in zip(MEASURES, measured, strict=True):
            outcomes[measure].append(rows)
        apart = np.sqrt(((found.astype(np.float64) - images) ** 2).sum((1, 2, 3)))
        brought_about = as_wanted(adaptive) & ~as_wanted(clean)
        apart = np.broadcast_to(apart, adaptive.shape)[brought_about]
        medians.append(np.median(apart) if len(apart) else np.inf)
        progress(description, place + 1, len(sizes))
    return DefenceCurve(
        np.array(sizes, np.int64),
        MappingProxyType({measure: np.stack(rows) for measure, rows in outcomes.items()}),
        MappingProxyType(undefended),
        np.array(medians, np.float64),
    )
