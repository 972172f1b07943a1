"""The top images of units, and where in them the units are active."""

import jax.numpy as jnp
import numpy as np
import pytest
from support import drawn_results

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection import unit_images
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.plots import unit_strips


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
    layer = drawn_results.layer_with("conv", [0, 3, 0, 1, 2])
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
            expected = (drawn_results.highlighted(image, mask, 1) * 255 + 0.5).astype(np.uint8)
            assert np.abs(picture.astype(int) - expected).max() <= 1


def test_strips_of_fewer_images_units_or_none(channels):
    network, source, result = channels
    few = unit_images.top_images(result, network, source, num_units=1)
    assert [len(rows) for rows in few.values()] == [1, 1]
    assert len(few["whole"][0].images) == 4  # as many as were found
    nothing = Dissection(
        {"whole": drawn_results.layer_with("whole", [0, 0, 0])}, drawn_results.CONCEPTS
    )
    assert unit_images.top_images(nothing, network, source) == {"whole": []}
