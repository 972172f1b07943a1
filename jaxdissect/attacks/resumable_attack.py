"""Attacks that are interrupted and resume: images are attacked some at a time.

Letters: B images, H W C image.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxdissect.attacks.attack_interface import Attack, Attacked, Scores
from jaxdissect.engine.batching import Batch, Stored
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content
from jaxdissect.engine.processes import one_device
from jaxdissect.engine.resume import map_resumably

TOGETHER = 8
"""Images that are attacked before a checkpoint is saved."""


class PartwiseAttack:
    """An attack that may be made on some images at a time, since it attacks each by itself.

    Args:
        from_image: Makes the attack on the images from a position on, among all that are attacked.
        settings: What it depends on, by which checkpoints know it.
    """

    def __init__(self, from_image: Callable[[int], Attack], settings: Any) -> None:
        self.from_image, self.settings = from_image, settings

    def __call__(self, scores: Scores, params: PyTree, images: Array, classes: Array) -> Attacked:
        return self.from_image(0)(scores, params, images, classes)

    def fingerprint(self) -> Any:
        """Return what tells the attack from others, see `jaxdissect.engine.identity`."""
        return self.settings


def attack_resumably(
    attack: Attack,
    scores: Scores,
    params: PyTree,
    images: Float[np.ndarray, "B H W C"],
    classes: Int[np.ndarray, "B"],
    folder: Path | None,
    *,
    settings: Mapping[str, Any],
    description: str = "attacking",
    progress: Progress = no_progress,
) -> Attacked:
    """Attack images, and resume where an earlier call was interrupted.

    Args:
        attack: A `PartwiseAttack` saves what it has after every `TOGETHER` images, which changes
            results by rounding only; other attacks save when they are done.
        scores, params: What is attacked.
        images: The images.
        classes: The class that each should, or should not, be classified as.
        folder: Where to keep the attacked images; None keeps none.
        settings: What else it depends on, by the names that a user knows.
        description: What the progress is called.
        progress: Called with how many images are done.

    Returns:
        NumPy arrays.

    Raises:
        ValueError: If the attack refuses something, or `folder` holds another computation or is
            damaged.
    """
    if folder is None:
        found = attack(scores, params, jnp.asarray(images), jnp.asarray(classes, jnp.int32))
        return jax.tree.map(np.asarray, found)
    number, dtype = len(images), images.dtype
    kept = {
        "images": np.zeros(images.shape, dtype),
        "success": np.zeros(number, bool),
        "distance": np.zeros(number, dtype),
        "constant": np.zeros(number, dtype),
        "iterations": np.zeros(number, np.int32),
    }

    def step(batch: dict[str, Any]) -> Attacked:
        if isinstance(attack, PartwiseAttack):
            chosen = attack.from_image(int(batch["example"][0]))
        else:
            chosen = attack
        return chosen(scores, params, batch["original"], batch["class"])

    def receive(batch: Batch, made: Attacked) -> None:
        for name, rows in kept.items():
            found = np.asarray(getattr(made, name))
            rows[batch["example"][batch["weight"]]] = found[batch["weight"]]

    map_resumably(
        step,
        Stored({"original": images, "class": np.asarray(classes, np.int32)}),
        folder,
        plain_step=lambda batch: scores(params, batch["original"]),
        settings=lambda: {"attack": content(attack), **settings},
        kept=kept,
        batch_size=min(TOGETHER, number) if isinstance(attack, PartwiseAttack) else number,
        save_every=1,
        receive=receive,
        mesh=one_device(),
        description=description,
        progress=progress,
    )
    found: Any = kept  # arrays of NumPy, which serve as well
    return Attacked(**found)
