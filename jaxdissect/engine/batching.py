"""Turn a data source into batches of one fixed size.

A *source* is anything with ``len()`` whose items ``source[i]`` are dictionaries of numeric arrays
(text, and what else holds no numbers, is left out): a list, a folder of images, a TensorFlow
Datasets `as_data_source()` of such. What a source may offer besides:

- ``read(first, last)`` returns stacked items, of a source that can read many at once.
- ``thread_safe``, an attribute that is True where threads may read different items at the same
  time. Items are then read by as many threads as there are cores; otherwise by one.
- ``item_as_bytes(index)``, or ``read_as_bytes(first, last)`` beside ``read``, returns the same as
  ``source[index]`` or ``read`` with `Bytes` in the place of some arrays. It is what `fold` reads:
  a quarter as much travels to the device, which makes the floats.
- ``describe()`` returns a short text such as "folder of 12 JPEG files", to call the source by.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype

from jaxdissect.engine.image_bytes import Bytes
from jaxdissect.engine.reader_threads import ReaderThreads, close, num_cores

_IMAGES = ("image", "stylised", "donor")

# Networks may take images of any range, so that only what must be pixels of 0 to 255 is refused
# everywhere; what finds colors in images checks them more strictly.
_NO_UNIT_RANGE = 16

Batch = dict[str, Any]
"""Arrays of several items by name, or `Bytes`; the first axis is that of the items."""


@runtime_checkable
class Source(Protocol):
    """Items that are dictionaries of arrays, by position."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


@runtime_checkable
class BlockSource(Source, Protocol):
    """A source that reads neighbouring items at once."""

    def read(self, first: int, last: int, /) -> Batch:
        """Stack the items from `first` up to, not including, `last`."""
        ...


@runtime_checkable
class Composite(Source, Protocol):
    """A source whose examples are put together from those of others at the same positions."""

    def parts(self) -> Sequence[tuple[Source, Callable[[Batch], Batch]]]:
        """Return the other sources, and what to take of the items of each."""
        ...


class Stored:
    """Arrays in memory whose first axis is the example."""

    thread_safe = True

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: array[index] for name, array in self.arrays.items()}

    def read(self, first: int, last: int) -> Batch:
        """Return the items from `first` up to, not including, `last`, as views."""
        return {name: array[first:last] for name, array in self.arrays.items()}

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)


class Joined:
    """Several sources of the same length, item by item."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources

    def describe(self) -> str:
        """Name the sources, but for arrays in memory, which are never slow."""
        slow = [source for source in self.sources if not isinstance(source, Stored)]
        return " and ".join(dict.fromkeys(map(source_name, slow or self.sources[:1])))

    def __len__(self) -> int:
        return len(self.sources[0])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: value for source in self.sources for name, value in source[index].items()}

    def read(self, first: int, last: int) -> Batch:
        """Stack the items from `first` up to, not including, `last`, of all sources."""
        return read_block(self, first, last)

    def parts(self) -> Sequence[tuple[Source, Callable[[Batch], Batch]]]:
        """Return the sources, all of whose items are taken."""
        return [(source, dict) for source in self.sources]

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)


def read_block(source: Source, first: int, last: int, *, as_bytes: bool = False) -> Batch:
    """Stack the items from `first` up to, not including, `last`.

    What holds no numbers, such as text, is left out.

    Args:
        source: Where the items come from.
        first, last: Which.
        as_bytes: Return `Bytes` in the place of arrays where the source has them.

    Raises:
        ValueError: If the items are no dictionaries or do not have the same names and shapes,
            integers do not fit 32 bits, or images have values of 0 to 255; the message names the
            field and the example.
    """
    if isinstance(source, Composite):
        joined: Batch = {}
        for part, take in source.parts():
            joined.update(take(read_block(part, first, last, as_bytes=as_bytes)))
        return joined
    read: Any = source.read if isinstance(source, BlockSource) else None
    if as_bytes and read is not None:
        read = getattr(source, "read_as_bytes", read)
    block = read(first, last) if read is not None else {}
    if not block:
        items = [read_item(source, index, as_bytes=as_bytes) for index in range(first, last)]
        block = _stack(items, first)
    return _checked(block, first)


def read_item(source: Source, index: int, *, as_bytes: bool = False) -> Any:
    """Return ``source[index]``, if asked for with `Bytes` where the source has them."""
    if not as_bytes:
        return source[index]
    if isinstance(source, Composite):
        item = {}
        for part, take in source.parts():
            item.update(take(read_item(part, index, as_bytes=True)))
        return item
    if (read_one := getattr(source, "item_as_bytes", None)) is not None:
        return read_one(index)
    if (read_many := getattr(source, "read_as_bytes", None)) is not None:
        return {name: array[0] for name, array in read_many(index, index + 1).items()}
    return source[index]


def is_thread_safe(source: Source) -> bool:
    """Tell whether threads may read different items of a source at the same time."""
    if isinstance(source, Composite):
        return all(is_thread_safe(part) for part, _ in source.parts())
    return bool(getattr(source, "thread_safe", False))


def _checked(block: Batch, first: int) -> Batch:
    """Leave out what holds no numbers, and check the numbers."""
    numbers = {name: array for name, array in block.items() if array.dtype.kind not in "OSUMm"}
    for name, array in numbers.items():
        if not isinstance(array, Bytes):
            _check_values(name, array, first)
    return numbers


def _stack(items: Sequence[Any], first: int) -> Batch:
    """Stack items field by field, the first of which has the number `first`."""
    for index, item in enumerate(items, first):
        if not isinstance(item, Mapping):
            raise ValueError(
                f"`source`[{index}] must be a dictionary of arrays, such as {{'image': ..., "
                f"'labels': ...}}, and is of type {type(item).__name__}"
            )
    block = {}
    for name in items[0]:
        arrays = [_as_array(name, item, index) for index, item in enumerate(items, first)]
        shapes = [None if array is None else array.shape for array in arrays]
        for index, shape in enumerate(shapes, first):
            if shape != shapes[0]:
                found = f"has shape {shape}" if shape is not None else "is missing"
                raise ValueError(
                    f"{name!r} of example {index} {found}, "
                    f"but that of example {first} has shape {shapes[0]}"
                )
        block[name] = _stacked([array for array in arrays if array is not None])
    return block


def _stacked(arrays: Sequence[Any]) -> Any:
    """Stack arrays, as bytes if all are, with one table."""
    table = arrays[0].table if isinstance(arrays[0], Bytes) else None
    if all(isinstance(array, Bytes) and array.table is table for array in arrays):
        return Bytes(np.stack([array.values for array in arrays]), table)
    return np.stack([np.asarray(array) for array in arrays])


def _as_array(name: str, item: Mapping[str, Any], index: int) -> Any:
    if name not in item:
        return None
    if isinstance(item[name], Bytes):
        return item[name]
    try:
        return np.asarray(item[name])
    except (ValueError, TypeError) as problem:  # lists of unequal length, for example
        raise ValueError(f"{name!r} of example {index} is no array: {problem}") from None


def _check_values(name: str, array: np.ndarray | jax.Array, first: int) -> None:
    """Refuse integers that would wrap, as JAX has 32 bits for them, and images of 0 to 255."""
    if not array.size:
        return
    wide = array.dtype.kind in "iu" and canonicalize_dtype(array.dtype) != array.dtype
    images = name in _IMAGES and array.dtype.kind == "f"
    if not (wide or images):
        return
    low, high = (part(array.reshape(len(array), -1), axis=1) for part in (np.min, np.max))
    limits = np.iinfo(np.int32)
    for index, (least, greatest) in enumerate(zip(low, high, strict=True), first):
        if wide and not (limits.min <= least and greatest <= limits.max):
            value = greatest if greatest > limits.max else least
            raise ValueError(
                f"{name!r} of example {index} contains {value}, which has over 32 bits"
            )
        if images and least >= 0 and _NO_UNIT_RANGE < greatest < np.inf:
            raise ValueError(
                f"{name!r} of example {index} has values up to {greatest:g}, but images are RGB in "
                "[0, 1]: divide by 255; give arrays that only `inputs` reads another name"
            )


def source_name(source: Any) -> str:
    """Name a source of examples for people: by its ``describe()``, or else by its class."""
    describe = getattr(source, "describe", None)
    return str(describe()) if callable(describe) else type(source).__name__


def batches(
    source: Source,
    batch_size: int,
    *,
    start: int = 0,
    multiple_of: int = 1,
    process: tuple[int, int] = (0, 1),
    ahead: int = 2,
    as_bytes: bool = False,
) -> Generator[Batch, None, None]:
    """Yield batches in order, reading the next ones in other threads.

    The last batch is filled up with copies of its last example. Every batch also holds ``example``
    (int32 [B], position in the source) and ``weight`` (bool [B], False for the copies), so that
    a statistic can leave the copies out exactly.

    Args:
        source: Where the examples come from; what it may offer stands at the top of this module.
        batch_size: Examples in a batch, of all processes together.
        start: Number of examples to leave out, to resume.
        multiple_of: Batches are made larger to be a multiple of this, such as the number of
            devices.
        process: Number of this process and number of processes, which divides `multiple_of`: of
            every batch, it reads and yields its own of as many equal slices.
        ahead: Batches that are read while one is in use; as many more as keep all threads busy,
            where batches are smaller than the number of threads.
        as_bytes: Yield `Bytes` in the place of arrays where the source has them.

    Raises:
        ValueError: If the source is empty or uses a reserved name, or a number makes no sense.
    """
    total = len(source)
    if total < 1:
        raise ValueError("`source` has no examples")
    number, processes = process
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("start", start, 0),
        ("multiple_of", multiple_of, 1),
        ("ahead", ahead, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` (={value}) must be at least {least}")
    if not 0 <= number < processes or multiple_of % processes:
        raise ValueError(
            f"`process` (={process}) must be a number below that of processes, which must divide "
            f"`multiple_of` (={multiple_of})"
        )
    size = -(-batch_size // multiple_of) * multiple_of
    own = size // processes
    if is_thread_safe(source):
        ahead = max(ahead, -(-num_cores() // own))
    begins = range(start + number * own, total + number * own, size)
    return _batches(source, begins, own, ahead, _Threads(), as_bytes=as_bytes)


def _batches(
    source: Source, begins: range, own: int, ahead: int, threads: "_Threads", *, as_bytes: bool
) -> Generator[Batch, None, None]:
    """Yield batches of `own` examples that begin at these places, see `batches`."""
    total = len(source)

    def load(begin: int) -> "Future[Batch]":
        wanted = np.arange(begin, begin + own)
        example = np.minimum(wanted, total - 1).astype(np.int32)
        first, last = int(example[0]), int(example[-1]) + 1
        finish = _begin(source, first, last, threads, as_bytes=as_bytes)

        def fill_up() -> Batch:
            batch = finish()
            missing = own - (last - first)
            batch = {name: _with_copies(array, missing) for name, array in batch.items()}
            reserved = {"example", "weight"} & batch.keys()
            if reserved:
                raise ValueError(f"`source` must not use the reserved names {sorted(reserved)}")
            return {**batch, "example": example, "weight": wanted < total}

        return threads.finishing.submit(fill_up)

    reading: deque[Future[Batch]] = deque()
    try:
        for begin in begins:
            reading.append(load(begin))
            if len(reading) > ahead:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        threads.close()


class _Threads:
    """What reads: many threads of sources that may be shared, one of others, one that stacks."""

    def __init__(self) -> None:
        self.many, self.one = ReaderThreads(num_cores()), ReaderThreads(1)
        self.finishing = ReaderThreads(1)
        # Sources may compute. JAX does not declare its options.
        self._device = getattr(jax.config, "jax_default_device")  # noqa: B009

    def on_device(self, read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Read with the default device of the thread that these were made in."""
        with jax.default_device(self._device):
            return read(*arguments, **options)

    def close(self) -> None:
        close(self.many, self.one, self.finishing)


def _begin(
    source: Source, first: int, last: int, threads: _Threads, *, as_bytes: bool
) -> Callable[[], Batch]:
    """Begin to read a block, and return what waits for it."""
    if isinstance(source, Composite):
        begun = [
            (_begin(part, first, last, threads, as_bytes=as_bytes), take)
            for part, take in source.parts()
        ]
        return lambda: {name: x for wait, take in begun for name, x in take(wait()).items()}
    shared = is_thread_safe(source)
    if isinstance(source, BlockSource) or not shared:
        readers = threads.many if shared else threads.one
        read = partial(threads.on_device, read_block, source, as_bytes=as_bytes)
        return readers.submit(read, first, last).result
    read = partial(threads.on_device, read_item, source, as_bytes=as_bytes)
    items = [threads.many.submit(read, index) for index in range(first, last)]
    return lambda: _checked(_stack([item.result() for item in items], first), first)


def _with_copies(array: Any, missing: int) -> Any:
    """Repeat the last example so many times more."""
    if not missing:
        return array
    if isinstance(array, Bytes):
        return Bytes(_with_copies(array.values, missing), array.table)
    if isinstance(array, jax.Array):
        return _with_copies_on_device(array, missing)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


@partial(jax.jit, static_argnums=1)
def _with_copies_on_device(array: jax.Array, missing: int) -> jax.Array:
    return array[jnp.minimum(jnp.arange(len(array) + missing), len(array) - 1)]
