"""Decoded images on disk, for data that are read again and again.

    photographs = cached(image_folder("photographs", image_size=(224, 224)), "decoded")

The first call decodes all examples and writes them, images as bytes; later ones, in this process or
others, read them from there, with the same bits. What is written:

    decoded/3f…9c/0.bin         the images of all examples, one after the other
    decoded/3f…9c/1.bin         their labels
    decoded/3f…9c/complete.json what these files hold; written last
    decoded/.lock               held by the process that writes

The folder below `decoded` is named by the content of the source and the code that decodes it. If
any of it changed, all is decoded anew and the former state removed. A process that is killed leaves
a folder whose name begins with a dot, which nobody reads and the next one that writes removes.
"""

import logging
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from jaxdissect.engine import image_bytes
from jaxdissect.engine.batching import Batch, Source, batches, read_block, source_name
from jaxdissect.engine.identity import code_digest, content
from jaxdissect.engine.image_bytes import Bytes
from jaxdissect.engine.progress import Progress, no_progress
from jaxdissect.engine.saved_files import read_json, write_json

_log = logging.getLogger(__name__)

_FORMAT = 1
_MARKER = "complete.json"
_NAME = re.compile("[0-9a-f]{16}")
_LOCK = ".lock"
_UNFINISHED = ".unfinished-"
_TOGETHER = 2**24  # bytes that are decoded before they are written, about


class _Field(NamedTuple):
    """An array of the examples, and the file that holds it."""

    name: str
    file: str
    dtype: np.dtype
    shape: tuple[int, ...]  # of one example
    table: np.ndarray | None  # of `Bytes`

    @property
    def size(self) -> int:
        """Bytes of one example."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))


class DecodedCache:
    """A source of decoded examples, read from files; built by `cached`.

    Its items are those of the source, without what holds no numbers. Threads and processes may
    share it.

    Attributes:
        source: What was decoded.
        folder: Where the files are.
    """

    thread_safe = True

    def __init__(self, source: Source, folder: Path) -> None:
        self.source, self.folder = source, folder
        self._open()

    def _open(self) -> None:
        marker = read_json(self.folder / _MARKER, way_out="remove the folder")
        self._fields = [_from_json(field) for field in marker["fields"]]
        # Kept open: another process may renew the folder while this one reads.
        self._handles: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._handles)
        for field in self._fields:
            path = self.folder / field.file
            self._handles[field.name] = handle = os.open(path, os.O_RDONLY)
            expected, found = field.size * len(self.source), os.fstat(handle).st_size
            if found != expected:
                raise ValueError(
                    f"{path} is damaged: it has {found:,} bytes of {expected:,}; remove the folder"
                )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        place = range(len(self))[index]
        return {name: array[0] for name, array in self.read(place, place + 1).items()}

    def read(self, first: int, last: int) -> Batch:
        """Stack the examples from `first` up to, not including, `last`."""
        return {name: np.asarray(x) for name, x in self.read_as_bytes(first, last).items()}

    def read_as_bytes(self, first: int, last: int) -> Batch:
        """Stack examples as `read` does, and leave what was decoded so as `Bytes`."""
        places = range(len(self))[first:last]
        found: Batch = {}
        for field in self._fields:
            array = np.empty((len(places), *field.shape), field.dtype)
            if not _read_into(array, self._handles[field.name], places.start * field.size):
                raise OSError(f"{self.folder / field.file} was truncated while it was read")
            found[field.name] = array if field.table is None else Bytes(array, field.table)
        return found

    def describe(self) -> str:
        """Name the source for people."""
        return f"decoded cache of {source_name(self.source)}"

    def stands_for(self) -> Source:
        """Return the source whose content this has, see `jaxdissect.engine.identity`."""
        return self.source

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)


def cached(
    source: Source, folder: str | os.PathLike[str], *, progress: Progress = no_progress
) -> DecodedCache:
    """Decode a source once, and read it from files from then on.

    Where the content of the source or the code that decodes it changed since, all is decoded anew.
    Several processes may call this at the same time: one decodes, the others wait for it.

    Args:
        source: Examples of one shape, such as a folder of images that are resized.
        folder: Where to keep what is decoded, of this source alone; made if it is missing.
        progress: Shows how far the decoding is.

    Returns:
        The examples, bit for bit those of `source`.

    Raises:
        ValueError: If the source has no examples, or cannot be read.
        OSError: If there is not enough space, or the folder cannot be written.
    """
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    root = Path(folder).absolute()
    root.mkdir(parents=True, exist_ok=True)
    known = _fingerprint(source)
    wanted = root / known
    if (found := _complete(source, wanted)) is not None:
        return found
    with _locked(root / _LOCK):
        if (found := _complete(source, wanted)) is not None:  # another process was quicker
            return found
        former = [path for path in root.iterdir() if path.is_dir() and _is_ours(path)]
        if any(path != wanted and not path.name.startswith(_UNFINISHED) for path in former):
            _log.warning("%s holds what was decoded of other or changed images: renewed", root)
        for path in former:
            shutil.rmtree(path, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
        try:
            _write(source, unfinished, progress)
            unfinished.rename(wanted)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _sync_folder(root)
    return DecodedCache(source, wanted)


def decoded_source(source: Any) -> Any:
    """Return what a `DecodedCache` was decoded from; any other source as it is."""
    return source.source if isinstance(source, DecodedCache) else source


def _fingerprint(source: Source) -> str:
    """Name the state of a source, and of the code that decodes it."""
    code = [code_digest(Path(__file__).parent), Path(image_bytes.__file__).read_bytes()]
    return content([_FORMAT, content(source), code, version("pillow")]).rpartition(":")[2]


def _complete(source: Source, folder: Path) -> DecodedCache | None:
    """Open what was decoded, if it is there and not damaged."""
    if not (folder / _MARKER).exists():
        return None
    try:
        return DecodedCache(source, folder)
    except (ValueError, OSError) as problem:
        _log.warning("%s: decoded anew", problem)
        return None


def _is_ours(path: Path) -> bool:
    return path.name.startswith(_UNFINISHED) or (
        _NAME.fullmatch(path.name) is not None and (path / _MARKER).exists()
    )


# --- writing --------------------------------------------------------------------------------------


class _OtherType(Exception):
    """An array is bytes in some examples, and wider numbers in others."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _write(source: Source, folder: Path, progress: Progress) -> None:
    wide: set[str] = set()
    while True:
        try:
            fields = _write_fields(source, folder, wide, progress)
        except _OtherType as found:  # from the beginning, with numbers in the place of bytes
            wide.add(found.name)
            continue
        write_json(folder / _MARKER, {"format": _FORMAT, "fields": [_to_json(f) for f in fields]})
        _sync_folder(folder)
        return


def _write_fields(
    source: Source, folder: Path, wide: Collection[str], progress: Progress
) -> list[_Field]:
    """Write the arrays of all examples, each to its file."""
    total = len(source)
    fields = _fields(read_block(source, 0, 1, as_bytes=True), wide)
    size = sum(field.size for field in fields)
    free = shutil.disk_usage(folder).free
    if free < size * total:
        raise OSError(
            f"`folder`: {folder.parent} has {free / 2**30:.1f} GiB free, and {total:,} decoded "
            f"examples take {size * total / 2**30:.1f} GiB"
        )
    _log.info("decoding %s to %s", source_name(source), folder.parent)
    files = {field.name: open(folder / field.file, "wb") for field in fields}  # noqa: SIM115
    try:
        done = 0
        progress("decoded cache", done, total)
        for batch in batches(source, max(_TOGETHER // max(size, 1), 1), as_bytes=True):
            number = int(batch.pop("weight").sum())
            del batch["example"]
            found = _fields(batch, wide)
            for field, now in zip(fields, found, strict=True):
                _check_alike(field, now, done)
                array = batch[field.name]
                array = np.asarray(array.values if field.table is not None else array)
                files[field.name].write(np.ascontiguousarray(array[:number]).data)
            done += number
            progress("decoded cache", done, total)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())  # or the marker may outlive a loss of power, and these not
    finally:
        for file in files.values():
            file.close()
    return fields


def _fields(block: Batch, wide: Collection[str]) -> list[_Field]:
    """Describe the arrays of a block."""
    fields = []
    for place, name in enumerate(sorted(block)):
        array = block[name]
        table = array.table if isinstance(array, Bytes) and name not in wide else None
        dtype = np.dtype(np.uint8) if table is not None else np.dtype(array.dtype)
        fields.append(_Field(name, f"{place}.bin", dtype, array.shape[1:], table))
    return fields


def _check_alike(field: _Field, now: _Field, example: int) -> None:
    """Check that an array is written as before."""
    tables = [table for table in (field.table, now.table) if table is not None]
    if len(tables) == 1 or (tables and not np.array_equal(tables[0], tables[1])):
        raise _OtherType(field.name)
    if (field.name, field.dtype, field.shape) != (now.name, now.dtype, now.shape):
        raise ValueError(
            f"{now.name!r} of example {example} is {now.dtype}{list(now.shape)}, "
            f"but {field.name!r} of example 0 is {field.dtype}{list(field.shape)}"
        )


def _to_json(field: _Field) -> dict[str, Any]:
    table = field.table
    kept = None if table is None else {"dtype": table.dtype.str, "values": table.tolist()}
    return {
        "name": field.name,
        "file": field.file,
        "dtype": field.dtype.str,
        "shape": list(field.shape),
        "table": kept,
    }


def _from_json(kept: dict[str, Any]) -> _Field:
    table = kept["table"]
    return _Field(
        kept["name"],
        kept["file"],
        np.dtype(kept["dtype"]),
        tuple(kept["shape"]),
        None if table is None else np.array(table["values"], table["dtype"]),
    )


def _read_into(array: np.ndarray, handle: int, begin: int) -> bool:
    """Fill an array from a place of a file, and tell whether the file was long enough.

    Threads may do so at the same time. A mapped file would count as memory of this process, and
    end it where a disk fails.
    """
    view = array.reshape(-1).view(np.uint8).data
    while view.nbytes:
        number = os.preadv(handle, [view], begin)
        if number == 0:
            return False
        view, begin = view[number:], begin + number
    return True


def _close_all(handles: dict[str, int]) -> None:
    for handle in handles.values():
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends."""
    with open(path, "wb") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):  # not on every system: several processes may decode
            pass
        yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
