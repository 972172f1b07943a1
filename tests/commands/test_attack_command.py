"""`jaxdissect attack` and `jaxdissect defend`: everything is written, wrong input is refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support import command_line

from jaxdissect.commands.main import main

MODEL = """
import numpy as np
import jax
from support.toy_attacked import classifier


def build():
    return classifier()
"""
FEW = {"max_iterations": 40, "binary_search_steps": 3, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders of noise by class, and the toy classifier."""
    folder = tmp_path_factory.mktemp("attacked")
    random = np.random.RandomState(0)
    for part in ("rank", "images"):
        for name in "abcde":
            (folder / part / name).mkdir(parents=True)
            for index in range(4):
                pixels = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{index}.png")
    (folder / "toy.py").write_text(MODEL)
    return folder


def words(command, place, out, **changes):
    options = {
        "out": out,
        "model": f"{place / 'toy.py'}:build",
        "rank-images": place / "rank",
        "images": place / "images",
        "target": "b",
        "layer": "conv2",
        "num-attacked": 6,
        "top": 2,
        "rank-by": "estimate",
        "quiet": True,
    }
    return command_line.words(command, options=options | FEW | changes)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_attack_writes_everything(place, tmp_path):
    out = tmp_path / "out"
    assert main([*words("attack", place, out), "--tables", "csv", "json", "parquet"]) == 0
    names = ("images", "groups", "units")
    expected = {f"{name}.{end}" for name in names for end in ("csv", "json", "parquet")}
    expected |= {"groups.png", "units.png", "examples.png", "attack.json"}
    assert {path.name for path in out.iterdir()} == expected
    images = rows(out / "images.csv")
    assert len(images) == 6 and {row["target"] for row in images} == {"b"}
    assert all("b" not in (row["class"], row["classified as"]) for row in images)
    facts = json.loads((out / "attack.json").read_text())
    succeeded = [row for row in images if row["success"] == "True"]
    assert succeeded and facts["success"] == len(succeeded) / 6
    distances = [float(row["L2 distance"]) for row in succeeded]
    assert facts["median L2 distance"] == pytest.approx(np.median(distances), 1e-5)
    groups = {row["important to"]: row for row in rows(out / "groups.csv")}
    assert int(groups["target"]["pairs"]) == 2 * len(succeeded)
    changes = [float(row["mean change of peak"]) for row in rows(out / "units.csv")]
    assert len(changes) == 8 and changes == sorted(changes, reverse=True)
    sheet = np.asarray(Image.open(out / "examples.png").convert("RGB"))
    assert sheet.shape[0] > 100 * len(succeeded)


def test_defend_writes_everything(place, tmp_path):
    out = tmp_path / "out"
    extra = ["--sizes", "0", "2", "--num-masks", "3", "--attacker-masks", "3"]
    choices = ["--choices", "important", "random-important"]
    assert main([*words("defend", place, out), *extra, *choices]) == 0
    assert {path.name for path in out.iterdir()} == {"defence.csv", "defence.png", "defence.json"}
    found = rows(out / "defence.csv")
    assert [(row["deactivated"], row["units"]) for row in found] == [
        (choice, size) for choice in ("important", "random-important") for size in ("0", "2")
    ]
    # Nothing deactivated: both attacks are the same.
    first = found[0]
    assert float(first["success of transferred attack"]) > 0
    assert first["success of transferred attack"] == first["success of adaptive attack"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "zebra"}, "`target` (='zebra') must be one of: a, b, c, d, e"),
        ({"num-attacked": 0}, "`num_attacked`"),
        ({"layer": "conv9"}, "conv1, conv2, head"),
        ({"top": 99}, "`top`"),
        ({"max-iterations": 0}, "`max_iterations`"),
    ],
)
def test_wrong_input_is_refused(place, tmp_path, capsys, changes, message):
    out = tmp_path / "out"
    given = words("attack", place, out)
    for name, value in changes.items():
        given += [f"--{name}", str(value)]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()
