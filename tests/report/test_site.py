"""What a site says of units is what the dissection and its examples hold."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support import dissected
from support.site_data import (
    read_data,
    read_details,
    read_mask,
    read_site,
    read_strips,
    read_units,
)

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.dissection.example_search import unit_examples
from jaxdissect.engine.labelers import annotated
from jaxdissect.report import unit_details
from jaxdissect.report.data_files import write_data
from jaxdissect.report.page_section import (
    Estimate,
    KeyFigure,
    PageFigure,
    PageSection,
    PageTable,
    UnitCell,
)
from jaxdissect.report.site_run import SiteRun
from jaxdissect.report.site_writer import write_site
from jaxdissect.report.unit_effects import ClassChange, LayerEffects, UnitEffect
from jaxdissect.stats import scores

EFFECTS = LayerEffects(
    {
        1: UnitEffect(
            0.25,
            "street",
            [ClassChange("street", Estimate(-0.25, -0.5, 0.125))]
            + [ClassChange(f"class {i}", Estimate(0.0, -0.1, 0.1)) for i in range(14)],
            [("Important to", "1 of 15 classes")],
        )
    },
    "accuracy lost",
    "Change of accuracy.",
    "Over all classes",
)


@pytest.fixture(scope="module")
def result():
    return dissected.dissected(number=9, num_top_images=6)


@pytest.fixture(scope="module")
def examples(result):
    labeler = annotated(dissected.CONCEPTS)
    return unit_examples(
        result, dissected.network(), dissected.source(number=9), labeler, num_images=6
    )


@pytest.fixture(scope="module")
def site(result, examples, tmp_path_factory):
    """A site of a run with photographs and effects, and one with neither."""
    folder = tmp_path_factory.mktemp("site")
    examples.save(folder)
    runs = [
        SiteRun("one", "One", result, examples, "photos", effects={"late": EFFECTS}),
        SiteRun("two", "Two", dissected.dissected(scale=0.5), random_of="one", random_weights=3),
    ]
    assert write_site(folder, runs, title="Title", lead=["Lead."]) == folder / "index.html"
    return folder


def test_the_page_loads_what_is_there(site):
    page = (site / "index.html").read_text()
    assert "<title>Title</title>" in page
    scripts = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert "page/data/site.js" in scripts and len(scripts) > 3
    assert all((site / script).is_file() for script in scripts)
    assert "http:" not in page and "https:" not in page
    assert not list((site / "page").glob("*.jinja"))


def test_layers_are_counted(site, result):
    run = read_site(site)["runs"][0]
    for data, (name, layer) in zip(run["layers"], result.layers.items(), strict=True):
        assert data["name"] == name and data["units"] == layer.num_units
        assert data["detectors"] == len(layer.detectors()) > 0
        detected = set(layer.best_concept[layer.detectors()].tolist())
        assert data["concepts"] == len(detected)
        assert {c: tuple(n) for c, n in data["by_category"].items()} == layer.category_counts()
    assert run["vocabulary"]["names"][1:] == ["road", "roof", "glass", "glass"]
    assert run["min_iou"] == result["late"].min_iou
    assert run["photos"]["mask"] == [8, 8] and run["photos"]["directory"] == "photos"
    categories = read_site(site)["categories"]
    assert [category["name"] for category in categories] == ["object", "part", "material"]
    assert len({category["color"] for category in categories}) == 3


def test_units_in_columns(site, result):
    columns = read_units(site, "one")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    places = [(i, u) for i, n in enumerate(result.layers) for u in range(result[n].num_units)]
    assert [(row["layer"], row["unit"]) for row in rows] == places
    for row, (index, unit) in zip(rows, places, strict=True):
        layer = list(result.layers.values())[index]
        assert row["concept"] == layer.best_concept[unit]
        assert row["concept_2"] == layer.ranking(2)[1, unit]
        assert row["iou"] == pytest.approx(layer.best_iou[unit], abs=1e-6)
        assert row["threshold"] == pytest.approx(layer.thresholds[unit], rel=1e-5)
        assert row["active"] == pytest.approx(layer.active_fraction[unit], rel=1e-5)
        assert row["peak"] == pytest.approx(layer.top_values[unit, 0], rel=1e-5)
        assert row["photo"] == layer.top_examples[unit, 0]
        effect = (0.25, "street") if (index, unit) == (1, 1) else (None, None)
        assert (row["importance"], row["importance_class"]) == effect
    assert "importance" not in read_units(site, "two")


@pytest.mark.parametrize("index", [0, 1])
def test_details_of_units(site, result, examples, index):
    name = list(result.layers)[index]
    layer, found = result[name], examples.layers[name]
    data = read_details(site, "one", index, 0)
    strips = read_strips(site, "one", index)
    assert data["first"] == 0 and len(data["units"]) == layer.num_units == len(strips["photos"])
    masks = examples.mask(found.masks)
    precision, recall = layer.score(scores.precision), layer.score(scores.recall)
    for unit, detail in enumerate(data["units"]):
        listed = detail["scores"]["concepts"]
        assert set(listed) == set(np.flatnonzero(layer.iou[:, unit] >= 5e-4).tolist()) - {0}
        iou = layer.iou[listed, unit]
        assert (np.diff(iou) <= 0).all() and listed[:1] == [layer.best_concept[unit]][: len(listed)]
        np.testing.assert_allclose(np.array(detail["scores"]["iou"]) / 1e4, iou, atol=5.1e-5)
        for score, values in (("precision", precision), ("recall", recall)):
            written = np.array(detail["scores"][score]) / 1e3
            np.testing.assert_allclose(written, values[listed, unit], atol=5.1e-4)
        assert [top["photo"] for top in detail["top"]] == found.examples[unit].tolist()
        assert strips["photos"][unit] == found.examples[unit, :4].tolist()
        for column, top in enumerate(detail["top"]):
            np.testing.assert_array_equal(read_mask(top["mask"], (8, 8)), masks[unit, column])
            assert (site / "photos" / f"{top['photo']}.jpg").is_file()
            row, place = found.places[unit, column].tolist()
            assert top["at"] == [(place + 0.5) / 4, (row + 0.5) / 4]
            if column < 4:
                assert strips["masks"][unit][column] == top["mask"]
        histogram = detail["histogram"]
        assert histogram["counts"] == found.counts[unit].tolist() and histogram["examples"] == 9
        # All images are in the sample: the very pixels that the dissection counted.
        assert histogram["above"] == layer.counts.unit[unit]


def test_concepts_that_are_left_out_are_counted(tmp_path, result, monkeypatch):
    monkeypatch.setattr(unit_details, "_MOST_CONCEPTS", 1)
    write_site(tmp_path, [SiteRun("one", "one", result)], title="t")
    for detail, iou in zip(
        read_details(tmp_path, "one", 0, 0)["units"],
        next(iter(result.layers.values())).iou.T,
        strict=True,
    ):
        overlapping = int((iou[1:] >= 5e-4).sum())
        assert len(detail["scores"]["concepts"]) == min(overlapping, 1)
        assert detail["scores"]["more"] == max(overlapping - 1, 0)


def test_boxes_are_parts_of_the_photograph(site, examples):
    found = examples.layers["early"]
    assert found.boxes is not None and found.field_size == (1, 1)
    for unit, detail in enumerate(read_details(site, "one", 0, 0)["units"][:3]):
        assert detail["field"] == [1, 1]
        for column, top in enumerate(detail["top"]):
            assert top["box"] == (found.boxes[unit, column] / 8).tolist()


def test_mistakes_of_units(site, examples):
    shown = 0
    for index, found in enumerate(examples.layers.values()):
        for unit, detail in enumerate(read_details(site, "one", index, 0)["units"]):
            for kind in ("false_positives", "false_negatives"):
                mistakes = getattr(found, kind)
                number = int((mistakes.examples[unit] >= 0).sum())
                assert len(detail[kind]) == number
                for column, one in enumerate(detail[kind]):
                    assert one["photo"] == mistakes.examples[unit, column]
                    assert one["pixels"] == mistakes.pixels[unit, column] > 0
                    mask = examples.mask(mistakes.masks[unit, column])
                    np.testing.assert_array_equal(read_mask(one["mask"], (8, 8)), mask)
                    if kind == "false_negatives":
                        concept = examples.mask(mistakes.concept_masks[unit, column])
                        np.testing.assert_array_equal(
                            read_mask(one["concept_mask"], (8, 8)), concept
                        )
                    shown += 1
    assert shown > 10


def test_effects_of_removal(site):
    without, detail = read_details(site, "one", 1, 0)["units"]
    assert without["importance"] is None and without["removal"] is None
    assert detail["importance"]["rows"][0] == ["street", -0.25, -0.5, 0.125]
    assert len(detail["importance"]["rows"]) == 12
    assert "12 of 15" in detail["importance"]["caption"]
    assert detail["removal"]["facts"] == [["Important to", "1 of 15 classes"]]
    first, second = read_site(site)["runs"]
    assert first["has_importance"] and first["importance_label"] == "accuracy lost"
    assert not second["has_importance"] and second["importance_label"] is None


def test_results_without_photographs_say_so(site):
    run = read_site(site)["runs"][1]
    assert run["photos"] is None and "--overwrite" in run["photos_missing"]
    assert run["random_of"] == "one" and run["random_weights"] == 3
    detail = read_details(site, "two", 0, 0)["units"][0]
    assert detail["histogram"] is None and detail["false_positives"] == []
    assert len(detail["top"]) == 6 and {top["mask"] for top in detail["top"]} == {None}


def test_runs_are_compared(site, result):
    path = site / "page" / "data" / "comparisons" / "one_two.js"
    found = read_data(path, "comparison", "one/two")
    assert read_site(site)["comparisons"] == [["one", "two"]]
    assert found["refused"] is None and found["a"]["units"] == found["b"]["units"] == 6
    detectors = sum(len(layer.detectors()) for layer in result.layers.values())
    assert found["a"]["detectors"] == detectors and len(found["matched"]) > 0
    for first, a, second, b, *_ in found["matched"]:
        concepts = [
            side["concept"][side["layer"].index(layer) + unit]
            for side, layer, unit in (
                (read_units(site, "one"), first, a),
                (read_units(site, "two"), second, b),
            )
        ]
        assert concepts[0] == concepts[1] > 0


def test_pairs_name_what_they_are_matched_by(tmp_path, result):
    """Units are taken for the best of the concepts that both know, which may be their second."""
    names = ("-", "lane", *result.vocabulary.names[2:])
    vocabulary = Vocabulary(names, result.vocabulary.categories)
    layers = {n: replace(layer, vocabulary=vocabulary) for n, layer in result.layers.items()}
    other = replace(result, vocabulary=vocabulary, layers=layers)
    write_site(tmp_path, [SiteRun("a", "A", result), SiteRun("b", "B", other)], title="t")
    path = tmp_path / "page" / "data" / "comparisons" / "a_b.js"
    seconds = 0
    for place, unit, place_b, unit_b, _, iou, iou_b, *concept in read_data(
        path, "comparison", "a/b"
    )["matched"]:
        layer = list(result.layers.values())[place]
        known = 2 + int(np.argmax(layer.iou[2:, unit]))
        assert concept == [names[known], vocabulary.categories[known]]
        assert (place_b, unit_b, iou_b) == (place, unit, iou)
        assert iou == pytest.approx(layer.iou[known, unit], abs=1e-6)
        seconds += int(layer.best_concept[unit] != known)
    assert seconds > 0


def test_what_cannot_be_compared_is_refused(tmp_path, result):
    other = dissected.dissected(preset=dissected.PRESET.__class__("other", 0.3, 0.04))
    runs = [SiteRun("a", "A", result), SiteRun("b", "B", other)]
    write_site(tmp_path, runs, title="t")
    path = tmp_path / "page" / "data" / "comparisons" / "a_b.js"
    assert "fraction" in read_data(path, "comparison", "a/b")["refused"]


def test_sections(tmp_path, result):
    inside, outside = tmp_path / "site" / "a #1.png", tmp_path / "chart.png"
    inside.parent.mkdir()
    for path, size in ((inside, (5, 4)), (outside, (7, 3))):
        Image.new("RGB", size).save(path)
    cells = ("a", 1, 0.5, True, None, Estimate(1.0, 0.5, math.nan), UnitCell("late", 1))
    header = [str(i) for i in range(len(cells) + 1)]
    section = PageSection(
        "Section",
        "Why?",
        ["Found `it`."],
        [
            PageTable("Table", header, [(*cells, UnitCell("late", 9))]),
            PageFigure("Inside", "a square", inside),
            PageFigure("Outside", "a bar", outside),
        ],
        ["Not all."],
        [KeyFigure("Label", "1.5")],
        "jaxdissect ablate",
        run="one",
    )
    folder = tmp_path / "site"
    write_site(folder, [SiteRun("one", "One", result)], title="t", sections=[section, section])
    first, second = read_site(folder)["sections"]
    assert first["id"] != second["id"] and first["question"] == "Why?"
    assert first["facts"] == [["Label", "1.5", None]] and first["run"] == "one"
    table, *figures = first["content"]
    (row,) = table["rows"]
    assert row[:5] == ["a", 1, 0.5, True, None]
    assert row[5] == {"value": 1.0, "low": 0.5, "high": None}
    assert row[6] == {"layer": "late", "unit": 1, "run": "one"}
    assert row[7] == {"layer": "late", "unit": 9, "run": None}  # there is no such unit
    assert figures[0]["file"] == "a%20%231.png" and figures[0]["width"] == 5
    assert figures[1]["alt"] == "a bar" and (figures[1]["width"], figures[1]["height"]) == (7, 3)
    assert (folder / figures[1]["file"]).read_bytes() == outside.read_bytes()


def test_an_older_page_is_removed(site, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    write_site(folder, [], title="Nothing")
    assert not (folder / "page" / "data" / "one").exists()
    assert read_site(folder)["runs"] == [] and (folder / "photos").is_dir()


def test_hostile_texts_stay_texts(tmp_path):
    path = tmp_path / "deep" / "data.js"
    evil = '</script><b>"\u2028\x1b[1m\n'
    write_data(path, "site", "", {"name": evil, evil: [evil, (1, np.float32("nan"))]})
    found = read_data(path, "site", "")
    shown = '</script><b>"\\u2028\\x1b[1m\n'
    assert found == {"name": shown, shown: [shown, [1, None]]}
    assert json.dumps(found).isascii()
