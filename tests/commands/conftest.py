"""For tests of commands."""

import sys

import pytest

from jaxdissect.commands.options import computing
from jaxdissect.engine.devices import data_mesh


@pytest.fixture(autouse=True)
def same_import_path(monkeypatch):
    """Commands make the folder of a user's model importable, and leave it so."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    """Programs for one device are compiled already; `--devices` takes more of the four."""
    monkeypatch.setattr(
        computing, "data_mesh", lambda number=None: data_mesh(1 if number is None else number)
    )
