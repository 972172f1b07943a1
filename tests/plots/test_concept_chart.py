"""The chart of concepts: what is drawn is what was counted, and it can be read."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image
from support import drawn_results

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.result import Dissection
from jaxdissect.plots import concept_chart, figure_files, palette


@pytest.fixture(scope="module")
def many() -> Dissection:
    """Layers of every size: no detector, one, sixty concepts, and more than fit a row."""
    rng = np.random.default_rng(0)
    wide = [*range(1, 151), *rng.integers(1, 151, 100)]
    full = [*range(1, 61), *range(1, 61, 2)]
    return drawn_results.dissection_with(
        empty=[0, 0, 0], one=[0, 7, 0], full=full, wide=list(map(int, wide))
    )


@pytest.fixture(scope="module")
def chart(many):
    return concept_chart.concept_figure(many)


def axes_of(figure, layer):
    return [axes for axes in figure.axes if axes.get_label() == layer]


def test_chart_has_a_bar_of_the_right_height_for_every_detected_concept(many, chart):
    colors = palette.category_colors(drawn_results.CONCEPTS.category_names)
    for name, layer in many.layers.items():
        bars = bars_of(axes_of(chart, name))
        counts = layer.concept_counts()
        assert [bar.get_height() for bar in bars] == list(counts.values())
        for bar, concept in zip(bars, counts, strict=True):
            assert color_of(bar) == colors[drawn_results.CONCEPTS.categories[concept]]
        labels = [
            text.get_text() for axes in axes_of(chart, name) for text in axes.get_xticklabels()
        ]
        assert labels == [drawn_results.CONCEPTS.names[concept] for concept in counts]
    assert [len(axes_of(chart, name)) for name in many.layers] == [1, 1, 2, 3]


def bars_of(some_axes):
    return [bar for axes in some_axes for bar in axes.patches if isinstance(bar, Rectangle)]


def color_of(bar):
    return "#" + "".join(f"{round(255 * part):02X}" for part in bar.get_facecolor()[:3])


def test_colors_tell_categories_apart_and_unknown_ones_get_further_colors():
    colors = palette.category_colors(("object", "scene", "part", "mood"))
    assert len(set(colors.values())) == 4
    assert colors["object"] == palette.CATEGORY_COLORS["object"]


def test_a_layer_chart_has_a_bar_for_every_category_of_a_layer(many):
    figure = concept_chart.layer_figure(many)
    colors = palette.category_colors(drawn_results.CONCEPTS.category_names)
    for place, axes in enumerate(figure.axes):
        drawn = {}
        for bar in bars_of([axes]):
            layer = round(bar.get_y() + bar.get_height() / 2)
            drawn[layer, color_of(bar)] = (bar.get_x(), bar.get_width())
        for layer, name in enumerate(many.layers):
            end = 0
            for category, number in many[name].category_counts().items():
                assert drawn[layer, colors[category]] == (end, number[place])
                end += number[place]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(many.layers)


def test_legend_and_titles_tell_the_numbers():
    figure = concept_chart.concept_figure(drawn_results.dissection_with(conv=[1, 1, 7, 2, 0]))
    (axes,) = figure.axes
    assert [text.get_text() for text in figure.texts] == [
        "conv: 4 of 5 units detect a concept (IoU > 0.04)"
    ]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "object: 3 units, 2 concepts",
        "part: 1 unit, 1 concept",
    ]


def test_an_empty_layer_says_so():
    (axes,) = concept_chart.concept_figure(drawn_results.dissection_with(conv=[0, 0])).axes
    assert [text.get_text() for text in axes.texts] == ["no unit above IoU 0.04"]
    assert not axes.patches and axes.get_legend() is None


def test_long_names_are_shortened():
    concepts = vocabulary([("x" * 90, "object")])
    layer = drawn_results.layer_with("conv", [1], concepts)
    (axes,) = concept_chart.concept_figure(Dissection({"conv": layer}, concepts)).axes
    (label,) = axes.get_xticklabels()
    assert set(label.get_text()) == {"x", "…"} and 10 < len(label.get_text()) < 90


def test_chart_is_written_as_png(tmp_path, chart):
    figure_files.save_figure(tmp_path / "chart.png", chart)
    with Image.open(tmp_path / "chart.png") as image:
        assert image.format == "PNG" and image.width == 2100
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)
