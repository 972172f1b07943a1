"""What every attack takes and returns, and which arguments are refused.

Letters: B images, T targets of an image, H W C image, N classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Int32, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.batching import Batch, Stored
from jaxdissect.engine.folding import map_batches
from jaxdissect.engine.processes import replicated
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.network import Network, as_network

Scores = Callable[[PyTree, Array], Array]
"""Scores classes: ``scores(params, images) -> [B, N]``, a pure function, each image for itself.

Images lie within the bounds of the attack; how the network wants them normalised is part of this
function. Attacks compile once for every function, so pass the same one again.
"""

Bounds = tuple[float, float]
"""The least and the greatest value of a pixel."""

SettingsType = TypeVar("SettingsType")


class Attacked(NamedTuple):
    """Adversarial images.

    Attributes:
        images: Within the bounds; the original where the attack failed.
        success: Whether the image is classified as the attacker wants.
        distance: L2 distance to the original, in the units of pixels; infinite where it failed.
        constant: Weight of the scores in the loss with which the image was found; 0 for attacks
            that have none, and where it failed.
        iterations: Gradient steps that were spent.
    """

    images: Float[Array, "*n H W C"]
    success: Bool[Array, "*n"]
    distance: Float[Array, "*n"]
    constant: Float[Array, "*n"]
    iterations: Int32[Array, "*n"]

    __repr__ = short_repr


Attack = Callable[[Scores, PyTree, Array, Array], Attacked]
"""Attacks images: ``attack(scores, params, images, targets)``."""


class ClassScores:
    """The scores of a network as a function, equal to that of a network that computes the same.

    Equal ones share the programs that attacks compile: their parameters are given at every call.

    Args:
        network: A Network or an nnx.Module whose inputs are images within the bounds.

    Attributes:
        network: The Network.
        params: Its own parameters.
    """

    def __init__(self, network: Any) -> None:
        self.network: Network = as_network(network)
        self.params: PyTree = self.network.params
        self._structure = Structure(self.network)

    def __call__(self, params: PyTree, images: Array) -> Array:
        return self._structure.apply(params, images)[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassScores) and other._structure == self._structure

    def __hash__(self) -> int:
        return hash(self._structure)


def as_arrays(settings: SettingsType, dtype: Any) -> SettingsType:
    """Make arrays of the numbers of settings, so that other numbers do not compile again."""

    def array(value: Any) -> Array:
        kind = {bool: jnp.bool_, int: jnp.int32}.get(type(value), dtype)
        return jnp.asarray(value, kind)

    return jax.tree.map(array, settings)


def check_images(images: Array, bounds: Bounds) -> None:
    """Refuse images that cannot be attacked; values of traced images are not checked.

    Raises:
        ValueError: If `images` are no floats [B, H, W, C], there are none, or one is not within
            `bounds`, or `bounds` are no range.
    """
    low, high = bounds
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"`bounds` (={bounds}) must be two numbers, the lower one first")
    if images.ndim != 4 or images.dtype not in (jnp.float32, jnp.float64) or len(images) < 1:
        raise ValueError(
            f"`images` (={images.dtype}{list(images.shape)}) must be at least one image "
            "[B, H, W, C] of float32 or float64"
        )
    if isinstance(images, Tracer):
        return
    least, most = float(images.min()), float(images.max())
    if not (low <= least and most <= high):  # so that NaN is refused too
        raise ValueError(
            f"`images` must lie within `bounds` (={bounds}), and reach from {least:g} to {most:g}"
        )


def check_classes(
    name: str, classes: Array, num_images: int, num_classes: int, *, many: bool = False
) -> None:
    """Refuse what are no classes of images; values of traced classes are not checked.

    Args:
        name: The name of the argument, for messages.
        classes: One class of every image.
        num_images, num_classes: B, N.
        many: Whether an image may have several, [B, T].

    Raises:
        ValueError: If they are not as many integers in [0, N).
    """
    ranks = (1, 2) if many else (1,)
    if (
        classes.ndim not in ranks
        or len(classes) != num_images
        or classes.size == 0
        or not jnp.issubdtype(classes.dtype, jnp.integer)
    ):
        shape = f"[{num_images}]" + (f" or [{num_images}, T]" if many else "")
        raise ValueError(
            f"`{name}` (={classes.dtype}{list(classes.shape)}) must be integers {shape}, classes "
            "of the images"
        )
    if isinstance(classes, Tracer):
        return
    wrong = np.asarray(classes)[(np.asarray(classes) < 0) | (np.asarray(classes) >= num_classes)]
    if len(wrong):
        raise ValueError(
            f"`{name}` has {wrong[0]}, and scores are of the classes 0 to {num_classes - 1}"
        )


def count_classes(scores: Scores, params: PyTree, images: Array | jax.ShapeDtypeStruct) -> int:
    """Find N without computing anything.

    Args:
        scores, params: What is to be attacked.
        images: Images, or their shape and dtype.

    Raises:
        ValueError: If `scores` do not return [B, N] with at least two classes.
    """
    found = jax.eval_shape(scores, params, images)
    if not hasattr(found, "shape") or len(found.shape) != 2 or found.shape[1] < 2:
        raise ValueError(f"`scores` must give [B, N] for at least two classes, not {found}")
    return found.shape[1]


def margin(scores: Float[Array, "B N"], classes: Int[Array, "B"]) -> Float[Array, "B"]:
    """Compute how far the best other class is ahead of a class: max_{j != t} z_j - z_t."""
    own = jnp.take_along_axis(scores, classes[:, None], 1)[:, 0]
    numbers = jnp.arange(scores.shape[1], dtype=classes.dtype)
    others = jnp.where(numbers[None] == classes[:, None], -jnp.inf, scores)
    # Of equal ones the first has all of the gradient.
    best = jnp.take_along_axis(others, others.argmax(1)[:, None], 1)[:, 0]
    return best - own


def is_classified_as(
    scores: Float[Array, "B N"],
    classes: Int[Array, "B"],
    *,
    confidence: float | Float[Array, ""] = 0.0,
) -> Bool[Array, "B"]:
    """Whether the first of the greatest scores is that of a class, even less `confidence`."""
    own = jax.nn.one_hot(classes, scores.shape[1], dtype=scores.dtype)
    return (scores - confidence * own).argmax(1).astype(classes.dtype) == classes


def succeeds(
    scores: Float[Array, "B N"],
    classes: Int[Array, "B"],
    *,
    targeted: bool | Bool[Array, ""],
    confidence: float | Float[Array, ""] = 0.0,
) -> Bool[Array, "B"]:
    """Whether images are classified as their class, or as another one for untargeted attacks.

    Never where a score is NaN, of which the greatest is not known.

    Args:
        scores: Scores of the attacked images.
        classes: The class that each image should be, or should not be, classified as.
        targeted: Whether it should.
        confidence: How far the target, or the best other class, must be ahead.
    """
    behind = jnp.where(targeted, confidence, -jnp.asarray(confidence))
    reached = is_classified_as(scores, classes, confidence=behind) == targeted
    return reached & ~jnp.isnan(scores).any(1)


def predict_scores(
    scores: Scores,
    params: PyTree,
    images: Float[np.ndarray, "B H W C"] | Float[Array, "B H W C"],
    *,
    batch_size: int,
    mesh: jax.sharding.Mesh | None = None,
) -> Float[np.ndarray, "B N"]:
    """Score images batch by batch, over the devices of a mesh (see `fold`)."""
    shape = jax.eval_shape(scores, params, images)
    found = np.zeros((len(images), *shape.shape[1:]), shape.dtype)
    score, params = jax.jit(scores), replicated(params, mesh)

    def receive(batch: Batch, rows: Array) -> None:
        found[batch["example"][batch["weight"]]] = np.asarray(rows)[batch["weight"]]

    map_batches(
        lambda batch: score(params, batch["attacked"]),
        Stored({"attacked": np.asarray(images)}),
        batch_size=batch_size,
        kept={"scores": found},
        receive=receive,
        mesh=mesh,
        description="scoring images",
    )
    return found
