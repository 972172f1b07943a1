"""A suite is run: what fails stands in its row, and the others are measured."""

import dataclasses
import subprocess

import jax.numpy as jnp
import pytest
from support.bench_runs import CPU
from support.toy_workloads import STUDIES, WORKLOADS, stand_in

from jaxdissect.bench import run as running
from jaxdissect.bench.rendering.page import report_html
from jaxdissect.bench.rendering.row_figures import best_roofs
from jaxdissect.bench.rendering.run_tables import failures, roofs_table
from jaxdissect.bench.run import RunListener, file_name, run_suite
from jaxdissect.bench.run_file import read_run, write_run
from jaxdissect.bench.suite import parse_suite


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    stand_in(monkeypatch)


def suite(text):
    head = "schema: 1\nseconds: 0\nleast_repeats: 2\n"
    return parse_suite(head + text, name="toys", workloads=WORKLOADS, studies=STUDIES)


class Listener(RunListener):
    def __init__(self):
        self.heard = []

    def begins(self, name, number, total):
        self.heard.append(f"{number}/{total} {name}")

    def ends(self, found):
        self.heard.append(type(found).__name__)


def test_what_fails_does_not_stop_the_others(tmp_path):
    listener = Listener()
    found = run_suite(
        suite("""
rows:
  - {workload: doubling, name: failing, kind: failing}
  - {workload: doubling, name: wrong, kind: wrong}
  - {workload: doubling, name: right}
studies:
  - {study: ones, name: no ones, kind: failing}
  - {study: ones, name: other ones, kind: wrong}
  - {study: ones, name: ones}
"""),
        command="jaxdissect bench",
        told=listener,
    )
    failing, wrong, right = found.rows
    assert "more than this device has" in failing.problem and failing.timing is None
    assert not wrong.problem and wrong.gate is not None and not wrong.gate.passed
    assert right.gate is not None and right.gate.passed and len(right.gate.fingerprint) == 64
    assert right.timing is not None and len(right.timing.seconds) >= 2
    assert right.notes["halves"] == [1, 2] and right.sizes["number"] == 8
    failed, others, ones = found.studies
    assert failed.problem == "RuntimeError: no such operation on this device"
    assert not others.gates["one"].passed and ones.gates["one"].passed
    assert ones.tables[0].rows == ((1.5, None),) and ones.data["rates"][1] == "Infinity"
    assert not found.passed
    assert listener.heard[:4] == ["1/8 roofs", "Roofs", "2/8 failing", "Row"]
    assert listener.heard[-4:] == ["7/8 ones", "StudyResult", "8/8 roofs", "Roofs"]
    assert read_run(write_run(found, tmp_path)) == found


def test_all_that_is_right_passes():
    found = run_suite(suite("rows: [{workload: doubling}]\nstudies: [{study: ones}]"))
    assert found.passed and found.suite == "toys" and found.machine == CPU


def test_what_cannot_be_written_fails_its_row_alone(monkeypatch):
    right = running.measure  # the stand-in

    def measure(name, *arguments, **options):
        row = right(name, *arguments, **options)
        return dataclasses.replace(row, notes={"what": object()}) if name == "odd" else row

    monkeypatch.setattr(running, "measure", measure)
    text = "rows: [{workload: doubling, name: odd}, {workload: doubling}]"
    odd, even = run_suite(suite(text)).rows
    assert odd.problem.startswith("TypeError: object is neither") and not even.problem


def test_what_ran_is_what_was_there_when_it_began(monkeypatch):
    commits = iter(["1" * 40, "2" * 40])
    monkeypatch.setattr(running, "_commit", lambda: next(commits))
    right = running.measure

    def measure(*arguments, **options):
        monkeypatch.setattr(running, "_commit", lambda: "3" * 40)  # somebody works on
        return right(*arguments, **options)

    monkeypatch.setattr(running, "measure", measure)
    assert run_suite(suite("rows: [{workload: doubling}]")).commit == "1" * 40


def test_rows_are_not_lost_where_the_roofs_cannot_be_measured_again(monkeypatch, tmp_path):
    roofs = running.measure_roofs  # the stand-in

    def full(*, seconds):
        raise MemoryError("no room for 16384 x 16384")

    def once(*, seconds):
        monkeypatch.setattr(running, "measure_roofs", full)
        return roofs(seconds=seconds)

    monkeypatch.setattr(running, "measure_roofs", once)
    found = run_suite(suite("rows: [{workload: doubling}]"))
    assert found.problem == "after the rows: MemoryError: no room for 16384 x 16384"
    assert found.rows[0].timing is not None and not found.passed
    assert read_run(write_run(found, tmp_path)) == found
    assert failures(found) == [("roofs", found.problem)]
    assert best_roofs(found).bytes == found.roofs.bytes
    assert all(row[2:] == ("–", None) for row in roofs_table(found).rows)
    assert report_html(found)


def test_interrupting_ends_the_run(monkeypatch):
    def measure(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite("rows: [{workload: doubling}]"))


def test_a_trace_is_kept_of_every_row(tmp_path):
    run_suite(suite("rows: [{workload: doubling, name: a b/c}]"), traces=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a_b_c"]
    assert file_name("../x") == "x" and file_name("///") == "row"


def test_the_commit_says_what_was_changed(monkeypatch, tmp_path):
    def git(*words):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    file = tmp_path / "jaxdissect" / "bench" / "run.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setattr(running, "__file__", str(file))
    assert running._commit() == ""
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    commit = running._commit()
    assert len(commit) == 40
    file.write_text("1")
    assert running._commit() == f"{commit}-dirty"


def test_a_row_finds_the_device_as_the_first_one_did():
    """Arrays that a row has left are gone when the next one begins."""
    import jax

    kept = jnp.ones((1000, 17))
    before = len(jax.live_arrays())
    run_suite(suite("rows: [{workload: doubling, sweep: {number: [5, 6]}}]"))
    assert len(jax.live_arrays()) <= before
    del kept
