"""Run a suite: the machine's card and roofs, every row, every study, and the roofs again."""

import dataclasses
import gc
import os
import re
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jax

from jaxdissect.bench.measuring.machine import read_machine
from jaxdissect.bench.measuring.roofs import Roofs, measure_roofs
from jaxdissect.bench.measuring.row import measure
from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.problems import in_words
from jaxdissect.bench.record import Row, Run, StudyResult
from jaxdissect.bench.suite import Suite, SuiteRow, SuiteStudy


class RunListener:
    """Is told how far a run is; this one does nothing about it."""

    def begins(self, name: str, number: int, total: int) -> None:
        """Hear that a row, a study or the roofs begin; `number` of `total` such steps."""

    def ends(self, found: Roofs | Row | StudyResult) -> None:
        """Hear what has been measured of what began, or that it could not be."""


def run_suite(
    suite: Suite,
    *,
    command: str = "",
    traces: Path | None = None,
    told: RunListener | None = None,
) -> Run:
    """Measure all that a suite lists.

    What one row or study raises stands in its result, and the others are measured nevertheless.

    Args:
        suite: What to measure.
        command: What was typed, for the record.
        traces: Folder for a trace of `jax.profiler` of every row; none where None.
        told: Is told how far it is.
    """
    told = told or RunListener()
    total = len(suite.rows) + len(suite.studies) + 2
    begun, clock = datetime.now(UTC), time.monotonic()
    # What is measured is what is there now: files may be changed while it takes its time.
    release, commit = version("jaxdissect"), _commit()
    machine = read_machine()
    told.begins(ROOFS, 1, total)
    roofs = measure_roofs(seconds=suite.roof_seconds)
    told.ends(roofs)
    rows, studies = [], []
    for number, entry in enumerate(suite.rows, start=2):
        told.begins(entry.name, number, total)
        rows.append(_row(entry, traces))
        told.ends(rows[-1])
    for number, entry in enumerate(suite.studies, start=2 + len(rows)):
        told.begins(entry.name, number, total)
        studies.append(_study(entry, roofs))
        told.ends(studies[-1])
    told.begins(ROOFS, total, total)
    roofs_after, problem = _roofs_again(suite.roof_seconds)
    told.ends(roofs_after)
    return Run(
        suite=suite.name,
        command=command,
        begun=begun.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        machine=machine,
        roofs=roofs,
        roofs_after=roofs_after,
        rows=tuple(rows),
        studies=tuple(studies),
        version=release,
        commit=commit,
        problem=problem,
    )


ROOFS = "roofs"
"""What the measuring of the roofs is called where a run tells how far it is."""


def _roofs_again(seconds: float) -> tuple[Roofs, str]:
    """Measure the roofs after the rows; where that fails, say why: the rows must not be lost."""
    try:
        return measure_roofs(seconds=seconds), ""
    except Exception as raised:
        return Roofs(products={}, operations=0.0, bytes=0.0), f"after the rows: {in_words(raised)}"


def _row(entry: SuiteRow, traces: Path | None) -> Row:
    try:
        row = measure(
            entry.name,
            entry.workload,
            entry.sizes,
            seconds=entry.seconds,
            least_repeats=entry.least_repeats,
            trace=None if traces is None else traces / file_name(entry.name),
        )
        # As it will be read from the file; what cannot be written must not fail at the very end.
        return from_plain(Row, to_plain(row), where=entry.name)
    except Exception as raised:
        return Row(
            name=entry.name,
            workload=entry.workload.name,
            sizes=to_plain(entry.sizes),
            devices=0,
            images=0,
            work=None,
            analysed=None,
            timing=None,
            memory=None,
            gate=None,
            problem=in_words(raised),
        )
    finally:
        _forget()


def _study(entry: SuiteStudy, roofs: Roofs) -> StudyResult:
    clock = time.monotonic()
    nothing = StudyResult(
        name=entry.name,
        study=entry.study.name,
        sizes=to_plain(entry.sizes),
        tables=(),
        gates={},
        data={},
        seconds=0.0,
    )
    try:
        found = entry.study.measure(entry.sizes, roofs)
        result = dataclasses.replace(
            nothing,
            tables=tuple(found.tables),
            gates=dict(found.gates),
            data=found.data,
            seconds=time.monotonic() - clock,
        )
        return from_plain(StudyResult, to_plain(result), where=entry.name)
    except Exception as raised:
        # Such as too little memory, or what this device cannot compute: the others go on.
        return dataclasses.replace(
            nothing, seconds=time.monotonic() - clock, problem=in_words(raised)
        )
    finally:
        _forget()


def _forget() -> None:
    """Free what a row has left, so that the next one finds the device as the first one did."""
    jax.clear_caches()
    gc.collect()


def file_name(name: str) -> str:
    """Make the name of a row one of a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "row"


def _commit() -> str:
    """Give the commit of the sources, with "-dirty" where files were changed since."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():  # installed: it may lie in a checkout of something else
        return ""
    quiet = dict(os.environ, GIT_OPTIONAL_LOCKS="0")

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=quiet,
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):  # no git, or not our folder
        return ""
