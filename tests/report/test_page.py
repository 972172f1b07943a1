"""Pages, sheets of pictures, and charts."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.container import BarContainer
from PIL import Image

from jaxdissect.plots.bars_and_curves import bar_figure, curve_figure
from jaxdissect.plots.image_grid import draw_grid, paint_labels
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


def test_grid_puts_pictures_where_they_belong():
    pictures = np.zeros((2, 3, 4, 5, 3))
    pictures[1, 2] = (1, 0.5, 0)
    sheet = np.asarray(draw_grid(pictures, scale=3))
    assert (sheet == [255, 128, 0]).all(-1).sum() == 4 * 5 * 9
    assert (sheet[-5, -6] == [255, 128, 0]).all() and (sheet[0, 0] == 0).all()
    named = np.asarray(draw_grid(pictures, scale=3, rows=("up", "down"), columns=("a", "b", "c")))
    assert named.shape[0] > sheet.shape[0] and named.shape[1] > sheet.shape[1]
    np.testing.assert_array_equal(named[-sheet.shape[0] :, -sheet.shape[1] :], sheet)


def test_labels_have_colors_of_their_own():
    colors = paint_labels(np.arange(140))
    assert len(np.unique(colors, axis=0)) == 140
    assert (colors[0] == 0).all() and colors.min() >= 0 and colors.max() <= 1
    np.testing.assert_array_equal(paint_labels(np.array([[3, 139]]))[0, 0], colors[3])


def test_bars_stand_in_the_order_of_their_names():
    values = {"before": np.array([1.0, 2.0, 3.0]), "after": np.array([0.5, 2.5, 1.0])}
    figure = bar_figure(["a", "b", "c"], values, title="t", unit="u", errors={"after": np.ones(3)})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    groups = [group for group in axes.containers if isinstance(group, BarContainer)]
    widths = [[bar.get_width() for bar in group] for group in groups]
    assert widths == [[1, 2, 3], [0.5, 2.5, 1]]
    assert axes.yaxis_inverted()


def test_curves_have_bands_and_begin_at_zero():
    curves = {"left": np.array([1.0, 0.6, 0.4])}
    figure = curve_figure(
        [0, 1, 2], curves, title="t", across="n", up="f", bands={"left": np.full(3, 0.1)}
    )
    (axes,) = figure.axes
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata()), curves["left"])
    assert axes.get_ylim()[0] == 0
    (band,) = axes.collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert heights.max() == pytest.approx(1.1) and heights.min() == pytest.approx(0.3)
