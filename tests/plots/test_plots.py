"""Charts and strips: what is drawn is what was counted, and it can be read."""

import csv

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from PIL import Image

from jaxdissect.arrays.concepts import Vocabulary, vocabulary
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.table_files import write_csv
from jaxdissect.dissection import unit_images
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.plots import concept_chart, figure_files, palette, regions, unit_strips
from jaxdissect.stats.agreement import AgreementCounts

KINDS = ("object", "part", "material", "texture", "color", "scene")
CONCEPTS = vocabulary(
    (f"a rather long name {i}" if i % 7 == 0 else f"name{i}", KINDS[i % 6]) for i in range(150)
)


def layer_with(name: str, best: list[int], concepts: Vocabulary = CONCEPTS) -> LayerDissection:
    """A layer whose unit u detects concept best[u], 0 for none."""
    units, iou = len(best), np.zeros((len(concepts), len(best)))
    iou[best, np.arange(units)] = np.where(np.array(best) > 0, np.linspace(0.5, 0.1, units), 0.0)
    return LayerDissection(
        name,
        concepts,
        0.04,
        np.zeros(units, np.float32),
        AgreementCounts(np.zeros_like(iou, dtype=np.int64), np.ones(len(concepts), np.int64)),
        np.zeros(len(concepts), np.int64),
        iou,
        np.zeros((units, 1), np.int64),
        np.zeros((units, 1), np.float32),
    )


def dissection_with(**best: list[int]) -> Dissection:
    layers = {name: layer_with(name, ids) for name, ids in best.items()}
    return Dissection(layers, CONCEPTS)


@pytest.fixture(scope="module")
def many() -> Dissection:
    """Layers of every size: no detector, one, sixty concepts, and more than fit a row."""
    rng = np.random.default_rng(0)
    wide = [*range(1, 151), *rng.integers(1, 151, 100)]
    full = [*range(1, 61), *range(1, 61, 2)]
    return dissection_with(empty=[0, 0, 0], one=[0, 7, 0], full=full, wide=list(map(int, wide)))


@pytest.fixture(scope="module")
def chart(many):
    return concept_chart.concept_figure(many)


def axes_of(figure, layer):
    return [axes for axes in figure.axes if axes.get_label() == layer]


def test_chart_has_a_bar_of_the_right_height_for_every_detected_concept(many, chart):
    colors = palette.category_colors(CONCEPTS.category_names)
    for name, layer in many.layers.items():
        bars = bars_of(axes_of(chart, name))
        counts = layer.concept_counts()
        assert [bar.get_height() for bar in bars] == list(counts.values())
        for bar, concept in zip(bars, counts, strict=True):
            assert color_of(bar) == colors[CONCEPTS.categories[concept]]
        labels = [
            text.get_text() for axes in axes_of(chart, name) for text in axes.get_xticklabels()
        ]
        assert labels == [CONCEPTS.names[concept] for concept in counts]
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
    figure = concept_chart.concept_figure(dissection_with(conv=[1, 1, 7, 2, 0]))
    (axes,) = figure.axes
    assert axes.get_title("left") == "conv: 4 of 5 units detect a concept (IoU > 0.04)"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "object: 3 units, 2 concepts",
        "part: 1 unit, 1 concept",
    ]


def test_an_empty_layer_says_so():
    (axes,) = concept_chart.concept_figure(dissection_with(conv=[0, 0])).axes
    assert [text.get_text() for text in axes.texts] == ["no unit above IoU 0.04"]
    assert not axes.patches and axes.get_legend() is None


def test_long_names_are_shortened():
    concepts = vocabulary([("x" * 90, "object")])
    layer = layer_with("conv", [1], concepts)
    (axes,) = concept_chart.concept_figure(Dissection({"conv": layer}, concepts)).axes
    (label,) = axes.get_xticklabels()
    assert label.get_text() == "x" * 27 + "…"


def test_chart_is_written_as_png(tmp_path, chart):
    figure_files.save_figure(tmp_path / "chart.png", chart)
    with Image.open(tmp_path / "chart.png") as image:
        assert image.format == "PNG" and image.width > 1500


def test_tables_count_units_and_concepts(tmp_path):
    result = dissection_with(early=[0, 0], late=[1, 1, 7, 2, 0])
    write_csv(tmp_path / "concepts.csv", *dissection_tables.concept_table(result))
    write_csv(tmp_path / "layers.csv", *dissection_tables.category_table(result))
    with open(tmp_path / "concepts.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["layer", "concept", "category", "units"],
            ["late", CONCEPTS.names[1], "object", "2"],
            ["late", CONCEPTS.names[7], "object", "1"],
            ["late", CONCEPTS.names[2], "part", "1"],
        ]
    with open(tmp_path / "layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(KINDS)
    assert [row["detectors"] for row in rows if row["category"] == "object"] == ["0", "3"]
    assert [row["concepts"] for row in rows if row["category"] == "object"] == ["0", "2"]


def test_summary_lists_the_best_units_of_all_layers():
    lines = dissection_tables.summary(
        dissection_with(early=[0, 3], late=[1, 1, 7, 2, 0])
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
    assert "Best units" not in dissection_tables.summary(dissection_with(conv=[0]))


# --- strips -------------------------------------------------------------------------------------


def grown(mask: np.ndarray) -> np.ndarray:
    """All pixels that touch a mask, itself included."""
    result = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        result[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    return result


def highlighted(image: np.ndarray, mask: np.ndarray, thickness: int) -> np.ndarray:
    around = mask
    for _ in range(thickness):
        around = grown(around)
    result = np.where(mask[..., None], image, image * np.float32(0.5))
    result[around & ~mask] = palette.YELLOW
    return result


@pytest.mark.parametrize("thickness", [1, 2])
def test_highlight_against_an_oracle(thickness):
    rng = np.random.default_rng(1)
    image, mask = rng.random((15, 20, 3)).astype(np.float32), rng.random((15, 20)) > 0.93
    found = regions.highlight(image, mask, thickness=thickness)
    np.testing.assert_array_equal(found, highlighted(image, mask, thickness))


def test_active_regions_against_an_oracle():
    rng = np.random.default_rng(2)
    maps = rng.random((3, 4, 5, 2)).astype(np.float32)
    thresholds = np.array([0.5, 0.7], np.float32)
    rows, columns = ((np.arange(n) + 0.5) * h / n - 0.5 for n, h in ((12, 4), (10, 5)))
    wide = np.empty((3, 12, 10, 2))
    for batch in range(3):
        for unit in range(2):
            across = np.stack([np.interp(columns, np.arange(5), m) for m in maps[batch, ..., unit]])
            down = [np.interp(rows, np.arange(4), column) for column in across.T]
            wide[batch, ..., unit] = np.stack(down, axis=1)
    found = unit_images.active_regions(jnp.asarray(maps), jnp.asarray(thresholds), (12, 10))
    clear = np.abs(wide - thresholds) > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(np.asarray(found)[clear], (wide > thresholds)[clear])


def test_the_bound_is_strict():
    maps = jnp.full((2, 2, 1), 0.5)
    assert not unit_images.active_regions(maps, jnp.array([0.5]), (4, 4)).any()


def test_best_units_leave_out_units_without_a_concept():
    layer = layer_with("conv", [0, 3, 0, 1, 2])
    layer.iou[:, 1] = np.nan
    assert layer.best_units(12) == [3, 4]
    assert layer.best_units(1) == [3]


COLORS = vocabulary([("red", "color"), ("green", "color"), ("blue", "color")])


@pytest.fixture(scope="module", params=[2, 8])
def channels(request):
    """A network whose units are the channels of the image, dissected on labels made of them."""
    rng = np.random.default_rng(3)
    images = rng.random((7, 16, 24, 3)).astype(np.float32)
    network = StagedNetwork(
        {"whole": lambda params, x: x * params, "pooled": lambda params, x: x[:, ::2, ::2]},
        jnp.ones(()),
    )
    labels = np.where(images > 0.99, np.arange(1, 4), 0).astype(np.int32)
    source = Stored({"image": images, "labels": labels})
    result = dissect(
        network,
        source,
        annotated(COLORS),
        layers=("whole", "pooled"),
        grid=(16, 24),
        num_top_images=4,
        batch_size=request.param,
    )
    return network, source, result


def test_strips_show_where_units_are_active_in_their_top_images(channels):
    network, source, result = channels
    found = unit_images.top_images(result, network, source, num_images=3)
    assert list(found) == ["whole", "pooled"]
    layer = result["whole"]
    assert [strip.unit for strip in found["whole"]] == layer.best_units(12)
    for strip in found["whole"]:
        assert strip.concept == COLORS.names[strip.unit + 1] and strip.category == "color"
        assert strip.detects and strip.iou == layer.best_iou[strip.unit]
        assert strip.images.shape == (3, 16, 24, 3)
        lit = unit_strips.lit_images(strip)
        for picture, example in zip(lit, layer.top_examples[strip.unit], strict=False):
            image = source[int(example)]["image"]
            mask = image[..., strip.unit] > layer.thresholds[strip.unit]
            expected = (highlighted(image, mask, 1) * 255 + 0.5).astype(np.uint8)
            assert np.abs(picture.astype(int) - expected).max() <= 1


def test_strips_of_fewer_images_units_or_none(channels):
    network, source, result = channels
    few = unit_images.top_images(result, network, source, num_units=1)
    assert [len(rows) for rows in few.values()] == [1, 1]
    assert len(few["whole"][0].images) == 4  # as many as were found
    nothing = Dissection({"whole": layer_with("whole", [0, 0, 0])}, CONCEPTS)
    assert unit_images.top_images(nothing, network, source) == {"whole": []}


def strip_of(images: np.ndarray, *, detects: bool = True) -> unit_images.UnitImages:
    pixels = images.astype(np.float32) / 255
    everywhere = np.ones(images.shape[:-1], bool)
    name = "a concept of quite some length"
    return unit_images.UnitImages(3, name, "object", 0.123, detects, pixels, everywhere)


def test_a_sheet_holds_enlarged_images_in_rows_with_labels():
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (2, 50, 40, 3)).astype(np.uint8)
    sheet = np.asarray(
        unit_strips.draw_unit_strips("conv", [strip_of(images), strip_of(images[:1])])
    )
    factor = 3  # brings 50 pixels closest to 128
    pitch = np.array([50, 40]) * factor + 6
    assert sheet.shape == (34 + 2 * pitch[0], 230 + 2 * pitch[1], 3)
    for row, column, image in ((0, 0, 0), (0, 1, 1), (1, 0, 0)):
        top, left = 34 + row * pitch[0], 230 + column * pitch[1]
        cell = sheet[top : top + 50 * factor, left : left + 40 * factor]
        np.testing.assert_array_equal(cell[1::factor, 1::factor], images[image])
    empty = sheet[34 + pitch[0] :, 230 + pitch[1] :]
    assert (empty == 255).all()
    for row in range(2):
        label = sheet[34 + row * pitch[0] :][: pitch[0], :230]
        assert (label < 128).any() and (label[:, -2:] == 255).all()


def test_large_images_are_shrunk():
    images = np.zeros((1, 600, 300, 3), np.uint8)
    assert unit_strips.draw_unit_strips("conv", [strip_of(images)]).size == (
        230 + 128 + 6,
        34 + 256 + 6,
    )


def test_file_names_are_safe_and_different():
    some = [strip_of(np.zeros((1, 4, 4, 3), np.uint8))]
    names = unit_strips.file_names({"a/b": some, "a b": some, "blocks.3": some, "none": []})
    assert names == {
        "top_units_a_b.png": "a/b",
        "top_units_a_b_.png": "a b",
        "top_units_blocks.3.png": "blocks.3",
    }
