"""Fold a statistic over a data set."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax

from jaxdissect.engine.batching import Batch, Source, batches
from jaxdissect.networks.forks import refuse_forked
from jaxdissect.networks.meshes import automatic

State = TypeVar("State")


@runtime_checkable
class Progress(Protocol):
    """Is called with how far a pass over the data has come."""

    def __call__(self, description: str, done: int, total: int, /) -> None: ...


def no_progress(description: str, done: int, total: int) -> None:
    """Show nothing."""


class FoldOptions(NamedTuple):
    """How to pass over the data; for the fields see `fold`."""

    batch_size: int
    mesh: jax.sharding.Mesh | None = None
    progress: Progress = no_progress

    def with_network(self) -> dict[str, Any]:
        """Options of `fold` for passes that run the network."""
        return self._asdict()

    def without_network(self) -> dict[str, Any]:
        """Options for other passes: steps need less memory per example, and gain from fewer."""
        return self._replace(batch_size=4 * self.batch_size)._asdict()


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
    progress: Progress = no_progress,
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
            must divide `batch_size`; its axes are of any type. None leaves batches on the default
            device.
        description: What the pass is for.
        progress: Called with the number of batches that are done.

    Returns:
        The state after the last batch.

    Raises:
        ValueError: If the source is empty or the batch does not divide over the mesh.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
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


def map_batches(
    step: Callable[[dict[str, Any]], Any],
    source: Source,
    *,
    batch_size: int,
    receive: Callable[[Batch, Any], None],
    mesh: jax.sharding.Mesh | None = None,
    description: str = "map",
    progress: Progress = no_progress,
) -> None:
    """Run a step that keeps no state over all batches of a data set.

    Args:
        step: ``step(batch) -> output``, jitted by the caller; for batches see `fold`.
        source: The examples.
        batch_size: Examples in a step.
        receive: Called on the host with each batch and the step's output, in order.
        mesh, description, progress: What `fold` takes.

    Raises:
        ValueError: If the source is empty or the batch does not divide over the mesh.
    """
    fold(
        lambda state, batch: (state, step(batch)),
        None,
        source,
        batch_size=batch_size,
        receive=receive,
        mesh=mesh,
        description=description,
        progress=progress,
    )


def _place(batch: Batch, mesh: jax.sharding.Mesh | None) -> dict[str, Any]:
    if mesh is None:
        return jax.device_put(batch)
    mesh = automatic(mesh)
    axis = mesh.axis_names[0]
    if len(batch["weight"]) % mesh.shape[axis]:
        raise ValueError(
            f"`batch_size` (={len(batch['weight'])}) must be a multiple of the {mesh.shape[axis]} "
            f"devices along `mesh` axis {axis!r}"
        )
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis))
    return jax.device_put(batch, sharding)
