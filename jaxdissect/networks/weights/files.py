"""Read and write files of named arrays: PyTorch, safetensors, npz."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from jaxdissect.networks.weights.pickled import read_pickled

FilePath = str | os.PathLike[str]
Arrays = Mapping[str, np.ndarray]

PYTORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")
SUFFIXES = (*PYTORCH_SUFFIXES, ".safetensors", ".npz")


def read_weights(path: FilePath) -> dict[str, np.ndarray]:
    """Read a file of weights, whose ending decides the format.

    - `.pth`, `.pt`, `.bin`, `.tar`: PyTorch, see `read_pickled`. Of a checkpoint with more than
      weights, its `state_dict`. The prefix `module.`, left by PyTorch's parallel training, is
      taken off where every name has it.
    - `.safetensors`, `.npz`.

    Returns:
        Arrays by the names in the file, with the layout of the file.

    Raises:
        ValueError: If the file is truncated, not of these formats, or holds anything but named
            arrays.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in PYTORCH_SUFFIXES:
        return _state_dict(path, read_pickled(path))
    if suffix == ".safetensors":
        return _read_safetensors(path)
    if suffix == ".npz":
        return _read_npz(path)
    raise ValueError(f"`path` (={str(path)!r}) must end in one of: {', '.join(SUFFIXES)}")


def write_weights(path: FilePath, arrays: Arrays, *, metadata: Mapping[str, str]) -> None:
    """Write arrays as safetensors; the file appears when it is complete.

    Args:
        path: Ends in `.safetensors`.
        arrays: Arrays by name.
        metadata: Texts to store with them.

    Raises:
        ValueError: If the path has another ending.
        OSError: If the file cannot be written.
    """
    path = check_target(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(
            {name: np.array(arrays[name], order="C") for name in sorted(arrays)},
            unfinished,
            metadata=dict(metadata),
        )
        unfinished.replace(path)
    except SafetensorError as problem:
        raise OSError(f"{path} cannot be written: {problem}") from problem
    finally:
        unfinished.unlink(missing_ok=True)


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
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state_dict(path: Path, content: Any) -> dict[str, np.ndarray]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no dictionary of weights, but {type(content).__name__}")
    strangers = [key for key, value in content.items() if not isinstance(value, np.ndarray)]
    if strangers:
        raise ValueError(
            f"{path} must hold arrays by name, alone or as `state_dict`; no arrays are: "
            f"{', '.join(map(str, strangers[:10]))}"
        )
    prefix = "module."
    if all(str(key).startswith(prefix) for key in content):
        return {key.removeprefix(prefix): value for key, value in content.items()}
    return {str(key): value for key, value in content.items()}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb"):  # for the usual OSError
        pass
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError) as problem:
        raise ValueError(f"{path} is truncated or no safetensors file ({problem})") from problem


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, because numpy leaves broken files open.
        with open(path, "rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array, without a name")
            found = {name: arrays[name] for name in arrays.files}
            if strangers := [n for n, a in found.items() if not isinstance(a, np.ndarray)]:
                raise ValueError(f"no arrays are: {', '.join(strangers)}")
            return found
    except FileNotFoundError:
        raise
    except Exception as problem:
        # Broken bytes can trip decompression up in any way.
        raise ValueError(f"{path} is truncated or no npz file of arrays ({problem})") from problem
