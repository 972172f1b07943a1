"""Files of figures: their formats, text that stays text, and the same bytes again."""

import re
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image
from support import drawn_results

from jaxdissect.plots import concept_figure, curve_figure, grid_figure, print_style, save_figure


def some_figures():
    rng = np.random.default_rng(0)
    yield concept_figure(drawn_results.dissection_with(conv=[1, 2, 3, 3, 8]))
    yield curve_figure([0, 1, 2], {"a": np.ones(3)}, title="t", across="n", up="f", width=3.42)
    yield grid_figure(rng.random((1, 2, 8, 8, 3)), rows=["a"], columns=["b", "c"], width=3.42)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_file(tmp_path, ending):
    for place, figures in enumerate(zip(some_figures(), some_figures(), strict=True)):
        paths = [tmp_path / f"{place}_{turn}.{ending}" for turn in range(2)]
        for path, figure in zip(paths, figures, strict=True):
            save_figure(path, figure)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate", paths[0].read_bytes())


def test_text_of_svg_is_text(tmp_path):
    figure = next(some_figures())
    save_figure(tmp_path / "concepts.svg", figure)
    written = (tmp_path / "concepts.svg").read_text()
    for text in ("conv: 5 of 5 units detect a concept", "name1", "units"):
        assert re.search(rf"<text[^>]*>{text}", written), text


def test_text_of_pdf_is_text(tmp_path, monkeypatch):
    monkeypatch.setitem(print_style._STYLE, "pdf.compression", 0)
    save_figure(tmp_path / "concepts.pdf", next(some_figures()))
    written = (tmp_path / "concepts.pdf").read_bytes().decode("latin-1")
    assert "/ToUnicode" in written and "/FontFile2" in written  # so that it can be copied and read
    shown = [
        "".join(re.findall(r"\(([^()]*)\)", block)).replace("\0", "")
        for block in re.findall(r"\nBT\n(.*?)\nET\n", written, re.DOTALL)
    ]
    assert {"name1", "name2", "a rather long name 7", "units"} <= set(shown)


def test_png_has_300_pixels_per_inch(tmp_path):
    _, curves, _ = some_figures()
    save_figure(tmp_path / "curves.png", curves)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.width == 1026 and image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_settings_of_the_user_change_nothing(tmp_path):
    save_figure(tmp_path / "plain.png", next(some_figures()))
    settings: dict[Any, Any] = {
        "font.size": 20,
        "axes.facecolor": "black",
        "axes.grid": True,
        "lines.linewidth": 9,
    }
    with matplotlib.rc_context(settings):
        save_figure(tmp_path / "dark.png", next(some_figures()))
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "dark.png").read_bytes()


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`path` \(=.*chart.jpg\) must end with one of .png, .svg"
    ):
        save_figure(tmp_path / "chart.jpg", next(some_figures()))
