"""What `jaxdissect bench` prints: the plan, what each step has found, and what is wrong."""

import json
from pathlib import Path

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.plain_records import to_plain
from jaxdissect.bench.record import Row, Run, StudyResult
from jaxdissect.bench.rendering.cell_text import scaled_text
from jaxdissect.bench.rendering.row_figures import row_figures
from jaxdissect.bench.rendering.run_tables import machine_name, outcome, verdict
from jaxdissect.bench.suite import Suite

_ROOFS = {"products": "matrix products", "operations": "operations", "bytes": "memory"}


def plan(suite: Suite) -> str:
    """List what would be measured, with all sizes."""
    lines = [f"{suite.name}: {suite.title}" if suite.title else suite.name, ""]
    for row in suite.rows:
        lines += [
            f"{row.name}: {row.workload.summary}",
            f"    {_sizes(row.sizes)}; for {row.seconds:g} s, {row.least_repeats} or more repeats",
        ]
    for study in suite.studies:
        lines += [f"{study.name}: {study.study.summary}", f"    {_sizes(study.sizes)}"]
    rows, studies = len(suite.rows), len(suite.studies)
    lines += [
        "",
        f"{rows} row{'s' * (rows != 1)}, {studies} {'study' if studies == 1 else 'studies'}",
    ]
    return "\n".join(lines)


def roofs_line(roofs: Roofs) -> str:
    """Say what the device reaches."""
    products = [
        f"matrix products, {name}: {scaled_text(rate, 'FLOP/s')}"
        for name, rate in roofs.products.items()
    ]
    return "; ".join([*products, f"memory: {scaled_text(roofs.bytes, 'B/s')}"])


def row_line(row: Row, roofs: Roofs) -> str:
    """Say what was found of a row."""
    if row.problem:
        return f"FAILED: {row.problem:.200}"
    figures = row_figures(row, roofs)
    if figures is None:
        return "FAILED: not timed"
    parts = [f"{_duration(figures.median)}"]
    if row.images:
        each = " per device" * (row.devices > 1)
        parts.append(f"{figures.images_per_second:,.4g} images/s{each}")
    if figures.share is not None:
        parts.append(f"{figures.share:.0%} of {_ROOFS[figures.bound]}")
    said = verdict(row)
    return ", ".join([*parts, said if said == "right" else said.upper()])


def study_line(study: StudyResult) -> str:
    """Say what was found of a study."""
    if study.problem:
        return f"FAILED: {study.problem:.200}"
    if not study.gates:
        return f"{study.seconds:.1f} s, nothing checked"
    wrong = [name for name, gate in study.gates.items() if not gate.passed]
    said = f"WRONG: {', '.join(wrong)}" if wrong else "right"
    return f"{study.seconds:.1f} s, {len(study.gates)} checks, {said}"


def summary(run: Run, folder: Path) -> str:
    """Say how it went, and which files were written."""
    files = ", ".join(sorted(path.name for path in folder.iterdir()))
    return (
        f"\n{machine_name(run)}, {run.seconds:.0f} s. {outcome(run)}\n\n"
        f"Written to {folder}: {files}\nThe page is {folder / 'report.html'}"
    )


def _sizes(sizes: object) -> str:
    return ", ".join(
        f"{name} {(value or 'none') if isinstance(value, str) else json.dumps(value)}"
        for name, value in to_plain(sizes).items()
    )


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
