"""For tests of commands."""

import sys

import pytest
from support.readable_figures import unreadable

from jaxdissect.commands.options import computing, output
from jaxdissect.engine.devices import data_mesh
from jaxdissect.plots import unit_strips
from jaxdissect.plots.figure_files import save_figure


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


@pytest.fixture(autouse=True)
def readable_figures(monkeypatch):
    """Whatever figure a command writes can be read."""

    def save(path, figure):
        assert not unreadable(figure), path
        save_figure(path, figure)

    monkeypatch.setattr(output, "save_figure", save)
    monkeypatch.setattr(unit_strips, "save_figure", save)
