"""What shows a run: CSV, Markdown, the page and RESULTS.md."""

import csv
import dataclasses
import html.parser
import json
import math
import pathlib
import re

import numpy as np
import pytest
from support.bench_runs import failed_run, made_up_run

from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.record import Run
from jaxdissect.bench.rendering import (
    render_results,
    write_markdown,
    write_report,
    write_summary,
)
from jaxdissect.bench.rendering.cell_text import (
    bytes_text,
    cell_text,
    notes_text,
    number_text,
    scaled_text,
    values_text,
)
from jaxdissect.bench.rendering.markdown import numeric_columns, table_lines
from jaxdissect.bench.rendering.roofline_chart import chart_points, roofline_svg
from jaxdissect.bench.rendering.row_figures import best_roofs, furthest, measured_rows, row_figures
from jaxdissect.bench.rendering.run_tables import doubts, furthest_table, machine_facts, outcome
from jaxdissect.bench.run_file import read_run
from jaxdissect.bench.study import ResultTable

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOID = {"meta", "link", "br", "img", "input", "hr"}


# --- figures --------------------------------------------------------------------------------------


def figures_of(row, roofs):
    figures = row_figures(row, roofs)
    assert figures is not None
    return figures


def test_shares_by_hand():
    roofs = Roofs(products={"default": 100.0, "bfloat16": 400.0}, operations=10.0, bytes=50.0)
    (row,) = made_up_run(rows=1).rows
    assert row.work is not None and row.timing is not None
    work = dataclasses.replace(row.work, products=200.0, operations=5.0, bytes=300.0)
    timing = dataclasses.replace(row.timing, seconds=(9.0, 10.0, 12.0))
    row = dataclasses.replace(row, work=work, timing=timing, images=20, devices=2)
    figures = figures_of(row, roofs)
    # Two devices share the work: 2, 0.5 and 6 seconds are 1, 0.25 and 3.
    assert figures.least == {"products": 1.0, "operations": 0.25, "bytes": 3.0}
    assert figures.shares == {"products": 0.1, "operations": 0.025, "bytes": 0.3}
    assert (figures.bound, figures.share) == ("bytes", 0.3)
    assert figures.images_per_second == 1.0  # 20 images in 10 s by 2 devices
    assert (figures.median, figures.low, figures.high) == (10.0, 9.2, pytest.approx(11.6))
    lower = dataclasses.replace(row, sizes={"precision": "bfloat16"})
    assert figures_of(lower, roofs).least["products"] == 0.25


def test_rows_without_work_or_times():
    roofs = made_up_run().roofs
    (row,) = made_up_run(rows=1).rows
    assert row.work is not None
    assert row_figures(dataclasses.replace(row, timing=None), roofs) is None
    figures = figures_of(dataclasses.replace(row, work=None), roofs)
    assert (figures.bound, figures.share) == ("", None)
    nothing = dataclasses.replace(row.work, products=0.0, operations=0.0, bytes=0.0)
    assert figures_of(dataclasses.replace(row, work=nothing), roofs).least == {}
    broken = Roofs(products={}, operations=0.0, bytes=0.0)
    assert figures_of(row, broken).least == {}


def test_shares_are_of_the_better_roofs():
    run = made_up_run()
    better = dataclasses.replace(run.roofs_after, bytes=3 * run.roofs.bytes)
    worse = dataclasses.replace(better, operations=run.roofs.operations / 2)
    roofs = best_roofs(dataclasses.replace(run, roofs_after=worse))
    assert (roofs.bytes, roofs.operations) == (better.bytes, run.roofs.operations)


def test_furthest_rows():
    run = made_up_run(platform="gpu")
    table = furthest_table(run)
    shares = [float(row[2] or 0) for row in table.rows]
    assert len(shares) == 10 and shares == sorted(shares)
    assert [row[0] for row in table.rows][:2] == ["feeding", "dissection files"]
    assert "XLA counts 2.6 times the bytes" in str(table.rows[0][-1])
    # A wrong answer has no speed.
    names = [row.name for _, row, _ in furthest(measured_rows(failed_run()), most=99)]
    assert len(names) == 13 and "forward vgg16 bfloat16" not in names


def test_reasons_that_a_row_brings():
    run = made_up_run(rows=1)
    (row,) = run.rows
    row = dataclasses.replace(row, notes={"reason": "it waits for the disk"})
    table = furthest_table(dataclasses.replace(run, rows=(row,)))
    assert str(table.rows[0][-1]).startswith("it waits for the disk; XLA counts")


def test_doubts():
    run = made_up_run()
    assert doubts(run) == []
    fast = made_up_run(slower=[("forward vgg16", 0.5)])
    assert any("forward vgg16 reaches 14" in sentence for sentence in doubts(fast))
    unsteady = dataclasses.replace(run.roofs_after, bytes=run.roofs.bytes / 2)
    busy = dataclasses.replace(run.machine, load=3.0)
    doubtful = dataclasses.replace(
        run, roofs_after=unsteady, machine=busy, commit=run.commit + "-dirty"
    )
    words = " ".join(doubts(doubtful))
    for part in (
        "The roof of the bandwidth was -50%",
        "load at the start was 3.0",
        "changed since",
    ):
        assert part in words
    (study,) = run.studies
    bare = dataclasses.replace(run, studies=(dataclasses.replace(study, gates={}),))
    assert doubts(bare)[0].startswith("No answer of precision was checked")
    assert any("varies" in sentence for sentence in doubts(made_up_run(scatter=0.4)))
    slow = dataclasses.replace(run.rows[3], probe=(0.0021, 0.01))
    stalled = dataclasses.replace(run, rows=(*run.rows[:3], slow, *run.rows[4:]))
    assert any("fixed computation" in sentence for sentence in doubts(stalled))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (36500, "36,500"),
        (0.0, "0"),
        (1.0, "1.00"),
        (9.999, "10.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (0.0123456, "0.0123"),
        (-0.5, "-0.500"),
        (3.1e-6, "3.10e-06"),
        (1.5e9, "1.50e+09"),
        (math.inf, "infinite"),
        (math.nan, "not a number"),
        ("bfloat16", "bfloat16"),
    ],
)
def test_cells(value, text):
    assert cell_text(value) == text


def test_numbers_have_three_digits_that_matter():
    for value in 10.0 ** np.random.default_rng(0).uniform(-8, 12, 500):
        written = float(number_text(float(value)).replace(",", ""))
        assert abs(written / value - 1) <= 0.0051


def test_units():
    assert scaled_text(2.41e10, "B/s") == "24.1 GB/s"
    assert scaled_text(999.9e9, "FLOP/s") == "1 TFLOP/s"
    assert bytes_text(24 * 2**30) == "24.0 GiB" and bytes_text(12) == "12 B"
    values = {"batch": 8, "share": 0.01, "side": [3, 4], "layer": "", "how": {"a": None}}
    assert values_text(values) == "batch 8, share 0.01, side 3 and 4, layer none, how (a –)"
    notes = {"passes": 2.0, "seconds by pass": [["pilot", 0.03312], ["narrow", 1.5]], "how": {}}
    text = "passes: 2; seconds by pass: (pilot, 0.0331), (narrow, 1.50); how: none"
    assert notes_text(notes) == text


# --- files ----------------------------------------------------------------------------------------


def test_summary(tmp_path):
    run = failed_run()
    path = write_summary(run, tmp_path / "new")
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == [row.name for row in run.rows]
    first, second, third, *_ = lines
    assert first["median_seconds"] == "" and "RESOURCE_EXHAUSTED" in first["problem"]
    assert (second["passed"], third["passed"]) == ("False", "True")
    row = run.rows[2]
    assert row.timing is not None and row.work is not None
    assert float(third["median_seconds"]) == np.median(row.timing.seconds)
    assert json.loads(third["sizes"]) == row.sizes
    share = float(third["least_seconds_products"]) / float(third["median_seconds"])
    assert float(third["share"]) == share and third["bound"] == "products"
    assert {line["device"] for line in lines} == {"cpu"}
    gate = run.rows[5].gate
    assert gate is not None and lines[5]["fingerprint"] == gate.fingerprint
    memory = run.rows[5].memory
    assert memory is not None and memory.in_row is None and lines[5]["peak_in_row_bytes"] == ""
    assert lines[5]["peak_until_then_bytes"] == str(memory.peak)


def tables_of(text):
    """The tables of a Markdown text: lists of lists of cells."""
    tables, lines = [], text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append(re.split(r"(?<!\\)\|", line)[1:-1])
    return tables


def test_markdown(tmp_path):
    run = failed_run()
    text = write_markdown(run, tmp_path).read_text("utf-8")
    tables = tables_of(text)
    assert len(tables) == 9  # the machine, its roofs, six of the rows, one of the study
    for table in tables:
        assert len({len(row) for row in table}) == 1, table[0]
    assert run.command in text
    assert "- **forward vgg16**: RESOURCE_EXHAUSTED" in text
    speeds = {row[0].strip(): row for row in tables[2]}
    assert speeds["forward vgg16 bfloat16"][1:8] == [" – "] * 7
    assert speeds["forward vgg16 bfloat16"][-1].strip() == "wrong"
    assert r"\<bfloat16> \| \*nothing\*" in text
    assert outcome(run) == "15 rows and 2 studies: 3 failed."
    assert text.endswith("\n") and not text.endswith("\n\n\n")


def test_results():
    runs = [made_up_run(), made_up_run(platform="gpu"), failed_run()]
    text = render_results(runs)
    assert render_results(runs[::-1]).count("## NVIDIA") == 0
    assert sorted(render_results(runs[::-1]).splitlines()) == sorted(text.splitlines())
    assert "jaxdissect bench --render benchmarks/RESULTS.md" in text
    assert text.count("\n## ") == 3
    assert text.index("## AMD EPYC 9B14") < text.index("## 1 × NVIDIA H100")
    assert text.count("rows furthest from their roof") == 3
    assert "No runs are recorded." in render_results([])


def test_results_of_a_file_are_those_of_the_run():
    run = failed_run()
    read = from_plain(Run, json.loads(json.dumps(to_plain(run))), where="a file", strict=False)
    assert render_results([read]) == render_results([run])


def test_recorded_results():
    """RESULTS.md is what the recorded runs are rendered as, and nothing else."""
    paths = sorted(ROOT.glob("benchmarks/runs/*.json"))
    if not paths:
        pytest.skip("no runs are recorded in benchmarks/runs yet")
    text = ROOT.joinpath("benchmarks/RESULTS.md").read_text("utf-8")
    assert text == render_results([read_run(path) for path in paths])


# --- the page -------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Reads a page; what is not closed, or closed twice, fails."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"{tag} ends at {self.getpos()}"

    def handle_data(self, data):
        self.words.append(data)


def test_page_is_whole(tmp_path):
    run = failed_run()
    text = write_report(run, tmp_path).read_text("utf-8")
    page = Page(text)
    words = "".join(page.words)
    for row in run.rows:
        assert row.name in words
    for name, value in machine_facts(run):
        assert name in words and value in words
    assert run.command in words and "RESOURCE_EXHAUSTED" in words
    assert "<bfloat16> | *nothing*" in words
    assert page.tags.count("script") == 1
    # Nothing is loaded: no address of anything but of places on the page.
    for name, value in page.attributes:
        if name in ("src", "href"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(r"https?://|url\((?!data:)|@import", text)
    anchors = {value for name, value in page.attributes if name == "id"}
    links = {value[1:] for name, value in page.attributes if name == "href" and value[0] == "#"}
    assert links <= anchors
    assert len(anchors) == sum(name == "id" for name, _ in page.attributes)


def test_page_shows_words_as_they_are(tmp_path):
    run = made_up_run(rows=2)
    row = dataclasses.replace(run.rows[0], name='<script>alert("&")</script>')
    run = dataclasses.replace(run, rows=(row, run.rows[1]), command="a && b > c '<d>'")
    page = Page(write_report(run, tmp_path).read_text("utf-8"))
    words = "".join(page.words)
    assert page.tags.count("script") == 1
    assert row.name in words and run.command in words


@pytest.mark.parametrize("change", ["no rows", "no work", "no studies"])
def test_page_of_little(tmp_path, change):
    run = made_up_run(rows=2)
    if change == "no rows":
        run = dataclasses.replace(run, rows=())
    elif change == "no work":
        rows = tuple(dataclasses.replace(row, work=None, analysed=None) for row in run.rows)
        run = dataclasses.replace(run, rows=rows)
    else:
        run = dataclasses.replace(run, studies=())
    text = write_report(run, tmp_path).read_text("utf-8")
    page = Page(text)
    assert ("figure" in page.tags) == (change == "no studies")
    assert render_results([run])


# --- the chart ------------------------------------------------------------------------------------


def test_chart():
    """A row at half of its roof lies half a roof below it, wherever it is drawn."""
    run = made_up_run(platform="gpu")
    roofs, points = best_roofs(run), chart_points(measured_rows(run))
    assert len(points) == 15
    for point in points:
        slope = point.intensity * roofs.bytes
        row = run.rows[point.number - 1]
        level = (
            roofs.operations
            if point.kind == "operations"
            else roofs.products[str(row.sizes.get("precision", "default"))]
        )
        assert point.rate / min(slope, level) == pytest.approx(point.share)
    for width in (1232, 358):
        drawn = Page(roofline_svg(points, roofs, width=width, height=400))
        found = [
            float(value) for name, value in drawn.attributes if name in ("cx", "x", "x1", "x2")
        ]
        assert all(0 <= value <= width for value in found)
        numbers = [word for word in drawn.words if word.isdigit() and int(word) <= 15]
        assert {str(point.number) for point in points} <= set(numbers)
        assert drawn.tags.count("circle") == sum(point.bound == "products" for point in points)


def test_names_of_roofs_on_one_line_are_in_view():
    run = made_up_run()
    roofs = dataclasses.replace(
        best_roofs(run), products={"highest": 1.230e11, "default": 1.229e11, "bfloat16": 1.228e11}
    )
    points = chart_points(measured_rows(run))
    for width in (1232, 358):
        text = roofline_svg(points, roofs, width=width, height=400)
        names = re.findall(r'class="roof-name" x="([\d.]+)"[^>]*>([^<]+)<', text)
        assert len(names) == 2
        for x, name in names:
            assert float(x) + 6.3 * len(name) <= width


def test_labels_of_a_crowd_keep_apart():
    run = made_up_run()
    points = chart_points(measured_rows(run))
    crowd = [
        dataclasses.replace(points[0], number=number, intensity=points[0].intensity * 1.02**number)
        for number in range(1, 16)
    ]
    text = roofline_svg(crowd, best_roofs(run), width=1232, height=500)
    places = re.findall(r'class="number" x="([\d.]+)" y="([\d.]+)"', text)
    assert len(set(places)) == 15
    for index, (x, y) in enumerate(places):
        for other_x, other_y in places[:index]:
            apart = abs(float(x) - float(other_x)) >= 7 or abs(float(y) - float(other_y)) >= 11
            assert apart


def test_tables_need_not_have_rows():
    table = ResultTable(title="Nothing", columns=("a", "b"), rows=())
    assert numeric_columns(table) == [False, False]
    assert list(table_lines(table)) == ["| a | b |", "|---|---|", ""]
