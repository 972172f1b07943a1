"""The tables of a run, the same in Markdown and on the page."""

from collections.abc import Sequence
from statistics import median

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.record import Row, Run
from jaxdissect.bench.rendering.cell_text import (
    MISSING,
    bytes_text,
    notes_text,
    scaled_text,
    values_text,
)
from jaxdissect.bench.rendering.row_figures import (
    KINDS,
    RowFigures,
    best_roofs,
    furthest,
    is_right,
    measured_rows,
    row_figures,
)
from jaxdissect.bench.study import Cell, ResultTable

ROOF_NAMES = {"products": "products", "operations": "operations", "bytes": "bandwidth", "": MISSING}
"""What the roofs are called where they are read."""

_HOW_ABOVE = {
    "products": "its algorithm multiplies less than was counted, as Winograd's does",
    "operations": "its algorithm needs less than was counted",
    "bytes": "its data stay in the caches",
}
_SHORTEST = 1e-3  # seconds of a run, below which what starts it may be what it waits for


def machine_facts(run: Run) -> list[tuple[str, str]]:
    """List the machine's card as pairs of a name and a value."""
    machine = run.machine
    facts = [
        ("Device", f"{machine.devices} × {machine.device} ({machine.platform})"),
        ("Memory of a device", bytes_text(machine.device_memory)),
        ("Driver", machine.driver or MISSING),
        ("Processor", f"{machine.processor}, {machine.cores} cores to use"),
        ("Widest instructions", machine.instructions or MISSING),
        ("Largest cache", bytes_text(machine.cache_bytes or None)),
        ("Memory of the host", bytes_text(machine.host_memory)),
        ("System", machine.system),
        ("Versions", ", ".join(f"{name} {number}" for name, number in machine.versions.items())),
        ("XLA flags", machine.xla_flags or "none"),
        (
            "Environment",
            ", ".join(f"{name}={value}" for name, value in machine.environment.items()) or "none",
        ),
        ("Precision of float32 products", machine.matmul_precision),
        ("Compiled programs kept from before", machine.cache),
        ("Load at the start", f"{machine.load:.2f}"),
        ("jaxdissect", f"{run.version}, {_short(run.commit)}"),
        ("Begun", run.begun),
        ("Took", f"{run.seconds:.0f} s"),
    ]
    return facts


def roofs_table(run: Run) -> ResultTable:
    """Table what the device reaches, before and after the rows."""
    before, after = run.roofs, run.roofs_after
    lines = [
        (f"matrix product, {name}", rate, after.products.get(name), "FLOP/s")
        for name, rate in before.products.items()
    ]
    lines.append(("comparison and addition", before.operations, after.operations, "operations/s"))
    lines.append(("memory, read and written", before.bytes, after.bytes, "B/s"))
    return ResultTable(
        title="Roofs",
        columns=("measured on one device", "before the rows", "after them", "change, %"),
        rows=tuple(
            (
                name,
                scaled_text(old, unit),
                scaled_text(new, unit) if new else MISSING,
                100 * (new / old - 1) if new and old > 0 else None,
            )
            for name, old, new, unit in lines
        ),
        note="Shares are of the better of the two. "
        "Nothing here is from a data sheet: it was measured on this very device.",
    )


def speed_table(run: Run) -> ResultTable:
    """Table how fast the rows are, and what share of each roof they reach."""
    roofs = best_roofs(run)
    rows: list[tuple[Cell, ...]] = []
    for row in run.rows:
        figures = row_figures(row, roofs) if is_right(row) else None
        speed: tuple[Cell, ...] = (None,) * 4 + (None,) * 3 + (MISSING,)
        if figures is not None:
            speed = (
                figures.images_per_second,
                *(1e3 * seconds for seconds in (figures.median, figures.low, figures.high)),
                *(_percent(figures, kind) for kind in KINDS),
                ROOF_NAMES[figures.bound],
            )
        rows.append((row.name, *speed, verdict(row)))
    return ResultTable(
        title="Speed",
        columns=(
            *("row", "images/s per device", "median, ms", "p10, ms", "p90, ms"),
            *("products, % of roof", "operations, % of roof", "bandwidth, % of roof"),
            *("bound by", "answer"),
        ),
        rows=tuple(rows),
        note="Milliseconds of one run. A share is the least time that the work counted by hand "
        "takes at that roof, over the median; the roof with the greatest share binds. "
        "Speeds of wrong answers are left out.",
    )


def furthest_table(run: Run, *, most: int = 10) -> ResultTable:
    """Table the rows furthest from the roof that binds them, with what is seen of the reason."""
    rows = furthest(measured_rows(run), most=most)
    return ResultTable(
        title=f"The {len(rows)} rows furthest from their roof"
        if len(rows) != 1
        else "The row furthest from its roof",
        columns=("row", "bound by", "% of it", "median, ms", "at least, ms", "what is seen"),
        rows=tuple(
            (
                row.name,
                ROOF_NAMES[figures.bound],
                100 * figures.shares[figures.bound],
                1e3 * figures.median,
                1e3 * figures.least[figures.bound],
                _seen(row, figures),
            )
            for _, row, figures in rows
        ),
        note="Rows of which no work is counted, since the host does it, have no roof. XLA's bytes "
        "are those of every operation, also where they stay in a cache: an upper bound.",
    )


def costs_table(run: Run) -> ResultTable:
    """Table the work of one run of each row, by hand and by XLA."""
    rows: list[tuple[Cell, ...]] = []
    for row in run.rows:
        amounts: list[Cell] = []
        for kind in KINDS:
            by_hand = None if row.work is None else getattr(row.work, kind) / 1e9
            by_xla = None if row.analysed is None else getattr(row.analysed, kind) / 1e9
            amounts += [by_hand, by_xla]
        counted = MISSING if row.work is None else row.work.counted
        rows.append((row.name, *amounts, counted))
    return ResultTable(
        title="Work of one run",
        columns=(
            *("row", "products, GFLOP", "by XLA", "operations, 10⁹", "by XLA"),
            *("memory, GB", "by XLA", "counted by hand"),
        ),
        rows=tuple(rows),
        note="By hand: what must be done at least, whoever does it. By XLA: `cost_analysis()` of "
        "the compiled programs; nothing where it tells none or nonsense.",
    )


def memory_table(run: Run) -> ResultTable:
    """Table memory, compile times and the first run of each row."""
    rows: list[tuple[Cell, ...]] = []
    for row in run.rows:
        memory, timing = row.memory, row.timing
        sizes: tuple[Cell, ...] = (None,) * 5
        times: tuple[Cell, ...] = (None,) * 5
        if memory is not None:
            numbers = (
                *(memory.arguments, memory.outputs, memory.temporary),
                *(memory.in_row, memory.peak),
            )
            sizes = tuple(None if size is None else size / 2**20 for size in numbers)
        if timing is not None:
            times = (
                timing.compile_cold,
                timing.compile_cached,
                1e3 * timing.first,
                len(timing.seconds),
                timing.runs_per_repeat,
            )
        rows.append((row.name, *times[:2], *sizes, *times[2:]))
    return ResultTable(
        title="Compiling and memory",
        columns=(
            *("row", "compiling, s", "from the cache, s"),
            *("arguments, MiB", "outputs, MiB", "temporary, MiB", "peak, MiB"),
            "peak until then, MiB",
            *("first run, ms", "repeats", "runs in each"),
        ),
        rows=tuple(rows),
        note="Compiling with nothing kept, and with what an earlier process kept. A peak is that "
        "of the row, then the greatest until then, of one device or, where devices do not count, "
        "of the process.",
    )


def gates_table(run: Run) -> ResultTable:
    """Table every check of an answer, of rows and of studies."""
    gates = [(row.name, row.gate, row.problem) for row in run.rows]
    gates += [
        (f"{study.name}: {name}", gate, "")
        for study in run.studies
        for name, gate in study.gates.items()
    ]
    gates += [(study.name, None, study.problem) for study in run.studies if study.problem]
    return ResultTable(
        title="Answers",
        columns=(
            *("row", "answer", "checked against", "difference", "tolerance"),
            *("why that much", "fingerprint"),
        ),
        rows=tuple(
            (name, _gate_verdict(gate, problem), *_gate_cells(gate))
            for name, gate, problem in gates
        ),
        note="A fingerprint (the first 12 digits of its SHA-256) is of an exact answer, "
        "the same on every device; where none is, the answer is within a tolerance.",
    )


def sizes_table(run: Run) -> ResultTable:
    """Table what each row is: all of its sizes, defaults too."""
    return ResultTable(
        title="Sizes",
        columns=("row", "workload", "devices", "images", "sizes", "notes"),
        rows=tuple(
            (
                row.name,
                row.workload,
                row.devices,
                row.images,
                values_text(row.sizes),
                notes_text({key: row.notes[key] for key in row.notes if key != "reason"})
                or MISSING,
            )
            for row in run.rows
        ),
    )


def doubts(run: Run) -> list[str]:
    """List what a reader of this run must doubt, in sentences."""
    found = []
    rows = measured_rows(run)
    for _, row, figures in rows:
        for kind, share in figures.shares.items():
            if share > 1.05:
                found.append(
                    f"{row.name} reaches {100 * share:.0f}% of the {ROOF_NAMES[kind]} roof: "
                    f"{_HOW_ABOVE[kind]}, or the count or the roof is wrong."
                )
    before, after = run.roofs, run.roofs_after
    pairs = {"the bandwidth": (before.bytes, after.bytes)}
    pairs["operations"] = (before.operations, after.operations)
    for name in before.products.keys() & after.products.keys():
        pairs[f"{name} products"] = (before.products[name], after.products[name])
    for name, (old, new) in sorted(pairs.items()):
        if min(old, new) > 0 and max(old, new) / min(old, new) > 1.1:
            found.append(
                f"The roof of {name} was {100 * (new / old - 1):+.0f}% after the rows: "
                "the machine was not steady."
            )
    probes = [seconds for row in run.rows for seconds in row.probe if seconds > 0]
    if probes and max(probes) > 1.15 * median(probes):
        found.append(
            f"A fixed computation between the rows took up to {max(probes) / median(probes):.2f} "
            "times its usual time: the machine was not steady."
        )
    for _, row, figures in rows:
        if figures.low > 0 and figures.high > 1.5 * figures.low:
            found.append(
                f"{row.name} varies: its p90 is {figures.high / figures.low:.1f} times its p10."
            )
    unchecked = [study.name for study in run.studies if not study.gates and not study.problem]
    if unchecked:
        found.append(
            f"No answer of {' and '.join(unchecked)} was checked: what it would be compared with "
            "is not installed here."
        )
    if run.machine.load > max(0.5, 0.25 * run.machine.cores):
        found.append(
            f"Other processes ran: the load at the start was {run.machine.load:.1f} "
            f"on {run.machine.cores} cores."
        )
    if run.commit.endswith("-dirty"):
        found.append("Files of the sources had been changed since their commit.")
    return found


def failures(run: Run) -> list[tuple[str, str]]:
    """List the rows, studies and roofs that failed, each with the reason."""
    found = []
    for row in run.rows:
        if row.problem:
            found.append((row.name, row.problem))
        elif row.gate is None:
            found.append((row.name, "its answer was not checked"))
        elif not row.gate.passed:
            found.append((row.name, _wrong(row.gate)))
    for study in run.studies:
        if study.problem:
            found.append((study.name, study.problem))
        found += [
            (f"{study.name}: {name}", _wrong(gate))
            for name, gate in study.gates.items()
            if not gate.passed
        ]
    if run.problem:
        found.append(("roofs", run.problem))
    return found


def run_tables(run: Run) -> list[ResultTable]:
    """List the tables of the rows of a run, in the order in which they are shown."""
    return [
        table(run)
        for table in (
            speed_table,
            furthest_table,
            costs_table,
            memory_table,
            gates_table,
            sizes_table,
        )
    ]


def machine_name(run: Run) -> str:
    """Name the machine of a run as a heading does."""
    machine = run.machine
    if machine.platform == "cpu":
        name = f"{machine.processor}, {machine.cores} cores"
        return name if machine.devices == 1 else f"{name} as {machine.devices} devices"
    return f"{machine.devices} × {machine.device}"


def outcome(run: Run) -> str:
    """Say in a sentence whether all was measured and right."""
    failed = failures(run)
    if not run.rows and not run.studies:
        return "Nothing was measured."
    parts = [_counted(len(run.rows), "row", "rows"), _counted(len(run.studies), "study", "studies")]
    what = " and ".join(part for part in parts if part)
    if not failed:
        return f"{what}: all were measured, and every answer is right."
    return f"{what}: {len(failed)} failed."


def verdict(row: Row) -> str:
    """Say of the answer of a row: "right", "wrong", "not checked" or "not measured"."""
    return _gate_verdict(row.gate, row.problem)


def _gate_verdict(gate: Gate | None, problem: str) -> str:
    if problem:
        return "not measured"
    if gate is None:
        return "not checked"
    return "right" if gate.passed else "wrong"


def _gate_cells(gate: Gate | None) -> Sequence[Cell]:
    if gate is None:
        return (MISSING, None, None, MISSING, MISSING)
    return (
        gate.against,
        None if gate.tolerance is None else gate.difference,
        gate.tolerance,
        gate.reason or MISSING,
        gate.fingerprint[:12] or MISSING,
    )


def _wrong(gate: Gate) -> str:
    if gate.tolerance is None:
        return f"its answer is wrong: it differs from {gate.against}"
    if gate.difference is not None and gate.difference <= gate.tolerance:
        return (
            f"its answer is wrong: it differs from {gate.against}, not by more than "
            f"{gate.tolerance:.3g} but in what has no tolerance, such as a class or what is finite"
        )
    return (
        f"its answer is wrong: it differs from {gate.against} by {gate.difference:.3g}, "
        f"more than {gate.tolerance:.3g}"
    )


def _percent(figures: RowFigures, kind: str) -> float | None:
    return 100 * figures.shares[kind] if kind in figures.shares else None


def _seen(row: Row, figures: RowFigures) -> str:
    """Say what the figures of a row show of why it is far from its roof."""
    parts = []
    if reason := row.notes.get("reason"):
        parts.append(str(reason))
    if row.work is not None and row.analysed is not None:
        for kind in KINDS:
            least, done = getattr(row.work, kind), getattr(row.analysed, kind)
            if least > 0 and done > 1.5 * least:
                named = "bytes" if kind == "bytes" else kind
                times, share = done / least, figures.shares.get(kind, 0.0)
                reached = f" ({100 * share * times:.3g}% of that roof)" if share else ""
                parts.append(f"XLA counts {times:.3g} times the {named}{reached}")
    others = [
        f"{100 * share:.3g}% of {ROOF_NAMES[kind]}"
        for kind, share in figures.shares.items()
        if kind != figures.bound and share > 0.5 * figures.shares[figures.bound]
    ]
    if others:
        parts.append(f"close behind: {' and '.join(others)}")
    if figures.median < _SHORTEST:
        parts.append("so short that starting a program counts")
    return "; ".join(parts) or MISSING


def _short(commit: str) -> str:
    name, dash, rest = commit.partition("-")
    return f"commit {name[:12]}{dash}{rest}" if commit else "outside a checkout"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""
