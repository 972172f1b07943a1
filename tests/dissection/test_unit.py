"""One unit of a result: its facts, and where in images it is active."""

import pickle
import sys
from dataclasses import replace
from io import BytesIO

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from support.dissected import (
    CONCEPTS,
    LAYERS,
    PRESET,
    SIZE,
    dissected,
    early,
    late,
    network,
    source,
)

from jaxdissect.dissection.result import Dissection, load_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.plots.figure_files import save_figure

NUM_IMAGES = len(source())


@pytest.fixture(scope="module")
def result() -> Dissection:
    return dissected()


@pytest.fixture(scope="module")
def loaded(result, tmp_path_factory) -> Dissection:
    folder = tmp_path_factory.mktemp("saved")
    result.save(folder)
    return load_dissection(folder)


def all_units(result):
    return [
        result.unit(name, unit)
        for name, layer in result.layers.items()
        for unit in range(layer.num_units)
    ]


def test_facts_are_those_of_the_table(result):
    for unit, row in zip(all_units(result), result.rows(), strict=True):
        assert (unit.layer, unit.unit) == (row["layer"], row["unit"])
        assert unit.threshold == row["threshold"]
        assert unit.active_fraction == row["active_fraction"]
        assert unit.detects == row["detector"]
        assert (unit.concept, unit.category) == (row["concept_1"], row["category_1"])
        assert unit.iou == row["iou_1"]
        assert " ".join(map(str, unit.top_examples)) == row["top_examples"]
        assert unit.top_values[0] == unit.top_values.max()


def test_scores_are_of_all_concepts_best_first(result):
    for unit in all_units(result):
        assert len(unit.scores) == len(CONCEPTS) - 1
        for concept, category, iou in unit.scores:
            assert result[unit.layer].iou_of(concept, category=category)[unit.unit] == iou
        values = [score.iou for score in unit.scores]
        assert values == sorted(values, reverse=True)
        assert {score[:2] for score in unit.scores} == set(
            zip(CONCEPTS.names[1:], CONCEPTS.categories[1:], strict=True)
        )
    dead = result.unit("early", 3)
    assert not dead.detects and dead.concept == "-"
    assert [score[:2] for score in dead.scores] == list(
        zip(CONCEPTS.names[1:], CONCEPTS.categories[1:], strict=True)
    )


def test_masks_are_the_pixels_that_were_counted(result, loaded):
    again = loaded.with_network(network(), source())
    for unit, other in zip(all_units(result), all_units(again), strict=True):
        masks = [unit.mask(example) for example in range(NUM_IMAGES)]
        assert all(mask.shape == (SIZE, SIZE) and mask.dtype == bool for mask in masks)
        # Images are as large as the label grid.
        assert np.sum(masks) == result[unit.layer].counts.unit[unit.unit]
        np.testing.assert_array_equal(other.mask(1), masks[1])


def test_top_images_are_those_of_the_layer(result):
    expected = top_images(result, network(), source(), units={name: [1] for name in LAYERS})
    for name in LAYERS:
        found, (wanted,) = result.unit(name, 1).top_images(num_images=3), expected[name]
        np.testing.assert_array_equal(found.images, wanted.images[:3])
        np.testing.assert_array_equal(found.active, wanted.active[:3])


def test_a_loaded_result_needs_its_network_and_says_so(loaded):
    with pytest.raises(ValueError, match=r"`with_network\(network, source\)`"):
        loaded.unit("late", 0).mask(0)
    with pytest.raises(ValueError, match="`network` is not the one that was dissected"):
        loaded.with_network(network(scale=2.0), source())
    with pytest.raises(ValueError, match="`source` has 5 examples, and 6 were dissected"):
        loaded.with_network(network(), source(number=5))
    with pytest.raises(ValueError, match="`inputs` and `source` must be those"):
        loaded.with_network(network(), source(seed=1))
    with pytest.raises(ValueError, match="`inputs` and `source` must be those"):
        loaded.with_network(network(), source(), inputs=lambda batch: 1 - batch["image"])
    with pytest.raises(ValueError, match="no 'photo'.* `image_key` .*: image, labels"):
        loaded.with_network(network(), source(), image_key="photo")
    old = Dissection(loaded.layers, loaded.vocabulary)
    with pytest.raises(ValueError, match="saved before version 0.2"):
        old.with_network(network(), source())


def test_what_was_dissected_is_not_pickled(result):
    copy = pickle.loads(pickle.dumps(result))
    assert result.subject is not None and copy.subject is None
    np.testing.assert_array_equal(copy["late"].iou, result["late"].iou)
    again = copy.with_network(network(), source()).unit("late", 0)
    np.testing.assert_array_equal(again.mask(2), result.unit("late", 0).mask(2))


def test_what_does_not_exist_is_refused(result):
    with pytest.raises(KeyError, match="no layer 'middle'; dissected were early, late"):
        result.unit("middle", 0)
    for unit in (-1, 2):
        with pytest.raises(ValueError, match=rf"`unit` \(={unit}\) .* from 0 to 1"):
            result.unit("late", unit)
    for example in (-1, NUM_IMAGES):
        with pytest.raises(ValueError, match=rf"`example` \(={example}\) must be from 0 to 5"):
            result.unit("late", 0).mask(example)
    with pytest.raises(TypeError):
        result.unit("late", 0.5)
    assert result.unit("late", np.int64(1)).unit == 1


# --- concepts by name -----------------------------------------------------------------------------


def test_units_are_found_by_concept(result):
    layer = result["early"]
    for concept in range(1, len(CONCEPTS)):
        name, category = CONCEPTS.names[concept], CONCEPTS.categories[concept]
        np.testing.assert_array_equal(layer.iou_of(name, category=category), layer.iou[concept])
        for limit in (None, 0.0, 0.2):
            found = layer.find(name, category=category, min_iou=limit)
            least = layer.min_iou if limit is None else limit
            expected = [
                unit
                for unit in range(layer.num_units)
                if layer.best_concept[unit] == concept and layer.best_iou[unit] > least
            ]
            assert sorted(found) == expected
            assert list(found) == sorted(found, key=lambda unit: (-layer.best_iou[unit], unit))
    assert 0 in layer.find("road")


def test_unknown_and_ambiguous_concepts_are_refused(result):
    for ask in (result["early"].find, result["early"].iou_of):
        with pytest.raises(ValueError, match="'raod'.* similar: road"):
            ask("raod")
        with pytest.raises(ValueError, match="`category`.* one of: object, material"):
            ask("glass")
        with pytest.raises(ValueError, match="`category` .='part'.* one of: object, material"):
            ask("glass", category="part")
        with pytest.raises(ValueError, match="no concept"):
            ask("-")


def test_another_limit_of_iou_needs_no_new_run(result):
    changed = result.with_min_iou(0.2)
    expected = dissected(preset=replace(PRESET, min_iou=0.2))
    assert changed.settings == expected.settings
    for name in LAYERS:
        np.testing.assert_array_equal(changed[name].detectors(), expected[name].detectors())
        assert changed[name].category_counts() == expected[name].category_counts()
    assert list(changed.rows()) == list(expected.rows())
    assert result["late"].min_iou == 0.04  # it is another result
    for wrong in (-0.1, 1.0, 4.0, float("nan")):
        with pytest.raises(ValueError, match="`min_iou`"):
            result.with_min_iou(wrong)


# --- tables ---------------------------------------------------------------------------------------


def test_a_frame_has_the_rows(result):
    pandas = pytest.importorskip("pandas")
    frame = result.to_frame(runners_up=1)
    rows = list(result.rows(runners_up=1))
    assert list(frame.columns) == list(rows[0]) and len(frame) == 6
    assert frame.to_dict("records") == rows
    assert isinstance(frame, pandas.DataFrame)


def test_without_pandas_the_way_out_is_said(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install pandas`, or take `rows\(\)`"):
        result.to_frame()


# --- patches and figures --------------------------------------------------------------------------


def test_patches_are_what_the_cell_with_the_peak_sees(result):
    data = source()
    for unit in (result.unit("early", 0), result.unit("late", 0)):
        patches = unit.patches(num_patches=4)
        assert [patch.example for patch in patches] == list(unit.top_examples[:4])
        for patch, peak in zip(patches, unit.top_values, strict=False):
            image = data[patch.example]["image"]
            maps = early({"scale": 1.0}, image[None])
            maps = np.asarray(maps if unit.layer == "early" else late({}, maps))[0, ..., unit.unit]
            row, column = np.unravel_index(maps.argmax(), maps.shape)
            # A cell sees the one pixel that it is made of.
            assert patch.box == (2 * column, 2 * row, 2 * column + 1, 2 * row + 1)
            np.testing.assert_array_equal(patch.image, image[2 * row, 2 * column][None, None])
            assert patch.peak == peak == pytest.approx(maps.max(), abs=1e-6)


def test_without_a_receptive_field_there_are_no_patches():
    def constant(params, x):
        return jnp.broadcast_to(params, (x.shape[0], 4, 4, 2))

    blind = StagedNetwork({"blind": constant}, jnp.arange(2, dtype=jnp.float32))
    found = dissect(
        blind, source(), annotated(CONCEPTS), layers="blind", grid=(8, 8), preset=PRESET
    )
    with pytest.raises(ValueError, match=r"no receptive field.*`top_images\(\)` shows them whole"):
        found.unit("blind", 1).patches()
    assert found.unit("blind", 1).plot(num_images=2).axes  # without them


def test_a_figure_shows_images_patches_and_concepts(result, tmp_path):
    unit = result.unit("early", 0)
    figure = unit.plot(num_images=3)
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "early unit 0" in texts and "road" in texts
    for _, category, iou in unit.scores[:1]:
        assert category in texts and iou > 0
    save_figure(tmp_path / "unit.png", figure)
    with Image.open(tmp_path / "unit.png") as picture:
        assert picture.width == pytest.approx(7.0 * 300, abs=1)
    with Image.open(BytesIO(figure._repr_png_())) as picture:  # what a notebook shows
        assert picture.width == pytest.approx(7.0 * 120, abs=1)
