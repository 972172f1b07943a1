"""`jaxdissect reproduce`: what it plans, refuses, and writes."""

import csv
import json

import pooch
import pytest
from support.command_line import words

from jaxdissect.commands.main import main
from jaxdissect.commands.reproduce import command, tables
from jaxdissect.reproduction import Materials, read_experiments
from jaxdissect.reproduction.outcome import OUTSIDE, WITHIN, compare_with_published

EXPERIMENTS = read_experiments("pnas2020")


def reproduce(**options):
    return main(words("reproduce", "pnas2020", options=options))


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("nothing may be downloaded here")

    monkeypatch.setattr(pooch, "retrieve", refuse)


def test_a_dry_run_tells_all_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce(dry_run=True) == 0
    printed = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        assert f"{name}: {experiment.title}" in printed
    assert "0bafbc55" in printed and "593bbc21590cf7c396faac2e600cd30c" in printed
    assert f"In all: {len(EXPERIMENTS)} experiments" in printed
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_some(capsys):
    assert reproduce(dry_run=True, experiment=["style", "attack", "style"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("style: ") < printed.index("attack: ")
    assert "In all: 2 experiments" in printed and "remove-trees" not in printed


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "give one of `run` and `dry_run`"),
        ({"run": True, "dry_run": True, "out": "x"}, "give one of `run` and `dry_run`"),
        ({"run": True}, "`run` needs `out`"),
        ({"dry_run": True, "reduced": True}, "`reduced` goes with `run`"),
        ({"dry_run": True, "out": "x"}, "give it without `out`"),
        ({"dry_run": True, "experiment": ["vgg"]}, "must be one of: vgg16-layers, vgg16-conv5_3"),
        ({"run": True, "out": "x", "limit": 0}, "`limit` (=0) must be at least 1"),
        ({"run": True, "out": "x", "data": ["places=."]}, "must be NAME=DIR, with one of these"),
        ({"run": True, "out": "x", "data": ["places-val"]}, "must be NAME=DIR"),
        ({"run": True, "out": "x", "data": ["places-val=no"]}, "there is no folder no"),
        ({"run": True, "out": "x", "data": ["places-val=."] * 2}, "gives places-val twice"),
        (
            {"run": True, "reduced": True, "out": "x", "limit": 3, "weights": "."},
            "`weights`, `limit` cannot go with `reduced`",
        ),
        ({"run": True, "reduced": True, "out": "x", "dtype": "bfloat16"}, "must be 'float32'"),
    ],
)
def test_what_cannot_work_is_refused(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce(**options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_images_are_refused_with_the_ways_out(capsys, tmp_path):
    code = reproduce(run=True, out=tmp_path / "out", data=[f"places-val={tmp_path}"])
    assert code == 2
    printed = capsys.readouterr().err
    assert "--data places-train=DIR imagenet-train=DIR" in printed
    assert "--experiment vgg16-layers vgg16-conv5_3 resnet152-layers" in printed
    assert "--reduced" in printed and not (tmp_path / "out").exists()


def outcome(name, measured, comparable=""):
    return compare_with_published(EXPERIMENTS[name], {"unit": 150}, measured, comparable)


@pytest.fixture
def without_work(monkeypatch):
    """Let experiments measure what a test says, without computing anything."""

    def measure(values):
        monkeypatch.setattr(command, "published_materials", lambda *_, **__: Materials({}, {}))
        monkeypatch.setattr(
            command, "run_experiment", lambda experiment, *_, **__: outcome(experiment.name, values)
        )

    return measure


@pytest.mark.parametrize("accuracy, code", [(85.6, 0), (85.2, 0), (80.0, 1)])
def test_the_exit_code_tells_whether_figures_are_within(
    accuracy, code, without_work, capsys, tmp_path
):
    without_work({"threshold": 23.5, "accuracy/paper's threshold, training": accuracy})
    data = [f"{name}={tmp_path}" for name in ("imagenet-train", "imagenet-val")]
    out = tmp_path / "out"
    assert reproduce(run=True, experiment=["airplane-unit"], data=data, out=out) == code
    printed = capsys.readouterr().out
    assert (OUTSIDE if code else WITHIN) in printed
    with open(out / "published_and_measured.csv", newline="") as file:
        rows = {row["quantity"]: row for row in csv.DictReader(file)}
    row = rows["threshold"]
    assert (row["published"], row["measured"], row["tolerance"]) == ("23.4", "23.5", "0.5")
    assert row["verdict"] == WITHIN and "second hand" in row["known"]
    facts = json.loads((out / "reproduction.json").read_text())
    found = facts["experiments"]["airplane-unit"]
    assert found["measured"]["accuracy/paper's threshold, training"] == accuracy
    assert "published" not in json.dumps(found["measured"]) and not facts["reduced"]
    assert (out / "run.json").is_file()


def test_what_fails_does_not_take_the_others_with_it(monkeypatch, tmp_path, capsys):
    def run(experiment, *_, **__):
        if experiment.name == "remove-trees":
            raise OSError("`images` are of another kind")
        return outcome(experiment.name, {"shown": 3.0}, "not comparable: as a test says")

    monkeypatch.setattr(command, "published_materials", lambda *_, **__: Materials({}, {}))
    monkeypatch.setattr(command, "run_experiment", run)
    options = {"run": True, "out": tmp_path / "out"}
    assert reproduce(**options, experiment=["remove-trees", "insert-doors"]) == 1
    printed = capsys.readouterr().out
    assert "did not run: `images` are of another kind" in printed
    markdown = (tmp_path / "out" / "published_and_measured.md").read_text()
    assert "**It did not run to its end:** `images` are of another kind" in markdown
    facts = json.loads((tmp_path / "out" / "reproduction.json").read_text())["experiments"]
    assert facts["remove-trees"]["problem"] and not facts["insert-doors"]["problem"]
    assert facts["insert-doors"]["measured"] == {"shown": 3.0}
    # Alone, it is refused, and nothing is written.
    assert reproduce(run=True, out=tmp_path / "other", experiment=["remove-trees"]) == 2
    assert not (tmp_path / "other").exists()


def test_a_device_that_rounds_is_warned_of(without_work, monkeypatch, tmp_path):
    without_work({"threshold": 23.5, "accuracy/paper's threshold, training": 85.6})
    monkeypatch.setattr(command.jax, "default_backend", lambda: "gpu")
    data = [f"{name}={tmp_path}" for name in ("imagenet-train", "imagenet-val")]
    options = {"run": True, "experiment": ["airplane-unit"], "data": data}
    with pytest.warns(UserWarning, match="--matmul-precision highest"):
        assert reproduce(**options, out=tmp_path / "one") == 0
    assert reproduce(**options, out=tmp_path / "two", matmul_precision="highest") == 0


def test_a_run_may_be_replaced(without_work, tmp_path, capsys):
    without_work({"threshold": 23.5, "accuracy/paper's threshold, training": 85.6})
    data = [f"{name}={tmp_path}" for name in ("imagenet-train", "imagenet-val")]
    options = {"run": True, "experiment": ["airplane-unit"], "data": data, "out": tmp_path / "out"}
    assert reproduce(**options, quiet=True) == 0
    assert capsys.readouterr().out == ""
    assert reproduce(**options) == 2
    assert "`--overwrite` replaces" in capsys.readouterr().err
    assert reproduce(**options, overwrite=True) == 0


def test_markdown_never_shows_a_published_figure_as_measured():
    why = "not comparable: random weights"
    text = tables.markdown([outcome("airplane-unit", {"best threshold": 1.25}, why)])
    assert "**Not comparable: random weights.**" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    header = [cell.strip() for cell in rows[0].strip("|").split("|")]
    for line in rows[2:]:
        row = dict(zip(header, [cell.strip() for cell in line.strip("|").split("|")], strict=True))
        if row["quantity"] == "threshold":
            assert (row["published"], row["measured"], row["verdict"]) == ("23.4", "-", why)
        if row["quantity"] == "best threshold":
            assert (row["published"], row["measured"]) == ("-", "1.25")


def test_a_summary_of_what_cannot_be_compared_shows_no_published_figure():
    why = "not comparable: random weights"
    text = tables.summary([outcome("airplane-unit", {"best threshold": 1.25}, why)])
    assert why in text and "23.4" not in text and "85.6" not in text


@pytest.mark.slow
def test_a_reduced_run(tmp_path, capsys):
    out = tmp_path / "out"
    options = {"run": True, "reduced": True, "experiment": ["airplane-unit"], "out": out}
    assert reproduce(**options, batch_size=8) == 0
    printed = capsys.readouterr().out
    assert "not comparable: random weights" in printed and "23.4" not in printed
    with open(out / "published_and_measured.csv", newline="") as file:
        verdicts = {row["verdict"] for row in csv.DictReader(file)}
    assert verdicts == {"not comparable: random weights"}
    assert json.loads((out / "reproduction.json").read_text())["reduced"]
    assert (out / "airplane-unit" / "peaks.npz").is_file()


@pytest.mark.slow
def test_a_reduced_run_takes_up_its_checkpoints(tmp_path):
    """Drawn files are kept with them, for they know the very files that were read."""
    options = {"run": True, "reduced": True, "experiment": ["airplane-unit"], "batch_size": 8}
    options["checkpoints"] = tmp_path / "saved"
    tables = []
    for name in ("first", "second"):
        assert reproduce(**options, out=tmp_path / name) == 0
        tables.append((tmp_path / name / "published_and_measured.csv").read_bytes())
    assert tables[0] == tables[1]
