"""RESULTS.md: recorded runs, machine by machine."""

from collections.abc import Sequence

from jaxdissect.bench.record import Run
from jaxdissect.bench.rendering.markdown import run_lines, text
from jaxdissect.bench.rendering.run_tables import machine_name, outcome

_HEADER = """\
<!-- Rendered from the runs in benchmarks/runs by

         jaxdissect bench --render benchmarks/RESULTS.md --runs benchmarks/runs/*.json --overwrite

     Do not edit: a test compares this file with a new rendering. -->

# Measured

Every figure below was measured by `jaxdissect bench` and is in a file of `benchmarks/runs`, with
every repeat. A row counts only where its answer is right. Roofs are what the device reached on that
day, not what its data sheet says; a share of a roof is the least time that the work counted by hand
takes there, over the median. Rows of different machines, sizes or precisions are not comparable.
"""


def render_results(runs: Sequence[Run]) -> str:
    """Render recorded runs as the text of RESULTS.md.

    Args:
        runs: In any order; shown machine by machine, of each the latest first.

    Returns:
        Markdown, the same for the same runs.
    """
    latest = sorted(runs, key=lambda run: (run.begun, run.suite), reverse=True)
    ordered = sorted(latest, key=lambda run: (run.machine.platform, machine_name(run)))
    lines = [_HEADER]
    if not ordered:
        lines += ["No runs are recorded.", ""]
    else:
        lines += ["| machine | suite | begun | jax | |", "|---|---|---|---|---|"]
        lines += [
            f"| {text(machine_name(run))} | {text(run.suite)} | {run.begun} | "
            f"{run.machine.versions.get('jax', '')} | {text(outcome(run))} |"
            for run in ordered
        ]
        lines.append("")
    for run in ordered:
        lines += [f"## {text(f'{machine_name(run)}: suite {run.suite}, {run.begun[:10]}')}", ""]
        lines += run_lines(run, level=3)
    return "\n".join(lines).rstrip("\n") + "\n"
