"""How results show themselves: short, whole sentences, and safe whatever names hold."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from support.dissected import dissected
from support.drawn_results import dissection_with, layer_with

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.comparison import compare
from jaxdissect.dissection.result import Dissection

HOSTILE = "<script>alert('x')</script>&\""
RIGHT_TO_LEFT = "\u202eevil"  # turns the line around that shows it


class Page(HTMLParser):
    """Tables as lists of rows of texts; everything opened must be closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.captions, self.sentences = [], set(), [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        assert all(name == "style" for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "caption":
            self.captions.append("")
        elif tag == "p":
            self.sentences.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open[-1] == "caption":
            self.captions[-1] += data
        elif self.open[-1] == "p":
            self.sentences[-1] += data


ALLOWED = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}


def hostile_result():
    concepts = vocabulary([(HOSTILE, "object"), ("plain", HOSTILE), ("x" * 300, "part")])
    layers = {name: layer_with(name, [1, 2, 3, 1], concepts) for name in (HOSTILE, RIGHT_TO_LEFT)}
    return Dissection(layers, concepts, {"preset": HOSTILE, "examples": 7})


@pytest.mark.parametrize("kind", ["result", "layer", "unit", "comparison"])
def test_names_cannot_become_markup_or_turn_lines(kind):
    result = hostile_result()
    shown = {
        "result": result,
        "layer": result[HOSTILE],
        "unit": result.unit(RIGHT_TO_LEFT, 0),
        "comparison": compare(result, result, names=(HOSTILE, "b")),
    }[kind]
    text = shown._repr_html_()
    page = Page(text)
    assert page.tags <= ALLOWED and "\u202e" not in text and "\u202e" not in repr(shown)
    assert any(HOSTILE in cell for row in page.rows for cell in row) or HOSTILE in str(
        page.captions
    )
    assert "\n" not in repr(shown) and len(repr(shown)) < 400


def test_a_result_shows_what_its_layers_detect():
    result = dissected()
    page = Page(result._repr_html_())
    header, *rows = page.rows
    assert header == ["layer", "units", "detectors", "concepts", "object", "part", "material"]
    for row, layer in zip(rows, result.layers.values(), strict=True):
        counts = layer.category_counts()
        assert row == [
            layer.name,
            str(layer.num_units),
            str(len(layer.detectors())),
            str(len(layer.concept_counts())),
            *(f"{count.units} ({count.concepts})" for count in counts.values()),
        ]
    assert page.captions == ["Dissection; preset pnas2020; 6 images"]
    assert repr(result) == (
        "Dissection(layers 'early', 'late': 6 units; preset pnas2020; 6 images)"
    )


def test_a_layer_shows_its_best_detectors():
    layer = dissection_with(late=[1 + i % 4 for i in range(12)] + [0])["late"]
    page = Page(layer._repr_html_())
    _, *rows = page.rows
    assert [row[2] for row in rows] == [str(unit) for unit in layer.detectors()[:10]]
    for row in rows:
        unit = int(row[2])
        assert row[0] == layer.vocabulary.names[layer.best_concept[unit]]
        assert float(row[3]) == pytest.approx(layer.best_iou[unit], abs=5e-4)
    assert page.sentences == ["And 2 more detectors."]
    assert repr(layer) == (
        "LayerDissection('late': 12 of 13 units detect 4 concepts with IoU > 0.04)"
    )


def test_a_unit_shows_its_concepts():
    result = dissected()
    unit = result.unit("early", 0)
    page = Page(unit._repr_html_())
    _, *rows = page.rows
    expected = [score for score in unit.scores if score.iou > 0][:5]
    assert [row[:2] for row in rows] == [list(score[:2]) for score in expected]
    assert page.captions == ["Unit 0 of layer early: a detector"]
    assert f"on {unit.active_fraction:.2%} of all pixels" in page.sentences[0]
    assert repr(unit) == f"Unit('early', unit 0: road (object), IoU {unit.iou:.3f})"
    dead = result.unit("early", 3)
    assert repr(dead) == "Unit('early', unit 3: no concept)"
    assert len(Page(dead._repr_html_()).rows) == 1  # the header
    weak = result.with_min_iou(0.9).unit("early", 0)
    assert repr(weak).endswith(", no detector)")


def test_long_results_stay_small():
    layers = {f"layer {i}": layer_with(f"layer {i}", [1, 2]) for i in range(100)}
    result = Dissection(layers, layers["layer 0"].vocabulary)
    page = Page(result._repr_html_())
    assert len(page.rows) == 31 and page.sentences[0] == "And 70 more layers."
    assert "and 96 more" in repr(result) and len(repr(result)) < 200
    assert len(result._repr_html_()) < 50_000


def test_results_with_nan_show_themselves():
    layer = layer_with("dead", [1, 0])
    iou = layer.iou.copy()
    iou[2, 1] = np.nan  # the reference's IoU of a unit that is never active
    dead = replace(layer, iou=iou)
    result = Dissection({"dead": dead}, dead.vocabulary)
    for shown in (result, dead, result.unit("dead", 1), result.unit("dead", 0)):
        assert repr(shown) and Page(shown._repr_html_()).rows
