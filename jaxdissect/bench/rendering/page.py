"""A run as one page: everything in it, nothing loaded from elsewhere."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxdissect.bench.record import Run, StudyResult
from jaxdissect.bench.rendering.cell_text import MISSING, cell_text, scaled_text, values_text
from jaxdissect.bench.rendering.markdown import numeric_columns
from jaxdissect.bench.rendering.roofline_chart import chart_points, marker_svg, roofline_svg
from jaxdissect.bench.rendering.row_figures import best_roofs, measured_rows
from jaxdissect.bench.rendering.run_tables import (
    ROOF_NAMES,
    costs_table,
    doubts,
    failures,
    furthest_table,
    gates_table,
    machine_facts,
    machine_name,
    memory_table,
    outcome,
    roofs_table,
    sizes_table,
    speed_table,
)
from jaxdissect.bench.study import ResultTable


def write_report(run: Run, folder: Path) -> Path:
    """Write a run as `report.html`.

    Args:
        run: What was measured.
        folder: Where to write, made if need be.

    Returns:
        The page to open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(report_html(run), encoding="utf-8")
    return path


def report_html(run: Run) -> str:
    """Render a run as a page that needs no other file."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    here = files("jaxdissect.bench.rendering").joinpath("page")
    template = environment.from_string(here.joinpath("report.html.jinja").read_text("utf-8"))
    site_style = files("jaxdissect.report").joinpath("site", "style.css").read_text("utf-8")
    return template.render(
        title=f"{machine_name(run)}: suite {run.suite}",
        run=run,
        outcome=outcome(run),
        failures=failures(run),
        doubts=doubts(run),
        tiles=_tiles(run),
        charts=[Markup(chart) for chart in _charts(run)],
        points=_points(run, Markup),
        bounds=[(ROOF_NAMES[kind], Markup(marker_svg(kind))) for kind in _kinds(run)],
        absent=_absent(run),
        bars=_bars(run),
        tables=[
            _table(table(run))
            for table in (speed_table, furthest_table, costs_table, memory_table)
            if run.rows
        ],
        gates=_table(gates_table(run)),
        sizes=_table(sizes_table(run)) if run.rows else None,
        roofs=_table(roofs_table(run)),
        facts=machine_facts(run),
        studies=[_study(study) for study in run.studies],
        style=Markup(site_style + here.joinpath("report.css").read_text("utf-8")),
        script=Markup(here.joinpath("report.js").read_text("utf-8")),
    )


def _tiles(run: Run) -> list[tuple[str, str, str]]:
    """The figures at the top: a number, what it is, and a remark."""
    roofs = best_roofs(run)
    failed = len(failures(run))
    return [
        (
            str(len(run.rows)),
            "rows",
            f"and {len(run.studies)} {'study' if len(run.studies) == 1 else 'studies'}",
        ),
        (str(failed) if failed else "none", "failed", "not measured, or a wrong answer"),
        (
            scaled_text(max(roofs.products.values(), default=0.0), "FLOP/s"),
            "matrix products",
            "the best precision, measured",
        ),
        (scaled_text(roofs.bytes, "B/s"), "memory", "read and written, measured"),
    ]


def _charts(run: Run) -> list[str]:
    """The chart for wide and for narrow windows; none where there is no point."""
    points = chart_points(measured_rows(run))
    roofs = best_roofs(run)
    if not points or roofs.bytes <= 0:
        return []
    return [
        roofline_svg(points, roofs, width=width, height=height)
        for width, height in ((1232, 500), (358, 400))
    ]


def _points(run: Run, markup: Any) -> list[dict[str, Any]]:
    return [
        {"number": point.number, "name": point.name, "mark": markup(marker_svg(point.bound))}
        for point in chart_points(measured_rows(run))
    ]


def _kinds(run: Run) -> list[str]:
    shown = {point.bound for point in chart_points(measured_rows(run))}
    return [kind for kind in ("products", "operations", "bytes") if kind in shown]


def _absent(run: Run) -> list[str]:
    """Names of rows that have no point: not timed, or nothing to compare with."""
    shown = {point.name for point in chart_points(measured_rows(run))}
    return [row.name for row in run.rows if row.name not in shown]


def _bars(run: Run) -> list[dict[str, Any]]:
    """Shares of the roof that binds, the least first."""
    bars = [
        {
            "number": number,
            "name": row.name,
            "bound": figures.bound,
            "roof": ROOF_NAMES[figures.bound],
            "share": 100 * figures.shares[figures.bound],
            "text": cell_text(100 * figures.shares[figures.bound]) + "%",
            "speed": ""
            if figures.images_per_second is None
            else f", {cell_text(figures.images_per_second)} images/s"
            + " per device" * (row.devices > 1),
        }
        for number, row, figures in measured_rows(run)
        if figures.bound
    ]
    return sorted(bars, key=lambda bar: bar["share"])


def _table(table: ResultTable) -> dict[str, Any]:
    right = numeric_columns(table)
    return {
        "title": table.title,
        "columns": list(zip(table.columns, right, strict=True)),
        "rows": [
            [
                (cell_text(cell), number, _mood(cell))
                for cell, number in zip(row, right, strict=True)
            ]
            for row in table.rows
        ],
        # Every other part stands between backquotes: it is code.
        "note": [(part, bool(index % 2)) for index, part in enumerate(table.note.split("`"))],
    }


def _mood(cell: Any) -> str:
    return "problem" if cell in ("wrong", "not measured", "not checked") else ""


def _study(study: StudyResult) -> dict[str, Any]:
    return {
        "name": study.name,
        "study": study.study,
        "sizes": values_text(study.sizes) or MISSING,
        "seconds": f"{study.seconds:.0f}",
        "problem": study.problem,
        "tables": [_table(table) for table in study.tables],
    }
