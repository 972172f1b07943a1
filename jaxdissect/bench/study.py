"""Questions that one row cannot answer, such as what precision changes or how devices add up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.roofs import Roofs

Sizes = TypeVar("Sizes")

Cell = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of a study, shown as it is in every kind of report.

    Attributes:
        title: What it shows.
        columns: Headings, with units.
        rows: A cell for each column; numbers are shown with three digits that matter.
        note: What it says and what it does not, below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a study found.

    Attributes:
        tables: In the order in which they are shown.
        gates: Checks of its answers, by what was checked; all must pass.
        data: Everything measured, every repeat, as JSON values.
    """

    tables: Sequence[ResultTable]
    gates: dict[str, Gate] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study(Generic[Sizes]):
    """A kind of study that a suite names.

    Attributes:
        name: As suites write it, such as "precision".
        summary: What it answers, in a sentence.
        sizes: A frozen dataclass, as that of a `Workload`.
        measure: Answers it; given the sizes and the roofs of this device.
    """

    name: str
    summary: str
    sizes: type[Sizes]
    measure: Callable[[Sizes, Roofs], Found]
