"""Read and write files of named arrays: PyTorch, safetensors, npz."""

import glob
import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxdissect.arrays.names import printable
from jaxdissect.networks.weights.pickled import Tensor, read_records
from jaxdissect.networks.weights.stored import (
    Refused,
    Shape,
    StoredArray,
    brief,
    brief_list,
    fill,
    open_regular,
)
from jaxdissect.networks.weights.wrappers import plain_names, unwrapped

FilePath = str | os.PathLike[str]

PYTORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")
SUFFIXES = (*PYTORCH_SUFFIXES, ".safetensors", ".npz")

_MOST_TIMES, _MOST_BEYOND = 16, 1 << 26
"""All arrays of a file take at most so many times its bytes, and so many bytes beyond."""

_PICKLED = (
    "; a pickled network holds code, which is never executed here: with the program that made it, "
    "save the weights alone, as in torch.save(G_ema.state_dict(), 'weights.pth')"
)
_ELSEWHERE = {
    ".pkl": _PICKLED,
    ".pickle": _PICKLED,
    ".tflite": "; of TensorFlow Lite files, that of deeplab_mobilenet_ade20k can be read, as a "
    'segmenter: pretrained_segmenter("deeplab_mobilenet_ade20k", weights=FILE), or '
    "--segmenter deeplab_mobilenet_ade20k --segmenter-weights FILE",
}
"""Where to go with files that are no files of weights, by their ending."""

_CHECKSUM, _NO_CHECKSUM = "jaxdissect_sha256", "0" * 64
_STORED_CHECKSUM = re.compile(rb'("jaxdissect_sha256":")[0-9a-f]{64}')

_SAFETENSORS_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
    "C64": np.complex64,
}


def most_bytes(size: int) -> int:
    """Bytes of memory that the arrays of a file of so many bytes may take, all together."""
    return _MOST_TIMES * size + _MOST_BEYOND


def read_weights(path: FilePath) -> dict[str, np.ndarray]:
    """Read a file of weights, whose ending decides the format.

    - `.pth`, `.pt`, `.bin`, `.tar`: PyTorch, both containers.
    - `.safetensors`, also with float8 numbers; `.npz`.

    Of a checkpoint with more than weights, its `state_dict`, `model_state_dict` or `model`. A
    prefix that every name has is taken off if programs put it there: `module.` (PyTorch's parallel
    training), `_orig_mod.` (its compiler), `model.`, `state_dict.`, `model_state_dict.`, also
    several of them.

    Returns:
        Arrays by the names in the file, with the layout and dtypes of the file.

    Raises:
        ValueError: If the file is truncated, not of these formats, holds anything but named
            arrays, or is no regular file; or if its arrays take far more memory than the file. The
            message names the file. Nothing of the file is ever executed.
        OSError: If the file cannot be opened.
    """
    with open_weights(path) as stored:
        total = sum(array.nbytes for array in stored.values())
        most = most_bytes(os.stat(path).st_size)
        if total > most:
            raise ValueError(
                f"{printable(str(path))} refused, because its {len(stored)} arrays take "
                f"{total >> 20} MiB, and a file of its size may hold {most >> 20} MiB: they repeat "
                "each other, or are compressed; save them after `.clone()`, or by `numpy.savez`"
            )
        return {name: np.asarray(array) for name, array in stored.items()}


@contextmanager
def open_weights(path: FilePath, *, name: str | None = None) -> Iterator[dict[str, StoredArray]]:
    """Open a file of weights, to read each array when it is used, as long as the context is open.

    Args:
        path: File that `read_weights` reads.
        name: What the file will be called, if it has another name as yet.

    Yields:
        Arrays by name, of which nothing is read but shape and dtype; `numpy.asarray` reads them,
        and raises what `read_weights` does.

    Raises:
        ValueError, OSError: If the file cannot be read; see `read_weights`.
    """
    path = Path(path)
    suffix = Path(name or path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"`path` (={str(path)!r}) must end in one of: {', '.join(SUFFIXES)}"
            + _ELSEWHERE.get(suffix, "")
        )
    find, what = {
        ".safetensors": (_find_safetensors, "safetensors file"),
        ".npz": (_find_npz, "npz file of arrays"),
    }.get(suffix, (_find_pickled, "file of PyTorch weights"))

    with open_regular(path) as file:
        with _named(path, what):
            arrays = plain_names(find(path, file))
        yield {
            key: StoredArray(array.shape, array.dtype, partial(_read_named, array, path, what))
            for key, array in arrays.items()
        }


def _read_named(array: StoredArray, path: Path, what: str) -> np.ndarray:
    with _named(path, what):
        return np.asarray(array)


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    """Let every failure name the file; broken bytes can trip a reader up in any way."""
    shown = printable(str(path))
    try:
        yield
    except Refused as problem:
        raise ValueError(f"{shown} {problem}") from None
    except MemoryError as problem:
        raise ValueError(f"{shown} needs more memory than there is") from problem
    except Exception as problem:
        raise ValueError(
            f"{shown} is truncated or no {what} ({type(problem).__name__}: "
            f"{brief(str(problem), most=200)})"
        ) from problem


def write_weights(
    path: FilePath, arrays: Mapping[str, np.ndarray], *, metadata: Mapping[str, str]
) -> None:
    """Write arrays as safetensors, with a checksum; the file appears when it is complete.

    Args:
        path: Ends in `.safetensors`.
        arrays: Arrays by name.
        metadata: Texts to store with them.

    Raises:
        ValueError: If the path has another ending.
        OSError: If the file cannot be written.
    """
    path = check_target(path)
    _remove_left(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(
            {name: np.array(arrays[name], order="C") for name in sorted(arrays)},
            unfinished,
            metadata={**metadata, _CHECKSUM: _NO_CHECKSUM},
        )
        with open(unfinished, "r+b") as file:
            content = _read_header(file)
            checksum = _checksum(file, content)
            (place,) = (8 + found.end(1) for found in _STORED_CHECKSUM.finditer(content))
            file.seek(place)
            file.write(checksum.encode())
        unfinished.replace(path)
    except SafetensorError as problem:
        raise OSError(f"{path} cannot be written: {problem}") from problem
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_left(path: Path) -> None:
    """Remove what processes that were killed have left of a file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and not _is_running(int(number)):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's, or no number of a process
    return True


def check_target(path: FilePath) -> Path:
    """Refuse a path that `write_weights` cannot write to, as it does; ValueError or OSError."""
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"`path` (={str(path)!r}) must end in .safetensors")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    return path


def sha256(path: FilePath) -> str:
    """Hash a file."""
    with open_regular(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- one function for each format: from a file to its arrays --------------------------------------


def _find_pickled(path: Path, file: BufferedIOBase) -> dict[str, StoredArray]:
    records, stored_arrays = read_records(file)
    content = unwrapped(records, lambda value: isinstance(value, Tensor))
    if type(content) is not dict or not content:
        raise Refused(f"holds no dictionary of weights, but {type(content).__name__}")
    strangers = [
        key
        for key, value in content.items()
        if type(key) is not str or not isinstance(value, Tensor)
    ]
    if strangers:
        raise Refused(
            "must hold arrays by name, alone or as `state_dict`, `model_state_dict` or `model`; no "
            f"arrays are: {brief_list(strangers)}"
        )
    return stored_arrays(content)


def _find_safetensors(path: Path, file: BufferedIOBase) -> dict[str, StoredArray]:
    # The library makes sure that the header is sound: its size, types, and places that neither
    # overlap nor leave the file. What it cannot give is arrays of all types.
    with safe_open(path, framework="np"):
        pass
    content = _read_header(file)
    start = 8 + len(content)
    header = json.loads(content, object_pairs_hook=_once)
    metadata = header.pop("__metadata__", None) or {}
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(file, content):
        raise Refused(
            "is damaged: its checksum does not match; copy or convert it again from where it is "
            "whole"
        )

    return {name: _stored_tensor(file, start, name, entry) for name, entry in header.items()}


def _read_header(file: BufferedIOBase) -> bytes:
    """Read the JSON of a safetensors file, and leave the file where its numbers begin."""
    file.seek(0)
    return file.read(int.from_bytes(file.read(8), "little"))


def _checksum(file: BufferedIOBase, header: bytes) -> str:
    """Hash a safetensors file but for its checksum, given its header; it stands after that."""
    text = hashlib.sha256(_STORED_CHECKSUM.sub(rb"\g<1>" + _NO_CHECKSUM.encode(), header, count=1))
    while block := file.read(1 << 24):
        text.update(block)
    return text.hexdigest()


def _stored_tensor(
    file: BufferedIOBase, start: int, name: str, entry: Mapping[str, Any]
) -> StoredArray:
    if entry["dtype"] not in _SAFETENSORS_DTYPES:
        raise Refused(
            f"refused, because the numbers of {brief(name)} are {brief(entry['dtype'])}; "
            f"these can be read: {', '.join(_SAFETENSORS_DTYPES)}"
        )
    dtype, shape = np.dtype(_SAFETENSORS_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise Refused(f"is damaged: {brief(name)} has no place for a shape {brief(shape)}")
    return StoredArray(shape, dtype, partial(_read_tensor, file, start + begin, shape, dtype))


def _read_tensor(file: BufferedIOBase, place: int, shape: Shape, dtype: np.dtype) -> np.ndarray:
    file.seek(place)
    block = np.empty(shape, dtype)
    fill(block, file)
    return block if np.little_endian else block.byteswap()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused("is damaged: its header has a name twice")
    return found


def _find_npz(path: Path, file: BufferedIOBase) -> dict[str, StoredArray]:
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) < len(entries):
        raise Refused("is damaged: it has a name twice")
    if strangers := [e.filename for e in entries if not e.filename.endswith(".npy")]:
        raise Refused(f"holds more than arrays; no arrays are: {brief_list(strangers)}")
    return {entry.filename.removesuffix(".npy"): _npy(archive, entry) for entry in entries}


_NPY_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> StoredArray:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused("is compressed in a way that numpy never uses")
    with archive.open(entry) as part:
        header = io.BytesIO(part.read(12_000))
    version = np.lib.format.read_magic(header)
    if version not in _NPY_HEADERS:
        raise Refused(f"is no npz file of arrays: {brief(entry.filename)} has version {version}")
    shape, _, dtype = _NPY_HEADERS[version](header)
    if dtype.hasobject:
        raise Refused(
            f"is no npz file of arrays: {brief(entry.filename)} holds objects, which only running "
            "a pickle could make; save arrays by name: numpy.savez(path, **weights)"
        )
    if math.prod(shape) * dtype.itemsize != entry.file_size - header.tell():
        raise Refused(f"is truncated: {brief(entry.filename)} has no room for {brief(shape)}")

    return StoredArray(shape, dtype, partial(_read_npy, archive, entry))


def _read_npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as part:
        return np.lib.format.read_array(part, allow_pickle=False)
