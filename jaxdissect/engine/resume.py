"""Fold over a data set that may be interrupted: what was done is kept in a folder."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import State, fold


def fold_resumably(
    step: Callable[[State, dict[str, Any]], tuple[State, Any]],
    state: State,
    source: Source,
    folder: Path | None,
    *,
    settings: Mapping[str, Any],
    kept: dict[str, np.ndarray],
    batch_size: int,
    save_every: int = 100,
    **options: Any,
) -> State:
    """Fold, and resume where an earlier call was interrupted.

    Args:
        step: ``step(state, batch) -> (state, output)``, jitted by the caller.
        state: Where to begin.
        source: The examples.
        folder: Where to keep states; None keeps none. It may be removed when all is done.
        settings: What the result depends on, as JSON; batches are added.
        kept: Arrays on the host that ``receive`` fills, by name; filled as far as the earlier call
            came.
        batch_size: Examples in a step.
        save_every: Steps between states.
        options: Of `fold`.

    Returns:
        The state after the last batch, as without interruption.

    Raises:
        ValueError: If the folder holds a computation with other settings, or `save_every` is not
            positive.
    """
    if folder is None:
        return fold(step, state, source, batch_size=batch_size, **options)
    if save_every < 1:
        raise ValueError(f"`save_every` (={save_every}) must be at least 1")
    from jaxdissect.engine.checkpoints import Checkpoints

    total = -(-len(source) // max(batch_size, 1))
    settings = {**settings, "examples": len(source), "batch_size": batch_size}
    with Checkpoints(folder, settings) as saved:
        done = saved.latest or 0
        if done:
            found = saved.load(done, _whole(state, kept))
            state = found["state"]
            for name, array in kept.items():
                array[...] = np.asarray(found["kept"][name])

        def after_step(number: int, state: State) -> None:
            if number % save_every == 0 or number == total:
                saved.save(number, _whole(state, kept))

        return fold(
            step,
            state,
            source,
            batch_size=batch_size,
            start=done,
            after_step=after_step,
            **options,
        )


def digest(*trees: PyTree) -> str:
    """Tell arrays apart by a short text, to compare settings."""
    text = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        text.update(f"{array.dtype}{array.shape}".encode())
        text.update(array.tobytes())
    return text.hexdigest()[:16]


def _whole(state: PyTree, kept: Mapping[str, np.ndarray]) -> dict[str, PyTree]:
    return {"state": state, "kept": {name: jnp.asarray(array) for name, array in kept.items()}}
