"""A run as Markdown."""

from collections.abc import Iterable
from pathlib import Path

from jaxdissect.bench.record import Run, StudyResult
from jaxdissect.bench.rendering.cell_text import cell_text, values_text
from jaxdissect.bench.rendering.run_tables import (
    doubts,
    failures,
    machine_facts,
    machine_name,
    outcome,
    roofs_table,
    run_tables,
)
from jaxdissect.bench.study import Cell, ResultTable


def write_markdown(run: Run, folder: Path) -> Path:
    """Write a run as `summary.md`.

    Args:
        run: What was measured.
        folder: Where to write, made if need be.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.md"
    lines = [f"# {text(f'{machine_name(run)}: suite {run.suite}')}", "", *run_lines(run, level=2)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run_lines(run: Run, *, level: int) -> Iterable[str]:
    """Write a run as lines of Markdown, without a heading of its own.

    Args:
        run: What was measured.
        level: Of the headings within it.
    """
    mark = "#" * level
    yield f"{text(outcome(run))} Command:"
    yield from ("", "```", run.command, "```", "")
    if failed := failures(run):
        yield from (f"{mark} What failed", "")
        yield from (f"- **{text(name)}**: {text(reason)}" for name, reason in failed)
        yield ""
    if doubtful := doubts(run):
        yield from (f"{mark} What to doubt", "")
        yield from (f"- {text(sentence)}" for sentence in doubtful)
        yield ""
    yield from (f"{mark} Machine", "", "| | |", "|---|---|")
    yield from (f"| {text(name)} | {text(value)} |" for name, value in machine_facts(run))
    yield ""
    tables = [roofs_table(run)]
    if run.rows:
        tables += run_tables(run)
    for table in tables:
        yield from (f"{mark} {text(table.title)}", "")
        yield from table_lines(table)
    for study in run.studies:
        yield from _study_lines(study, level)


def table_lines(table: ResultTable) -> Iterable[str]:
    """Write a table as lines of Markdown: numbers on the right, its note below it."""
    right = numeric_columns(table)
    yield "| " + " | ".join(text(column) for column in table.columns) + " |"
    yield "|" + "|".join("---:" if number else "---" for number in right) + "|"
    yield from (
        "| " + " | ".join(text(cell_text(cell)) for cell in row) + " |" for row in table.rows
    )
    yield ""
    if table.note:
        yield from (text(table.note), "")


def numeric_columns(table: ResultTable) -> list[bool]:
    """Tell which columns hold numbers, or nothing."""

    def numeric(cell: Cell) -> bool:
        return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))

    return [
        bool(table.rows)
        and all(numeric(row[index]) for row in table.rows)
        and any(row[index] is not None for row in table.rows)
        for index in range(len(table.columns))
    ]


def text(words: str) -> str:
    """Write words so that Markdown shows them as they are, on one line; code stays code."""
    parts = " ".join(words.split()).split("`")
    if len(parts) % 2 == 0:  # a backquote without another
        parts = ["\\`".join(parts)]
    for index in range(0, len(parts), 2):
        for mark in ("*", "<", "["):
            parts[index] = parts[index].replace(mark, f"\\{mark}")
    return "`".join(parts).replace("|", "\\|")


def _study_lines(study: StudyResult, level: int) -> Iterable[str]:
    mark = "#" * level
    yield from (f"{mark} Study: {text(study.name)}", "")
    sizes = text(values_text(study.sizes))
    yield f"{text(study.study)}{' of ' + sizes if sizes else ''}; it took {study.seconds:.0f} s."
    yield ""
    if study.problem:
        yield from (f"**It failed: {text(study.problem)}**", "")
    for table in study.tables:
        yield from (f"**{text(table.title)}**", "")
        yield from table_lines(table)
