"""What a run of a suite has measured, as it stands in `detailed.json`.

Times are seconds, sizes bytes. Reading and writing is `jaxdissect.bench.run_file`.
"""

from dataclasses import dataclass, field
from typing import Any

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.machine import Machine
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.study import ResultTable
from jaxdissect.bench.workload import Work

SCHEMA = 1
"""Version of the file; one more with every change that older readers would misread."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long the runs of a row took.

    Attributes:
        seconds: Of one run, every repeat in order.
        runs_per_repeat: Runs that were timed together, of which `seconds` are the mean.
        first: The first run, after compiling.
        compile_cold: Compiling with nothing kept; None where it cannot be told from running.
        compile_cached: The same from the persistent cache.
    """

    seconds: tuple[float, ...]
    runs_per_repeat: int
    first: float
    compile_cold: float | None
    compile_cached: float | None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of a row.

    Attributes:
        arguments: Of the program.
        outputs: Of the program.
        temporary: What XLA reserves beside them; these three None where it is not one program.
        peak: Greatest use of one device until then; of the process where devices do not count.
        in_row: The same while the row was compiled and timed, its arguments included; None where it
            stayed below what was used before.
        before: Of this, what was in use when it began, its arguments among it; None where it is not
            known.
    """

    arguments: int | None
    outputs: int | None
    temporary: int | None
    peak: int
    in_row: int | None = None
    before: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A workload of given sizes, measured.

    Attributes:
        name: Of the row, unique in its suite, such as "forward vgg16".
        workload: Name of the workload.
        sizes: All of its sizes, defaults too.
        devices: How many took part.
        images: Images of one run.
        work: By hand.
        analysed: By `cost_analysis()`; None where XLA tells none.
        timing: None where the row failed before it was timed.
        memory: None likewise.
        gate: None likewise.
        probe: Seconds of a small fixed computation directly before and after the row: how fast the
            machine was then.
        notes: What a reader must know.
        problem: Why the row could not be measured; empty where it was.
    """

    name: str
    workload: str
    sizes: dict[str, Any]
    devices: int
    images: int
    work: Work | None
    analysed: Work | None
    timing: Timing | None
    memory: Memory | None
    gate: Gate | None
    probe: tuple[float, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """A study, measured.

    Attributes:
        name: Of its entry in the suite.
        study: Name of the study.
        sizes: All of its sizes.
        tables: What it found, to be shown.
        gates: Its checks.
        data: Everything measured.
        seconds: How long it took.
        problem: Why it could not be measured; empty where it was.
    """

    name: str
    study: str
    sizes: dict[str, Any]
    tables: tuple[ResultTable, ...]
    gates: dict[str, Gate]
    data: dict[str, Any]
    seconds: float
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A suite, run once on a machine.

    Attributes:
        suite: Its name.
        command: What was typed, to be copied.
        begun: UTC, ISO 8601.
        seconds: How long all took.
        machine: The machine's card.
        roofs: What the device reaches, measured before the rows.
        roofs_after: The same after them: how steady the machine was.
        rows: In the order of the suite.
        studies: In the order of the suite.
        version: Of jaxdissect.
        commit: Of the sources when it began, with "-dirty" where files were changed; empty outside
            a checkout.
        problem: Why the roofs could not be measured again after the rows, which then are 0; empty
            where they were.
        schema: Version of the file.
    """

    suite: str
    command: str
    begun: str
    seconds: float
    machine: Machine
    roofs: Roofs
    roofs_after: Roofs
    rows: tuple[Row, ...]
    studies: tuple[StudyResult, ...]
    version: str
    commit: str
    problem: str = ""
    schema: int = SCHEMA

    @property
    def passed(self) -> bool:
        """Whether every row, study and roof was measured, and every answer is right."""
        rows = all(
            not row.problem and row.gate is not None and row.gate.passed for row in self.rows
        )
        studies = all(
            not study.problem and all(gate.passed for gate in study.gates.values())
            for study in self.studies
        )
        return rows and studies and not self.problem
