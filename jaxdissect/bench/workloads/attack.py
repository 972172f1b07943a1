"""Carlini and Wagner's attack on the scene classifier that comes with jaxdissect, in one program.

Letters: B images, H W C image.

How many gradient steps it takes depends on the images where it may stop early, as in the paper; so
the steps of an earlier run are counted then. What it found is checked without any of its code:
scores in float64, distances and bounds by NumPy, and that it is near: half way to the image that
was found, hardly any image is classified as the target yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdissect.attacks import Attacked, CarliniWagnerSettings, ClassScores, carlini_wagner
from jaxdissect.attacks.carlini_wagner_l2 import losses
from jaxdissect.attacks.sharding import checked_slots
from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.checking.precisions import traced_in
from jaxdissect.bench.work_counting import LAYER_BY_LAYER, count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_classifier

SEED = 2_000_003
"""Of scenes that the classifier was not trained on."""

PRECISIONS = ("highest", "default")
"""The attack computes in the dtype of the images, float32."""

LEAST_SUCCESS = 0.5
"""Share of the images for which one must be found: all with 50 steps or more, half with 20."""

SAME_STEPS = 0.02
"""By which share of all the steps of two runs may differ."""


@dataclass(frozen=True, kw_only=True)
class AttackSizes:
    """Sizes of an attack.

    Attributes:
        images: With one target each.
        constants: How many are tried.
        iterations: Gradient steps with each, at most where the attack stops early.
        stop_early: As in the paper; else each constant has all of its steps.
        slots: Images that run together; the library's choice for this device where 0.
        precision: "highest" or "default".
    """

    images: int = 16
    constants: int = 5
    iterations: int = 100
    stop_early: bool = True
    slots: int = 0
    precision: str = "default"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"`precision` (={self.precision!r}) must be one of: {', '.join(PRECISIONS)}"
            )
        for name, least in (("images", 1), ("constants", 1), ("iterations", 1), ("slots", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least {least}")


def prepare_attack(sizes: AttackSizes) -> Prepared:
    """Make images, targets and the program; run it once where only that tells its steps."""
    images = scenes_dataset(sizes.images, seed=SEED).read(0, sizes.images)["image"]
    scores = ClassScores(load_classifier())
    predictions = np.asarray(jax.jit(scores)(scores.params, images)).argmax(1)
    targets = ((predictions + 3) % 10).astype(np.int32)
    settings = CarliniWagnerSettings(
        binary_search_steps=sizes.constants,
        max_iterations=sizes.iterations,
        abort_early=sizes.stop_early,
    )
    slots = checked_slots(sizes.slots or None, sizes.images, jnp.asarray(images), None)

    def attack(params: PyTree, images: Array, targets: Array) -> Attacked:
        return carlini_wagner(scores, params, images, targets, settings=settings, slots=slots)

    program = jax.jit(traced_in(sizes.precision, attack))
    arguments = jax.device_put((scores.params, images, targets))
    steps = sizes.images * sizes.constants * sizes.iterations
    if sizes.stop_early:
        steps = int(np.asarray(program(*arguments).iterations).sum())
    one = count_work(_gradient_step(scores, settings), *arguments)
    counted = f"{steps} gradient steps, each: {LAYER_BY_LAYER}"

    def check(answer: Attacked) -> Gate:
        return check_attack(scores, images, targets, answer, sizes, steps)

    return Prepared(
        images=sizes.images,
        work=(one * (steps / sizes.images)).as_work(counted),
        check=check,
        program=Program(function=program, arguments=arguments),
        notes={
            "gradient steps": steps,
            "GFLOP per step": one.products / sizes.images / 1e9,
            "slots": slots,
        },
    )


def _gradient_step(
    scores: ClassScores, settings: CarliniWagnerSettings
) -> Callable[[PyTree, Array, Array], Array]:
    """Return the part of the attack that runs again and again, for every image once."""

    def step(params: PyTree, images: Array, targets: Array) -> Array:
        constants = jnp.ones(len(images), images.dtype)

        def total(shift: Array) -> Array:
            return losses(scores, settings, params, shift, images, targets, constants).loss.sum()

        return jax.grad(total)(jnp.zeros_like(images))

    return step


def check_attack(
    scores: ClassScores,
    images: np.ndarray,
    targets: np.ndarray,
    answer: Attacked,
    sizes: AttackSizes,
    steps: int,
) -> Gate:
    """Check what was found: its bounds, classes, distances and nearness.

    The difference is the share of images of which something is not as it is said to be.
    """
    found, success, distance, _, spent = (np.asarray(part) for part in answer)
    away = found.astype(np.float64) - images
    lengths = np.sqrt((away**2).sum((1, 2, 3)))

    def classes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify in float64; and tell by how much each target is ahead of all other classes."""
        given = in_float64(lambda params, points: scores(params, points), scores.params, points)
        own = np.take_along_axis(given, targets[:, None], 1)[:, 0]
        others = np.where(np.arange(given.shape[1]) == targets[:, None], -np.inf, given)
        return given.argmax(1), (own - others.max(1)) / np.abs(given).max()

    _, ahead = classes(found)
    halfway = classes((images + away / 2).astype(np.float64))[0] == targets
    rounding = 1e-4 if _exact(sizes) else 2e-2
    wrong = {
        "bounds": (found < 0).any((1, 2, 3)) | (found > 1).any((1, 2, 3)),
        "class": success & (ahead < -rounding),
        "failed but changed": ~success & (lengths > 0),
        "distance": success & (np.abs(distance - lengths) > 1e-3 * np.maximum(lengths, 1e-3)),
        "steps": spent > sizes.constants * sizes.iterations,
        "not finite": ~np.isfinite(found).all((1, 2, 3)),
    }
    if abs(int(spent.sum()) - steps) > SAME_STEPS * steps:
        wrong["steps"][:] = True  # the work of the row is not that of this run
    share = float(np.logical_or.reduce(list(wrong.values())).mean())
    enough = success.mean() >= LEAST_SUCCESS and (halfway & success).mean() <= 0.25
    return Gate(
        passed=bool(share == 0 and enough),
        against=(
            f"scores in float64, distances and bounds by NumPy: {success.mean():.0%} of "
            f"{len(images)} images succeed, {(halfway & success).mean():.0%} half way already; "
            f"median distance {np.median(lengths[success]) if success.any() else np.nan:.4f}"
        ),
        difference=share,
        tolerance=0.0,
        reason=(
            "share of images of which something is wrong: "
            + (", ".join(name for name, of in wrong.items() if of.any()) or "nothing is")
        ),
    )


def _exact(sizes: AttackSizes) -> bool:
    return sizes.precision == "highest" or jax.default_backend() == "cpu"


ATTACK: Workload[Any] = Workload(
    name="attack",
    summary="Carlini and Wagner's attack on the scene classifier that comes with jaxdissect",
    sizes=AttackSizes,
    prepare=prepare_attack,
)
