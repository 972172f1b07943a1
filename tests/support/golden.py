"""Read the arrays made by the reference implementation, or skip where they are absent."""

import importlib.util
import json
import os
import pathlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared"


def _open_folder() -> pathlib.Path:
    folder = pathlib.Path(os.environ.get("JAXDISSECT_GOLDEN", _SHARED / "golden" / "open"))
    if not folder.is_dir():
        pytest.skip(f"golden arrays of the reference are not at {folder} (set JAXDISSECT_GOLDEN)")
    return folder


def load(name: str, *, allow_pickle: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of one golden file."""
    with np.load(_open_folder() / f"{name}.npz", allow_pickle=allow_pickle) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}
    return arrays, meta


def recipe() -> ModuleType:
    """The module that remakes inputs and weights which the golden files do not store."""
    path = _open_folder().parent / "recipe.py"
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def labels_folder() -> pathlib.Path:
    """Published label files, or skip."""
    folder = pathlib.Path(os.environ.get("JAXDISSECT_LABELS", _SHARED / "labels"))
    if not folder.is_dir():
        pytest.skip(f"published label files are not at {folder} (set JAXDISSECT_LABELS)")
    return folder
