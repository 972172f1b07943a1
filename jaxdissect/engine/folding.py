"""Fold a statistic over a data set."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.profiler import TraceAnnotation

from jaxdissect.engine.batching import Batch, Source, batches
from jaxdissect.engine.image_bytes import Bytes, looked_up
from jaxdissect.engine.meter import MeteredPass, as_meter
from jaxdissect.engine.processes import (
    Placement,
    add_up,
    combine,
    is_same_everywhere,
    raise_everywhere,
    replicated,
)
from jaxdissect.engine.progress import Progress as Progress
from jaxdissect.engine.progress import no_progress as no_progress
from jaxdissect.engine.reader_threads import ReaderThreads, close
from jaxdissect.networks.forks import refuse_forked

State = TypeVar("State")

_AHEAD = 2  # batches that are put on the devices before their steps
_LAG = 2  # steps that devices may be computing while the host goes on: they take memory
_STEPS_TOGETHER = 8  # between two times at which processes tell each other that all is well


def fold(
    step: Callable[[State, dict[str, Any]], tuple[State, Any]],
    state: State,
    source: Source,
    *,
    batch_size: int,
    kept: Mapping[str, np.ndarray] | None = None,
    sums: Mapping[str, np.ndarray] | None = None,
    receive: Callable[[Batch, Any], None] | None = None,
    start: int = 0,
    after_step: Callable[[int, State], None] | None = None,
    is_due: Callable[[int], bool] | None = None,
    mesh: jax.sharding.Mesh | None = None,
    forward_passes: int = 1,
    description: str = "fold",
    progress: Progress = no_progress,
) -> State:
    """Run a step over all batches of a data set, like `jax.lax.scan` over data on the host.

    Batches are read and put on the devices ahead of the step, and no step waits for the results of
    the one before. In a run of several processes each reads and receives its own examples, and all
    return the same.

    Args:
        step: ``step(state, batch) -> (state, output)``, jitted by the caller, who may donate the
            state. A batch maps names to arrays with a leading axis B, among them ``weight``
            (False for the copies that fill up the last batch) and ``example`` (see `batches`).
            The output is a pytree of arrays with the same leading axis.
        state: Where to begin, the same in all processes; donated if the step donates it.
        source: The examples.
        batch_size: Examples in a step, of all devices and processes together; as many more as
            divide over the devices.
        kept: Arrays that ``receive`` fills at the rows of its examples, ``batch["example"]`` where
            ``batch["weight"]``; zeros in the beginning. When the fold ends, and before
            ``after_step``, they hold the rows of all processes.
        sums: Arrays of integers that ``receive`` adds to; then they are those of all processes. To
            resume, the first process has the sums so far, and others begin with zeros.
        receive: Called on the host with each batch and the step's output, in order and up to two
            steps later.
        start: Number of examples that `state` has already seen, to resume.
        after_step: Called with the number of examples that are done and the state, which must be
            copied if it is to be kept: the place to save a checkpoint. All that was done has been
            received.
        is_due: Whether to call ``after_step``, by the number of examples that are done; called
            after every step, in all processes, which must agree. None calls it after every step,
            each of which then waits for the one before.
        mesh: Devices to spread every batch over, along the first axis of the mesh; its axes are of
            any type. None leaves batches on the default device, or spreads them over the devices
            of all processes where there are several.
        forward_passes: How often a step runs the network for an example, for the meter.
        description: What the pass is for.
        progress: Called with the number of examples that are done; a `Meter` measures the pass.

    Returns:
        The state after the last batch.

    Raises:
        ValueError: If the source is empty, or the mesh has devices of some other processes only.
            What is wrong in one process is raised in all.
        RuntimeError: If this process was forked after JAX had run, where JAX would hang.
    """
    refuse_forked()
    placement = Placement(mesh)
    state = replicated(state, mesh)
    same = is_same_everywhere(state)
    total = len(source)
    size = -(-max(batch_size, 1) // placement.devices) * placement.devices
    host_batches = batches(
        source,
        batch_size,
        start=start,
        multiple_of=placement.devices,
        process=placement.process,
        as_bytes=True,
    )
    steps = -(-(total - start) // size) if total > 0 < batch_size else 1  # which is refused
    done = start
    metered = as_meter(progress).begin(description, source, total, start=start)
    pipeline = _Pipeline(placement, receive, metered)
    same_numbers = {"examples": total, "examples in a step": size}
    for host, placed in _place_ahead(host_batches, pipeline, steps, same_numbers):
        with TraceAnnotation(description):
            state, output = step(state, looked_up(placed))
        done = min(done + size, total)
        metered.ran(int(host["weight"].sum()), forward_passes=forward_passes)
        pipeline.add(host, output, state, size)
        if after_step is not None and (is_due is None or is_due(done)):
            pipeline.finish()
            state = placement.like(state, same)
            _combine(kept, sums, placement)
            after_step(done, state)
            if not placement.alone and jax.process_index() > 0:
                for array in (sums or {}).values():
                    array[...] = 0  # the first process has them
        metered.reached(done)
    pipeline.finish()
    _combine(kept, sums, placement)
    metered.end()
    return placement.like(state, same)


def _combine(
    kept: Mapping[str, np.ndarray] | None,
    sums: Mapping[str, np.ndarray] | None,
    placement: Placement,
) -> None:
    if not placement.alone:
        combine(kept or {})
        if not placement.is_counted:
            for array in (sums or {}).values():
                array[...] = 0  # of the same examples, which an earlier process has added
        add_up(sums or {})


class _Pipeline:
    """The steps that the devices may still be computing, and the one place that waits for them.

    A problem of one process must not leave others waiting for it: it goes on with its steps, until
    all have heard of it.
    """

    def __init__(
        self,
        placement: Placement,
        receive: Callable[[Batch, Any], None] | None,
        metered: MeteredPass,
    ) -> None:
        self.placement = placement
        self.metered = metered
        self._receive = receive
        self._running: deque[tuple[Batch, Any, Any, jax.Array | None]] = deque()
        self._steps = 0
        self.problem: Exception | None = None

    def add(self, host: Batch, output: Any, state: Any, number: int) -> None:
        """Note a step that has been given to the devices, and receive one that is done."""
        if self._receive is None:
            waited_for = output
        else:
            output = waited_for = self.placement.start_fetching(output, number)
        if not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(waited_for)):
            waited_for = _end_of(state)
        flag = None
        if not self.placement.alone and self._steps % _STEPS_TOGETHER == 0:
            flag = self.placement.any_flag(self.problem is not None)
        self._steps += 1
        self._running.append((host, output, waited_for, flag))
        while len(self._running) > _LAG:
            self._receive_first()

    def finish(self) -> None:
        """Wait for all steps."""
        while self._running:
            self._receive_first()
        if not self.placement.alone:
            raise_everywhere(self.problem)

    def _receive_first(self) -> None:
        host, output, waited_for, flag = self._running.popleft()
        with TraceAnnotation("wait for a step"):
            jax.block_until_ready(waited_for)
        if flag is not None and bool(np.asarray(flag)):
            raise_everywhere(self.problem)
        if self._receive is None or self.problem is not None:
            return
        received = self.placement.fetch(output)
        self.metered.moved(sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(received)))
        try:
            with TraceAnnotation("receive"):
                self._receive(host, received)
        except Exception as problem:
            if self.placement.alone:
                raise
            self.problem = problem


def _end_of(state: Any) -> jax.Array | None:
    """Copy a little of a state, which the next step may donate, to be able to wait for it."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array) and leaf.size]
    if not leaves:
        return None
    return _first_value(min(leaves, key=lambda leaf: leaf.size).addressable_shards[0].data)


@jax.jit
def _first_value(array: jax.Array) -> jax.Array:
    return array.reshape(-1)[:1]


def _place_ahead(
    host_batches: Generator[Batch, None, None],
    pipeline: _Pipeline,
    steps: int,
    same: Mapping[str, int],
) -> Iterator[tuple[Batch, dict[str, Any]]]:
    """Read batches and put them on the devices in another thread, ahead of the steps."""
    placement, metered = pipeline.placement, pipeline.metered
    settings: Any = jax.config
    # Another thread has its own settings.
    device, is_wide = settings.jax_default_device, settings.jax_enable_x64

    def take() -> tuple[Batch, dict[str, Any]] | None:
        with TraceAnnotation("wait for data"):
            host = next(host_batches, None)
        if host is None:
            return None
        with jax.default_device(device), jax.enable_x64(is_wide), TraceAnnotation("place"):
            return host, _place(host, placement)

    host: Batch = {}
    placer = ReaderThreads(1)
    coming = deque(placer.submit(take) for _ in range(_AHEAD))
    try:
        for step in range(steps):
            coming.append(placer.submit(take))
            begun = time.monotonic()
            try:
                batch = coming.popleft().result()
                assert batch is not None
            except Exception as problem:
                if placement.alone:
                    pipeline.finish()  # what is wrong with earlier examples comes first
                    raise
                pipeline.problem = pipeline.problem or problem
                batch = None
            metered.waited(time.monotonic() - begun)
            if step == 0 and not placement.alone:
                raise_everywhere(pipeline.problem, same=same)
            if batch is None:
                host = {**host, "weight": np.zeros_like(host["weight"])}
                batch = host, _place(host, placement)
            host = batch[0]
            metered.moved(sum(map(_bytes_of, host.values())))
            yield batch
    finally:
        close(placer)
        with contextlib.suppress(ValueError):  # it is being read, by a source that hangs
            host_batches.close()


def _bytes_of(array: Any) -> int:
    """Count the bytes that travel to the devices."""
    return 0 if isinstance(array, jax.Array) else array.nbytes


def _place(host: Batch, placement: Placement) -> dict[str, Any]:
    """Put a batch on the devices; its bytes become numbers just before the step."""

    def put(array: Any) -> Any:
        if isinstance(array, Bytes):
            return Bytes(placement.place(array.values), array.table)
        return placement.place(array)

    return {name: put(array) for name, array in host.items()}


def map_batches(
    step: Callable[[dict[str, Any]], Any],
    source: Source,
    *,
    batch_size: int,
    kept: Mapping[str, np.ndarray] | None = None,
    sums: Mapping[str, np.ndarray] | None = None,
    receive: Callable[[Batch, Any], None],
    mesh: jax.sharding.Mesh | None = None,
    forward_passes: int = 1,
    description: str = "map",
    progress: Progress = no_progress,
) -> None:
    """Run a step that keeps no state over all batches of a data set.

    Args:
        step: ``step(batch) -> output``, jitted by the caller; for batches see `fold`.
        source: The examples.
        batch_size: Examples in a step.
        kept: Arrays that ``receive`` fills at the rows of its examples, see `fold`.
        sums: Arrays of integers that ``receive`` adds to.
        receive: Called on the host with each batch and the step's output, in order and up to two
            steps later.
        mesh, forward_passes, description, progress: What `fold` takes.

    Raises:
        ValueError: If the source is empty, or the mesh has devices of some other processes only.
    """
    fold(
        lambda state, batch: (state, step(batch)),
        None,
        source,
        batch_size=batch_size,
        kept=kept,
        sums=sums,
        receive=receive,
        mesh=mesh,
        forward_passes=forward_passes,
        description=description,
        progress=progress,
    )
