"""The rows of a run as CSV, one line for each, with names for machines."""

import csv
import json
from pathlib import Path
from typing import Any

from jaxdissect.bench.record import Row, Run
from jaxdissect.bench.rendering.row_figures import KINDS, RowFigures, best_roofs, row_figures


def write_summary(run: Run, folder: Path) -> Path:
    """Write the rows of a run as `summary.csv`.

    Every line says of which run it is, so that files of several runs can be put together. Times are
    seconds, sizes in memory bytes; what was not measured is empty.

    Args:
        run: What was measured.
        folder: Where to write, made if need be.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.csv"
    roofs = best_roofs(run)
    lines = [_line(run, row, row_figures(row, roofs)) for row in run.rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return path


COLUMNS = (
    *("row", "workload", "sizes", "devices", "images", "precision"),
    *("images_per_second_per_device", "median_seconds", "p10_seconds", "p90_seconds"),
    *("repeats", "runs_per_repeat", "first_seconds"),
    *("compile_cold_seconds", "compile_cached_seconds"),
    *KINDS,
    *(f"xla_{kind}" for kind in KINDS),
    *(f"least_seconds_{kind}" for kind in KINDS),
    *(f"share_{kind}" for kind in KINDS),
    *("bound", "share"),
    *("arguments_bytes", "outputs_bytes", "temporary_bytes"),
    *("peak_in_row_bytes", "peak_until_then_bytes"),
    *("passed", "difference", "tolerance", "fingerprint", "against", "problem"),
    *("probe_before_seconds", "probe_after_seconds"),
    *("suite", "begun", "platform", "device", "jax", "jaxdissect", "commit"),
)
"""The columns, in order."""


def _line(run: Run, row: Row, figures: RowFigures | None) -> dict[str, Any]:
    line: dict[str, Any] = {
        "row": row.name,
        "workload": row.workload,
        "sizes": json.dumps(row.sizes, sort_keys=True, default=str),
        "devices": row.devices,
        "images": row.images,
        "problem": row.problem,
        "suite": run.suite,
        "begun": run.begun,
        "platform": run.machine.platform,
        "device": run.machine.device,
        "jax": run.machine.versions.get("jax"),
        "jaxdissect": run.version,
        "commit": run.commit,
    }
    if figures is not None:
        line |= {
            "precision": figures.precision,
            "images_per_second_per_device": figures.images_per_second,
            "median_seconds": figures.median,
            "p10_seconds": figures.low,
            "p90_seconds": figures.high,
            "bound": figures.bound,
            "share": figures.share,
        }
        line |= {f"least_seconds_{kind}": value for kind, value in figures.least.items()}
        line |= {f"share_{kind}": value for kind, value in figures.shares.items()}
    if row.timing is not None:
        line |= {
            "repeats": len(row.timing.seconds),
            "runs_per_repeat": row.timing.runs_per_repeat,
            "first_seconds": row.timing.first,
            "compile_cold_seconds": row.timing.compile_cold,
            "compile_cached_seconds": row.timing.compile_cached,
        }
    if row.work is not None:
        line |= {kind: getattr(row.work, kind) for kind in KINDS}
    if row.analysed is not None:
        line |= {f"xla_{kind}": getattr(row.analysed, kind) for kind in KINDS}
    if row.memory is not None:
        parts = ("arguments", "outputs", "temporary")
        line |= {f"{part}_bytes": getattr(row.memory, part) for part in parts}
        line |= {
            "peak_in_row_bytes": row.memory.in_row,
            "peak_until_then_bytes": row.memory.peak,  # of earlier rows too
        }
    if row.gate is not None:
        line |= {
            "passed": row.gate.passed and not row.problem,
            "difference": row.gate.difference,
            "tolerance": row.gate.tolerance,
            "fingerprint": row.gate.fingerprint,
            "against": row.gate.against,
        }
    if row.probe:
        line |= {"probe_before_seconds": row.probe[0], "probe_after_seconds": row.probe[-1]}
    return line
