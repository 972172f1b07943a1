"""Fold over a data set that may be interrupted: what was done is kept in a folder.

A run resumes with another size of batches, on other numbers of devices and of processes: what is
kept is the number of examples that are done, the state, and rows of results.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.checkpoint_folder import COMPUTATION
from jaxdissect.engine.folding import Progress, State, fold, no_progress
from jaxdissect.engine.identity import content, digest, software, traced
from jaxdissect.engine.layer_reader import Inputs
from jaxdissect.engine.processes import (
    Placement,
    from_first_process,
    in_any_process,
    in_first_process,
)
from jaxdissect.engine.stopping import Stopped, held_back
from jaxdissect.networks.network import Network

if TYPE_CHECKING:
    from jaxdissect.engine.checkpoints import Checkpoints

Step = Callable[[State, dict[str, Any]], tuple[State, Any]]

SECONDS = 60.0
"""Seconds after which a state is saved, however few steps there were since the last one."""

_NOMINAL = 2  # examples in a batch with which steps are compared, whatever they run with

_STEPS_TOGETHER = 8  # between two times at which several processes ask each other to stop


class FoldOptions(NamedTuple):
    """How to pass over the data.

    Attributes:
        batch_size, mesh, progress: What `fold` takes.
        checkpoints: Folder from which interrupted passes resume, each in a folder of its own; None
            keeps none.
        save_every: Steps between checkpoints.
    """

    batch_size: int
    mesh: jax.sharding.Mesh | None = None
    progress: Progress = no_progress
    checkpoints: Path | None = None
    save_every: int = 100

    def of(self, name: str) -> dict[str, Any]:
        """Return the arguments of `fold_resumably` for one of several passes, by its name."""
        return {
            "folder": None if self.checkpoints is None else self.checkpoints / name,
            "batch_size": self.batch_size,
            "mesh": self.mesh,
            "progress": self.progress,
            "save_every": self.save_every,
        }

    def within(self, name: str) -> "FoldOptions":
        """Return the same for a part of the computation that keeps its passes in its own folder."""
        return self._replace(checkpoints=self.checkpoints and self.checkpoints / name)


class Portable(NamedTuple):
    """How a state that lies on several devices is kept, whatever their number.

    Attributes:
        save: Makes of it a pytree of arrays that does not depend on the devices.
        load: Makes of such arrays a state on the devices of this run.
    """

    save: Callable[[Any], PyTree]
    load: Callable[[PyTree], Any]


def fold_resumably(
    step: Step[State],
    state: State,
    source: Source,
    folder: Path | None,
    *,
    settings: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    kept: dict[str, np.ndarray],
    sums: Mapping[str, np.ndarray] | None = None,
    batch_size: int,
    save_every: int = 100,
    plain_step: Step[Any] | None = None,
    portable: Portable | None = None,
    progress: Progress = no_progress,
    **options: Any,
) -> State:
    """Fold, and resume where an earlier call of the same computation was interrupted.

    What computation it is follows from the arguments themselves (see `computation_settings`):
    another step, in code or in what it holds, another source or another start is refused. The size
    of batches and the number of devices and processes may be others.

    Args:
        step: ``step(state, batch) -> (state, output)``, jitted by the caller.
        state: Where to begin.
        source: The examples.
        folder: Where to keep states; None keeps none. It may be removed when all is done. Of
            several processes the first writes and reads it.
        settings: Parts of the computation by the names that a user knows, for messages that say
            what differs, and whatever else the result depends on, such as what ``receive`` does;
            JSON values, or a function that makes them when there is a folder.
        kept: Arrays on the host that ``receive`` fills, by name; filled as far as the earlier call
            came.
        sums: Arrays on the host that ``receive`` adds to, by name.
        batch_size: Examples in a step.
        save_every: Steps between states; slow steps are saved every `SECONDS`.
        plain_step: What computes the same as `step` does, where that has parts that change its
            speed or its memory alone and may be others when it resumes. Where there is a
            `portable`, it takes and returns what that saves.
        portable: How to keep a state that depends on the number of devices; None for one that does
            not.
        progress: Called with how far it has come. If it is a `Stoppable`, a request to stop is
            followed after the step that runs: the state is saved.
        options: Of `fold`.

    Returns:
        The state after the last batch, as without interruption.

    Raises:
        ValueError: If the folder holds another computation or is damaged, or `save_every` is not
            positive.
        Stopped: If `progress` asks for it.
    """
    options = {
        **options,
        "batch_size": batch_size,
        "kept": kept,
        "sums": sums,
        "progress": progress,
    }
    if folder is None:
        return fold(step, state, source, **options)
    if save_every < 1:
        raise ValueError(f"`save_every` (={save_every}) must be at least 1")
    if len(source) < 1 or batch_size < 1:  # refused there
        return fold(step, state, source, **options)

    named = settings() if callable(settings) else settings
    added = {f"sums of {name}": array for name, array in (sums or {}).items()}
    received = kept | added
    portable = portable or _replicated(state)
    plain = portable.save(state)
    computation = computation_settings(plain_step or step, plain, source, kept=received)
    with ExitStack() as opened:
        saved = in_first_process(lambda: _open(folder, {**named, **computation}))
        if saved is not None:
            opened.enter_context(saved)
        is_asked = opened.enter_context(held_back(progress))
        done = int(from_first_process(np.int32(saved.latest or 0 if saved is not None else 0)))
        if done:
            # Sums of several processes are added up, and begin in one of them.
            own = {} if Placement(options.get("mesh")).alone else added
            state = portable.load(_read(saved, done, plain, received, own=own))
        del plain
        steps, stop, saved_at = 0, False, time.monotonic()

        def is_due(done: int) -> bool:
            nonlocal steps, stop
            steps, late = steps + 1, False
            if jax.process_count() == 1 or steps % _STEPS_TOGETHER == 0:
                stop = in_any_process(is_asked())
                late = in_any_process(time.monotonic() - saved_at >= SECONDS)
            return stop or late or steps % save_every == 0 or done == len(source)

        def after_step(done: int, state: State) -> None:
            nonlocal saved_at
            _write(saved, done, portable.save(state), received)
            saved_at = time.monotonic()
            if stop:
                raise Stopped

        options = {**options, "start": done, "is_due": is_due, "after_step": after_step}
        return fold(step, state, source, **options)


def map_resumably(
    step: Callable[[dict[str, Any]], Any],
    source: Source,
    folder: Path | None,
    *,
    plain_step: Callable[[dict[str, Any]], Any] | None = None,
    **options: Any,
) -> None:
    """Run a step that keeps no state over all batches, and resume where that was interrupted.

    Args:
        step: ``step(batch) -> output``, jitted by the caller.
        source: The examples.
        folder: Where to keep what was received; None keeps nothing.
        plain_step, options: What `fold_resumably` takes.

    Raises:
        ValueError: If `folder` holds another computation or is damaged, or `save_every` is not
            positive.
        Stopped: If `progress` asks for it.
    """
    plain = plain_step or step
    fold_resumably(
        lambda state, batch: (state, step(batch)),
        None,
        source,
        folder,
        plain_step=lambda state, batch: (state, plain(batch)),
        **options,
    )


def _open(folder: Path, settings: Mapping[str, Any]) -> "Checkpoints":
    from jaxdissect.engine.checkpoints import Checkpoints

    return Checkpoints(folder, settings)


def _replicated(state: PyTree) -> Portable:
    """Keep a state that is the same on all devices, and put it back where it was."""
    leaves, structure = jax.tree.flatten(state)
    places = [leaf.sharding if isinstance(leaf, jax.Array) else None for leaf in leaves]

    def load(found: PyTree) -> PyTree:
        placed = [
            leaf if place is None else jax.device_put(leaf, place)
            for leaf, place in zip(jax.tree.leaves(found), places, strict=True)
        ]
        return jax.tree.unflatten(structure, placed)

    return Portable(lambda state: state, load)


def _write(
    saved: "Checkpoints | None", done: int, state: PyTree, kept: Mapping[str, np.ndarray]
) -> None:
    whole = _listed(state, kept)
    in_first_process(lambda: saved.save(done, whole) if saved is not None else None)


def _read(
    saved: "Checkpoints | None",
    done: int,
    state: PyTree,
    kept: Mapping[str, np.ndarray],
    *,
    own: Collection[str] = (),
) -> PyTree:
    """Read a state, and fill `kept` in all processes, but those named `own` in the first alone."""
    example = _listed(state, kept)
    found = in_first_process(lambda: saved.load(done, example) if saved is not None else None)
    leaves, structure = jax.tree.flatten(state)
    given = from_first_process(example if found is None else found)
    for name, array in kept.items():
        if array.size and (found is not None or name not in own):
            array[...] = given["kept"][name]
    states = given["state"]
    filled = [states.get(str(place), np.asarray(leaf)) for place, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, filled)


def _listed(state: PyTree, kept: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """List the arrays of a state by number, and those that are kept by name; not empty ones."""
    numbered = {str(place): np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
    return {
        kind: {name: array for name, array in arrays.items() if array.size}
        for kind, arrays in (("state", numbered), ("kept", kept))
    }


def computation_settings(
    step: Step, state: PyTree, source: Source, *, kept: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Find out by itself what a fold depends on, to compare it with an earlier one.

    Args:
        step: What is traced, with all that it holds: weights, options, functions of the user.
        state: Where it begins.
        source: The examples.
        kept: Arrays on the host that are filled.

    Returns:
        JSON values by name.
    """
    example = read_block(source, 0, 1) | {"weight": np.ones(1, bool), "example": np.zeros(1, int)}
    batch = {
        name: jax.ShapeDtypeStruct((_NOMINAL, *array.shape[1:]), _device_type(array))
        for name, array in example.items()
    }
    return {
        "examples": len(source),
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
