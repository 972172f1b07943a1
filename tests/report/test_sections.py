"""Sections of pages: what is said of folders of results, also of older ones and damaged ones.

`results_0_1` holds what version 0.1.0 wrote for the built-in scenes, its tables cut to a few rows,
without pictures.
"""

import csv
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.drawn_pictures import write_picture

from jaxdissect.commands.output.table_files import WRITERS
from jaxdissect.report.page_section import Estimate, PageFigure, PageTable, UnitCell
from jaxdissect.report.sections import sections_of
from jaxdissect.report.sections.columns import Column, page_table, text, unit
from jaxdissect.report.sections.result_folder import ResultFolder, read_result_folder
from jaxdissect.report.sections.wording import change, count, decimal, interval, percent

OLDER = Path(__file__).parent / "results_0_1"
PICTURES = {
    "ablate": ("classes", "distribution", "importance", "number_of_classes"),
    "detect": ("detectors", "peaks_0_street", "peaks_8_living_room"),
    "style": ("layers", "iou", "styles_features.conv4_2"),
    "remove": ("left", "replaced", "images"),
    "insert": ("contexts", "cells", "places"),
    "optimise": ("effects", "steps"),
    "artifacts": ("distances", "images"),
    "attack": ("groups", "units", "examples"),
    "defend": ("defence",),
}
KINDS = tuple(PICTURES)

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def older(tmp_path):
    """Copy results of version 0.1.0, with a picture for each that the command drew."""

    def copy(kind):
        folder = Path(shutil.copytree(OLDER / kind, tmp_path / kind))
        for name in PICTURES[kind]:
            write_picture(folder / f"{name}.png")
        return folder

    return copy


def only_section(folder):
    (section,) = sections_of(folder)
    return section


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def said(section):
    """All texts of a section, as one."""
    texts = [section.title, section.question, *section.found, *section.limits]
    texts += [part for fact in section.facts for part in fact if part is not None]
    for item in section.content:
        texts += [item.caption, item.alt if isinstance(item, PageFigure) else item.note or ""]
    return "\n".join(texts)


def figures(section):
    return [item for item in section.content if isinstance(item, PageFigure)]


def table(section, caption):
    """The one table of a section whose caption begins so."""
    (found,) = [
        item
        for item in section.content
        if isinstance(item, PageTable) and item.caption.startswith(caption)
    ]
    return found


# --- reading --------------------------------------------------------------------------------------

HEADER = ("class", "number", "share", "sure", "unknown", "name")
ROWS = [("007", 7, 0.25, True, None, "=1+1"), ("naïve", -3, 1e-9, False, None, "'tis")]


@pytest.mark.parametrize("ending", WRITERS)
def test_tables_are_read_as_they_were_written(tmp_path, ending):
    WRITERS[ending](tmp_path / f"cells.{ending}", HEADER, ROWS)
    folder = ResultFolder(tmp_path, {}, "attack.json")
    assert folder.has_table("cells") and not folder.has_table("others")
    rows = list(folder.rows("cells", texts=frozenset(("class", "name"))))
    assert rows == [dict(zip(HEADER, row, strict=True)) for row in ROWS]
    assert [type(cell) for cell in rows[0].values()] == [type(cell) for cell in ROWS[0]]
    assert not list(folder.rows("others"))
    assert folder.file_of_table("cells") == f"cells.{ending}"


def test_infinities_are_unknown(tmp_path):
    for ending, write in WRITERS.items():
        folder = ResultFolder(tmp_path / ending, {}, "attack.json")
        folder.path.mkdir()
        write(folder.path / f"cells.{ending}", ("error", "more"), [(math.inf, 1.0)])
        (shown,) = page_table(folder, "cells", "", (Column("error", "error"), Column("m", "more")))
        assert shown.rows == [(None, 1.0)]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("cells.csv", b"a,b\n1\n"),
        ("cells.csv", b"a,b\n1,2,3\n"),
        ("cells.csv", b'a,b\n"1,2\n'),
        ("cells.csv", b"a\n\xff\n"),
        ("cells.json", b"[{]"),
        ("cells.json", b'{"a": 1}'),
        ("cells.json", b"[1]"),
        ("cells.parquet", b"PAR1 no"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=rf"`folder`: .*{re.escape(file)} is no table"):
        list(ResultFolder(tmp_path, {}, "attack.json").rows("cells"))


@pytest.mark.parametrize(("content", "problem"), [("{", "is not JSON"), ("[]", "a JSON object")])
def test_damaged_settings_are_named(tmp_path, content, problem):
    (tmp_path / "attack.json").write_text(content)
    with pytest.raises(ValueError, match=rf"`folder`: .*attack\.json .*{problem}"):
        sections_of(tmp_path)


def test_a_folder_of_other_things_has_no_section(tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    assert sections_of(tmp_path) == []
    (tmp_path / "generation.json").write_text('{"command": {"layers": ["layer4"]}}')
    assert sections_of(tmp_path) == []  # of a command that there is no section of


def test_pictures_are_those_that_browsers_show(tmp_path):
    for name in ("a.pdf", "b.pdf", "b.svg", "c.svg", "c.png", "peaks_2.png", "peaks_1.svg"):
        (tmp_path / name).write_bytes(b"")
    folder = ResultFolder(tmp_path, {}, "attack.json")
    assert [folder.picture(name) for name in "abcd"] == [None, "b.svg", "c.png", None]
    assert folder.pictures("peaks_") == ["peaks_1.svg", "peaks_2.png"]


def test_settings_of_the_wrong_kind_are_unknown(tmp_path):
    (tmp_path / "attack.json").write_text('{"success": "all", "layer": 3, "units": {"n": true}}')
    folder = read_result_folder(tmp_path, "attack.json")
    assert folder.number("success") is None and folder.number("units", "n") is None
    assert folder.number("success", "n") is None and folder.option("out") is None
    assert folder.text("layer") == "a layer" and folder.mapping("layer") == {}


# --- tables of a page -----------------------------------------------------------------------------


def _descending(row: Any) -> int:
    return -row["unit"]


def test_a_page_table_has_the_columns_that_are_there(tmp_path):
    header = ("unit", "gain", "gain_low", "gain_high", "left", "band", "class")
    rows = [(u, u / 10, u / 10 - 1, u / 10 + 1, 0.5, 0.25, f"{u}") for u in range(5)]
    WRITERS["csv"](tmp_path / "units.csv", header, rows)
    folder = ResultFolder(tmp_path, {}, "attack.json")
    columns = (
        unit(),
        Column("gain", "gain", ends=("gain_low", "gain_high")),
        Column("left", "left", half_width="band"),
        Column("sure", "left", ends=("left_low", "left_high")),
        Column("of an older version", "forgotten"),
        text("class"),
    )
    (shown,) = page_table(
        folder,
        "units",
        "caption",
        columns,
        layer="conv5",
        keep=lambda row: row["unit"] != 1,
        order=_descending,
        most=2,
    )
    assert shown.header == ["unit", "gain", "left", "sure", "class"]
    assert shown.rows[0] == (
        UnitCell("conv5", 4),
        Estimate(0.4, -0.6, 1.4),
        Estimate(0.5, 0.25, 0.75),
        0.5,
        "4",
    )
    assert [row[0] for row in shown.rows] == [UnitCell("conv5", 4), UnitCell("conv5", 3)]
    assert shown.note == "The first 2 of 4 rows; all of them are in `units.csv`."
    (whole,) = page_table(folder, "units", "caption", columns)
    assert whole.note is None and [row[0] for row in whole.rows] == [0, 1, 2, 3, 4]
    assert not page_table(folder, "others", "caption", columns)
    assert not page_table(folder, "units", "caption", columns, keep=lambda row: False)


def test_units_link_to_the_layer_of_their_row(tmp_path):
    WRITERS["csv"](tmp_path / "units.csv", ("layer", "unit"), [("3", 7)])
    (shown,) = page_table(
        ResultFolder(tmp_path, {}, "attack.json"), "units", "", (text("layer"), unit())
    )
    assert shown.rows == [("3", UnitCell("3", 7))]


def test_numbers_in_sentences():
    assert [percent(0.98), percent(-0.004)] == ["98.0%", "−0.4%"]
    assert [decimal(x) for x in (0.8976, -0.0002, 12, math.nan)] == [
        *("0.898", "−0.0002", "12.000", "unknown"),
    ]
    assert decimal(198.59, digits=1) == "198.6"
    assert [change(x, digits=1) for x in (3.26, 0.0, -2)] == ["+3.3", "0.0", "−2.0"]
    assert interval(-0.1, 0.25) == "−0.100 to 0.250"
    assert [count(1, "class", "classes"), count(1280, "unit")] == ["1 class", "1,280 units"]


# --- kinds of results -----------------------------------------------------------------------------


@each_kind
def test_each_kind_says_what_was_asked_found_and_what_that_cannot_say(older, kind):
    folder = older(kind)
    section = only_section(folder)
    words = "generate " if (folder / "generation.json").is_file() else ""
    assert section.command is not None
    assert section.command.startswith(f"jaxdissect {words}{kind} --out results/{kind} ")
    assert section.question.endswith(".") and "?" in section.question
    assert section.found and section.limits and section.facts
    assert any(isinstance(item, PageTable) for item in section.content)
    assert {figure.file for figure in figures(section)} == set(folder.glob("*.png"))
    for figure in figures(section):
        assert len(figure.alt) > 40 and figure.alt.endswith(".")
        assert figure.caption.endswith(".")
    text_of_all = said(section)
    for wrong in ("None", "nan", "inf ", "unknown", "{", "  ", " ,", "-0"):
        assert wrong not in text_of_all, wrong
    for item in section.content:
        if isinstance(item, PageTable):
            assert all(len(row) == len(item.header) for row in item.rows)
            assert len(set(item.header)) == len(item.header)


@each_kind
def test_what_an_older_run_lacks_is_left_out(older, kind):
    """Without any one file, any one setting, or any one column, a section still says the rest."""
    folder = older(kind)
    (settings_file,) = folder.glob("*.json")
    settings = json.loads(settings_file.read_text())

    def check():
        for section in sections_of(folder):
            assert section.title and section.question
            assert not re.search(r"None|\bnan\b|\{|\}", said(section)), said(section)

    for key in list(settings):
        settings_file.write_text(json.dumps({k: v for k, v in settings.items() if k != key}))
        check()
    for name in list(settings["command"]):
        less = {k: v for k, v in settings["command"].items() if k != name}
        settings_file.write_text(json.dumps(settings | {"command": less}))
        check()
    settings_file.write_text(json.dumps(settings))
    for path in sorted(folder.glob("*.csv")):
        content = path.read_text()
        path.unlink()
        check()
        header, *rows = csv.reader(content.splitlines())
        for left_out in range(len(header)):
            WRITERS["csv"](
                path,
                header[:left_out] + header[left_out + 1 :],
                [row[:left_out] + row[left_out + 1 :] for row in rows],
            )
            check()
        WRITERS["csv"](path, header, [])
        check()
        path.write_text(content)
    for picture in folder.glob("*.png"):
        picture.unlink()
    assert not figures(only_section(folder))


def test_removals_from_a_classifier(older):
    section = only_section(older("ablate"))
    assert section.layer == "features.conv4_2"
    facts = {fact.label: fact.value for fact in section.facts}
    assert facts["classified correctly, with all units"] == "98.0%"
    assert facts["without its 4 most important units"] == "0.897"
    assert facts["with only its 20 most important units"] == "0.979"
    text_of_all = said(section)
    assert "on 300 images" in section.question and "300 other images" in section.question
    # Counted in sets.csv: changes whose interval lies below 0.
    rows = read(OLDER / "ablate" / "sets.csv")
    mine = [row for row in rows if (row["units"], row["removed_or_alone"]) == ("4", "removed")]
    surely = sum(float(row["change_high"]) < 0 for row in mine)
    worst = min(mine, key=lambda row: float(row["change"]))["class"]
    assert f"{surely} of 10 classes are surely classified worse" in text_of_all
    assert f"{worst} loses most: −0.183" in text_of_all
    assert "99% interval −0.308 to −0.046" in text_of_all
    assert "As the worst of 10 on the same images" in text_of_all
    assert "19 of 40 damage it" in text_of_all and "of 200" not in text_of_all
    assert "21 removals of one unit improve" in text_of_all
    assert "2 of them do so again, none for certain" in text_of_all
    classes = table(section, "The classes: their most")
    street = classes.rows[0]
    assert street[:4] == ("street", 30, "30 16", pytest.approx(0.998, abs=1e-3))
    assert street[4] == pytest.approx((-0.1, -0.22177, 0.01277), abs=1e-4)
    assert len(classes.header) == 8
    alone = table(section, "The most important units of each class")
    assert [row[0] for row in alone.rows] == sorted(str(row[0]) for row in alone.rows)
    assert alone.rows[0][2] == UnitCell("features.conv4_2", 30)


@pytest.mark.parametrize(("num_units", "size"), [(64, 4), (80, 20), (None, 4)])
def test_the_words_for_a_picture_are_of_the_bars_that_it_has(older, num_units, size):
    """The classes that lose most without 4, and the largest set that is a small part of all."""
    folder = older("ablate")
    path = folder / "ablation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"units": num_units}))
    lost = sorted(
        read(folder / "classes.csv"),
        key=lambda row: float(row["without_4"]) - float(row["all_units"]),
    )
    names = ("all_units", f"without_{size}", f"with_{size}_alone")
    bars = [
        f"{row['class']} {', '.join(decimal(float(row[name]), digits=2) for name in names)}"
        for row in lost[:8]
    ]
    found = figures(only_section(folder))
    (alt,) = [figure.alt for figure in found if figure.file.stem == "classes"]
    assert f"without its {size}, with its {size} alone. {'; '.join(bars)}; and others." in alt


def test_all_importance_is_by_the_groups_of_units(older):
    text_of_all = said(only_section(older("ablate")))
    rows = [
        row
        for row in read(OLDER / "ablate" / "importance.csv")
        if row["grouped_by"].startswith("classes") and row["units"] != "0"
    ]
    some = [(int(row["units"]), float(row["mean_iou"])) for row in rows if float(row["value"]) > 0]
    mean = sum(units * iou for units, iou in some) / sum(units for units, _ in some)
    assert f"mean IoU of {mean:.3f}, all others with 0.059" in text_of_all


def test_detectors(older):
    section = only_section(older("detect"))
    assert [fact.value for fact in section.facts] == ["0.832", "0.895"]
    assert section.facts[0].note == "0.885 when chosen; chance 0.5"
    assert "Unit 3 tells mountain from all other classes" in said(section)
    captions = [figure.caption for figure in figures(section)]
    assert captions[1].startswith("Peaks of unit 30, the best detector of street:")
    assert "living room" in captions[2]


def test_peaks_are_of_the_class_whose_name_the_file_has(older):
    folder = older("detect")
    path = folder / "detectors.csv"
    # Begins alike, and comes first; and two whose names in files are the same.
    names = {"street": "mountain range", "kitchen": "a b", "forest": "a-b", "beach": "a/b"}
    header, *rows = csv.reader(path.read_text().splitlines())
    place = header.index("class")
    units = {}
    for row in rows:
        row[place] = names.get(row[place], row[place])
        units.setdefault(row[place], row[header.index("unit")])
    WRITERS["csv"](path, header, rows)
    for name in ("peaks_1_mountain", "peaks_2_a_b", "peaks_3_mountain_r"):
        write_picture(folder / f"{name}.png")
    captions = {figure.file.stem: figure.caption for figure in figures(only_section(folder))}
    assert (
        f"unit {units['mountain']}, the best detector of mountain:" in captions["peaks_1_mountain"]
    )
    assert "detector of mountain range:" in captions["peaks_3_mountain_r"]
    assert captions["peaks_2_a_b"].startswith("Peaks of a b: ")


def test_styles(older):
    section = only_section(older("style"))
    assert [(fact.value, fact.note) for fact in section.facts] == [
        ("0", "of 15 with a concept"),
        ("5", "of 33 with a concept"),
    ]
    assert "above 0.1" in section.question
    units = table(section, "The units with a concept")
    assert units.rows[0][1] == UnitCell("features.conv4_2", 30)
    agreements: list[Any] = [row[units.header.index("IoU of both styles")] for row in units.rows]
    assert agreements == sorted(agreements, reverse=True)


def test_removals_from_a_generator(older):
    section = only_section(older("remove"))
    assert [fact.value for fact in section.facts] == ["45.1%", "3"]
    assert "99% band 1.9% to 88.2%" in said(section)
    assert "Where tree was, there is now barn (31.6%), house (20.8%)" in said(section)
    alone = min(
        (float(row["pixels changed per image"]), row["unit"])
        for row in read(OLDER / "remove" / "units.csv")
    )
    assert f"unit {alone[1]} takes most from tree: {change(alone[0], digits=1)}" in said(section)
    assert "in the same images, this is too great to be true" in said(section)
    left = table(section, "What is left of tree")
    assert left.rows[0] == (0, None, pytest.approx(198.6, abs=0.1), Estimate(1.0, 1.0, 1.0))
    assert left.rows[1][1] == UnitCell("layer6", 24)


def test_what_nothing_is_left_of_is_more_than_half_removed(older):
    folder = older("remove")
    path = folder / "sets.csv"
    header, *rows = csv.reader(path.read_text().splitlines())
    for row in rows[1:]:
        row[header.index("fraction left")] = "0.0"
    WRITERS["csv"](path, header, rows)
    half = rows[1][header.index("units removed")]
    facts = {fact.label: fact.value for fact in only_section(folder).facts}
    assert facts["units remove more than half of tree"] == half


def test_insertions(older):
    section = only_section(older("insert"))
    contexts = table(section, "Pixels of door")
    samples: list[Any] = [row[contexts.header.index("samples")] for row in contexts.rows]
    assert min(samples) >= 20  # the option of the run
    assert section.facts[0].label == "pixels added by one insertion, anywhere"
    assert section.facts[0].value.startswith("+1.3")
    assert "Most is added where there was door" in said(section)


def test_causes_and_realism(older):
    causes = only_section(older("optimise"))
    assert [fact.value for fact in causes.facts] == ["0.019", "0.142"]
    assert "cause +0.123 ± 0.069 (standard error) more tree than as many by IoU" in said(causes)
    assert "in 40 steps" in causes.question
    realism = only_section(older("artifacts"))
    assert "the costliest unit the distance falls most, by 0.0024 ± 0.0018" in said(realism)
    assert "200 real images" in realism.question


def test_realism_that_nothing_gains(older):
    folder = older("artifacts")
    path = folder / "sets.csv"
    header, *rows = csv.reader(path.read_text().splitlines())
    fall = header.index("fall of the distance")
    for row in rows:
        row[fall] = str(-abs(float(row[fall])) - 0.001)
    WRITERS["csv"](path, header, rows)
    assert "does not bring the images closer: at best the distance changes by +0." in said(
        only_section(folder)
    )


def test_attacks(older):
    section = only_section(older("attack"))
    facts = {fact.label: (fact.value, fact.note) for fact in section.facts}
    assert facts["are misclassified as street"] == ("87.5%", "of 8 images")
    changes = facts["mean change of the peaks of units important to the target"]
    assert changes == ("2.62", "± 2.04, 99% by image")
    assert "change 4.1 times as much as those of all other units" in said(section)
    groups = table(section, "How far the peaks of groups")
    assert groups.rows[0][2] == pytest.approx((2.617, 0.578, 4.656), abs=1e-3)


def test_groups_whose_intervals_do_not_overlap_are_told(older):
    folder = older("attack")
    path = folder / "groups.csv"
    header, *rows = csv.reader(path.read_text().splitlines())
    for row in rows:
        row[header.index("99% ±, by image")] = "0.01"
    WRITERS["csv"](path, header, rows)
    assert said(only_section(folder)).count("the 99% intervals do not overlap") == 2
    # Also of units that change less than all others.
    for row in rows:
        if row[header.index("important to")] != "other":
            row[header.index("mean change of peaks")] = "0.1"
    WRITERS["csv"](path, header, rows)
    assert said(only_section(folder)).count("the 99% intervals do not overlap") == 2


def test_defences(older):
    section = only_section(older("defend"))
    text_of_all = said(section)
    assert "Under targeted attacks, with all units, 75.0%" in text_of_all
    assert "Under untargeted attacks, with all units, 37.5%" in text_of_all
    # The best of 2 numbers of units and 4 choices.
    assert text_of_all.count("As the best of 8 it was chosen on the same images") == 2
    accuracies = table(section, "Accuracy and success of attacks")
    assert isinstance(accuracies.rows[0][4], Estimate)
    assert len(accuracies.header) == 10
    changes = table(section, "What the defence changes")
    assert len(changes.header) == 6 and len(changes.rows) == len(accuracies.rows)


def test_figures_in_pdf_are_named(older):
    folder = older("defend")
    (folder / "defence.png").rename(folder / "defence.pdf")
    section = only_section(folder)
    assert not figures(section)
    assert section.limits[-1].endswith("the figures of this run are `defence.pdf`.")
    (folder / "defence.svg").write_text("<svg/>")
    assert "PDF" not in said(only_section(folder))


def test_random_weights_are_told(older):
    for kind in ("ablate", "detect", "style"):
        folder = older(kind)
        (path,) = folder.glob("*.json")
        settings = json.loads(path.read_text())
        settings["command"]["random_weights"] = 3
        path.write_text(json.dumps(settings))
        assert "random weights (seed 3)" in said(only_section(folder))
