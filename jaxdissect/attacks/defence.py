"""Deactivate units of the attacked layer: does that defend, also when the attacker knows?

Letters: B images, M masks, U units, N classes, Z numbers of units.

A defence that is tested only with attacks on the undefended network proves little: Athalye, Carlini
and Wagner, "Obfuscated gradients give a false sense of security", ICML 2018, section 4. So each is
also attacked by somebody who knows it: the masks themselves where they are fixed, and where they
are random, the units that they are drawn from. Then the attack follows the expectation over masks
that the attacker draws (section 4.1.2 there), not those that the defender will draw. The nearest
image that fools the masks of the attacker rarely fools others, so that this attack alone would make
the defence look stronger than it is. The attacker may go further, and tries images against masks
drawn as the defender draws them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Key, PyTree

from jaxdissect.attacks.attack_interface import Attack
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.network import Network, as_network

Masks = Callable[[Key[Array, ""], int], Bool[Array, "M U"]]
"""Draws masks that deactivate some number of units (False); fixed ones ignore the key."""

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
) -> Int[np.ndarray, "B"]:
    """Predict classes by the votes of all masks; of equal votes the lower class wins.

    Args:
        scores: Scores of the defended network.
        params: Its parameters.
        keep: The masks, False for deactivated units.
        images: The images.
        batch_size: Images in a step.
    """
    found = []
    for first in range(0, len(images), batch_size):
        block = jnp.asarray(images[first : first + batch_size])
        found.append(np.asarray(_votes(scores, params, keep, block)))
    return np.concatenate(found)


@partial(jax.jit, static_argnums=0)
def _votes(scores: DefendedScores, params: PyTree, keep: Array, images: Array) -> Array:
    each = scores.each((params, keep), images)
    votes = jax.nn.one_hot(each.argmax(-1), each.shape[-1], dtype=jnp.int32)
    return votes.sum(0, dtype=jnp.int32).argmax(-1)


class DefenceCurve(NamedTuple):
    """Accuracy of a defended network, by the number of units that are deactivated.

    Accuracies are fractions of all images that are classified correctly.

    Attributes:
        sizes: Numbers of units.
        clean: Accuracy on the original images.
        transferred: Accuracy on images that were made to fool the undefended network.
        transferred_success: Fraction of these that are misclassified as the target.
        adaptive: Accuracy on images that were made against the defence itself.
        adaptive_success: Fraction of these that are misclassified as the target.
        distance: Median L2 distance of those; infinite where there are none.
    """

    sizes: Int[np.ndarray, "Z"]
    clean: Float64[np.ndarray, "Z"]
    transferred: Float64[np.ndarray, "Z"]
    transferred_success: Float64[np.ndarray, "Z"]
    adaptive: Float64[np.ndarray, "Z"]
    adaptive_success: Float64[np.ndarray, "Z"]
    distance: Float64[np.ndarray, "Z"]


def defence_curve(
    key: Key[Array, ""],
    network: Any,
    images: Float[np.ndarray, "B H W C"],
    labels: Int[np.ndarray, "B"],
    targets: Int[np.ndarray, "B"],
    adversarial: Float[np.ndarray, "B H W C"],
    layer: str,
    masks: Masks,
    sizes: Sequence[int],
    attacks: Sequence[Attack],
    *,
    attacker_masks: Masks | None = None,
    batch_size: int = 16,
    description: str = "attacking the defence",
    progress: Progress = no_progress,
) -> DefenceCurve:
    """Measure a defence against attacks that do not know it, and against one that does.

    Args:
        key: Random key of the masks; attacker and defender draw their own.
        network: A Network or an nnx.Module that scores classes, [B, N].
        images: The original images.
        labels: Their classes.
        targets: The class that the attacker wants each to be classified as.
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
        attacker_masks: Draws the masks of the attacker, perhaps more of them; None means `masks`.
        batch_size: Images in a step of predictions.
        description: What the progress is called.
        progress: Is called with how many of `sizes` are done.

    Raises:
        ValueError: If there are no sizes or one is not in [0, U], if there are no attacks, or one
            refuses the rest.
    """
    network = as_network(network)
    scores = DefendedScores(network, layer)
    num_units = masks(key, 0).shape[1]
    wrong = [size for size in sizes if not 0 <= size <= num_units]
    if wrong or not len(sizes):
        raise ValueError(f"`sizes` (={list(sizes)}) must be at least 0 and at most {num_units}")
    if not attacks:
        raise ValueError("`attacks` must not be empty")
    shown, wanted = jnp.asarray(images), jnp.asarray(targets, jnp.int32)
    rows = []
    progress(description, 0, len(sizes))
    for place, size in enumerate(sizes):
        own, attacker, tried = jax.random.split(jax.random.fold_in(key, size), 3)
        predict = partial(majority_vote, scores, network.params, batch_size=batch_size)
        known = (attacker_masks or masks)(attacker, size)
        rehearsals = [masks(again, size) for again in jax.random.split(tried, REHEARSALS)]
        found = images
        fooled = np.full(len(images), -1)
        for attack in attacks:
            made = np.asarray(attack(scores, (network.params, known), shown, wanted).images)
            number = sum((predict(keep, made) == targets).astype(int) for keep in rehearsals)
            found = np.where((number > fooled)[:, None, None, None], made, found)
            fooled = np.maximum(fooled, number)
        keep = masks(own, size)
        clean, transferred, adaptive = (
            predict(keep, seen) for seen in (images, adversarial, found)
        )
        apart = (found.astype(np.float64) - images) ** 2
        reached = adaptive == targets
        distances = np.sqrt(apart.sum((1, 2, 3)))[reached]
        rows.append(
            (
                (clean == labels).mean(),
                (transferred == labels).mean(),
                (transferred == targets).mean(),
                (adaptive == labels).mean(),
                reached.mean(),
                np.median(distances) if len(distances) else np.inf,
            )
        )
        progress(description, place + 1, len(sizes))
    columns = zip(*rows, strict=True)
    return DefenceCurve(np.array(sizes), *(np.array(column, np.float64) for column in columns))
