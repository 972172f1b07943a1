"""Every figure can be read, however much it shows, across a page and in a column of it."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from support import drawn_results
from support.drawn_studies import class_study, defences, insertion, style_study
from support.readable_figures import unreadable

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.commands.ablate import figures as ablate_figures
from jaxdissect.commands.defend.figures import defence_figure
from jaxdissect.commands.detect.figures import peak_figure
from jaxdissect.commands.generate import figures as generate_figures
from jaxdissect.commands.style import figures as style_figures
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.unit_images import UnitImages
from jaxdissect.plots import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    bar_figure,
    concept_figure,
    curve_figure,
    grid_figure,
    layer_figure,
    strip_figure,
    unit_figure,
)

LONG = "features.denseblock4.denselayer24 with a name that goes on and on"
KINDS = (*drawn_results.KINDS, "a category of the user's own", "mood", "weather")

each_width = pytest.mark.parametrize("width", [PAGE_WIDTH, COLUMN_WIDTH])
each_number = pytest.mark.parametrize("number", [1, 5, 60, 175])


def names_of(number):
    return [f"{LONG} {i}" if i % 7 == 3 else f"name {i}" for i in range(number)]


def concepts_of(number):
    return vocabulary((name, KINDS[i % len(KINDS)]) for i, name in enumerate(names_of(number)))


def assert_readable(figure, width):
    assert not unreadable(figure)
    assert figure.get_figwidth() <= width + 1e-6


def test_overlaps_and_what_is_outside_are_found():
    figure = Figure(figsize=(2, 2))
    figure.text(0.1, 0.5, "first of all")
    figure.text(0.15, 0.5, "second")
    figure.text(0.9, 0.1, "outside of it")
    figure.text(0.1, 0.9, "small", fontsize=4)
    axes = figure.add_axes((0.1, 0.2, 0.2, 0.2), xticks=[], yticks=[])
    axes.plot([0], [0], label="in the way")
    axes.legend(loc="lower left")
    axes.set_xticks([0, 9], ["shown", "not shown"])
    axes.set_xlim(-1, 1)
    assert unreadable(figure) == [
        "'small' has 4.0 points",
        "'outside of it' lies outside",
        "'first of all' and 'second' overlap",
        "the legend of 'in the way' covers a panel",
    ]


@each_width
@each_number
def test_concept_chart(number, width):
    concepts = concepts_of(number)
    best = [*range(1, number + 1), 1, 1, 0]
    layers = {LONG: drawn_results.layer_with(LONG, best, concepts)}
    layers["none"] = drawn_results.layer_with("none", [0, 0], concepts)
    assert_readable(concept_figure(Dissection(layers, concepts), width=width), width)


@each_width
@pytest.mark.parametrize("number", [1, 13, 60])
def test_layer_chart(number, width):
    concepts = concepts_of(20)
    rng = np.random.default_rng(number)
    layers = {
        name: drawn_results.layer_with(name, rng.integers(0, 21, 1000).tolist(), concepts)
        for name in names_of(number)
    }
    assert_readable(layer_figure(Dissection(layers, concepts), width=width), width)


def test_layers_without_any_detector_have_a_chart():
    result = drawn_results.dissection_with(conv=[0, 0], head=[0])
    assert_readable(layer_figure(result), PAGE_WIDTH)


@each_width
@pytest.mark.parametrize(("number", "num_series"), [(1, 3), (5, 3), (60, 2), (175, 1)])
def test_bars(number, num_series, width):
    rng = np.random.default_rng(number)
    series = {
        f"{LONG} {i}" if i == 1 else f"s{i}": rng.normal(size=number) for i in range(num_series)
    }
    figure = bar_figure(
        names_of(number),
        series,
        title=f"Bars of {LONG}",
        unit=f"mean change of {LONG}, and its 99% interval by image",
        errors={"s0": np.full(number, 0.3)},
        width=width,
    )
    assert_readable(figure, width)


@each_width
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
def test_bars_of_small_and_large_values(scale, width):
    values = {"a": scale * np.array([-1.0, 2.5, 3.75])}
    assert_readable(bar_figure(names_of(3), values, title="t", unit="u", width=width), width)


@each_width
@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_curves(number, width):
    rng = np.random.default_rng(number)
    curves = {name: rng.random(300) for name in names_of(number)}
    figure = curve_figure(
        range(300),
        curves,
        title=f"Removing units of {LONG} that match {LONG} best, 1,000 images, 99% band",
        across="units removed",
        up=f"fraction of {LONG} pixels left",
        bands={"name 0": np.full(300, 0.1)},
        width=width,
    )
    assert_readable(figure, width)


def strip_of(unit, *, layer=LONG, concept=LONG, images=8):
    pixels = np.random.default_rng(unit).random((images, 32, 48, 3)).astype(np.float32)
    active = pixels[..., 0] > 0.7
    return UnitImages(unit, concept, "object", 0.1, bool(unit % 2), pixels, active, layer)


@each_width
@pytest.mark.parametrize("number", [1, 12])
def test_strips(number, width):
    strips = [strip_of(unit, images=1 + unit % 8) for unit in range(number)]
    strips[0] = strip_of(0, layer="", concept="sky", images=1)
    assert_readable(strip_figure(f"Units of {LONG}", strips, width=width), width)
    assert_readable(strip_figure("", strips, width=width), width)


@each_width
@pytest.mark.parametrize("number", [1, 5, 60])
def test_one_unit(number, width):
    patches = [np.zeros((10 + i, 40, 3), np.uint8) for i in range(5)]
    concepts = [(name, KINDS[i % 9], 0.3 / (1 + i)) for i, name in enumerate(names_of(number))]
    figure = unit_figure(strip_of(3), patches=patches, concepts=concepts, min_iou=0.04, width=width)
    assert_readable(figure, width)
    assert_readable(unit_figure(strip_of(2, images=1), width=width), width)


@each_width
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (6, 6), (3, 12)])
def test_grids(rows, columns, width):
    images = np.zeros((rows, columns, 16, 16, 3))
    heads = [*("image", "adversarial", "difference x10", "unit before")[:columns]]
    heads += names_of(columns)[len(heads) :]
    figure = grid_figure(images, rows=names_of(rows), columns=heads, width=width)
    assert_readable(figure, width)
    assert_readable(grid_figure(images, rows=[LONG] * rows, width=width), width)


@each_width
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_peaks(scale, width):
    values = (scale * np.random.default_rng(1).normal(size=3000)).astype(np.float32)
    figure = peak_figure(
        values, values > scale, scale, name=LONG, title=f"{LONG}, unit 12", width=width
    )
    assert_readable(figure, width)


@each_width
@pytest.mark.parametrize("sizes", [(1,), (1, 2, 5, 10, 20)])
def test_class_studies(sizes, width):
    study = class_study(sizes, num_classes=175)
    names = names_of(175)
    iou = np.random.default_rng(0).random(512)
    assert_readable(ablate_figures.class_figure(study, names, width=width), width)
    assert_readable(ablate_figures.distribution_figure(study, width=width), width)
    assert_readable(ablate_figures.mean_importance_figure(study, iou, width=width), width)


@each_width
@pytest.mark.parametrize("number", [1, 5, 13])
def test_styles(number, width):
    study = style_study(names_of(number), KINDS)
    assert_readable(style_figures.layer_figure(study, width=width), width)
    assert_readable(style_figures.scatter_figure(study, width=width), width)


@each_width
@pytest.mark.parametrize(
    "choices", [("random",), ("target", "source", "random", "least important")]
)
@pytest.mark.parametrize("goals", [("targeted",), ("targeted", "untargeted")])
def test_defences(choices, goals, width):
    assert_readable(defence_figure(defences(choices, goals), width=width), width)


@each_width
@pytest.mark.parametrize("cells", [(4, 4), (8, 24), (32, 8)])
def test_insertions(cells, width):
    inserted = insertion(cells, LONG)
    assert_readable(generate_figures.cell_figure(inserted, 1, cells, width=width), width)
    images = np.zeros((4, 5, 16, 16, 3))
    sheet = generate_figures.place_sheet(images, inserted, 1, cells, width=width)
    assert_readable(sheet, width)
