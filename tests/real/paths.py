"""Find the folders of real data (photographs, tables, weights), or skip where they are absent."""

import os
import pathlib

import pytest

_REAL = pathlib.Path(__file__).resolve().parents[3] / "shared" / "real"


def real_folder(name: str) -> pathlib.Path:
    """Return the folder `name` of real data; skip the calling test where it is missing.

    The data lie beside the repository in `../shared/real`, or where JAXDISSECT_REAL points.
    """
    folder = pathlib.Path(os.environ.get("JAXDISSECT_REAL", _REAL)) / name
    if not folder.is_dir():
        pytest.skip(f"real data {name!r} are not at {folder} (set JAXDISSECT_REAL)")
    return folder
