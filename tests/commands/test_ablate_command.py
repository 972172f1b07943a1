"""`jaxdissect ablate`: what is written is what the library finds, and wrong input is refused."""

import csv
import json
import os
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from support import command_line
from support.class_folders import CLASSES, UNITS, write_class_folders
from support.result_sections import columns_missed

from jaxdissect.classifiers.ablation import Ablation, ablation_sweep
from jaxdissect.classifiers.class_study import ClassStudy
from jaxdissect.commands.ablate import command, figures, tables
from jaxdissect.commands.main import main
from jaxdissect.commands.options.model import find_model
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.stats.intervals import Interval

TABLES = ("classes", "curves", "important", "improvements", "rates", "sets", "units")
FIGURES = ("classes", "curves", "distribution")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two folders of images, a folder for every class in each; a model; a list of classes."""
    folder = tmp_path_factory.mktemp("given")
    write_class_folders(folder)
    (folder / "classes.txt").write_text("dark\ngrey\n")
    (folder / "loose").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "loose" / "0.png")
    return folder


def words(place, out, **changes):
    """Arguments of a small study, some of them changed or, with None, left out."""
    options = {
        "out": out,
        "model": f"{place / 'tiny.py'}:build",
        "layer": "conv",
        "rank_images": place / "rank",
        "images": place / "measure",
        "sizes": [1, 2, 256],
        "quiet": True,
    }
    return command_line.words("ablate", options=options | changes)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def results(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "results"
    assert main(words(place, out, curves=["grey"], tables=["csv", "parquet"])) == 0
    return out


def test_everything_is_written(results):
    expected = {f"{name}.{ending}" for name in TABLES for ending in ("csv", "parquet")}
    expected |= {f"{name}.png" for name in FIGURES}
    expected |= {"ablation.json", "run.json", "index.html", "page"}
    assert {path.name for path in results.iterdir()} == expected
    assert not columns_missed(results)
    for name in FIGURES:
        with Image.open(results / f"{name}.png") as image:
            image.load()


def test_tables_hold_what_the_library_finds(place, results):
    options = command.AblateOptions(
        out=results, model="", rank_images=place / "rank", images=place / "measure"
    )
    data = options.find_classes()
    assert data.class_names == CLASSES
    network = find_model(f"{place / 'tiny.py'}:build").network
    sweeps = [
        ablation_sweep(network, source, "conv", single_unit_masks(UNITS))
        for source in (data.ranking, data.judging)
    ]
    ranked, measured = (sweep.damage() for sweep in sweeps)
    margin_lost = sweeps[0].margin_lost()
    assert len(np.unique(ranked)) > 3
    rows = read(results / "units.csv")
    assert [(int(row["unit"]), row["class"]) for row in rows] == [
        (unit, name) for unit in range(UNITS) for name in CLASSES
    ]
    for column, damage in (
        ("balanced_accuracy_lost_when_ranked", ranked),
        ("balanced_accuracy_lost", measured),
    ):
        found = np.array([float(row[column]) for row in rows]).reshape(UNITS, len(CLASSES))
        np.testing.assert_allclose(found, damage, atol=1e-12)
    first = [row["most_important_units"].split()[0] for row in read(results / "classes.csv")]
    for c, unit in enumerate(map(int, first)):
        equal = np.flatnonzero(ranked[:, c] == ranked[:, c].max())
        assert unit == equal[margin_lost[equal, c].argmax()]
    assert {row["units"] for row in read(results / "sets.csv")} == {"1", "2"}  # 256 is too many
    assert len(read(results / "curves.csv")) == UNITS - 1


def test_columns_have_names_that_are_identifiers(results):
    for name in TABLES:
        with open(results / f"{name}.csv", newline="") as file:
            header = next(csv.reader(file))
        assert all(column.isidentifier() and column.islower() for column in header)
    assert {"change", "change_low", "change_high"} <= read(results / "sets.csv")[0].keys()


def test_improvements_are_found_on_the_images_to_rank_with():
    ranked = np.array([[-0.2, 0.1, -0.5], [0.0, -0.4, 0.3]])
    change = np.array([[0.01, 9.0, 9.0], [9.0, -0.02, 9.0]])
    removals = Mock(spec=Ablation, damage=lambda: ranked)
    # Class 2 has images in one part only.
    study = Mock(spec=ClassStudy, classes=np.array([0, 1]), ranking_removals=removals)
    single = Interval(change, change - 0.1, change + 0.1)
    header, rows = tables.improvement_table(study, single, CLASSES)
    assert header == ("unit", "class", "gain_when_ranked", "gain", "gain_low", "gain_high")
    assert [row[:3] for row in rows] == [(1, "grey", 0.4), (0, "dark", 0.2)]
    np.testing.assert_allclose(
        [row[3:] for row in rows], [[-0.02, -0.12, 0.08], [0.01, -0.09, 0.11]]
    )


def test_classes_without_images_are_counted_once(place, tmp_path, capsys):
    shutil.copytree(place / "measure", tmp_path / "measure")
    shutil.rmtree(tmp_path / "measure" / "grey")
    (tmp_path / "names.txt").write_text("\n".join(CLASSES))
    changes = {"images": tmp_path / "measure", "class_names": tmp_path / "names.txt"}
    out = tmp_path / "results"
    assert main(words(place, out, quiet=None, **changes)) == 0
    text = capsys.readouterr().out
    assert "1 of 3 classes are left out: 0 have no images to rank with, 1 none to" in text
    assert "grey" not in text
    for name in TABLES:
        assert "grey" not in (out / f"{name}.csv").read_text()
    *rates, total = read(out / "rates.csv")
    assert [row["class"] for row in rates] == ["dark", "light"] and total["images"] == "10"
    for column in ("balanced_accuracy", "confidence", "auroc"):
        mean = np.mean([float(row[column]) for row in rates])
        assert float(total[column]) == pytest.approx(mean)
    settings = json.loads((out / "ablation.json").read_text())
    assert settings["classes left out"]["number"] == 1
    own = [float(row["all_units"]) for row in read(out / "classes.csv")]
    mean = settings["mean balanced accuracy"]["all units"]
    assert mean == pytest.approx(np.mean(own)) and len(own) == 2


def test_labels_of_small_numbers_do_not_overlap():
    damage = np.repeat(np.linspace(-0.0104, 0.0109, 48)[:, None], 10, axis=1)
    study = Mock(spec=ClassStudy, ranked_by=damage, classes=np.arange(10))
    figure = figures.mean_importance_figure(study, np.linspace(0.04, 0.14, 48))
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    spans = [
        label.get_window_extent()
        for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        if low <= place <= high
    ]
    assert len(spans) > 2
    assert all(left.x1 < right.x0 for left, right in zip(spans, spans[1:], strict=False))


def test_formats_hold_the_same(results):
    for name in TABLES:
        table = parquet.read_table(results / f"{name}.parquet").to_pylist()
        rows = read(results / f"{name}.csv")
        assert [{k: str(v) for k, v in row.items()} for row in table] == rows


def test_settings_say_how_it_was_made(results):
    settings = json.loads((results / "ablation.json").read_text())
    assert settings["layer"] == "conv" and settings["way"] == "low_rank"
    assert settings["images"] == {"ranked with": 18, "measured": 15}
    assert settings["command"]["sizes"] == [1, 2, 256]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"way": "edited", "memory_gib": 1e-9, "batch_size": 4},
        {"way": "masked-parameters", "checkpoints": True},
    ],
)
def test_results_do_not_depend_on_how_they_are_computed(place, results, tmp_path, changes):
    if changes.get("checkpoints"):
        changes = changes | {"checkpoints": tmp_path / "checkpoints"}
    out = tmp_path / "other"
    assert main(words(place, out, curves=["grey"], **changes)) == 0
    for name in ("classes", "sets", "curves"):
        assert (out / f"{name}.csv").read_text() == (results / f"{name}.csv").read_text()


class Stopped(Exception):
    pass


def test_checkpoints_of_other_options_are_refused(place, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(place, tmp_path / "given")
    state = tmp_path / "kept" / "ranking" / "checksums" / "1.json"

    def stopped(*_, checkpoints, **options):
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text("{}")
        raise Stopped

    monkeypatch.setattr(command, "study_classes", stopped)
    # The network, which no option here changes, is built once.
    options = command.AblateOptions(out=tmp_path, model=f"{folder / 'tiny.py'}:build", layer="conv")
    found = options.find_layer((8, 8))
    monkeypatch.setattr(command.AblateOptions, "find_layer", lambda *_: found)

    def run(**changes):
        return main(words(folder, tmp_path / "out", checkpoints=tmp_path / "kept", **changes))

    def refused(message, **changes):
        assert run(**changes) == 2
        found = capsys.readouterr().err
        assert f"{tmp_path / 'kept'} holds a computation with other settings: {message}" in found
        assert "; give another folder, or delete" in found

    with pytest.raises(Stopped):
        run()
    refused("sizes is [1, 2, 256] there and [1] here", sizes=[1])
    refused("curves is [] there and ['grey'] here", curves=["grey"])
    refused("rank_by is 'balanced-accuracy' there and 'confidence'", rank_by="confidence")
    refused("replace is 'zero' there and 'mean' here", replace="mean")
    refused("way is 'fastest' there and 'edited' here", way="edited")
    refused("dtype is 'float32' there and 'bfloat16' here", dtype="bfloat16")
    refused("image_size is None there and [8, 8] here", image_size=[8, 8])
    refused(f"images is '{folder / 'measure'}' there and", images=folder / "rank")
    for free in ({"memory_gib": 0.5}, {"tables": ["json"]}, {"batch_size": 4}, {"devices": 2}):
        with pytest.raises(Stopped):
            run(**free)
    image = next((folder / "measure").rglob("*.png"))
    os.utime(image, ns=(1, 1))
    refused("content of images is not the same")
    state.unlink()
    with pytest.raises(Stopped):
        run(replace="resample")


@pytest.mark.slow
@pytest.mark.parametrize("replace", ["mean", "resample"])
def test_removed_units_may_output_something_else(place, results, tmp_path, replace):
    out = tmp_path / replace
    assert main(words(place, out, replace=replace)) == 0
    assert (out / "units.csv").read_text() != (results / "units.csv").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "`rank_images` and `images` go together"),
        ({"sample": "scenes"}, "give one of `sample`"),
        ({"layer": "conv7"}, "no layer 'conv7'; valid names: conv, fc"),
        ({"layer": "fc"}, r"`layer`: layer 'fc' gives"),
        ({"curves": ["blue"]}, "`curves` (='blue') must be one of: dark, grey, light"),
        ({"class_names": "classes.txt"}, "`class_names` has no class 'light'"),
        ({"sizes": [0]}, "`sizes` (=[0]) must be at least 1"),
        ({"sizes": [9]}, "`sizes` (=[]) must be at least 1"),
        ({"images": "loose"}, "0.png does not"),
        ({"images": "nowhere"}, "nowhere"),
        ({"dissection": "measure"}, "dissection.json"),
    ],
)
def test_what_cannot_be_done_is_refused(place, tmp_path, capsys, changes, message):
    changes = {
        name: place / value if name in ("class_names", "images", "dissection") and value else value
        for name, value in changes.items()
    }
    assert main(words(place, tmp_path / "out", **changes)) == 2
    output = capsys.readouterr()
    assert output.out == "" and message in output.err and "Traceback" not in output.err
    assert list(tmp_path.iterdir()) == []


def test_results_are_replaced_only_if_asked(place, results, capsys):
    assert main(words(place, results)) == 2
    assert "`--overwrite` replaces them" in capsys.readouterr().err
