"""Checkpoints of long computations: a folder that holds the last few states, each complete.

A state is any pytree of arrays. What shapes it, such as options and seeds, is not part of it: it
is written beside the states, and compared when a computation resumes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

SETTINGS = "settings.json"


class Checkpoints:
    """The last few states of one computation, in a folder. Use it in a `with` statement.

    Args:
        folder: Made if it does not exist.
        settings: What the computation depends on, as JSON; written when the folder is new.
        keep: How many states to keep.

    Raises:
        ValueError: If the folder holds a computation with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, keep: int = 2):
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        _check_settings(folder / SETTINGS, dict(settings))
        # What orbax asks for by its annotations, its own policies do not fit.
        policy: Any = ocp.training.preservation_policies.LatestN(keep)
        self._checkpointer = ocp.training.Checkpointer(
            str(folder / "states"),
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
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: PyTree) -> None:
        """Write a state; it counts when it is complete."""
        self._checkpointer.save(step, state)

    def load(self, step: int, example: PyTree) -> PyTree:
        """Read a state back, with the structure, shapes, dtypes and devices of an example."""
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
            example,
        )
        return self._checkpointer.load(step, abstract)


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    text = json.dumps(settings, indent=1)
    if not path.exists():
        path.write_text(text)
        return
    found, wanted = json.loads(path.read_text()), json.loads(text)
    differing = [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here"
        for name in dict.fromkeys([*found, *wanted])
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path.parent} holds a computation with other settings: {'; '.join(differing)}"
        )
