"""Several devices and several processes: what lies where, and what the processes tell each other.

A process reads and receives its own examples only; states and parameters are the same on all
devices. Where there is one process, nothing here communicates.

Shapes: B examples of a step, all processes together; b those of one process.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jax.dtypes import canonicalize_dtype
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxdissect.networks.meshes import automatic

Result = TypeVar("Result")

_BYTES_TOGETHER = 2**24  # that one process sends to all others at once
_MESSAGE_BYTES = 2000
_KNOWN = "known to all processes"


def default_mesh() -> Mesh | None:
    """Make a mesh of the devices of all processes; None, for the default device, if it is one."""
    return Mesh(np.array(jax.devices()), ("data",)) if jax.process_count() > 1 else None


def one_device() -> Mesh | None:
    """Make a mesh for steps that every process takes by itself; None for the default device."""
    return Mesh(np.array(jax.local_devices()[:1]), ("data",)) if jax.process_count() > 1 else None


def own_devices(mesh: Mesh | None) -> Mesh | None:
    """Make a mesh of those devices that are this process', for what each computes by itself."""
    if mesh is None:
        return one_device()
    own = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    return Mesh(np.array(own), mesh.axis_names[:1])


def replicated(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Put a copy of arrays on every device, once, rather than anew in every step.

    Args:
        tree: Arrays, the same in all processes. Those that lie on the devices of the mesh already,
            in whatever way, stay as they are.
        mesh: Devices; None for those of `default_mesh`.
    """
    mesh = default_mesh() if mesh is None else mesh
    if mesh is None:
        return tree
    sharding = NamedSharding(automatic(mesh), PartitionSpec())
    return jax.tree.map(partial(_replicate, sharding=sharding), tree)


def _replicate(leaf: Any, sharding: NamedSharding) -> Any:
    if isinstance(leaf, jax.Array) and leaf.sharding.device_set == sharding.device_set:
        return leaf
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    # A transfer of the whole would compare the values of all processes, which takes longer.
    copies = [jax.device_put(leaf, device) for device in sharding.addressable_devices]
    return jax.make_array_from_single_device_arrays(copies[0].shape, sharding, copies)


class Placement:
    """Where the examples of a step lie: spread over the first axis of a mesh.

    Attributes:
        devices: Number of devices that examples are spread over.
        process: Which of how many equal slices of a step's examples this process reads. Where
            devices of processes are interleaved, every process reads all: (0, 1).
        is_counted: Whether no earlier process reads the same slice, so that sums count this one.
        alone: Whether no other process takes part.

    Args:
        mesh: Devices; None for those of `default_mesh`.

    Raises:
        ValueError: If the devices are those of some processes, but not of all.
    """

    def __init__(self, mesh: Mesh | None) -> None:
        mesh = default_mesh() if mesh is None else mesh
        self.mesh = None if mesh is None else automatic(mesh)
        self.devices, self.process, self.alone, self.is_counted = 1, (0, 1), True, True
        if self.mesh is not None:
            axis = self.mesh.axis_names[0]
            self.devices = self.mesh.shape[axis]
            self._spread = NamedSharding(self.mesh, PartitionSpec(axis))
            self._same = NamedSharding(self.mesh, PartitionSpec())
            places = self.mesh.devices.reshape(len(self.mesh.devices), -1).tolist()
            places = [{device.process_index for device in place} for place in places]
            owners = set().union(*places)
            own = jax.process_index()
            if owners != {own} and len(owners) != jax.process_count():
                raise ValueError(
                    f"`mesh` has devices of processes {sorted(owners)}; give one with devices of "
                    f"all {jax.process_count()} processes, or of process {own} alone"
                )
            self.alone = owners == {own}
            slices = _slices(places)
            self.process = slices[own]
            self.is_counted = all(
                process >= own for process, other in slices.items() if other == self.process
            )

    def place(self, array: np.ndarray | jax.Array) -> jax.Array:
        """Put this process' examples [b, ...] on its devices, as part of [B, ...]."""
        if self.mesh is None:
            return jax.device_put(array)
        if self.alone:
            return jax.device_put(array, self._spread)
        array = np.asarray(array, canonicalize_dtype(array.dtype))
        index, number = self.process
        first = index * len(array)

        def rows(place: Any) -> np.ndarray:
            begin, end, _ = place[0].indices(len(array) * number)
            return array[begin - first : end - first]

        shape = (len(array) * number, *array.shape[1:])
        return jax.make_array_from_callback(shape, self._spread, rows)

    def spread(self, array: jax.Array) -> jax.Array:
        """Spread the examples of an array over the devices where they divide; to be traced."""
        if self.mesh is None or len(array) % self.devices:
            return array
        return jax.lax.with_sharding_constraint(array, self._spread)

    def gather(self, array: jax.Array) -> jax.Array:
        """Put all examples of an array on every device; to be traced."""
        return array if self.mesh is None else jax.lax.with_sharding_constraint(array, self._same)

    def start_fetching(self, output: PyTree, number: int) -> PyTree:
        """Begin to copy this process' rows of arrays [B, ...] to the host; see `fetch`.

        Args:
            output: Arrays; what is not of a step's examples is fetched as a whole.
            number: How many examples the step has.
        """
        return jax.tree.map(lambda leaf: self._start(leaf, number), output)

    def _start(self, leaf: Any, number: int) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        if not leaf.is_fully_addressable:
            rows = leaf.ndim > 0 and len(leaf) == number
            sharding = self._spread if rows and self.process[1] > 1 else self._same
            if not leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
                leaf = _moved(leaf, sharding)
        for shard in leaf.addressable_shards:
            shard.data.copy_to_host_async()
        return leaf

    def fetch(self, output: PyTree) -> PyTree:
        """Wait for arrays: this process' rows, [b, ...], whose copies on the host are made."""
        return jax.tree.map(self._fetch, output)

    def _fetch(self, leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        if leaf.is_fully_replicated:
            return np.asarray(leaf)
        index, number = self.process
        own = len(leaf) // number
        rows = np.empty((own, *leaf.shape[1:]), leaf.dtype)
        for shard in leaf.addressable_shards:
            begin, end, _ = shard.index[0].indices(len(leaf))
            rows[begin - index * own : end - index * own] = shard.data
        return rows

    def any_flag(self, flag: bool) -> jax.Array:
        """Begin to find out whether a flag is set in any process; every process must ask."""
        assert self.mesh is not None
        every = Mesh(self.mesh.devices.reshape(-1), ("device",))
        sharding = NamedSharding(every, PartitionSpec("device"))
        flags = np.full(every.size, flag)
        return _any(jax.make_array_from_callback((every.size,), sharding, lambda i: flags[i]))

    def like(self, state: PyTree, first: PyTree) -> PyTree:
        """Make the parts of a state the same on all devices that were so at first."""
        if self.alone:
            return state
        return jax.tree.map(self._like, state, first)

    def _like(self, leaf: Any, was_same: bool) -> Any:
        if not isinstance(leaf, jax.Array) or not was_same or leaf.is_fully_replicated:
            return leaf
        return _moved(leaf, self._same)


def is_same_everywhere(state: PyTree) -> PyTree:
    """Find which arrays of a state are whole on every device."""
    return jax.tree.map(
        lambda leaf: isinstance(leaf, jax.Array) and leaf.is_fully_replicated, state
    )


def _slices(owners: Sequence[Collection[int]]) -> dict[int, tuple[int, int]]:
    """Find which slice of the examples each process reads; (0, 1), all, where any has no slice.

    Slices of two processes are the same one, or have no example in common.

    Args:
        owners: The processes that have a device at each place along the first axis of a mesh.
    """
    size = len(owners)
    held: dict[int, list[int]] = {}
    for place, processes in enumerate(owners):
        for process in processes:
            held.setdefault(process, []).append(place)
    found = {process: _slice_of(places, size) for process, places in held.items()}
    different = {tuple(places) for places in held.values()}
    if None in found.values() or sum(map(len, different)) != size:
        return dict.fromkeys(held, (0, 1))
    return {process: own for process, own in found.items() if own is not None}


def _slice_of(places: list[int], size: int) -> tuple[int, int] | None:
    """Find which slice of a mesh's places these are; None where they are none."""
    first, number = places[0], len(places)
    if places != list(range(first, first + number)) or size % number or first % number:
        return None
    return first // number, size // number


def _moved(array: jax.Array, sharding: NamedSharding) -> jax.Array:
    return jax.jit(_identity, out_shardings=sharding)(array)


def _identity(array: jax.Array) -> jax.Array:
    return array


@jax.jit
def _any(flags: jax.Array) -> jax.Array:
    return flags.any()


def example_of(batch: Mapping[str, Any], place: int) -> dict[str, np.ndarray]:
    """Bring one example of a batch, which may be spread over processes, to each of them."""
    placed = {name: array for name, array in batch.items() if isinstance(array, jax.Array)}
    found = {name: array[place] for name, array in batch.items() if name not in placed}
    spread = [array.sharding for array in placed.values() if not array.is_fully_addressable]
    whole = NamedSharding(spread[0].mesh, PartitionSpec()) if spread else None  # pyright: ignore[reportAttributeAccessIssue]
    found |= jax.jit(_example, static_argnums=1, out_shardings=whole)(placed, place)
    return {name: np.asarray(array) for name, array in found.items()}


def _example(batch: dict[str, jax.Array], place: int) -> dict[str, jax.Array]:
    return {name: array[place] for name, array in batch.items()}


def placed_like(array: np.ndarray, other: jax.Array) -> jax.Array:
    """Put an array, the same in all processes, where another of its shape lies."""
    if other.is_fully_addressable:
        return jax.device_put(array, other.sharding)
    array = np.asarray(array, other.dtype)
    return jax.make_array_from_callback(array.shape, other.sharding, lambda place: array[place])


# --- what processes tell each other ---------------------------------------------------------------


def combine(kept: Mapping[str, np.ndarray]) -> None:
    """Fill in what other processes have filled of arrays that were zero in the beginning.

    Args:
        kept: Arrays of the same shapes in all processes. Where several processes have filled a
            place, it is with the same value.
    """
    for name in sorted(kept):
        array = kept[name]
        whole = np.ascontiguousarray(array)
        _join(whole.view(np.uint8), np.bitwise_or)
        if whole is not array:
            array[...] = whole


def add_up(sums: Mapping[str, np.ndarray]) -> None:
    """Add the sums of all processes, in each of them.

    Args:
        sums: Arrays of integers, of the same shapes in all processes.
    """
    for name in sorted(sums):
        array = sums[name]
        whole = np.ascontiguousarray(array)
        _join(whole, np.add)
        if whole is not array:
            array[...] = whole


def _join(array: np.ndarray, operation: np.ufunc) -> None:
    flat = array.reshape(-1)
    together = _BYTES_TOGETHER // array.itemsize
    for first in range(0, flat.size, together):
        part = flat[first : first + together]
        gathered = np.asarray(multihost_utils.process_allgather(part.view(np.uint8)))
        part[:] = operation.reduce(gathered.view(array.dtype), axis=0)


def raise_everywhere(problem: Exception | None, *, same: Mapping[str, int] | None = None) -> None:
    """Raise in every process if one of them has a problem; every process must ask.

    Args:
        problem: That of this process.
        same: Numbers, by name, that must be the same in all processes.

    Raises:
        ValueError: If another process has one, or the numbers differ; the message is that of the
            first.
    """
    if jax.process_count() == 1:
        if problem is not None:
            raise problem
        return
    text = "" if problem is None else str(problem) or type(problem).__name__
    numbers = " ".join(f"{name} {number}" for name, number in (same or {}).items())
    message = np.zeros((2, _MESSAGE_BYTES), np.uint8)
    for row, part in zip(message, (text, numbers), strict=True):
        encoded = part.encode()[:_MESSAGE_BYTES]
        row[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    gathered = np.asarray(multihost_utils.process_allgather(message))
    texts, numbers = ([_decoded(row) for row in gathered[:, part]] for part in range(2))
    if problem is None:
        for process, text in enumerate(texts):
            if text:
                problem = ValueError(f"process {process}: {text}")
                break
        else:
            for process, other in enumerate(numbers):
                if same is not None and other != numbers[0]:
                    problem = ValueError(
                        f"processes do not do the same: process 0 has {numbers[0]}, process "
                        f"{process} has {other}"
                    )
                    break
    if problem is not None:
        vars(problem)[_KNOWN] = True
        raise problem


def tell_others(problem: Exception) -> None:
    """Let other processes end too, where this one ends with a problem that they do not know of."""
    if jax.distributed.is_initialized() and _KNOWN not in vars(problem):
        try:
            raise_everywhere(problem)
        except Exception:
            return  # which is raised by the caller


def least(number: int) -> int:
    """Find the least of the numbers of all processes; every process must ask."""
    if jax.process_count() == 1:
        return number
    raw = np.frombuffer(np.int64(number).tobytes(), np.uint8)
    gathered = np.asarray(multihost_utils.process_allgather(raw))
    return int(np.ascontiguousarray(gathered).view(np.int64).min())


def _decoded(row: np.ndarray) -> str:
    return row.tobytes().rstrip(b"\0").decode(errors="replace")


def in_first_process(run: Callable[[], Result]) -> Result | None:
    """Do in one process what only one may do, such as writing files, while the others wait.

    Returns:
        What it returns, in the first process; None in the others.

    Raises:
        ValueError: If it fails in another process; what it raises, in the first.
    """
    found, problem = None, None
    if jax.process_index() == 0:
        try:
            found = run()
        except Exception as raised:
            problem = raised
    raise_everywhere(problem)
    return found


def from_first_process(arrays: PyTree) -> Any:
    """Give arrays of the first process to all of them, bit by bit.

    Args:
        arrays: Those of this process, of which in other processes shapes and types count.

    Returns:
        NumPy arrays.
    """
    arrays = jax.tree.map(np.asarray, arrays)
    if jax.process_count() == 1:
        return arrays
    raw = jax.tree.map(lambda array: np.frombuffer(array.tobytes(), np.uint8), arrays)
    given = multihost_utils.broadcast_one_to_all(raw)
    return jax.tree.map(
        lambda array, found: (
            np.frombuffer(np.asarray(found).tobytes(), array.dtype).reshape(array.shape).copy()
        ),
        arrays,
        given,
    )


def in_any_process(asked: bool) -> bool:
    """Whether something is so in any of the processes; every process must ask."""
    if jax.process_count() == 1:
        return asked
    return bool(np.asarray(multihost_utils.process_allgather(np.array(asked))).any())
