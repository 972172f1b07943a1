"""Read tensors out of PyTorch's files without PyTorch, and without running code in them.

A PyTorch file is a pickle, a little program that may call any function, whose tensors lie beside it
as raw bytes. This reader knows a handful of harmless records by name, with functions of its own in
their place, and refuses everything else before anything of it runs. Both containers are read: the
zip archive (since PyTorch 1.6), and the legacy stream of pickles followed by the bytes of all
storages, which is also what most `.pth.tar` files are.
"""

import io
import math
import os
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

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


def read_pickled(path: str | os.PathLike[str]) -> Any:
    """Read a PyTorch file: what it holds, with numpy arrays in place of tensors.

    Raises:
        ValueError: If the file is no PyTorch file, is truncated, or holds anything but tensors in
            dictionaries, lists and plain values. Nothing of the file was executed.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            return (_read_archive if file.read(2) == b"PK" else _read_legacy)(file)
        except _Refused as problem:
            raise ValueError(f"{path}: {problem}") from None
        except Exception as problem:
            # Broken bytes can trip the unpickler up in any way.
            raise ValueError(
                f"{path} is truncated or no file of PyTorch weights "
                f"({type(problem).__name__}: {problem})"
            ) from problem


class _Refused(Exception):
    """The file is well formed, but holds what a file of weights must not hold."""


class _Storage(NamedTuple):
    """A block of raw numbers."""

    name: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A view into a storage, whose bytes lie elsewhere in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StorageType(NamedTuple):
    dtype: np.dtype


# Called by the file, which may also try to write attributes (BUILD): without a dictionary and slots
# these objects, unlike functions, have none.


class _RebuildTensor:
    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): _StorageType(np.dtype(kind)) for name, kind in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Builds `_Tensor` records, and nothing that is not in `_KNOWN`."""

    def __init__(self, file: Any):
        _check_memo(file)
        # Files of Python 2 hold byte strings; latin-1 reads them all.
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _Refused(
                f"refused, because it refers to {module}.{name}, and files of weights may hold "
                "nothing but tensors; save `model.state_dict()` alone"
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", _StorageType(dtype), str(name), _, int(size), *rest) if not any(rest):
                return self.storages.setdefault(name, _Storage(name, dtype, size))
        raise _Refused(f"refused, because it holds a record {str(pid):.80} that is no storage")


def _check_memo(file: Any) -> None:
    """Refuse a pickle that makes Python reserve memory for places that it cannot fill."""
    begin = file.tell()
    for operation, argument, position in pickletools.genops(file):
        if "PUT" in operation.name and int(argument or 0) > (position or 0):
            raise _Refused(f"refused, because it numbers an object {argument} without so many")
    file.seek(begin)


def _read_archive(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused(
                f"is a zip archive, but not one of PyTorch weights: it has {len(pickles)} data.pkl"
            )
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in names:
            raise _Refused("is a TorchScript program; save `model.state_dict()` instead")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise _Refused("is compressed, which PyTorch never does")
        order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in names else b"little"
        unpickler = _Unpickler(io.BytesIO(archive.read(pickles[0])))
        records = unpickler.load()
        blocks = {
            name: np.frombuffer(
                archive.read(f"{folder}data/{name}"),
                storage.dtype.newbyteorder(">" if order == b"big" else "<"),
            ).astype(storage.dtype, copy=False)
            for name, storage in unpickler.storages.items()
        }
        return _with_arrays(records, blocks)


def _read_legacy(file: BinaryIO) -> Any:
    file.seek(0)
    if _Unpickler(file).load() != _LEGACY_MAGIC or _Unpickler(file).load() != _LEGACY_PROTOCOL:
        raise _Refused("is no file of PyTorch weights")
    if _Unpickler(file).load().get("little_endian") is not True:
        raise _Refused("was written on a big-endian machine; save it again in the zip format")
    unpickler = _Unpickler(file)
    records = unpickler.load()
    blocks = {}
    for name in _Unpickler(file).load():
        (size,) = struct.unpack("<q", file.read(8))
        storage = unpickler.storages[name]
        if size != storage.size:
            raise _Refused(f"is damaged: storage {name} has {size} numbers, not {storage.size}")
        blocks[name] = np.frombuffer(file.read(size * storage.dtype.itemsize), storage.dtype)
    return _with_arrays(records, blocks)


def _with_arrays(records: Any, blocks: Mapping[str, np.ndarray]) -> Any:
    """Put arrays in place of tensors, anywhere in dictionaries, lists and tuples."""
    done: dict[int, Any] = {}  # what the file refers to many times is converted once

    def converted(record: Any) -> Any:
        if id(record) not in done:
            done[id(record)] = convert(record)
        return done[id(record)]

    def convert(record: Any) -> Any:
        match record:
            case _Tensor():
                return _array(record, blocks)
            case dict():
                return {key: converted(value) for key, value in record.items()}
            case list() | tuple():
                return [converted(value) for value in record]
            case _:
                return record

    return converted(records)


def _array(tensor: _Tensor, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Copy a tensor out of its storage, after making sure that it lies within."""
    block = blocks[tensor.storage.name]
    if block.size != tensor.storage.size:
        raise _Refused(
            f"is truncated: storage {tensor.storage.name} has {block.size} numbers, "
            f"not {tensor.storage.size}"
        )
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if len(tensor.shape) != len(tensor.strides) or any(
        not isinstance(number, int) or number < 0 for number in numbers
    ):
        raise _Refused(f"is damaged: a tensor of shape {tensor.shape}, strides {tensor.strides}")
    extent = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    size = math.prod(tensor.shape)
    if size and tensor.offset + extent >= block.size:
        raise _Refused(f"is damaged: a tensor of shape {tensor.shape} lies outside its storage")
    if size > block.size:
        raise _Refused(
            f"refused, because a tensor of shape {tensor.shape} repeats {block.size} numbers; save "
            "it after `.contiguous()`"
        )
    strides = [stride * block.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(block[tensor.offset :], tensor.shape, strides)
    return view.copy() if size else np.zeros(tensor.shape, block.dtype)
