"""Turn a data source into batches of one fixed size.

A *source* is anything with ``len()`` whose items ``source[i]`` are dictionaries of numeric arrays:
a list, a folder of images, a TensorFlow Datasets `as_data_source()` of such. A source that can read
many items at once may offer ``read(first, last)``, which returns the stacked items.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np

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

    Raises:
        ValueError: If the items do not have the same names and shapes.
    """
    if isinstance(source, BlockSource):
        return source.read(first, last)
    items = [source[index] for index in range(first, last)]
    block = {}
    for name in items[0]:
        arrays = [np.asarray(item[name]) if name in item else None for item in items]
        shapes = [None if array is None else array.shape for array in arrays]
        for index, shape in enumerate(shapes):
            if shape != shapes[0]:
                found = f"has shape {shape}" if shape is not None else "is missing"
                raise ValueError(
                    f"{name!r} of example {first + index} {found}, "
                    f"but that of example {first} has shape {shapes[0]}"
                )
        block[name] = np.stack([array for array in arrays if array is not None])
    return block


def batches(source: Source, batch_size: int, *, start: int = 0) -> Iterator[Batch]:
    """Yield batches in order, reading one ahead in another thread.

    The last batch is filled up with copies of its last example. Every batch also holds ``example``
    (int32 [B], position in the source) and ``weight`` (bool [B], False for the copies), so that
    a statistic can leave the copies out exactly.

    Args:
        source: Where the examples come from.
        batch_size: Examples in a batch.
        start: Number of batches to leave out, to resume.

    Raises:
        ValueError: If the source is empty or uses a reserved name, or `batch_size` is not
            positive.
    """
    total = len(source)
    if total < 1:
        raise ValueError("`source` has no examples")
    if batch_size < 1:
        raise ValueError(f"`batch_size` (={batch_size}) must be at least 1")

    def load(first: int) -> Batch:
        batch = read_block(source, first, min(first + batch_size, total))
        missing = first + batch_size - min(first + batch_size, total)
        if missing:
            batch = {
                name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
                for name, array in batch.items()
            }
        reserved = {"example", "weight"} & batch.keys()
        if reserved:
            raise ValueError(f"`source` must not use the reserved names {sorted(reserved)}")
        example = np.arange(first, first + batch_size, dtype=np.int32)
        batch["weight"] = example < total
        batch["example"] = np.minimum(example, total - 1)
        return batch

    with ThreadPoolExecutor(max_workers=1) as reader:
        firsts = range(start * batch_size, total, batch_size)
        ahead = None
        for first in firsts:
            following = reader.submit(load, first)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
