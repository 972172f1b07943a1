"""Arrays in a file, known by shape and dtype before any of their numbers is read."""

import os
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from jaxdissect.arrays.names import listed, printable

Shape = tuple[int, ...]

_BINARY = getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 24

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class StoredArray:
    """An array that `numpy.asarray` reads from its file, each time anew.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
    """

    def __init__(self, shape: Shape, dtype: np.dtype, read: Callable[[], np.ndarray]) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes when it is read."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self._read()
        return array if dtype is None else array.astype(dtype, copy=False)


def made_when_read(
    make: Callable[..., np.ndarray], shape: Shape, *arrays: np.ndarray | StoredArray
) -> StoredArray:
    """Describe what will be made of arrays when it is read, with the dtype of the first.

    Args:
        make: From the arrays to the result.
        shape: Shape of the result.
        *arrays: One or more.
    """
    return StoredArray(shape, arrays[0].dtype, lambda: make(*map(np.asarray, arrays)))


Arrays = Mapping[str, np.ndarray | StoredArray]
"""Arrays by name, in memory or in a file."""


class Refused(Exception):
    """A file is well formed, but holds what a file of weights must not hold, or is damaged."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read, and nothing that could block or never end.

    Raises:
        ValueError: If the path is of a folder, FIFO, device or socket.
        OSError: If it cannot be opened.
    """
    # Without O_NONBLOCK, a FIFO would be waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise ValueError(f"{printable(str(path))} is {kind}, and must be a file of weights")
    return os.fdopen(descriptor, "rb")


def fill(block: np.ndarray, source: Any) -> None:
    """Read as many bytes as an array has, from anything with `read`.

    Raises:
        Refused: If there are fewer.
    """
    target, place = block.reshape(-1).view(np.uint8).data, 0
    while place < len(target):
        chunk = source.read(min(_CHUNK, len(target) - place))
        if not chunk:
            raise Refused("is truncated")
        target[place : place + len(chunk)] = chunk
        place += len(chunk)


def brief(value: Any, *, most: int = 80) -> str:
    """Write what a file holds in few printable characters, whatever it is."""
    if isinstance(value, str):
        text = printable(value[: most + 1])
    elif isinstance(value, bool | int | float | None):
        text = repr(value)
    elif isinstance(value, tuple | list) and len(value) <= 8:
        shown = (str(v) if isinstance(v, int) else type(v).__name__ for v in value)
        text = f"[{', '.join(shown)}]"
    else:
        text = type(value).__name__
    return text if len(text) <= most else f"{text[: most - 3]}..."


def brief_list(values: Any, *, most: int = 10) -> str:
    """Write the first of some values, and how many more there are."""
    return listed([brief(value) for value in values], most=most)
