"""Tables: what they count, and how they are laid out as text."""

import csv
import json

import pytest
from pyarrow import parquet
from support import drawn_results

from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.commands.output.table_files import (
    WRITERS,
    aligned,
    four_digits,
    three_decimals,
    write_csv,
)


def test_columns_follow_their_first_row():
    rows = [("name", "share"), ("tree", "0.5"), ("mean of all", "")]
    assert list(aligned(rows)) == ["  name         share", "  tree           0.5", "  mean of all"]
    assert list(aligned([("name", "share")])) == ["  name  share"]


def test_numbers_with_fractions_are_rounded():
    rows = [("tree", 12345, 0.123456, None), ("barn", 0, 12345.6, "")]
    assert four_digits(rows) == [
        ("tree", "12345", "0.1235", "-"),
        ("barn", "0", "1.235e+04", ""),
    ]
    assert [row[2] for row in three_decimals(rows)] == ["0.123", "12345.600"]


def test_settings_are_those_that_mark_a_folder_as_results(tmp_path):
    options = TableOptions(out=tmp_path)
    with pytest.raises(ValueError, match="must be named one of: dissection.json, ablation.json"):
        write_settings(tmp_path / "settings.json", options, {})
    assert list(tmp_path.iterdir()) == []


def test_tables_count_units_and_concepts(tmp_path):
    result = drawn_results.dissection_with(early=[0, 0], late=[1, 1, 7, 2, 0])
    write_csv(tmp_path / "concepts.csv", *dissection_tables.concept_table(result))
    write_csv(tmp_path / "layers.csv", *dissection_tables.category_table(result))
    with open(tmp_path / "concepts.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["layer", "concept", "category", "units"],
            ["late", drawn_results.CONCEPTS.names[1], "object", "2"],
            ["late", drawn_results.CONCEPTS.names[7], "object", "1"],
            ["late", drawn_results.CONCEPTS.names[2], "part", "1"],
        ]
    with open(tmp_path / "layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(drawn_results.KINDS)
    assert [row["detectors"] for row in rows if row["category"] == "object"] == ["0", "3"]
    assert [row["concepts"] for row in rows if row["category"] == "object"] == ["0", "2"]


def test_summary_lists_the_best_units_of_all_layers():
    lines = dissection_tables.summary(
        drawn_results.dissection_with(early=[0, 3], late=[1, 1, 7, 2, 0])
    ).splitlines()
    table = [line.split() for line in lines]
    assert ["late", "5", "4", "3", "3", "(2)", "1", "(1)"] in [row[:8] for row in table]
    best = table[table.index(["layer", "unit", "IoU", "concept", "category"]) + 1 :]
    assert [(row[0], row[1]) for row in best] == [
        ("late", "0"),
        ("late", "1"),
        ("late", "2"),
        ("late", "3"),
        ("early", "1"),
    ]
    assert "Best units" not in dissection_tables.summary(drawn_results.dissection_with(conv=[0]))


def test_names_from_elsewhere_harm_no_table(tmp_path):
    names = ["=cmd|' /C calc'!A0", "caf\udce9.png", "a\x1b[2J\nb", "-", "tree"]
    header = ("=name", "value")
    rows = [(name, -0.5) for name in names]
    shown = ["=cmd|' /C calc'!A0", r"caf\xe9.png", r"a\x1b[2J\nb", "-", "tree"]
    for ending, write in WRITERS.items():
        write(tmp_path / f"names.{ending}", header, rows)
    with open(tmp_path / "names.csv", newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found[0] == ["'=name", "value"] and found[1] == [f"'{names[0]}", "-0.5"]
    assert [row[0].removeprefix("'") for row in found[1:]] == shown
    objects = json.loads((tmp_path / "names.json").read_text(encoding="utf-8"))
    assert [row["=name"] for row in objects] == shown
    assert parquet.read_table(tmp_path / "names.parquet")["=name"].to_pylist() == shown
    text = "\n".join(aligned(four_digits([header, *rows])))
    assert text.count("\n") == len(names) and "\x1b" not in text
    text.encode()
