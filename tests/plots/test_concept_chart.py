"""The chart of concepts: what is drawn is what was counted, and it can be read."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
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
    assert [len(axes_of(chart, name)) for name in many.layers] == [1, 1, 1, 3]


def bars_of(some_axes):
    return [bar for axes in some_axes for bar in axes.patches if isinstance(bar, Rectangle)]


def color_of(bar):
    return "#" + "".join(f"{round(255 * part):02X}" for part in bar.get_facecolor()[:3])


def test_colors_tell_categories_apart_and_unknown_ones_get_further_colors():
    colors = palette.category_colors(("object", "scene", "part", "mood"))
    assert len(set(colors.values())) == 4
    assert colors["object"] == palette.CATEGORY_COLORS["object"]


def test_nothing_in_the_chart_overlaps_or_is_cut_off(chart):
    renderer = FigureCanvasAgg(chart).get_renderer()
    chart.draw(renderer)
    for axes in chart.axes:
        boxes = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
        for left, right in zip(boxes[:-1], boxes[1:], strict=True):
            assert left.x1 <= right.x0
    parts = [box for axes in chart.axes if (box := axes.get_tightbbox(renderer)) is not None]
    assert len(parts) == len(chart.axes)
    for above, below in zip(parts[:-1], parts[1:], strict=True):
        assert above.y0 >= below.y1
    for part in parts:
        assert part.x0 >= 0 and part.y0 >= 0
        assert part.x1 <= chart.bbox.x1 and part.y1 <= chart.bbox.y1
    for axes in chart.axes:
        if (legend := axes.get_legend()) is not None:
            assert not legend.get_window_extent(renderer).overlaps(axes.get_window_extent(renderer))


def test_legend_and_titles_tell_the_numbers():
    figure = concept_chart.concept_figure(drawn_results.dissection_with(conv=[1, 1, 7, 2, 0]))
    (axes,) = figure.axes
    assert axes.get_title("left") == "conv: 4 of 5 units detect a concept (IoU > 0.04)"
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
    assert label.get_text() == "x" * 13 + "…" + "x" * 14


def test_chart_is_written_as_png(tmp_path, chart):
    figure_files.save_figure(tmp_path / "chart.png", chart)
    with Image.open(tmp_path / "chart.png") as image:
        assert image.format == "PNG" and image.width > 1500
