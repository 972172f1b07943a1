"""The scripts and the notebook of `examples/` run, and find what they say."""

import pathlib
import re
import runpy

import numpy as np
import pytest
from PIL import Image

import jaxdissect as jd

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a script as a user does, in a folder of its own; return what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name: str) -> str:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def shows_something(path):
    """A picture in which not everything is alike."""
    with Image.open(path) as picture:
        values = np.asarray(picture.convert("L"))
    return min(values.shape) > 100 and np.ptp(values) > 100


def test_every_example_is_tested_and_says_what_it_is():
    text = pathlib.Path(__file__).read_text()
    files = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb"))
    assert len(files) == 6
    for name in files:
        assert f'"{name}"' in text
        if name.endswith(".py"):
            assert (EXAMPLES / name).read_text().startswith('"""')


def test_ones_own_network_takes_15_lines():
    text = (EXAMPLES / "own_network.py").read_text()
    _, dissecting = text.split("class TwoConvolutions")
    model, rest = dissecting.split("\n\n\n", 1)
    lines = [line for line in rest.split("print(result)")[0].splitlines() if line.strip()]
    assert len(lines) + len([line for line in model.splitlines() if line.strip()]) <= 15


@pytest.mark.slow
@pytest.mark.optimised
def test_ones_own_network(run, tmp_path):
    printed = run("own_network.py")
    result = jd.load_dissection(tmp_path / "own_network")
    assert list(result.layers) == ["conv1", "conv2"]
    best = result["conv2"].best_units(1)[0]
    assert f"Unit('conv2', unit {best}: " in printed


@pytest.mark.slow
@pytest.mark.optimised
def test_layers_are_compared(run):
    printed = run("compare_layers.py")
    detectors = [int(number) for number in re.findall(r"blocks.\d: (\d+) of", printed)]
    objects = [int(number) for number in re.findall(r"object: (\d+) units", printed)]
    assert len(detectors) == len(objects) == 2
    assert detectors[1] > detectors[0] and objects[1] > objects[0]  # objects come late
    assert "only in blocks.4: " in printed and "tree" in printed


@pytest.mark.slow
@pytest.mark.optimised
def test_units_are_removed(run, tmp_path):
    printed = run("remove_and_plot.py")
    change = float(re.search(r"changes by (-?[\d.]+)", printed)[1])  # type: ignore[index]
    low, high = map(float, re.search(r"interval (\S+) to (\S+),", printed).groups())  # type: ignore[union-attr]
    assert low < change < 0 and change < high
    assert shows_something(tmp_path / "bedroom.png")


@pytest.mark.slow
@pytest.mark.optimised
def test_trees_are_removed(run, tmp_path):
    printed = run("generator_trees.py")
    left = [int(share) for share in re.findall(r"(\d+)% of the tree pixels", printed)]
    assert left[0] == 100 and max(left[1:]) < 80
    assert "tree (object)" in printed and shows_something(tmp_path / "trees.png")


@pytest.mark.slow
@pytest.mark.optimised
def test_a_classifier_is_fooled(run, tmp_path):
    printed = run("attack.py")
    fooled, attacked = map(int, re.search(r"(\d+) of (\d+) pictures", printed).groups())  # type: ignore[union-attr]
    assert attacked == 16 and fooled > 8
    changes = [float(change) for change in re.findall(r"peaks change by (\S+):", printed)]
    assert len(changes) == 6 and min(changes[:3]) > 0 > max(changes[3:])
    assert shows_something(tmp_path / "attack.png")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the machinery of notebooks
def test_the_notebook(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = nbformat.read(EXAMPLES / "units_of_lite0.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # it is kept without results
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    assert sum("text/html" in data for data in shown) == 6
    assert sum("image/png" in data for data in shown) == 1
    assert "Comparison(" in shown[5]["text/plain"]
    assert (tmp_path / "lite0" / "dissection.json").exists()
