"""For tests of commands."""

import sys

import pytest


@pytest.fixture(autouse=True)
def same_import_path(monkeypatch):
    """Commands make the folder of a user's model importable, and leave it so."""
    monkeypatch.setattr(sys, "path", list(sys.path))
