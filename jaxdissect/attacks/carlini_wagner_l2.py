"""The L2 attack of Carlini and Wagner, for many images and targets in one program.

Letters: B images, T targets of an image, n = B T examples, S slots, H W C image, N classes.

Carlini and Wagner, "Towards evaluating the robustness of neural networks", IEEE S&P 2017, sections
V and VI. In w = arctanh(0.999999 x), with pixels x scaled to [-1, 1], Adam minimises over p, from
p = 0 on,

    |x' - x0'|^2 + c max(0, max_{j != t} z_j(x') - z_t(x') + confidence),    x' = tanh(w + p),

where x0' is the image at p = 0. Untargeted attacks have z_t - max_{j != t} z_j in the brackets,
where t is the class that the image should not be classified as. Every example has its own constant
c: tenfold until an image is found, then by bisection. Defaults, the epsilon of Adam and the check
of progress are those of foolbox 2, which Bau et al., "Understanding the role of individual units in
a deep neural network", PNAS 2020, used. That library attacks images one by one and foolbox 3 stops
whole batches together; here examples share a batch and do not depend on each other: each of S slots
works on an example of its own, and starts the next one when that is done.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Int32, PyTree

from jaxdissect.attacks.attack_interface import (
    Attacked,
    Bounds,
    Scores,
    as_arrays,
    check_classes,
    check_images,
    count_classes,
    margin,
    predict_scores,
    succeeds,
)
from jaxdissect.attacks.sharding import checked_slots, over_devices
from jaxdissect.networks.jaxpr.cpu_convolutions import loop_body

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7
"""Constants of Adam, as in foolbox 2 (foolbox 3 has an epsilon of 1e-8)."""

INSIDE = 0.999999
"""Pixels are scaled by this factor, so that their arctanh is finite."""

CHECKS = 10
"""Number of checks of progress for each constant."""


State = TypeVar("State")


class CarliniWagnerSettings(NamedTuple):
    """Settings of the attack of Carlini and Wagner.

    Attributes:
        binary_search_steps: Number of constants that are tried.
        max_iterations: Gradient steps with each.
        confidence: How far the target, or the best other class, must be ahead, in scores.
        learning_rate: Learning rate of Adam.
        initial_const: The first constant. It weighs scores against squared distances: where scores
            are all tenfold, a tenth of it does the same.
        abort_early: Stop with a constant when the loss did not fall by 0.01% since the last check,
            a tenth of the iterations ago.
        bounds: Least and greatest value of a pixel.
        targeted: Whether images should be classified as the given classes; else as any other.
    """

    binary_search_steps: int = 5
    max_iterations: int = 1000
    confidence: float = 0.0
    learning_rate: float = 5e-3
    initial_const: float = 1e-2
    abort_early: bool = True
    bounds: Bounds = (0.0, 1.0)
    targeted: bool = True


STANDARD = CarliniWagnerSettings()
"""The settings of foolbox 2 and the paper."""


def carlini_wagner(
    scores: Scores,
    params: PyTree,
    images: Float[Array, "B H W C"],
    targets: Int[Array, "B"] | Int[Array, "B T"],
    *,
    settings: CarliniWagnerSettings = STANDARD,
    refuse_reached: bool = True,
    slots: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> Attacked:
    """Find the nearest images that a classifier misclassifies, as a target or as anything else.

    Args:
        scores: Scores classes; `ClassScores` makes it from a network.
        params: Parameters, the first argument of `scores`.
        images: Images within the bounds. Everything is computed in their dtype, float32 or float64.
        targets: The class that each image should be classified as, or several classes, each of
            which is attacked for itself; for untargeted attacks, the class that it should not be
            classified as.
        settings: See `CarliniWagnerSettings`; the defaults are those of the paper.
        refuse_reached: Raise if an image is already classified as its target, or as another class
            in untargeted attacks; else it is attacked all the same, which returns almost the same
            image.
        slots: Examples that run together; None means `sharding.SLOTS` on CPU and all elsewhere. It
            changes results by rounding only.
        mesh: Devices to divide examples among, along its first axis; axes may be of any type.

    Returns:
        For each image, or for each image and target, the nearest one that was found.

    Raises:
        ValueError: If images are not within the bounds, a target is no class or the one that its
            image is already classified as, or another argument makes no sense.
    """
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    check_settings(settings)
    check_images(images, settings.bounds)
    num_classes = count_classes(scores, params, images)
    check_classes("targets", targets, len(images), num_classes, many=True)
    wanted = targets.reshape(-1).astype(jnp.int32)
    each = jnp.repeat(jnp.arange(len(images), dtype=jnp.int32), wanted.size // len(images))
    slots = checked_slots(slots, wanted.size, images, mesh)
    if refuse_reached and not isinstance(images, Tracer):
        found = predict_scores(scores, params, images, batch_size=min(slots, len(images)))
        _refuse_reached(found, wanted, each, targeted=settings.targeted)
    given = (params, as_arrays(settings, images.dtype))
    found = over_devices(_attack, (scores, slots), mesh, given, images, each, wanted)
    return Attacked(*(part.reshape(*targets.shape, *part.shape[1:]) for part in found))


class _Search(NamedTuple):
    """State of the search of the examples in the slots."""

    example: Int32[Array, "S"]  # n where nothing is left to do
    target: Int32[Array, "S"]
    origin: Float[Array, "S H W C"]  # the image, in the units of pixels
    start: Float[Array, "S H W C"]  # w
    shift: Float[Array, "S H W C"]  # p
    mean: Float[Array, "S H W C"]  # of gradients
    square: Float[Array, "S H W C"]
    iteration: Int32[Array, "S"]
    step: Int32[Array, "S"]
    constant: Float[Array, "S"]
    lower: Float[Array, "S"]
    upper: Float[Array, "S"]
    found: Bool[Array, "S"]  # with this constant
    checked: Float[Array, "S"]  # loss at the last check
    best: Float[Array, "S H W C"]
    best_square: Float[Array, "S"]  # of its distance
    best_constant: Float[Array, "S"]
    spent: Int32[Array, "S"]


class Losses(NamedTuple):
    """What the attack minimises, and what was computed on the way.

    Attributes:
        loss: Loss of every example.
        attacked: The images, within the bounds.
        scores: Their scores.
    """

    loss: Float[Array, "S"]
    attacked: Float[Array, "S H W C"]
    scores: Float[Array, "S N"]


def losses(
    scores: Scores,
    settings: CarliniWagnerSettings,
    params: PyTree,
    shift: Float[Array, "S H W C"],
    start: Float[Array, "S H W C"],
    target: Int32[Array, "S"],
    constant: Float[Array, "S"],
) -> Losses:
    """Compute the losses of examples: squared distance, and the constant times the lag of scores.

    Args:
        scores, settings, params: What is attacked, and how; see `carlini_wagner`.
        shift, start: p and w.
        target: The classes that images should be classified as.
        constant: c.
    """
    attacked = to_pixels(start + shift, settings.bounds)
    found = scores(params, attacked).astype(shift.dtype)
    ahead = margin(found, target)
    behind = jnp.where(settings.targeted, ahead, -ahead) + settings.confidence
    behind = jnp.where(behind > 0, behind, 0.0)  # no gradient at 0, as in the reference
    return Losses(
        _squares(attacked - to_pixels(start, settings.bounds)) + constant * behind, attacked, found
    )


@partial(jax.jit, static_argnums=(0, 1))
def _attack(
    scores: Scores,
    slots: int,
    given: tuple[PyTree, CarliniWagnerSettings],
    images: Float[Array, "B H W C"],
    each: Int32[Array, "n"],
    targets: Int32[Array, "n"],
) -> Attacked:
    number, dtype = len(targets), images.dtype
    params, settings = given
    slots = min(slots, number)
    check_every = -(-settings.max_iterations // CHECKS)

    def gradients(arguments: tuple[Array, ...]) -> tuple[tuple[Array, Losses], Array]:
        def total(shift: Array, *others: Array) -> tuple[Array, Losses]:
            found = losses(scores, settings, params, shift, *others)
            return found.loss.sum(), found

        return jax.value_and_grad(total, has_aux=True)(*arguments)

    def begin(example: Int32[Array, "S"]) -> _Search:
        known = jnp.minimum(example, number - 1)
        origin = images[each[known]]
        zeros, zero = jnp.zeros_like(origin), jnp.zeros(example.shape, dtype)
        none, infinite = jnp.zeros_like(example), jnp.full(example.shape, jnp.inf, dtype)
        return _Search(
            example=example,
            target=targets[known],
            origin=origin,
            start=to_points(origin, settings.bounds),
            shift=zeros,
            mean=zeros,
            square=zeros,
            iteration=none,
            step=none,
            constant=zero + settings.initial_const,
            lower=zero,
            upper=infinite,
            found=jnp.zeros(example.shape, bool),
            checked=infinite,
            best=origin,
            best_square=infinite,
            best_constant=zero,
            spent=none,
        )

    def iterate(now: _Search) -> _Search:
        """One gradient step of every example."""
        arguments = (now.shift, now.start, now.target, now.constant)
        (_, (loss, attacked, found)), slope = gradient(arguments)
        succeeded = succeeds(
            found, now.target, targeted=settings.targeted, confidence=settings.confidence
        )
        distance = _squares(attacked - now.origin)
        better = succeeded & (distance < now.best_square)
        mean = BETA1 * now.mean + (1 - BETA1) * slope
        square = BETA2 * now.square + (1 - BETA2) * slope**2
        power = (now.iteration + 1).astype(dtype)
        first, second = (_wide(1 - beta**power) for beta in (BETA1, BETA2))
        move = settings.learning_rate * (mean / first) / (jnp.sqrt(square / second) + EPSILON)
        stopped = now.iteration + 1 >= settings.max_iterations
        check = settings.abort_early & (now.iteration % check_every == 0)
        # Not the other way round: NaN is no progress.
        stopped |= check & ~(loss <= 0.9999 * now.checked)
        moved = now._replace(
            shift=now.shift - move,
            mean=mean,
            square=square,
            iteration=now.iteration + 1,
            spent=now.spent + 1,
            found=now.found | succeeded,
            checked=jnp.where(check, loss, now.checked),
            best=jnp.where(_wide(better), attacked, now.best),
            best_square=jnp.where(better, distance, now.best_square),
            best_constant=jnp.where(better, now.constant, now.best_constant),
        )
        return lax.cond(stopped.any(), lambda now: next_constant(now, stopped), _same, moved)

    def next_constant(now: _Search, stopped: Bool[Array, "S"]) -> _Search:
        upper = jnp.where(now.found, now.constant, now.upper)
        lower = jnp.where(now.found, now.lower, now.constant)
        constant = jnp.where(jnp.isinf(upper), now.constant * 10, (lower + upper) / 2)
        # The last of many steps does the best again.
        last = now.step + 2 == settings.binary_search_steps
        last &= settings.binary_search_steps >= 10
        constant = jnp.where(last, jnp.minimum(upper, 1e10), constant)
        again = begin(now.example)._replace(
            step=now.step + 1,
            constant=constant,
            lower=lower,
            upper=upper,
            best=now.best,
            best_square=now.best_square,
            best_constant=now.best_constant,
            spent=now.spent,
        )
        return _choose(stopped, again, now)

    def round_trip(
        state: tuple[_Search, Attacked, Array],
    ) -> tuple[_Search, Attacked, Array]:
        now, results, following = state
        now = iterate(now)
        done = (now.step >= settings.binary_search_steps) & (now.example < number)

        def refill(state: tuple[_Search, Attacked, Array]) -> tuple[_Search, Attacked, Array]:
            now, results, following = state
            place = jnp.where(done, now.example, number)
            succeeded = jnp.isfinite(now.best_square)
            finished = Attacked(
                now.best, succeeded, jnp.sqrt(now.best_square), now.best_constant, now.spent
            )
            results = jax.tree.map(
                lambda all, new: all.at[place].set(new, mode="drop"), results, finished
            )
            turn = jnp.cumsum(done, dtype=jnp.int32)
            free = jnp.minimum(following + turn - 1, number)
            now = _choose(done, begin(free), now)
            return now, results, following + turn[-1]

        return lax.cond(done.any(), refill, _same, (now, results, following))

    now = begin(jnp.arange(slots, dtype=jnp.int32))
    gradient = loop_body(gradients, (now.shift, now.start, now.target, now.constant))
    results = Attacked(
        jnp.zeros((number, *images.shape[1:]), dtype),
        jnp.zeros(number, bool),
        jnp.zeros(number, dtype),
        jnp.zeros(number, dtype),
        jnp.zeros(number, jnp.int32),
    )
    following = jnp.asarray(slots, jnp.int32)
    with jax.named_scope("carlini_wagner"):
        _, results, _ = lax.while_loop(
            lambda state: (state[0].example < number).any(),
            round_trip,
            (now, results, following),
        )
    return results


def to_points(pixels: Float[Array, "*n"], bounds: Sequence[float | Array]) -> Float[Array, "*n"]:
    """Map pixels to tanh space, which has no bounds."""
    low, high = bounds
    return jnp.arctanh((pixels - (low + high) / 2) / ((high - low) / 2) * INSIDE)


def to_pixels(points: Float[Array, "*n"], bounds: Sequence[float | Array]) -> Float[Array, "*n"]:
    """Map points of tanh space to pixels, which lie within the bounds."""
    low, high = bounds
    return jnp.tanh(points) * ((high - low) / 2) + (low + high) / 2


def _squares(differences: Float[Array, "S H W C"]) -> Float[Array, "S"]:
    return (differences**2).sum((1, 2, 3))


def _wide(values: Array) -> Array:
    """Add the axes of images to values of examples."""
    return values[:, None, None, None]


def _same(state: State) -> State:
    return state


def _choose(which: Bool[Array, "S"], new: _Search, old: _Search) -> _Search:
    def choose(new: Array, old: Array) -> Array:
        return jnp.where(_wide(which) if new.ndim > 1 else which, new, old)

    return jax.tree.map(choose, new, old)


def check_settings(settings: CarliniWagnerSettings) -> None:
    """Raise ValueError if a setting makes no sense, as `carlini_wagner` does."""
    for name in ("binary_search_steps", "max_iterations"):
        if getattr(settings, name) < 1:
            raise ValueError(f"`{name}` (={getattr(settings, name)}) must be at least 1")
    for name in ("learning_rate", "initial_const"):
        if not getattr(settings, name) > 0:
            raise ValueError(f"`{name}` (={getattr(settings, name)}) must be positive")
    if not settings.confidence >= 0:
        raise ValueError(f"`confidence` (={settings.confidence}) must not be negative")


def _refuse_reached(
    scores: Float[np.ndarray, "B N"], wanted: Array, each: Array, *, targeted: bool
) -> None:
    predicted, classes = scores.argmax(1)[np.asarray(each)], np.asarray(wanted)
    reached = np.flatnonzero((predicted == classes) == targeted)
    if not len(reached):
        return
    image, class_number = int(each[reached[0]]), int(predicted[reached[0]])
    needed = "targets must differ from the source class"
    if not targeted:
        needed = f"and not as {classes[reached[0]]}, which it should not be classified as"
    raise ValueError(f"`targets`: image {image} is already classified as {class_number}; {needed}")
