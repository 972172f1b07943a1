"""Fold over a data set that may be interrupted: what was done is kept in a folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.checkpoint_folder import COMPUTATION
from jaxdissect.engine.folding import State, fold
from jaxdissect.engine.identity import content, digest, software, traced
from jaxdissect.engine.layer_reader import Inputs
from jaxdissect.networks.network import Network

Step = Callable[[State, dict[str, Any]], tuple[State, Any]]


def fold_resumably(
    step: Step[State],
    state: State,
    source: Source,
    folder: Path | None,
    *,
    settings: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    kept: dict[str, np.ndarray],
    batch_size: int,
    save_every: int = 100,
    plain_step: Step[State] | None = None,
    **options: Any,
) -> State:
    """Fold, and resume where an earlier call of the same computation was interrupted.

    What computation it is follows from the arguments themselves (see `computation_settings`):
    another step, in code or in what it holds, another source or another start is refused.

    Args:
        step: ``step(state, batch) -> (state, output)``, jitted by the caller.
        state: Where to begin.
        source: The examples.
        folder: Where to keep states; None keeps none. It may be removed when all is done.
        settings: Parts of the computation by the names that a user knows, for messages that say
            what differs, and whatever else the result depends on, such as what ``receive`` does;
            JSON values, or a function that makes them when there is a folder.
        kept: Arrays on the host that ``receive`` fills, by name; filled as far as the earlier call
            came.
        batch_size: Examples in a step.
        save_every: Steps between states.
        plain_step: What computes the same as `step` does, where that has parts that change its
            speed or its memory alone and may be others when it resumes.
        options: Of `fold`.

    Returns:
        The state after the last batch, as without interruption.

    Raises:
        ValueError: If the folder holds another computation or is damaged, or `save_every` is not
            positive.
    """
    if folder is None:
        return fold(step, state, source, batch_size=batch_size, kept=kept, **options)
    if save_every < 1:
        raise ValueError(f"`save_every` (={save_every}) must be at least 1")
    if len(source) < 1 or batch_size < 1:  # refused there
        return fold(step, state, source, batch_size=batch_size, kept=kept, **options)
    from jaxdissect.engine.checkpoints import Checkpoints

    named = settings() if callable(settings) else settings
    computation = computation_settings(
        plain_step or step, state, source, kept=kept, batch_size=batch_size
    )
    with Checkpoints(folder, {**named, **computation}) as saved:
        done = saved.latest or 0
        if done:
            found = saved.load(done, _whole(state, kept))
            state = found["state"]
            for name, array in kept.items():
                array[...] = np.asarray(found["kept"][name])

        steps = 0

        def is_due(done: int) -> bool:
            nonlocal steps
            steps += 1
            return steps % save_every == 0 or done == len(source)

        def after_step(done: int, state: State) -> None:
            saved.save(done, _whole(state, kept))

        return fold(
            step,
            state,
            source,
            batch_size=batch_size,
            kept=kept,
            start=done,
            after_step=after_step,
            is_due=is_due,
            **options,
        )


def computation_settings(
    step: Step, state: PyTree, source: Source, *, kept: Mapping[str, np.ndarray], batch_size: int
) -> dict[str, Any]:
    """Find out by itself what a fold depends on, to compare it with an earlier one.

    Args:
        step: What is traced, with all that it holds: weights, options, functions of the user.
        state: Where it begins.
        source: The examples.
        kept: Arrays on the host that are filled.
        batch_size: Examples in a step.

    Returns:
        JSON values by name.
    """
    example = read_block(source, 0, 1) | {"weight": np.ones(1, bool), "example": np.zeros(1, int)}
    batch = {
        name: jax.ShapeDtypeStruct((batch_size, *array.shape[1:]), _device_type(array))
        for name, array in example.items()
    }
    return {
        "examples": len(source),
        "batch_size": batch_size,
        "source": content(source),
        "start": digest(state),
        "kept": {name: f"{array.dtype}{list(array.shape)}" for name, array in kept.items()},
        **software(),
        COMPUTATION: traced(step, state, batch),
    }


def network_settings(
    network: Network, inputs: Inputs, example: Mapping[str, Any]
) -> dict[str, Any]:
    """Name what a network computes, for `settings` of `fold_resumably`.

    Args:
        network: The network.
        inputs: Makes its input of a batch.
        example: A batch, of which shapes and types count.
    """
    shapes = jax.eval_shape(inputs, dict(example))
    return {
        "network (weights)": content(network.params),
        "network (code)": traced(network.apply, network.params, shapes),
        "inputs": traced(inputs, dict(example)),
    }


def _device_type(array: np.ndarray) -> np.dtype:
    return jax.eval_shape(jnp.asarray, array).dtype


def _whole(state: PyTree, kept: Mapping[str, np.ndarray]) -> dict[str, PyTree]:
    return {"state": state, "kept": {name: jnp.asarray(array) for name, array in kept.items()}}
