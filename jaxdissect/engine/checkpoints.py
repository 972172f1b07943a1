"""Checkpoints of long computations: a folder that holds the last few states, each complete.

    identity.json       what the computation depends on, by name
    states/40           the state after 40 steps
    checksums/40.json   hashes of the files of that state, written when it is complete

A state is any pytree of arrays. What shapes it, such as options, weights and seeds, is not part of
it: it is written beside the states, and compared when a computation resumes.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from jaxdissect.engine.checkpoint_folder import CHECKSUMS, STATES, claim, make_folder, way_out
from jaxdissect.engine.saved_files import check_file, damaged, file_sha256, read_json, write_json


class Checkpoints:
    """The last few states of one computation, in a folder. Use it in a `with` statement.

    Args:
        folder: Made if it does not exist.
        settings: What the computation depends on, as JSON; written when the folder is new.
        keep: How many states to keep.

    Raises:
        ValueError: If the folder holds a computation with other settings, or it or its last state
            is damaged; the message names what differs, or the file.
        OSError: If it cannot be read or written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, keep: int = 2):
        self._folder = claim(folder, settings)
        self._latest = self._find_latest()
        if self._latest is not None:
            self._check(self._latest)
        # What orbax asks for by its annotations, its own policies do not fit.
        policy: Any = ocp.training.preservation_policies.LatestN(keep)
        self._checkpointer = ocp.training.Checkpointer(
            str(self._folder / STATES),
            preservation_policy=policy,
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """Number of the last complete state, or None."""
        return self._latest

    def save(self, step: int, state: PyTree) -> None:
        """Write a state; it counts when it is complete."""
        self._checkpointer.save(step, state)
        if jax.process_index() == 0:
            write_json(self._sums(step), {"files": _hashes(self._state(step))})
            for kept in self._steps(CHECKSUMS) - self._steps(STATES):
                self._sums(kept).unlink(missing_ok=True)
        self._latest = step

    def load(self, step: int, example: PyTree) -> PyTree:
        """Read a state back, with the structure, shapes, dtypes and devices of an example."""
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
            example,
        )
        return self._checkpointer.load(step, abstract)

    def _state(self, step: int) -> Path:
        return self._folder / STATES / str(step)

    def _sums(self, step: int) -> Path:
        return self._folder / CHECKSUMS / f"{step}.json"

    def _steps(self, kind: str) -> set[int]:
        """Numbers of the states that there are, or of those with checksums."""
        names = (path.name.removesuffix(".json") for path in (self._folder / kind).iterdir())
        return {int(name) for name in names if name.isdecimal()}

    def _find_latest(self) -> int | None:
        """Find the last complete state, and remove one that was never completed."""
        for kind in (STATES, CHECKSUMS):
            make_folder(self._folder / kind)
        for unfinished in (self._folder / CHECKSUMS).glob(".*.part"):
            unfinished.unlink(missing_ok=True)
        states, complete = self._steps(STATES), self._steps(CHECKSUMS)
        for step in sorted(states - complete):
            if step < max(states):
                raise damaged(self._sums(step), "it is missing", way_out(self._folder))
            # The process ended after writing it, and before its checksums.
            shutil.rmtree(self._state(step))
        return max(states & complete, default=None)

    def _check(self, step: int) -> None:
        """Check the files of a state."""
        older = sorted(other for other in self._steps(STATES) if other < step)
        instead = way_out(self._folder)
        if older:
            instead = f"delete {self._state(step)} to resume from step {older[-1]}, or {instead}"
        found = read_json(self._sums(step), way_out=instead).get("files")
        if not isinstance(found, dict):
            raise damaged(self._sums(step), "it lists no files", instead)
        for name, hashed in found.items():
            check_file(self._state(step) / name, hashed, way_out=instead)


def _hashes(state: Path) -> dict[str, str]:
    files = sorted(path for path in state.rglob("*") if path.is_file())
    return {path.relative_to(state).as_posix(): file_sha256(path) for path in files}
