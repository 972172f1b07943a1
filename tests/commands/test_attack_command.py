"""`jaxdissect attack` and `jaxdissect defend`: everything is written, wrong input is refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from support import command_line
from support.result_sections import columns_missed

from jaxdissect.commands.main import main
from jaxdissect.commands.options import attack as attack_options

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
    expected |= {"groups.png", "units.png", "examples.png", "attack.json", "run.json"}
    expected |= {"index.html", "page"}
    assert {path.name for path in out.iterdir()} == expected
    assert not columns_missed(out)
    images = rows(out / "images.csv")
    assert len(images) == 6 and {row["target"] for row in images} == {"b"}
    assert all("b" not in (row["class"], row["classified as"]) for row in images)
    facts = json.loads((out / "attack.json").read_text())
    succeeded = [row for row in images if row["success"] == "True"]
    assert succeeded and facts["success"] == len(succeeded) / 6
    distances = [float(row["L2 distance"]) for row in succeeded]
    assert facts["median L2 distance"] == pytest.approx(np.median(distances), 1e-5)
    groups = {row["important to"]: row for row in rows(out / "groups.csv")}
    # Only one unit damages the target at all, by the estimate of one backward pass.
    assert (facts["units important to the target"], facts["units that damage the target"]) == (1, 1)
    assert int(groups["target"]["pairs"]) == len(succeeded)
    changes = [float(row["mean change of peak"]) for row in rows(out / "units.csv")]
    assert len(changes) == 8 and changes == sorted(changes, reverse=True)
    sheet = np.asarray(Image.open(out / "examples.png").convert("RGB"))
    assert sheet.shape[0] > 100 * len(succeeded)


@pytest.mark.slow
def test_defend_writes_everything(place, tmp_path):
    out = tmp_path / "out"
    extra = ["--sizes", "0", "2", "--num-masks", "3", "--attacker-masks", "3", "--num-draws", "4"]
    choices = ["--choices", "important", "random-important"]
    assert main([*words("defend", place, out), *extra, *choices]) == 0
    expected = {"defences.csv", "defence.png", "defence.json", "run.json", "index.html", "page"}
    assert {path.name for path in out.iterdir()} == expected
    assert not columns_missed(out)
    found = rows(out / "defences.csv")
    assert [(row["attack"], row["deactivated"], row["units"]) for row in found] == [
        (goal, choice, size)
        for goal in ("targeted", "untargeted")
        for choice in ("important", "random-important")
        for size in ("0", "2")
    ]
    # Nothing deactivated: both attacks are the same.
    for first in (found[0], found[4]):
        assert float(first["success of transferred attack"]) > 0
        assert first["success of transferred attack"] == first["success of adaptive attack"]
        assert float(first["change of accuracy by the defence"]) == 0
    for row in found:
        name = "accuracy under adaptive attack"
        change = float(row[f"change of {name} by the defence"])
        undefended = found[0 if row["attack"] == "targeted" else 4]
        assert change == pytest.approx(float(row[name]) - float(undefended[name]), abs=1e-6)
        low, rate, high = (float(row[f"{name}{end}"]) for end in (" (low)", "", " (high)"))
        assert low <= rate <= high and high > low
        random = row["deactivated"] == "random-important"
        assert row["draws of masks"] == ("4" if random else "1")
        assert (row[f"{name} (deviation of draws)"] == "") != random


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "zebra"}, "`target` (='zebra') must be one of: a, b, c, d, e"),
        ({"num-attacked": 0}, "`num_attacked`"),
        ({"layer": "conv9"}, "conv1, conv2, head"),
        ({"top": 99}, "`top`"),
        ({"max-iterations": 0}, "`max_iterations`"),
        ({"attack": "pgd-l2", "steps": 0}, "`steps`"),
        ({"sizes": 9}, "`sizes` (=(9,)) must be 0 to 8"),
        ({"sizes": 3, "pool": 2}, "`pool` (=2) must be 3 to 8"),
        ({"sizes": 3, "pool": 9}, "`pool` (=9) must be 3 to 8"),
        ({"num-masks": 0}, "`num_masks`"),
        ({"num-draws": 0}, "`num_draws`"),
        ({"attacker-masks": 0}, "`attacker_masks`"),
        ({"adaptive-confidences": -1}, "`confidence` (=-1.0)"),
    ],
)
def test_wrong_input_is_refused(place, tmp_path, capsys, monkeypatch, changes, message):
    """Before any work: no unit is ranked, and no image attacked."""
    monkeypatch.setattr(attack_options, "study_attack", None)
    out = tmp_path / "out"
    own = {"sizes", "pool", "num-masks", "num-draws", "attacker-masks", "adaptive-confidences"}
    given = words("defend" if own & set(changes) else "attack", place, out)
    for name, value in changes.items():
        given += [f"--{name}", str(value)]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


def test_an_attack_that_fails_names_its_own_options(place, tmp_path, capsys):
    for attack, further in (
        ("pgd-linf", "`--epsilon` or `--steps`"),
        ("carlini-wagner", "`--max-"),
    ):
        given = words("attack", place, tmp_path / "out", attack=attack, epsilon=1e-6)
        given += ["--max-iterations", "1", "--binary-search-steps", "1", "--steps", "1"]
        assert main(given) == 2
        assert f"give it more of {further}" in capsys.readouterr().err


def test_a_target_without_ranking_images_is_refused(place, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("\n".join("abcde"))
    (tmp_path / "rank").mkdir()
    for name in "acde":
        (tmp_path / "rank" / name).symlink_to(place / "rank" / name)
    given = words(
        "attack", place, tmp_path / "out",
        **{"rank-images": tmp_path / "rank", "class-names": tmp_path / "names.txt"},
    )  # fmt: skip
    assert main(given) == 2
    assert "`target` (='b'): `rank_images` has no image of this class" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["defend"])
def test_the_same_command_reads_what_is_kept(place, tmp_path, capsys, command):
    changes = {"checkpoints": tmp_path / "kept"}
    if command == "defend":
        changes |= {"sizes": [0, 2], "choices": ["random"], "num-draws": 2}
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(words(command, place, first, **changes)) == 0
    states = sorted((tmp_path / "kept").rglob("checksums/*.json"))
    assert {path.stem for path in states} >= {"6"}
    times = [path.stat().st_mtime_ns for path in states]
    assert main(words(command, place, second, **changes, **{"batch-size": 3})) == 0
    assert [path.stat().st_mtime_ns for path in states] == times
    tables = [path.name for path in first.glob("*.csv")]
    assert tables
    for name in tables:
        assert (second / name).read_text() == (first / name).read_text()
    assert main(words(command, place, tmp_path / "third", **changes, seed=1)) == 2
    assert "holds a computation with other settings: seed is 0 there" in capsys.readouterr().err
