"""Comparisons are told in tables: who is absent, who failed, and what is not the same."""

import json
import sys
from typing import Any

import numpy as np
import pytest

from jaxdissect.bench.checking.gate import equal
from jaxdissect.bench.others import libraries
from jaxdissect.bench.others.match import Absent, Contender, Match, Terms, unless_missing
from jaxdissect.bench.others.tables import played
from jaxdissect.bench.plain_records import to_plain


def contender(name, answer, *, share=1.0, steps=None, differs=""):
    def run():
        if answer is None:
            raise MemoryError("too little")
        return answer

    return Contender(
        name=name,
        library="numpy",
        run=run,
        wait=lambda answer: None,
        terms=Terms(
            device="cpu", threads="1", precision="", layout="", exactness="exact", differs=differs
        ),
        share=share,
        steps=steps,
    )


def match_of(*contenders):
    def check(answers):
        return {
            name: equal(np.array(answer), np.array(answers["ours"]), against="ours")
            for name, answer in answers.items()
        }

    return Match(title="Work", unit="image", units=2, contenders=contenders, check=check, note="")


def test_absent_and_failing_ones_stand_in_the_table_and_fail_nothing():
    absent = Absent(name="theirs", library="nothing", reason="not installed: pip")
    match = match_of(contender("ours", 1), absent, contender("poor", None), contender("slow", 1))
    found = played(match, turns=2, seconds=1.0)
    times, terms = found.tables
    rows: Any = {row[0]: dict(zip(times.columns, row, strict=True)) for row in times.rows}
    assert list(rows) == ["ours", "theirs", "poor", "slow"]
    assert rows["theirs"]["version"] == "none"
    assert rows["theirs"]["remark"] == "not installed: pip"
    assert rows["poor"]["remark"] == "could not run: MemoryError: too little"
    assert rows["poor"]["ms per image"] is None and rows["slow"]["ms per image"] > 0
    assert rows["ours"]["times as long as ours"] == 1
    assert rows["slow"]["interval from"] <= rows["slow"]["times as long as ours"]
    assert "steps" not in times.columns
    assert [row[0] for row in terms.rows] == ["ours", "poor", "slow"]
    assert set(found.gates) == {"ours", "slow"} and all(g.passed for g in found.gates.values())
    assert json.loads(json.dumps(to_plain(found)))


def test_another_answer_fails():
    found = played(match_of(contender("ours", 1), contender("wrong", 2)), turns=1, seconds=1.0)
    assert found.gates["ours"].passed and not found.gates["wrong"].passed


def test_steps_are_told_where_there_are_some():
    fast = contender("ours", 1, steps=lambda: 10)
    found = played(match_of(fast, contender("slow", 1)), turns=1, seconds=1.0)
    times = found.tables[0]
    rows: Any = [dict(zip(times.columns, row, strict=True)) for row in times.rows]
    ours, slow = rows
    assert ours["steps"] == 10
    assert ours["ms per step"] == pytest.approx(2 * ours["ms per image"] / 10)
    assert slow["steps"] is None


def test_nothing_is_compared_with_what_cannot_run():
    with pytest.raises(RuntimeError, match="ours could not run: MemoryError: too little"):
        played(match_of(contender("ours", None), contender("slow", 1)), turns=1, seconds=1.0)


def test_a_missing_library_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    found = unless_missing("captum", "captum", lambda: libraries.load("captum.attr"))
    (absent,) = found
    assert isinstance(absent, Absent)
    assert "captum is not installed: pip install 'jaxdissect[others]'" == absent.reason


def test_a_library_that_needs_another_says_which(tmp_path, monkeypatch):
    (tmp_path / "needy_library.py").write_text("import a_library_that_is_not_there\n")
    (tmp_path / "broken_library.py").write_text("raise OSError('libx.so: not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(libraries.MissingLibrary, match="needs a_library_that_is_not_there"):
        libraries.load("needy_library")
    with pytest.raises(libraries.MissingLibrary, match="cannot be imported: libx.so: not found"):
        libraries.load("broken_library")


def test_what_cannot_be_prepared_is_absent():
    def build():
        raise RuntimeError("CUDA out of memory\nmore")

    (absent,) = unless_missing("PyTorch", "torch", build)
    assert isinstance(absent, Absent) and absent.reason == "cannot run here: CUDA out of memory"
    assert libraries.version_of("no such distribution") == ""
