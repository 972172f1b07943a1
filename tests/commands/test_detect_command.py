"""`jaxdissect detect`: what is written is what the library finds, and wrong input is refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support import command_line
from support.class_folders import CLASSES, UNITS, write_class_folders
from support.result_sections import columns_missed

from jaxdissect.classifiers import best_detectors, peak_activations
from jaxdissect.commands.detect.command import DetectOptions
from jaxdissect.commands.main import main
from jaxdissect.commands.options.model import find_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    write_class_folders(folder)
    return folder


def words(place, out, **changes):
    """Arguments of a small search, some of them changed or, with None, left out."""
    options = {
        "out": out,
        "model": f"{place / 'tiny.py'}:build",
        "layer": "conv",
        "rank_images": place / "rank",
        "images": place / "measure",
        "units_per_class": 2,
        "quiet": True,
    }
    return command_line.words("detect", options=options | changes)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "results"
    assert main(words(place, out, num_figures=1)) == 0
    return out


@pytest.fixture(scope="module")
def parts(place):
    """Peaks of the units over both folders."""
    options = DetectOptions(
        out=place, model="", rank_images=place / "rank", images=place / "measure"
    )
    data = options.find_classes()
    network = find_model(f"{place / 'tiny.py'}:build").network
    return [
        peak_activations(network, source, ("conv",))["conv"]
        for source in (data.ranking, data.judging)
    ]


def test_everything_is_written(results):
    names = {path.name for path in results.iterdir()}
    assert {"detectors.csv", "units.csv", "reference.csv", "detectors.json", "run.json"} <= names
    figures = {name for name in names if name.endswith(".png")}
    assert "detectors.png" in figures and len(figures) == 2  # that, and the best unit's peaks
    for name in figures:
        with Image.open(results / name) as image:
            image.load()
    assert not columns_missed(results)


def test_tables_hold_what_the_library_finds(results, parts):
    found = best_detectors(*parts, units_per_class=2)
    rows = read(results / "detectors.csv")
    assert len(rows) == 2 * len(CLASSES)
    for place, c in enumerate(found.order()):
        for rank, row in enumerate(rows[2 * place : 2 * place + 2]):
            assert row["class"] == CLASSES[found.classes[c]] and int(row["rank"]) == rank + 1
            assert int(row["unit"]) == found.units[c, rank]
            for column, values in (
                ("threshold", found.thresholds),
                ("balanced accuracy when chosen", found.chosen_accuracy),
                ("balanced accuracy", found.accuracy),
                ("AUROC", found.auroc),
            ):
                assert float(row[column]) == values[c, rank]
    rows = read(results / "units.csv")
    assert [(int(row["unit"]), row["class"]) for row in rows] == [
        (unit, name) for unit in range(UNITS) for name in CLASSES
    ]
    best = {row["class"]: float(row["balanced accuracy when chosen"]) for row in rows}
    assert set(best) == set(CLASSES) and min(best.values()) >= 0.5
    settings = json.loads((results / "detectors.json").read_text())
    assert settings["images"] == {"chosen with": 18, "judged with": 15}
    np.testing.assert_allclose(settings["mean balanced accuracy"], found.accuracy[:, 0].mean())


def test_classes_are_joined_and_one_unit_is_looked_at(place, tmp_path):
    out = tmp_path / "joined"
    assert main(words(place, out, classes=["dark", "grey"], unit=3, num_figures=0)) == 0
    (row,) = read(out / "detectors.csv")
    assert row["class"] == "dark or grey" and row["unit"] == "3"
    units = read(out / "units.csv")
    assert [row["class"] for row in units] == UNITS * ["dark or grey"]  # not also "others"


def test_classes_without_images_are_counted_once(place, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\n".join([*CLASSES, "blue", "red"]))
    given = {"class_names": tmp_path / "names.txt", "num_figures": 0, "quiet": None}
    assert main(words(place, tmp_path / "out", **given)) == 0
    text = capsys.readouterr().out
    assert "Mean over 3 classes (2 classes have no images, or only in one part):" in text
    assert "blue" not in text and "blue" not in (tmp_path / "out" / "units.csv").read_text()
    settings = json.loads((tmp_path / "out" / "detectors.json").read_text())
    assert settings["classes"] == 3 and settings["classes without images"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units_per_class": 0}, "`units_per_class` (=0) must be at least 1"),
        ({"num_figures": -1}, "`num_figures` (=-1) must be at least 0"),
        ({"unit": 6}, "`units` (=[6]) must be some in [0, 6)"),
        ({"classes": ["blue"]}, "`classes` (='blue') must be one of: dark, grey, light"),
        ({"classes": list(CLASSES)}, "all of the 18 images are of the wanted classes"),
        ({"layer": "conv7"}, "no layer 'conv7'; valid names: conv, fc"),
    ],
)
def test_what_cannot_be_done_is_refused(place, tmp_path, capsys, changes, message):
    assert main(words(place, tmp_path / "out", **changes)) == 2
    output = capsys.readouterr()
    assert output.out == "" and message in output.err and "Traceback" not in output.err
    assert list(tmp_path.iterdir()) == []
