"""Read the arrays that the reference implementation made (tests/golden), and published labels."""

import importlib.util
import json
import os
import pathlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
_LABELS = _GOLDEN.parents[2] / "shared" / "labels"


def load(name: str, *, allow_pickle: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of one golden file, perhaps of a folder elsewhere."""
    folder = pathlib.Path(os.environ.get("JAXDISSECT_GOLDEN", _GOLDEN))
    with np.load(folder / f"{name}.npz", allow_pickle=allow_pickle) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("meta"))) if "meta" in arrays else {}
    return arrays, meta


def recipe() -> ModuleType:
    """The module that remakes inputs and weights which the golden files do not store."""
    spec = importlib.util.spec_from_file_location("golden_recipe", _GOLDEN / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def labels_folder() -> pathlib.Path:
    """Published label files, which are not ours to distribute, or skip."""
    folder = pathlib.Path(os.environ.get("JAXDISSECT_LABELS", _LABELS))
    if not folder.is_dir():
        pytest.skip(f"published label files are not at {folder} (set JAXDISSECT_LABELS)")
    return folder
