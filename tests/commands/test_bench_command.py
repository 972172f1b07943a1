"""`jaxdissect bench`: what it writes and prints, how it ends, and what it refuses."""

import json
import re
import subprocess
import sys

import pytest
from support.bench_runs import failed_run, made_up_run
from support.toy_workloads import STUDIES, WORKLOADS, stand_in

from jaxdissect.bench import run as running
from jaxdissect.bench import suite as suites
from jaxdissect.bench.run_file import RUN_FILE, read_run, write_run
from jaxdissect.commands import main as command_line

WRITTEN = {RUN_FILE, "summary.csv", "summary.md", "report.html"}


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """Write a suite of toys, measured in no time, and give its path."""
    stand_in(monkeypatch)
    monkeypatch.setitem(suites.WORKLOADS, "doubling", WORKLOADS["doubling"])
    monkeypatch.setitem(suites.STUDIES, "ones", STUDIES["ones"])
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = tmp_path / "toys.yaml"
        path.write_text(f"schema: 1\ntitle: Toys.\nseconds: 0\nleast_repeats: 5\n{text}")
        return str(path)

    return write


def bench(*words):
    return command_line.main(["bench", *map(str, words)])


def refused(capsys, *words):
    """What stderr says of options that cannot be followed."""
    assert bench(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxdissect: error: ") and said.count("\n") == 1
    return said


RIGHT = "rows: [{workload: doubling}]\nstudies: [{study: ones}]"


def test_everything_is_written_and_told(toys, tmp_path, capsys):
    out = tmp_path / "results"
    assert bench("--config", toys(RIGHT), "--out", out) == 0
    assert {path.name for path in out.iterdir()} == WRITTEN
    printed = capsys.readouterr()
    assert re.search(r" s  2/4  doubling: [\d.]+ \w+, [\d,.]+ images/s, .*right\n", printed.err)
    assert "every answer is right" in printed.out and "report.html" in printed.out
    run = read_run(out)
    assert run.command == "jaxdissect bench --config toys.yaml --out results"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_wrong_answer_ends_with_1(toys, tmp_path, capsys):
    text = "rows: [{workload: doubling, sweep: {kind: [wrong, failing]}}]\n"
    text += "studies: [{study: ones, kind: wrong}]"
    assert bench("--config", toys(text), "--out", tmp_path / "out", "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    first, second, third = printed.out.splitlines()
    assert first == "failed: doubling wrong: its answer is wrong: it differs from NumPy"
    assert second.startswith("failed: doubling failing: MemoryError: more than this device has")
    assert third.startswith("failed: ones wrong: one: its answer is wrong: it differs from one")
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN


def test_only_some_and_their_traces(toys, tmp_path):
    out = tmp_path / "out"
    path = toys("rows: [{workload: doubling, sweep: {number: [1, 2]}}]\nstudies: [{study: ones}]")
    assert bench("--config", path, "--only", "*2", "--profile", "--out", out, "--quiet") == 0
    assert [row.name for row in read_run(out).rows] == ["doubling number 2"]
    assert not read_run(out).studies
    assert [trace.name for trace in (out / "traces").iterdir()] == ["doubling_number_2"]
    assert read_run(out).command.endswith("--only '*2' --out out --profile")


def test_a_dry_run_measures_nothing(toys, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(running, "measure", None)
    assert bench("--config", toys(RIGHT), "--out", tmp_path / "out", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "doubling: Add to itself.\n    number 8, scale 1.0, kind right" in printed
    assert printed.endswith("1 row, 1 study\n") and not (tmp_path / "out").exists()


def test_an_interrupted_run_leaves_nothing_half(toys, tmp_path, monkeypatch):
    def measure(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "measure", measure)
    assert bench("--config", toys(RIGHT), "--out", tmp_path / "out", "--quiet") == 130
    assert [path.name for path in tmp_path.iterdir()] == ["toys.yaml"]


def test_results_are_replaced_only_if_asked_for(toys, tmp_path, capsys):
    out, path = tmp_path / "out", toys(RIGHT)
    assert bench("--config", path, "--out", out, "--quiet") == 0
    assert "`--overwrite` replaces them" in refused(capsys, "--config", path, "--out", out)
    assert bench("--config", path, "--out", out, "--quiet", "--overwrite") == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    words = ("--config", path, "--out", tmp_path / "mine", "--overwrite")
    assert "a folder of other files" in refused(capsys, *words)


def recorded(folder, run):
    folder.mkdir()
    write_run(run, folder)
    return folder


def test_an_earlier_run_is_compared_with(tmp_path, capsys):
    old = recorded(tmp_path / "old", made_up_run(seed=1))
    same = recorded(tmp_path / "same", made_up_run(seed=2))
    slower = recorded(tmp_path / "slower", made_up_run(seed=2, slower={"overlap": 3.0}))
    assert bench("--compare", old, "--runs", same) == 0
    assert capsys.readouterr().out
    assert bench("--compare", old, "--runs", slower, "--quiet") == 1
    assert "overlap" in capsys.readouterr().out
    once = recorded(tmp_path / "once", made_up_run(repeats=1))
    assert bench("--compare", old, "--runs", once, "--quiet") == 2
    assert "No row could be judged." in capsys.readouterr().out
    gpu = recorded(tmp_path / "gpu", made_up_run(platform="gpu"))
    assert bench("--compare", old, "--runs", gpu, "--quiet") == 2
    assert "H100" in capsys.readouterr().out


def test_a_run_is_compared_when_it_ends(toys, tmp_path, capsys):
    """Other rows than before: there is nothing to compare, but nothing measured is lost."""
    old = recorded(tmp_path / "old", made_up_run())
    path, out = toys(RIGHT), tmp_path / "out"
    assert bench("--config", path, "--out", out, "--compare", old, "--quiet") in (0, 2)
    assert read_run(out).passed
    missing = refused(capsys, "--config", path, "--out", tmp_path / "b", "--compare", tmp_path)
    assert "holds no detailed.json" in missing and not (tmp_path / "b").exists()


def test_recorded_runs_are_rendered(tmp_path, capsys):
    runs = [recorded(tmp_path / name, run) for name, run in (
        ("cpu", made_up_run()), ("gpu", made_up_run(platform="gpu")), ("failed", failed_run())
    )]  # fmt: skip
    page = tmp_path / "docs" / "RESULTS.md"
    assert bench("--render", page, "--runs", *runs) == 0
    assert "H100" in page.read_text()
    assert "`--overwrite` replaces it" in refused(capsys, "--render", page, "--runs", runs[0])
    assert bench("--render", page, "--runs", runs[0], "--overwrite", "--quiet") == 0
    assert "H100" not in page.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "`suite` must be one of: smoke, cpu, gpu, full; or give a file"),
        (("--config", "{toys}"), "`out` must be given"),
        (("--config", "{toys}", "--out", "x", "--only", "a"), "`only` (='a') names nothing"),
        (("--config", "nowhere.yaml", "--out", "x"), "nowhere.yaml"),
        (("--runs", "x"), "`runs` are for `compare` or `render`"),
        (("--render", "x.md"), "`runs` must name what `render` is to show"),
        (("--suite", "smoke", "--runs", "x"), "`suite` measures, but `runs` are there already"),
        (("--runs", "x", "y", "--compare", "z"), "`compare` takes one of `runs`, not 2"),
        (("--runs", "x", "--compare", "z"), "x"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(words, said, toys, capsys):
    path = toys(RIGHT)
    assert said in refused(capsys, *(word.format(toys=path) for word in words))


def test_a_suite_that_is_none_is_refused_in_a_line(toys, capsys):
    path = toys("rows: [{workload: dubling}]")
    said = refused(capsys, "--config", path, "--out", "x")
    assert "toys.yaml: row 1: `workload` (='dubling') must be one of: " in said


def test_a_damaged_run_is_refused(tmp_path, capsys):
    path = write_run(made_up_run(), tmp_path)
    values = json.loads(path.read_text()) | {"schema": 99}
    path.write_text(json.dumps(values))
    said = refused(capsys, "--render", tmp_path / "x.md", "--runs", path)
    assert "`schema` (=99) must be from 1 to 1" in said


@pytest.mark.slow
def test_the_module_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "jaxdissect.bench", "--suite", "smoke", "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith("smoke: "), done.stderr
