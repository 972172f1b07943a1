"""Find tensors in PyTorch's files without PyTorch, and without running code in them.

A PyTorch file is a pickle, a little program that may call any function, whose tensors lie beside it
as raw bytes. This reader knows a handful of harmless records by name and refuses everything else,
see `pickle_records`. Both containers are read: the zip archive (since PyTorch 1.6), and the legacy
stream of pickles followed by the bytes of all storages, which is also what most `.pth.tar` files
are.
"""

import functools
import io
import math
import os
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from io import BufferedIOBase
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxdissect.networks.weights.pickle_records import Known, dictionary_of, read_pickle
from jaxdissect.networks.weights.stored import Refused, StoredArray, brief, fill

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}

_DTYPES = {
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
}
"""Of tensors without a storage type of their own."""

_MOST_RECORDS = 1 << 28  # bytes
_MOST_AXES = 64
_MOST_NUMBERS = 2**60


class _Type(NamedTuple):
    """Of the numbers of a storage or a tensor."""

    dtype: np.dtype


class _Storage(NamedTuple):
    """A block of raw numbers."""

    name: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A view into a storage, whose bytes lie elsewhere in the file."""

    storage: _Storage
    dtype: np.dtype
    offset: Any
    shape: Any
    strides: Any


ReadStorage = Callable[[_Storage], np.ndarray]
"""Reads all numbers of a storage."""


StoreArrays = Callable[[Mapping[str, Tensor]], dict[str, StoredArray]]
"""Makes arrays of tensors, which are read when they are used."""


def read_records(file: BufferedIOBase) -> tuple[Any, StoreArrays]:
    """Read what a PyTorch file holds, all but the numbers of its tensors.

    Args:
        file: Opened to read bytes; it must stay open while arrays are read.

    Returns:
        What it holds, with a `Tensor` for every tensor, and the function that makes `StoredArray`
        of some of them.

    Raises:
        Refused: If the file holds anything but tensors in dictionaries, lists and plain values.
        Exception: If it is broken, of any kind.
    """
    beginning = file.read(2)
    file.seek(0)
    records, read_storage = (_open_archive if beginning == b"PK" else _open_legacy)(file)

    return records, partial(_stored, read_storage=read_storage)


# --- the records that a file may hold -------------------------------------------------------------


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, _Storage):
        raise Refused("is damaged: a tensor without a storage")
    return Tensor(storage, storage.dtype, offset, tuple(shape), tuple(strides))


def _rebuild_tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, kind: Any, *_: Any
) -> Tensor:
    if not isinstance(kind, _Type):
        raise Refused("is damaged: a tensor without a dtype")
    return _rebuild_tensor(storage, offset, shape, strides)._replace(dtype=kind.dtype)


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _size(lengths: Any = ()) -> tuple[Any, ...]:
    return tuple(lengths)


_KNOWN: Known = {
    ("collections", "OrderedDict"): dictionary_of,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "UntypedStorage"): _Type(np.dtype(np.uint8)),
    **{("torch", name): _Type(np.dtype(kind)) for name, kind in (_STORAGES | _DTYPES).items()},
}


class _Storages:
    """The storages that a pickle has named."""

    def __init__(self) -> None:
        self.by_name: dict[str, _Storage] = {}

    def __call__(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _Type(dtype), str(name), _, int(size), *rest) if (
                0 <= size < _MOST_NUMBERS and not any(rest)
            ):
                storage = _Storage(name, dtype, size)
                if self.by_name.setdefault(name, storage) != storage:
                    raise Refused(f"is damaged: two descriptions of storage {brief(name)}")
                return storage
        raise Refused(f"refused, because it holds a record {brief(pid)} that is no storage")


# --- the two containers ---------------------------------------------------------------------------


def _open_archive(file: BufferedIOBase) -> tuple[Any, ReadStorage]:
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused(
            f"is a zip archive, but not one of PyTorch weights: it has {len(pickles)} data.pkl"
        )
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise Refused("is a TorchScript program; save `model.state_dict()` instead")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Refused("is compressed, which PyTorch never does")
    size = file.seek(0, io.SEEK_END)
    if sum(entry.file_size for entry in entries) > size or len(set(names)) < len(names):
        raise Refused("is damaged: its parts overlap or are there twice")
    if archive.getinfo(pickles[0]).file_size > _MOST_RECORDS:
        raise Refused(f"refused, because its records take more than {_MOST_RECORDS >> 20} MiB")
    order = b"little"
    if f"{folder}byteorder" in names:
        with archive.open(f"{folder}byteorder") as entry:
            order = entry.read(8)
    storages = _Storages()
    records = read_pickle(io.BytesIO(archive.read(pickles[0])), _KNOWN, storages)

    swapped = (order == b"little") != np.little_endian
    return records, partial(_read_entry, archive, f"{folder}data/", swapped)


def _read_entry(
    archive: zipfile.ZipFile, folder: str, swapped: bool, storage: _Storage
) -> np.ndarray:
    entry = archive.getinfo(f"{folder}{storage.name}")
    found = entry.file_size // storage.dtype.itemsize
    if entry.file_size != storage.size * storage.dtype.itemsize:
        raise Refused(
            f"is truncated: storage {brief(storage.name)} has {found} numbers, not {storage.size}"
        )
    block = np.empty(storage.size, storage.dtype)
    with archive.open(entry) as part:  # which compares its checksum in the end
        fill(block, part)
    return block.byteswap() if swapped else block


def _open_legacy(file: BufferedIOBase) -> tuple[Any, ReadStorage]:
    storages = _Storages()
    magic, protocol = (read_pickle(file, _KNOWN, storages) for _ in range(2))
    if type(magic) is not int or magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
        raise Refused("is no file of PyTorch weights")
    if read_pickle(file, _KNOWN, storages).get("little_endian") is not True:
        raise Refused("was written on a big-endian machine; save it again in the zip format")
    records = read_pickle(file, _KNOWN, storages)
    names = read_pickle(file, _KNOWN, storages)
    start, end = file.tell(), os.fstat(file.fileno()).st_size
    places: dict[str, int] = {}
    for name in names:
        storage = storages.by_name[name]
        file.seek(start)
        (size,) = struct.unpack("<q", file.read(8))
        if size != storage.size:
            raise Refused(
                f"is damaged: storage {brief(name)} has {size} numbers, not {storage.size}"
            )
        places[name] = start + 8
        start += 8 + size * storage.dtype.itemsize
        if start > end:
            raise Refused(f"is truncated: storage {brief(name)} has not all of {size} numbers")

    return records, partial(_read_place, file, places)


def _read_place(file: BufferedIOBase, places: Mapping[str, int], storage: _Storage) -> np.ndarray:
    file.seek(places[storage.name])
    block = np.empty(storage.size, storage.dtype)
    fill(block, file)
    return block if np.little_endian else block.byteswap()


# --- from tensors to arrays -----------------------------------------------------------------------


def _stored(tensors: Mapping[str, Tensor], *, read_storage: ReadStorage) -> dict[str, StoredArray]:
    for tensor in tensors.values():
        _check(tensor)
    views = Counter(tensor.storage.name for tensor in tensors.values())
    shared = functools.cache(read_storage)  # a storage that several tensors view is kept
    return {
        name: StoredArray(
            tensor.shape,
            tensor.dtype,
            partial(_read, tensor, read_storage)
            if views[tensor.storage.name] == 1
            else partial(_read_copy, tensor, shared),
        )
        for name, tensor in tensors.items()
    }


def _read(tensor: Tensor, read_storage: ReadStorage) -> np.ndarray:
    return _viewed(tensor, read_storage(tensor.storage))


def _read_copy(tensor: Tensor, read_storage: ReadStorage) -> np.ndarray:
    return _read(tensor, read_storage).copy()


def _check(tensor: Tensor) -> None:
    """Make sure that a tensor lies within its storage."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    if (
        len(shape) != len(strides)
        or len(shape) > _MOST_AXES
        or any(type(n) is not int or not 0 <= n < _MOST_NUMBERS for n in (offset, *shape, *strides))
    ):
        raise Refused(f"is damaged: a tensor of shape {brief(shape)}, strides {brief(strides)}")
    held = tensor.storage.size * tensor.storage.dtype.itemsize // tensor.dtype.itemsize
    extent = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    size = math.prod(shape)
    if size and offset + extent >= held:
        raise Refused(f"is damaged: a tensor of shape {brief(shape)} lies outside its storage")
    if size > held:
        raise Refused(
            f"refused, because a tensor of shape {brief(shape)} repeats {held} numbers; save "
            "it after `.contiguous()`"
        )


def _viewed(tensor: Tensor, block: np.ndarray) -> np.ndarray:
    """Take a tensor out of the numbers of its storage; a copy, unless it is all of them."""
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, tensor.dtype)
    item = tensor.dtype.itemsize
    strides = [stride * item for stride in tensor.strides]
    view = np.ndarray(
        tensor.shape, tensor.dtype, block.view(np.uint8).data, tensor.offset * item, strides
    )
    return view if view.size == block.size else view.copy()
