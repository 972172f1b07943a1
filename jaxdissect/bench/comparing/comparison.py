"""Compare two runs of a suite: what became slower beyond the measured noise, or is wrong now.

A row is called slower if its median grew by more than the noise and the machine explain, with a
chance of at most 5% that any row at all is called so where nothing changed: each row is tested at
5% over their number (Bonferroni), by Student's t. Less than 5% is never called slower. What noise
is, `jaxdissect.bench.comparing.noise` says.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.comparing.noise import Change, row_change, unsteadiness
from jaxdissect.bench.plain_records import to_plain
from jaxdissect.bench.record import Row, Run, StudyResult
from jaxdissect.bench.rendering.cell_text import number_text
from jaxdissect.stats.intervals import student_t

CHANCE = 0.05
"""That any row of a run is called slower where nothing changed, at most."""

LEAST = 1.05
"""Least ratio of times that is called slower, after what the machine explains."""

_NEVER = 100.0  # what two repeats that differ much would tell of is far above: it says nothing
_BLIND = 1.5  # a row that would have to take that much longer to be called slower is undecided

_JUDGED = ("slower", "faster", "as before")

REGRESSIONS = ("slower", "failed", "answer changed")
"""Verdicts that make a comparison fail."""


@dataclass(frozen=True, kw_only=True)
class RowComparison:
    """A row, or a check of a study, of two runs.

    Attributes:
        name: Of the row.
        verdict: "slower", "faster", "as before", or "undecided" where the noise hides half as much
            again; "failed" where it is not measured or wrong now; "answer changed" where an exact
            answer has another fingerprint; "other sizes", "missing", "new", "failed before" or
            "fails still" where there is nothing to compare with; "answer as before" where speeds
            cannot be compared.
        old, new: Medians in seconds; None where there is none.
        machine: Ratio of times that a slower or faster machine explains.
        called_from: Least ratio of times that would have been called slower; 100 if it is more.
        reason: In words; empty where the numbers say it.
    """

    name: str
    verdict: str
    old: float | None = None
    new: float | None = None
    machine: float | None = None
    called_from: float | None = None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """New over old median: 2 takes twice as long."""
        return None if self.old is None or self.new is None else self.new / self.old


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """What two runs of a suite tell of each other.

    Attributes:
        old: The suite of the older run, and when it began.
        refused: Why speeds cannot be compared, in sentences; empty where they can. Answers are
            compared nevertheless: exact ones are the same on every device.
        differs: What else differs, in sentences, such as versions.
        rows: Of the new run in its order, then those that are missing, then checks of studies
            that changed or are missing.
    """

    old: str
    refused: tuple[str, ...]
    differs: tuple[str, ...]
    rows: tuple[RowComparison, ...]

    @property
    def regressions(self) -> tuple[RowComparison, ...]:
        """What became slower beyond noise, fails, or has another answer."""
        return tuple(row for row in self.rows if row.verdict in REGRESSIONS)

    @property
    def judged(self) -> bool:
        """Whether the speed of any row could be told from noise, slower or not."""
        return any(row.verdict in _JUDGED for row in self.rows)

    def text(self) -> str:
        """Say all of it in words and a table, for a terminal."""
        return "\n".join(_lines(self))


def compare_runs(old: Run, new: Run) -> RunComparison:
    """Compare a run with an older one.

    Args:
        old: What is compared with.
        new: What was measured now.

    Returns:
        Verdicts for every row; `refused` says why, where speeds cannot be compared.
    """
    refused = list(_refusals(old, new))
    olds = {row.name: row for row in old.rows}
    if not refused and not any(row.name in olds for row in new.rows):
        refused.append("No row of one run is in the other.")
    elif not refused and not any(
        _same_work(olds[row.name], row) or row.problem or olds[row.name].problem
        for row in new.rows
        if row.name in olds
    ):
        refused.append("No row has the same sizes in both runs.")
    changes = {}
    if not refused:
        unsteady = unsteadiness(old), unsteadiness(new)
        for row in new.rows:
            before = olds.get(row.name)
            if before is not None and _comparable(before, row):
                changes[row.name] = row_change(before, row, old, new, unsteady=unsteady)
    tested = sum(change is not None for change in changes.values())
    rows = [
        _compared(olds.get(row.name), row, changes.get(row.name), tested, bool(refused))
        for row in new.rows
    ]
    names = {row.name for row in new.rows}
    rows += [RowComparison(name=name, verdict="missing") for name in olds if name not in names]
    rows += _studies(old, new)
    differs = list(_differences(old, new))
    explained = [change.machine for change in changes.values() if change is not None]
    if _other_programs(old, new) and max(explained, default=0.0) > math.log(LEAST):
        differs.append(
            "the fixed computation and the roofs were compiled by these too: what is put down to a "
            "slower machine may be theirs"
        )
    return RunComparison(
        old=f"{old.suite} of {old.begun}",
        refused=tuple(refused),
        differs=tuple(differs),
        rows=tuple(rows),
    )


def _refusals(old: Run, new: Run) -> Iterator[str]:
    """Say what makes times of two machines two different things."""
    one, other = old.machine, new.machine
    facts = [
        ("platform", one.platform, other.platform),
        ("device", one.device, other.device),
        ("number of devices", one.devices, other.devices),
        ("precision of float32 products", one.matmul_precision, other.matmul_precision),
    ]
    if one.platform == other.platform == "cpu":
        facts += [
            ("processor", one.processor, other.processor),
            ("number of cores", one.cores, other.cores),
            ("widest instructions", one.instructions, other.instructions),
        ]
    for name, before, now in facts:
        if before != now:
            yield f"The {name} is another: {before or 'none'}, now {now or 'none'}."


def _differences(old: Run, new: Run) -> Iterator[str]:
    """Say what else differs and may be the reason of a change."""
    one, other = old.machine, new.machine
    facts = [
        ("suite", old.suite, new.suite),
        ("commit", old.commit, new.commit),
        ("version", old.version, new.version),
        ("driver", one.driver, other.driver),
        ("XLA flags", one.xla_flags, other.xla_flags),
        ("system", one.system, other.system),
    ]
    if other.platform != "cpu":
        facts += [
            ("processor", one.processor, other.processor),
            ("number of cores", str(one.cores), str(other.cores)),
        ]
    for what, before, now in (
        ("", one.versions, other.versions),
        ("", one.environment, other.environment),
    ):
        facts += [
            (f"{what}{name}", before.get(name, ""), now.get(name, ""))
            for name in dict.fromkeys([*before, *now])
        ]
    for name, before, now in facts:
        if before != now:
            yield f"{name}: {before or 'none'}, now {now or 'none'}"
    if abs(one.load - other.load) > max(0.5, 0.25 * other.cores):
        yield f"load at the start: {one.load:.1f}, now {other.load:.1f}"


def _other_programs(old: Run, new: Run) -> bool:
    """Whether another compiler, driver or other settings may have made programs slower."""
    facts = [
        (machine.versions, machine.xla_flags, machine.environment, machine.driver)
        for machine in (old.machine, new.machine)
    ]
    return facts[0] != facts[1]


def _comparable(old: Row, new: Row) -> bool:
    """Whether both were timed, are right and are of the same work."""
    return _same_work(old, new) and all(
        row.timing is not None
        and row.timing.seconds
        and not row.problem
        and row.gate is not None
        and row.gate.passed
        for row in (old, new)
    )


def _same_work(old: Row, new: Row) -> bool:
    return (old.workload, _plain(old.sizes), old.devices, old.images) == (
        new.workload,
        _plain(new.sizes),
        new.devices,
        new.images,
    )


def _plain(sizes: dict[str, Any]) -> Any:
    """Sizes as a file of a run holds them, in which a tuple is a list."""
    return to_plain(sizes)


def _compared(
    old: Row | None, new: Row, change: Change | None, tested: int, refused: bool
) -> RowComparison:
    if new.problem or new.gate is None or not new.gate.passed:
        reason = new.problem or ("not checked" if new.gate is None else "its answer is wrong")
        still = old is not None and (old.problem or old.gate is None or not old.gate.passed)
        return RowComparison(
            name=new.name, verdict="fails still" if still else "failed", reason=reason
        )
    if old is None:
        return RowComparison(name=new.name, verdict="new")
    if old.problem or old.gate is None or not old.gate.passed:
        return RowComparison(name=new.name, verdict="failed before")
    # Rows that failed before they ran know neither their devices nor their images: those are past.
    if not _same_work(old, new):
        return RowComparison(name=new.name, verdict="other sizes", reason=_other_sizes(old, new))
    if reason := _other_answer(old.gate, new.gate):
        return RowComparison(name=new.name, verdict="answer changed", reason=reason)
    if refused:
        return RowComparison(name=new.name, verdict="answer as before")
    if old.timing is None or new.timing is None:
        return RowComparison(name=new.name, verdict="undecided", reason="it was not timed")
    medians = median(old.timing.seconds), median(new.timing.seconds)
    if change is None:
        return RowComparison(
            name=new.name,
            verdict="undecided",
            old=medians[0],
            new=medians[1],
            reason="a single repeat says nothing of the noise",
        )
    return _judged(new.name, change, tested, medians)


def _judged(name: str, change: Change, tested: int, medians: tuple[float, float]) -> RowComparison:
    reach = change.error * float(
        student_t(change.degrees + 1, level=1 - 2 * CHANCE / max(tested, 1))
    )
    margin = max(reach, math.log(LEAST))
    remains = change.change - change.machine
    called_from = math.exp(min(margin + change.most, math.log(_NEVER)))
    verdict = "as before"
    if remains > margin:
        verdict = "slower"
    elif remains < -margin:
        verdict = "faster"
    elif called_from > _BLIND:
        verdict = "undecided"
    return RowComparison(
        name=name,
        verdict=verdict,
        old=medians[0],
        new=medians[1],
        machine=math.exp(change.machine),
        called_from=called_from,
    )


def _other_answer(old: Gate | None, new: Gate | None) -> str:
    """Say how an exact answer changed; empty where it did not, or is not exact."""
    if old is None or not old.fingerprint:
        return ""
    if new is None or not new.fingerprint:
        return "its exact answer has no fingerprint any more"
    if old.fingerprint != new.fingerprint:
        return f"fingerprint {old.fingerprint[:12]}, now {new.fingerprint[:12]}"
    return ""


def _other_sizes(old: Row, new: Row) -> str:
    pairs = [("workload", old.workload, new.workload), ("devices", old.devices, new.devices)]
    pairs.append(("images", old.images, new.images))
    sizes = _plain(old.sizes), _plain(new.sizes)
    pairs += [
        (name, sizes[0].get(name), sizes[1].get(name))
        for name in dict.fromkeys([*sizes[0], *sizes[1]])
    ]
    return ", ".join(f"{name} {one}, now {other}" for name, one, other in pairs if one != other)


def _studies(old: Run, new: Run) -> Iterator[RowComparison]:
    """Tell which checks of studies fail now, have another answer, or are not made any more."""
    olds = {study.name: study for study in old.studies}
    names = {study.name for study in new.studies}
    for name in olds:
        if name not in names:
            yield RowComparison(name=name, verdict="missing", reason="a study")
    for study in new.studies:
        if study.problem:
            before = olds.get(study.name)
            verdict = "fails still" if before is not None and before.problem else "failed"
            yield RowComparison(name=study.name, verdict=verdict, reason=study.problem)
        yield from _study_gates(olds.get(study.name), study)


def _study_gates(old: StudyResult | None, new: StudyResult) -> Iterator[RowComparison]:
    same = old is not None and (old.study, _plain(old.sizes)) == (new.study, _plain(new.sizes))
    olds = old.gates if old is not None and same else {}
    if not new.problem:
        for check in olds:
            if check not in new.gates:
                yield RowComparison(
                    name=f"{new.name}: {check}", verdict="missing", reason="not checked any more"
                )
    for check, gate in new.gates.items():
        name = f"{new.name}: {check}"
        before = olds.get(check)
        if not gate.passed:
            yield RowComparison(name=name, verdict="failed", reason="its answer is wrong")
        elif before is not None and (reason := _other_answer(before, gate)):
            yield RowComparison(name=name, verdict="answer changed", reason=reason)


def _lines(comparison: RunComparison) -> Iterator[str]:
    yield f"Compared with {comparison.old}."
    if comparison.refused:
        yield "Speeds cannot be compared:"
        yield from (f"  {reason}" for reason in comparison.refused)
    if comparison.differs:
        yield "What differs:"
        yield from (f"  {difference}" for difference in comparison.differs)
    timed = [row for row in comparison.rows if row.ratio is not None]
    if timed:
        width = max(len(row.name) for row in timed)
        heads = ("old, ms", "new, ms", "ratio", "called from")
        yield f"{'':{width}}  " + "  ".join(f"{head:>11}" for head in heads)
        for row in timed:
            cells = (row.old, row.new, row.ratio)
            scales = (1e3, 1e3, 1.0)
            numbers = "  ".join(
                f"{'' if cell is None else number_text(scale * cell):>11}"
                for cell, scale in zip(cells, scales, strict=True)
            )
            called = _called_from(row)
            yield f"{row.name:{width}}  {numbers}  {called:>11}  {row.verdict}{_machine_words(row)}"
    for row in comparison.rows:
        if row.ratio is None and row.verdict != "answer as before":
            yield f"{row.name}: {row.verdict}" + (f" ({row.reason})" if row.reason else "")
    undecided = [row for row in timed if row.verdict == "undecided"]
    if undecided:
        yield (
            f"{len(undecided)} undecided: the machine was too unsteady. Measure again when nothing "
            "else runs on it."
        )
    found = len(comparison.regressions)
    if found:
        yield f"{found} {'regression' if found == 1 else 'regressions'}."
    elif comparison.refused:
        yield "No exact answer changed."
    elif not comparison.judged:
        yield "No row could be judged."
    else:
        others = " in the other rows" if undecided else ""
        yield f"No regression beyond the measured noise{others}."


def _called_from(row: RowComparison) -> str:
    if row.called_from is None:
        return ""
    return f"over {_NEVER:g}" if row.called_from >= _NEVER else number_text(row.called_from)


def _machine_words(row: RowComparison) -> str:
    if row.reason:
        return f" ({row.reason})"
    if row.machine is None or abs(math.log(row.machine)) < 0.02:
        return ""
    word = "slower" if row.machine > 1 else "faster"
    return f" (the machine was {abs(100 * (row.machine - 1)):.0f}% {word})"
