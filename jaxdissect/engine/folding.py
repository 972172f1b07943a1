"""Fold a statistic over a data set."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax

from jaxdissect.engine.batching import Batch, Source, batches

State = TypeVar("State")


@runtime_checkable
class Progress(Protocol):
    """Hears how far a pass over the data has come."""

    def __call__(self, description: str, done: int, total: int, /) -> None: ...


def silent(description: str, done: int, total: int) -> None:
    """Tell nobody."""


def fold(
    step: Callable[[State, dict[str, Any]], tuple[State, Any]],
    state: State,
    source: Source,
    *,
    batch_size: int,
    receive: Callable[[Batch, Any], None] | None = None,
    start: int = 0,
    after_step: Callable[[int, State], None] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    description: str = "fold",
    progress: Progress = silent,
) -> State:
    """Run a step over all batches of a data set, like `jax.lax.scan` over data on the host.

    Args:
        step: ``step(state, batch) -> (state, output)``, jitted by the caller, who may donate the
            state. A batch maps names to arrays with a leading axis B, among them ``weight``
            (False for the copies that fill up the last batch) and ``example`` (see `batches`).
        state: Where to begin; donated if the step donates it.
        source: The examples.
        batch_size: Examples in a step.
        receive: Called on the host with each batch and the step's output, in order.
        start: Number of steps that `state` has already seen, to resume.
        after_step: Called with the number of finished steps and the state, which must be copied
            if it is to be kept: the place to save a checkpoint.
        mesh: Devices to spread every batch over, along the first axis of the mesh, whose size
            must divide `batch_size`; axes must be Auto. None leaves batches on the default device.
        description: What the pass is for.
        progress: Told how many batches are done.

    Returns:
        The state after the last batch.

    Raises:
        ValueError: if the source is empty or the batch does not divide over the mesh.
    """
    total = -(-len(source) // max(batch_size, 1))
    progress(description, start, total)
    for number, batch in enumerate(batches(source, batch_size, start=start), start + 1):
        state, output = step(state, _place(batch, mesh))
        if receive is not None:
            receive(batch, output)
        if after_step is not None:
            after_step(number, state)
        progress(description, number, total)
    return state


def _place(batch: Batch, mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    if mesh is None:
        return dict(batch)
    axis = mesh.axis_names[0]
    if len(batch["weight"]) % mesh.shape[axis]:
        raise ValueError(
            f"`batch_size` (={len(batch['weight'])}) must be a multiple of the {mesh.shape[axis]} "
            f"devices along `mesh` axis {axis!r}"
        )
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis))
    return jax.device_put(batch, sharding)
