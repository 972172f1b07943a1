"""Checkpoints of long computations: a folder that holds the last few states, each complete.

    identity.json       what the computation depends on, by name
    states/40           the state after 40 examples or steps, as a file of NumPy
    checksums/40.json   hashes of the files of that state, written when it is complete
    .lock               held by the process that writes

A state is any pytree of arrays. What shapes it, such as options, weights and seeds, is not part of
it: it is written beside the states, and compared when a computation resumes.

A process may end at any moment, and a disk may be full: a state counts from the rename of its
checksums on, and until those are deleted, which comes before anything else of it is. All that has
no checksums is removed by the next process. A state whose files were damaged later is left out,
with a warning, as long as there is an earlier one.
"""

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.checkpoint_folder import (
    CHECKSUMS,
    STATES,
    claim_alone,
    lock,
    make_folder,
    way_out,
)
from jaxdissect.engine.saved_files import (
    check_file,
    damaged,
    read_json,
    remove_unfinished,
    write_json,
)
from jaxdissect.networks.weights.files import sha256

_ARRAYS = "arrays.npz"


class Checkpoints:
    """The last few states of one computation, in a folder. Use it in a `with` statement.

    In a run of several processes one of them has it, which alone needs to see the folder.

    Args:
        folder: Made if it does not exist.
        settings: What the computation depends on, as JSON; written when the folder is new.
        keep: How many states to keep.

    Raises:
        ValueError: If the folder holds a computation with other settings, another run is in it, or
            it or its only state is damaged; the message names what differs, or the file.
        OSError: If it cannot be read or written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, keep: int = 2):
        self._lock = lock(folder.resolve())
        try:
            self._folder, self._keep = claim_alone(folder, settings), keep
            self._latest = self._find_latest()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *problem: object) -> None:
        """Leave the folder as it is, to other runs."""
        self._lock.close()

    @property
    def latest(self) -> int | None:
        """Number of the last complete state, or None."""
        return self._latest

    def save(self, step: int, state: PyTree) -> None:
        """Write a state; it counts when it is complete.

        Raises:
            OSError: If it cannot be written; earlier states stay as they are.
        """
        try:
            _write_arrays(self._state(step), jax.tree.leaves(state))
            write_json(self._sums(step), {"files": _hashes(self._state(step))})
        except BaseException:
            self._remove_incomplete()  # whose space others need, if the disk is full
            raise
        self._latest = step
        for old in sorted(self._steps(CHECKSUMS))[: -self._keep]:
            self._remove(old)

    def load(self, step: int, example: PyTree) -> PyTree:
        """Read a state back, with the structure, shapes, dtypes and devices of an example.

        Leaves of the example that are NumPy arrays are read as such.
        """
        leaves, structure = jax.tree.flatten(example)
        with np.load(self._state(step) / _ARRAYS, allow_pickle=False) as stored:
            found = [_like(stored[f"arr_{place}"], leaf) for place, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, found)

    def _state(self, step: int) -> Path:
        return self._folder / STATES / str(step)

    def _sums(self, step: int) -> Path:
        return self._folder / CHECKSUMS / f"{step}.json"

    def _steps(self, kind: str) -> set[int]:
        """Numbers of the states that there are, or of those with checksums."""
        names = (path.name.removesuffix(".json") for path in (self._folder / kind).iterdir())
        return {int(name) for name in names if name.isdecimal()}

    def _remove(self, step: int) -> None:
        self._sums(step).unlink(missing_ok=True)
        shutil.rmtree(self._state(step), ignore_errors=True)

    def _remove_incomplete(self) -> None:
        complete = self._steps(CHECKSUMS)
        for path in (self._folder / STATES).iterdir():
            if not path.name.isdecimal() or int(path.name) not in complete:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        for step in complete - self._steps(STATES):
            self._sums(step).unlink()

    def _find_latest(self) -> int | None:
        """Find the last good state, and remove what was never completed."""
        for kind in (STATES, CHECKSUMS):
            make_folder(self._folder / kind)
        remove_unfinished(self._folder / CHECKSUMS)
        self._remove_incomplete()
        wrong: dict[int, ValueError] = {}
        for step in sorted(self._steps(CHECKSUMS), reverse=True):
            try:
                self._check(step)
            except ValueError as problem:
                wrong[step] = problem
            else:
                for other, problem in wrong.items():
                    reason = str(problem).partition(": ")[0]
                    warnings.warn(f"{reason}: resuming from step {step} before it", stacklevel=2)
                    self._remove(other)
                return step
        for problem in wrong.values():
            raise problem
        return None

    def _check(self, step: int) -> None:
        """Check the files of a state."""
        instead = way_out(self._folder)
        found = read_json(self._sums(step), way_out=instead).get("files")
        if not isinstance(found, dict):
            raise damaged(self._sums(step), "it lists no files", instead)
        for name, hashed in found.items():
            check_file(self._state(step) / name, hashed, way_out=instead)


def _write_arrays(folder: Path, leaves: Sequence[Any]) -> None:
    """Write arrays; by no library that would wait for other processes to take part."""
    folder.mkdir()
    with open(folder / _ARRAYS, "wb") as file:
        np.savez(file, *map(np.asarray, leaves))
        file.flush()
        os.fsync(file.fileno())


def _like(array: np.ndarray, example: Any) -> Any:
    """Give a stored array the type and the devices of an example."""
    if array.dtype != example.dtype:  # one that NumPy alone does not know, such as bfloat16
        array = array.view(example.dtype)
    return jax.device_put(array, example.sharding) if isinstance(example, jax.Array) else array


def _hashes(state: Path) -> dict[str, str]:
    files = sorted(path for path in state.rglob("*") if path.is_file())
    return {path.relative_to(state).as_posix(): sha256(path) for path in files}
