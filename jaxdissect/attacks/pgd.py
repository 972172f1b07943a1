"""Projected gradient descent: the strongest image within a distance.

Letters: B images, H W C image, N classes.

Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section
2.1: steps along the gradient of a loss, each followed by the nearest image within the ball around
the original; the last image counts. Targeted attacks descend towards a class, others climb away
from it.

Their loss, the cross-entropy, has no gradient left in floating point where the classifier is
confident: the same predictions with greater scores look robust. Croce and Hein, "Reliable
evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML 2020,
section 4, replace it by one that does not depend on the scale of scores, their difference of logits
ratio. Steps have one length here whatever the gradient's is, so the margin of scores does the same
without their ratio, which needs four classes and turns the gradient. `smooth_margin` is the
default.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Int32, Key, PyTree

from jaxdissect.attacks.attack_interface import (
    Attacked,
    Bounds,
    Scores,
    as_arrays,
    check_classes,
    check_images,
    count_classes,
    succeeds,
)
from jaxdissect.attacks.sharding import checked_slots, over_devices
from jaxdissect.networks.jaxpr.cpu_convolutions import loop_body

Loss = Callable[[Array, Array], Array]
"""What untargeted attacks make great and targeted ones small: from scores [B, N] and a class of
each image [B] to a number each [B], float."""

SHARPNESS = 10.0
"""Inverse temperature of `smooth_margin`, in units of the lead of the best other class."""


def smooth_margin(scores: Float[Array, "B N"], classes: Int[Array, "B"]) -> Float[Array, "B"]:
    """Compute how far the other classes are ahead of one: sum_{j != t} q_j z_j - z_t.

    The weights q are the softmax of z_j / T over the other classes. They are constants to the
    gradient, which is that of the soft maximum T log sum_{j != t} exp(z_j / T). The temperature T
    is 1 / `SHARPNESS` of how far the best of the others is ahead of their mean, so that scores
    times a number, or plus one, have the same direction of steepest ascent. Where T is 1, that is
    the direction of the cross-entropy, whose gradient is this one times the probability of all
    others together. With the greatest score alone (`attack_interface.margin`) steps swing between
    two classes.
    """
    own = jnp.take_along_axis(scores, classes[:, None], 1)
    other = jnp.arange(scores.shape[1], dtype=classes.dtype)[None] != classes[:, None]
    other &= scores > -jnp.inf
    best = jnp.where(other, scores, -jnp.inf).max(1, keepdims=True)
    behind = jnp.where(other, best - scores, 0.0)
    lead = behind.sum(1, keepdims=True) / other.sum(1, keepdims=True).astype(scores.dtype)
    temperature = jnp.where(lead > 0, lead / SHARPNESS, 1.0)
    weights = jax.nn.softmax(jnp.where(other, -behind / temperature, -jnp.inf))
    return jnp.where(other, lax.stop_gradient(weights) * (scores - own), 0.0).sum(1)


def cross_entropy(scores: Float[Array, "B N"], classes: Int[Array, "B"]) -> Float[Array, "B"]:
    """Compute the loss of Madry et al., whose gradient vanishes as scores grow."""
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], 1)[:, 0]


class Ball(NamedTuple):
    """Differences of no more than some size, here 1, for one difference [H, W, C].

    Attributes:
        name: Name of the norm.
        steepest: The difference of size 1 that climbs most, from a gradient.
        project: The nearest difference of size 1 or less.
        draw: A random difference of size 1 or less, uniformly, from a key, a shape and a dtype.
    """

    name: str
    steepest: Callable[[Array], Array]
    project: Callable[[Array], Array]
    draw: Callable[[Key[Array, ""], tuple[int, ...], Any], Array]


def _length(difference: Array) -> Array:
    return jnp.maximum(jnp.sqrt((difference**2).sum()), 1e-12)


def _unit(gradient: Array) -> Array:
    # The squares of a gradient may overflow or vanish where it does not.
    greatest = jnp.maximum(jnp.abs(gradient).max(), jnp.finfo(gradient.dtype).tiny)
    return gradient / greatest / _length(gradient / greatest)


def _draw_euclidean(key: Key[Array, ""], shape: tuple[int, ...], dtype: Any) -> Array:
    # Two more coordinates on a sphere, left out, make the rest uniform in the ball (Voelker et al.,
    # "Efficiently sampling vectors and coordinates from the n-sphere and n-ball", 2017).
    size = int(np.prod(shape))
    point = jax.random.normal(key, (size + 2,), dtype)
    return (point / _length(point))[:size].reshape(shape)


EUCLIDEAN = Ball(
    "L2",
    _unit,
    lambda difference: difference / jnp.maximum(_length(difference), 1.0),
    _draw_euclidean,
)
"""Differences measured by their L2 norm."""

MAXIMUM = Ball(
    "Linf",
    jnp.sign,
    lambda difference: jnp.clip(difference, -1.0, 1.0),
    lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -1.0, 1.0),
)
"""Differences measured by their greatest absolute value."""


class ProjectedGradientSettings(NamedTuple):
    """Settings of projected gradient descent.

    Attributes:
        epsilon: Radius of the ball, in the units of pixels.
        ball: `EUCLIDEAN` or `MAXIMUM`.
        steps: Number of steps.
        relative_step: Size of a step, as a fraction of epsilon.
        targeted: Whether images should be classified as the given classes; else as any other.
        random_start: Begin anywhere in the ball; else at the original.
        bounds: Least and greatest value of a pixel.
        loss: `smooth_margin`, `cross_entropy`, or another function of scores and classes.
    """

    epsilon: float
    ball: Ball = EUCLIDEAN
    steps: int = 40
    relative_step: float = 0.05
    targeted: bool = True
    random_start: bool = True
    bounds: Bounds = (0.0, 1.0)
    loss: Loss = smooth_margin


def projected_gradient(
    key: Key[Array, ""],
    scores: Scores,
    params: PyTree,
    images: Float[Array, "B H W C"],
    classes: Int[Array, "B"],
    settings: ProjectedGradientSettings,
    *,
    first: int = 0,
    slots: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> Attacked:
    """Attack every image within a ball.

    Args:
        key: Random key of the starts; image i has ``jax.random.fold_in(key, first + i)``.
        scores: Scores classes; `ClassScores` makes it from a network.
        params: Parameters, the first argument of `scores`.
        images: Images within the bounds. Everything is computed in their dtype, float32 or float64.
        classes: The class that each image should, or should not, be classified as.
        settings: See `ProjectedGradientSettings`.
        first: Position of the first image, where some of many are attacked.
        slots: Images that run together; None means `sharding.SLOTS` on CPU and all elsewhere. It
            changes results by rounding only.
        mesh: Devices to divide images among, along its first axis; axes may be of any type.

    Returns:
        The last image of each descent; the original where the attack failed.

    Raises:
        ValueError: If images are not within the bounds, `classes` are no classes, or another
            argument makes no sense.
    """
    images, classes = jnp.asarray(images), jnp.asarray(classes)
    check_settings(settings)
    check_images(images, settings.bounds)
    check_classes("classes", classes, len(images), count_classes(scores, params, images))
    slots = checked_slots(slots, len(images), images, mesh)
    each = jnp.arange(len(images), dtype=jnp.int32)
    keys = jax.vmap(partial(jax.random.fold_in, key))(each + jnp.int32(first))
    static = (scores, settings.ball, settings.loss, slots)
    # Functions are no arrays: ball and loss are static arguments.
    numbers = settings._replace(ball=None, loss=None)  # pyright: ignore[reportArgumentType]
    given = (params, as_arrays(numbers, images.dtype))
    about = (classes.astype(jnp.int32), keys)
    return over_devices(_attack, static, mesh, given, images, each, about)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _attack(
    scores: Scores,
    ball: Ball,
    loss: Loss,
    slots: int,
    given: tuple[PyTree, Any],
    images: Float[Array, "B H W C"],
    each: Int32[Array, "n"],
    about: tuple[Int32[Array, "n"], Key[Array, "n"]],
) -> Attacked:
    (classes, keys), dtype = about, images.dtype
    params, settings = given

    def climb(arguments: tuple[Array, Array]) -> Array:
        images, classes = arguments

        def total(images: Array) -> Array:
            return loss(scores(params, images).astype(dtype), classes).sum()

        return jax.vmap(ball.steepest)(jax.grad(total)(images))

    def inside(images: Array, origins: Array) -> Array:
        differences = jax.vmap(ball.project)((images - origins) / settings.epsilon)
        return jnp.clip(origins + settings.epsilon * differences, *settings.bounds)

    def attack(some: tuple[Array, Array, Array]) -> Attacked:
        each, classes, keys = some
        origins = images[each]
        shifts = jax.vmap(lambda key: ball.draw(key, images.shape[1:], dtype))(keys)
        reach = jnp.where(settings.random_start, settings.epsilon, 0.0)
        starts = jnp.clip(origins + reach * shifts, *settings.bounds)
        steepest = loop_body(climb, (starts, classes))
        length = settings.relative_step * settings.epsilon
        length = jnp.where(settings.targeted, -length, length)
        attacked = lax.fori_loop(
            0,
            settings.steps,
            lambda _, now: inside(now + length * steepest((now, classes)), origins),
            starts,
        )
        success = succeeds(
            scores(params, attacked).astype(dtype), classes, targeted=settings.targeted
        )
        distance = jnp.sqrt(((attacked - origins) ** 2).sum((1, 2, 3)))
        return Attacked(
            jnp.where(success[:, None, None, None], attacked, origins),
            success,
            jnp.where(success, distance, jnp.inf),
            jnp.zeros(len(each), dtype),
            jnp.broadcast_to(settings.steps, each.shape),
        )

    number = len(each)
    slots = min(slots, number)
    missing = -number % slots

    def parts(array: Array) -> Array:
        filled = jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
        return filled.reshape(-1, slots)

    with jax.named_scope("projected_gradient"):
        found = lax.map(attack, (parts(each), parts(classes), parts(keys)))
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:number], found)


def check_settings(settings: ProjectedGradientSettings) -> None:
    """Raise ValueError if a setting makes no sense, as `projected_gradient` does."""
    for name in ("epsilon", "relative_step"):
        if not getattr(settings, name) > 0:
            raise ValueError(f"`{name}` (={getattr(settings, name)}) must be positive")
    if settings.steps < 1:
        raise ValueError(f"`steps` (={settings.steps}) must be at least 1")
