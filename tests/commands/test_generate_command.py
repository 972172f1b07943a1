"""`jaxdissect generate`: every subcommand writes its results, and refuses wrong input clearly."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support import command_line
from support.result_sections import columns_missed
from support.toy_generators import painter

from jaxdissect.commands.main import main
from jaxdissect.dissection.result import load_dissection
from jaxdissect.engine.resume import digest

MODEL = """
import jax.numpy as jnp
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from support.toy_generators import painter, strongest_color


def build():
    return painter()


def color():
    return strongest_color()


def number():
    return 7


def nothing():
    return StagedNetwork({"maps": lambda params, x: x * jnp.nan}, {}, head=images)


def images(params, x):
    return x.reshape(-1, 4, 8, 3)
"""

FEATURES = """
import jax.numpy as jnp
from jaxdissect.networks.adapters.staged_network import StagedNetwork


def features():
    def colors(params, images):
        return images * params

    return StagedNetwork({"colors": colors}, jnp.float32(2))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "mine.py").write_text(MODEL)
    (folder / "features.py").write_text(FEATURES)
    (folder / "real").mkdir()
    random = np.random.default_rng(0)
    for index in range(5):
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "real" / f"{index}.png")
    return folder


def words(place, task, out, **changes):
    """Arguments of a small task, some of them changed or, with None, left out."""
    options = {
        "out": out,
        "model": f"{place / 'mine.py'}:build",
        "latent_size": 96,
        "num_images": 12,
        "num_ranking_images": 12,
        "chunk_size": 4,
    }
    if task != "artifacts":
        options |= {"segmenter": f"{place / 'mine.py'}:color", "grid": [8, 8]}
    if task == "dissect":
        options |= {"layers": "maps", "num_top_images": 3}
    else:
        options |= {"layer": "maps"}
    if task in ("remove", "insert", "optimise"):
        options |= {"concept": "red"}
    return command_line.words("generate", task, options=options | changes)


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def written(folder):
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()
    assert json.loads((folder / "generation.json").read_text())["command"]["latent_size"] == 96
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "index.html", "page"} <= names
    return names - {"run.json", "index.html", "page"}


def test_dissect(place, tmp_path, capsys):
    out = tmp_path / "results"
    assert main(words(place, "dissect", out)) == 0
    assert {"arrays.npz", "units.csv", "concepts.png", "top_units_maps.png"} <= written(out)
    result = load_dissection(out)
    assert [int(np.argmax(result["maps"].iou[color])) for color in (1, 2, 3)] == [0, 1, 2]
    assert result.settings["generator"] == digest(painter().params)  # so that `paint` knows it
    output = capsys.readouterr().out
    assert "Detectors, units with IoU > 0.05" in output
    assert f"Written to {out}: arrays.npz" in output


def test_remove(place, tmp_path, capsys):
    out = tmp_path / "results"
    options = {"most": 3, "shown": [0, 1, 3], "tables": ["csv", "json"]}
    assert main(words(place, "remove", out, **options)) == 0
    names = {"sets", "changes", "replaced", "images", "units"}
    files = {f"{name}.{ending}" for name in names for ending in ("csv", "json")}
    pictures = {"left.png", "replaced.png", "images.png"}
    assert written(out) == files | pictures | {"generation.json"}
    assert not columns_missed(out)
    sets = rows_of(out / "sets.csv")
    assert [int(row["units removed"]) for row in sets] == [0, 1, 2, 3]
    assert sets[1]["last unit"] == "0" and float(sets[0]["fraction left"]) == 1
    assert float(sets[1]["fraction left"]) < 0.2
    assert rows_of(out / "units.csv")[0]["unit"] == "0"
    assert len(rows_of(out / "images.csv")) == 12 * 4
    for number in ("1", "2", "3"):
        shares = [float(row["share"]) for row in rows_of(out / "replaced.csv")
                  if row["units removed"] == number]  # fmt: skip
        assert sum(shares) == pytest.approx(1)
    assert "Removing units of maps that match red best" in capsys.readouterr().out


def test_insert(place, tmp_path):
    out = tmp_path / "results"
    assert main(words(place, "insert", out, num_units=1, min_samples=2, quiet=True)) == 0
    names = {"contexts.csv", "cells.csv", "places.csv", "changes.csv", "generation.json"}
    assert written(out) == names | {"contexts.png", "cells.png", "places.png"}
    assert not columns_missed(out)
    contexts = rows_of(out / "contexts.csv")
    assert contexts[0]["was there"] == "anything"
    assert int(contexts[0]["samples"]) == 12 * 16 and int(contexts[0]["images"]) == 12
    assert float(contexts[0]["pixels added"]) > 1
    assert len(rows_of(out / "cells.csv")) == 16
    assert [row["place"] for row in rows_of(out / "places.csv")] == ["best"] * 8 + ["worst"] * 8


def test_insert_of_a_single_image_has_no_standard_errors(place, tmp_path, capsys):
    out = tmp_path / "results"
    options = {"num_images": 1, "num_units": 1, "tables": ["json"]}
    assert main(words(place, "insert", out, **options)) == 0  # no context has 100 samples
    assert "standard error by images" in capsys.readouterr().out

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    cells = json.loads((out / "cells.json").read_text(), parse_constant=refuse)
    assert len(cells) == 16 and all(cell["standard error"] is None for cell in cells)


def test_optimise(place, tmp_path):
    out = tmp_path / "results"
    options = {"sizes": [1, 3], "steps": 20, "step_size": 4, "learning_rate": 0.1}
    assert main(words(place, "optimise", out, values="present", quiet=True, **options)) == 0
    names = {"units.csv", "steps.csv", "effects.csv", "generation.json"}
    assert written(out) == names | {"effects.png", "steps.png"}
    assert not columns_missed(out)
    units = rows_of(out / "units.csv")
    assert units[0]["unit"] == "0" and units[0]["rank by IoU"] == "1"
    effects = rows_of(out / "effects.csv")
    assert [(row["ranking"], row["units"]) for row in effects] == [
        *(("IoU", "1"), ("IoU", "3"), ("strength", "1"), ("strength", "3"))
    ]
    # Both rankings begin with the same unit.
    assert effects[0]["effect"] == effects[2]["effect"]
    assert float(effects[2]["more than by IoU"]) == 0


def test_artifacts(place, tmp_path):
    out = tmp_path / "results"
    options = {"real_images": place / "real", "features": f"{place / 'features.py'}:features"}
    options |= {"feature_layer": "colors", "sizes": [1, 2], "parts": 2}
    assert main(words(place, "artifacts", out, quiet=True, **options)) == 0
    names = {"units.csv", "sets.csv", "generation.json", "distances.png", "images.png"}
    assert written(out) == names
    assert not columns_missed(out)
    sets = rows_of(out / "sets.csv")
    kinds = ["all units", "costliest", "costliest", "random", "random"]
    assert [row["removed"] for row in sets] == kinds
    assert len(rows_of(out / "units.csv")) == 6


@pytest.mark.slow
def test_artifacts_compares_images_of_one_size(place, tmp_path):
    (tmp_path / "large").mkdir()
    for path in (place / "real").iterdir():
        with Image.open(path) as image:
            image.resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / "large" / path.name)
    features = {"features": f"{place / 'features.py'}:features", "sizes": [1], "parts": 1}
    features["feature_layer"] = "colors"
    distances = []
    for real in (place / "real", tmp_path / "large"):
        out = tmp_path / f"results_{real.name}"
        assert main(words(place, "artifacts", out, quiet=True, real_images=real, **features)) == 0
        distances.append(float(rows_of(out / "sets.csv")[0]["distance"]))
    assert distances[0] == pytest.approx(distances[1], rel=0.02)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("remove", {"layer": "map"}, "no layer 'map'; valid names: maps, pixels"),
        ("remove", {"concept": "rde"}, "`name` (='rde') is no concept here"),
        ("remove", {"most": 7}, "`most` (=7) must be 1 to 6"),
        ("remove", {"most": 3, "shown": [0, 8]}, "`shown` (=(0, 8)) must be numbers from 0 to 3"),
        ("remove", {"most": 3, "shown": []}, "`shown` (=()) must be numbers from 0 to 3"),
        ("remove", {"latent_size": None}, "`latent_size` is needed for `model`"),
        ("remove", {"latent_size": 95}, "fails on latents [B, 95]"),
        ("remove", {"segmenter": None}, "`segmenter` is needed: one of scenes, netpqc"),
        ("remove", {"num_images": 0}, "`num_images` (=0) must be at least 1"),
        ("remove", {"weights": "x.pth"}, "`weights` go with `model` 'proggan'"),
        ("insert", {"pixel_range": [0, 1]}, "`pixel_range` (=(0.0, 1.0)) leaves out "),
        ("insert", {"pixel_range": [1, 1]}, "`low` (=1.0) must be below `high` (=1.0)"),
        ("insert", {"num_units": 7}, "`num_units` (=7) must be 1 to 6"),
        ("insert", {"model": "scenes"}, "`latent_size` (=96) must be 128 for `model` 'scenes'"),
        ("insert", {"model": "church"}, "must be FILE.py:FUNCTION, package.module:FUNCTION"),
        ("optimise", {"sizes": [0]}, "`sizes` (=(0,)) must be numbers from 1 to 6"),
        ("artifacts", {}, "`real_images` are needed"),
    ],
)
def test_what_cannot_work_is_refused(place, tmp_path, capsys, task, change, message):
    out = tmp_path / "results"
    assert main(words(place, task, out, **change)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not out.exists() and not list(tmp_path.iterdir())


def test_images_must_be_numbers(place, tmp_path, capsys):
    assert main(words(place, "remove", tmp_path / "out", model=f"{place / 'mine.py'}:nothing")) == 2
    assert "leaves out 100% of what `model`" in capsys.readouterr().err


def test_segmenters_must_be_such(place, tmp_path, capsys):
    wrong = words(place, "remove", tmp_path / "out", segmenter=f"{place / 'mine.py'}:number")
    assert main(wrong) == 2
    assert "must return a Segmenter, not int" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("task", ["remove", "insert", "optimise", "artifacts"])
def test_the_same_command_reads_what_is_kept(place, tmp_path, capsys, task):
    options = {
        "remove": {"most": 2},
        "insert": {"num_units": 2},
        "optimise": {"steps": 4, "sizes": 1, "values": "present"},
        "artifacts": {
            "sizes": 1,
            "parts": 2,
            "real_images": place / "real",
            "features": f"{place / 'features.py'}:features",
            "feature_layer": "colors",
        },
    }
    changes = options[task] | {"checkpoints": tmp_path / "kept"}
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(words(place, task, first, **changes)) == 0
    kept = {path.name for path in (tmp_path / "kept").rglob("checksums/*.json")}
    pilot, artifacts = {"1.json"}, {"5.json"}
    assert kept == {"12.json", *({"4.json"} if task == "optimise" else ())} | (
        artifacts if task == "artifacts" else pilot
    )
    assert main(words(place, task, second, **changes, batch_size=5, devices=2)) == 0
    tables = [path.name for path in first.glob("*.csv")]
    assert len(tables) > 1
    for name in tables:
        assert (second / name).read_text() == (first / name).read_text()
    capsys.readouterr()
    assert main(words(place, task, tmp_path / "third", **changes, seed=1)) == 2
    assert "kept holds a computation with other settings: seed is 0 there and 1" in (
        capsys.readouterr().err
    )
