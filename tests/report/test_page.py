"""Pages: what they show, and that they hold their images themselves."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from jaxdissect.plots.bars_and_curves import bar_figure
from jaxdissect.report.page import PageFigure, PageSection, PageTable, write_page


class Page(HTMLParser):
    """Text, links and pictures of a page; fails on tags that are not closed."""

    VOID = {"meta", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.sources, self.links, self.cells = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.sources += [attrs["src"]] if "src" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        if tag == "td":
            self.cells.append(attrs.get("class"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def page(tmp_path):
    picture = PageFigure("a <red> square", Image.new("RGB", (5, 4), "red"))
    chart = PageFigure("bars", bar_figure(["a"], {"x": np.ones(1)}, title="t", unit="u"))
    table = PageTable("numbers", ("name", "value", "share"), [("a & b", 3, 0.12345)])
    sections = [PageSection("First & last", ["Some text."], [picture, chart, table])]
    write_page(tmp_path / "page.html", "The <title>", ["Lead."], sections)
    return Page((tmp_path / "page.html").read_text("utf-8"))


def test_page_says_what_it_is_given(page):
    text = " ".join(page.words)
    for words in ("The <title>", "Lead.", "First & last", "a <red> square", "a & b", "0.123"):
        assert words in text
    assert page.cells == [None, "number", "number"]
    assert page.links == ["#part-1"]


def test_page_holds_its_pictures(page):
    assert len(page.sources) == 2
    sizes = []
    for source in page.sources:
        found = re.fullmatch("data:image/png;base64,(.+)", source)
        assert found
        sizes.append(Image.open(io.BytesIO(base64.b64decode(found[1]))).size)
    assert sizes[0] == (5, 4) and sizes[1][0] > 300
