"""Turn a data source into batches of one fixed size.

A *source* is anything with ``len()`` whose items ``source[i]`` are dictionaries of numeric arrays
(text, and what else holds no numbers, is left out): a list, a folder of images, a TensorFlow
Datasets `as_data_source()` of such. A source that can read many items at once may offer
``read(first, last)``, which returns the stacked items.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jax.dtypes import canonicalize_dtype

_IMAGES = ("image", "stylised", "donor")

# Networks may take images of any range, so that only what must be pixels of 0 to 255 is refused
# everywhere; what finds colors in images checks them more strictly.
_NO_UNIT_RANGE = 16

Batch = dict[str, np.ndarray]
"""Arrays of several items by name; the first axis is that of the items."""


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


class Stored:
    """Arrays in memory whose first axis is the example."""

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

    def __len__(self) -> int:
        return len(self.sources[0])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: value for source in self.sources for name, value in source[index].items()}

    def read(self, first: int, last: int) -> Batch:
        """Stack the items from `first` up to, not including, `last`, of all sources."""
        joined: Batch = {}
        for source in self.sources:
            joined.update(read_block(source, first, last))
        return joined

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells the source from others, see `jaxdissect.engine.identity`."""
        return vars(self)


def read_block(source: Source, first: int, last: int) -> Batch:
    """Stack the items from `first` up to, not including, `last`.

    What holds no numbers, such as text, is left out.

    Raises:
        ValueError: If the items are no dictionaries or do not have the same names and shapes,
            integers do not fit 32 bits, or images have values of 0 to 255; the message names the
            field and the example.
    """
    block = source.read(first, last) if isinstance(source, BlockSource) else {}
    if not block:
        block = _stack([source[index] for index in range(first, last)], first)
    numbers = {name: array for name, array in block.items() if array.dtype.kind not in "OSUMm"}
    for name, array in numbers.items():
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
        block[name] = np.stack([array for array in arrays if array is not None])
    return block


def _as_array(name: str, item: Mapping[str, Any], index: int) -> np.ndarray | None:
    if name not in item:
        return None
    try:
        return np.asarray(item[name])
    except (ValueError, TypeError) as problem:  # lists of unequal length, for example
        raise ValueError(f"{name!r} of example {index} is no array: {problem}") from None


def _check_values(name: str, array: np.ndarray, first: int) -> None:
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


def batches(
    source: Source,
    batch_size: int,
    *,
    start: int = 0,
    multiple_of: int = 1,
    process: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Yield batches in order, reading one ahead in another thread.

    The last batch is filled up with copies of its last example. Every batch also holds ``example``
    (int32 [B], position in the source) and ``weight`` (bool [B], False for the copies), so that
    a statistic can leave the copies out exactly.

    Args:
        source: Where the examples come from.
        batch_size: Examples in a batch, as many more as make a multiple.
        start: Number of examples to leave out, to resume.
        multiple_of: What the number of examples in a batch is a multiple of; itself a multiple of
            the number of processes.
        process: Which of how many equal slices of every batch to read.

    Raises:
        ValueError: If the source is empty or uses a reserved name, or `batch_size` is not
            positive.
    """
    total = len(source)
    if total < 1:
        raise ValueError("`source` has no examples")
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1")
    batch_size = -(-batch_size // multiple_of) * multiple_of
    own = batch_size // process[1]

    def load(first: int) -> Batch:
        first += process[0] * own
        begin = min(first, total - 1)
        end = min(first + own, total)
        batch = read_block(source, begin, max(end, begin + 1))
        missing = own - max(end - begin, 1)
        if missing:
            batch = {
                name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
                for name, array in batch.items()
            }
        reserved = {"example", "weight"} & batch.keys()
        if reserved:
            raise ValueError(f"`source` must not use the reserved names {sorted(reserved)}")
        example = np.arange(first, first + own, dtype=np.int32)
        batch["weight"] = example < total
        batch["example"] = np.minimum(example, total - 1)
        return batch

    with ThreadPoolExecutor(max_workers=1) as reader:
        firsts = range(start, total, batch_size)
        ahead = None
        for first in firsts:
            following = reader.submit(load, first)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
