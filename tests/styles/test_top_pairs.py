"""The top images of units in both styles: which units, which images, and where they are active."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.presets import Preset
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.data.pairs import Paired
from jaxdissect.engine.labelers import annotated
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.styles.style_study import study_style
from jaxdissect.styles.top_pairs import top_image_pairs

UNITS = 6


@pytest.fixture(scope="module")
def shown():
    """The pairs, a study of units that mix the channels, and its top pairs."""
    rng = np.random.default_rng(0)
    mix = rng.random((3, UNITS), np.float32)
    network = StagedNetwork({"mixed": lambda params, x: x @ params}, jnp.asarray(mix))
    image, other = rng.random((2, 9, 5, 4, 3), np.float32)
    labels = rng.integers(0, 3, (9, 5, 4, 1)).astype(np.int32)
    pairs = Paired(Stored({"image": image, "labels": labels}), Stored({"image": other}))
    known = vocabulary([("cat", "object"), ("fur", "material")])
    preset = Preset("test", fraction=0.2, min_iou=0.0)
    study = study_style(
        network, pairs, annotated(known), layers=["mixed"], preset=preset, grid=(5, 4), batch_size=4
    )
    found = top_image_pairs(study, network, pairs, num_extremes=2, num_pairs=3)
    return image, other, mix, study.layers["mixed"], found["mixed"]


def test_the_best_and_the_worst_units_are_shown(shown):
    _, _, _, layer, found = shown
    assert [strip.unit for strip in found] == [*layer.ranking[:2], *layer.ranking[-2:]]
    np.testing.assert_allclose(
        [strip.iou for strip in found], layer.iou[layer.ranking][[0, 1, -2, -1]]
    )


def test_every_image_is_followed_by_its_other_style(shown):
    image, other, mix, layer, found = shown
    for strip in found:
        peaks = (image @ mix)[..., strip.unit].max((1, 2))
        best = np.argsort(-peaks, kind="stable")[:3]
        assert len(strip.images) == 6
        np.testing.assert_array_equal(strip.images[::2], image[best])
        np.testing.assert_array_equal(strip.images[1::2], other[best])


def test_units_are_active_above_the_threshold_of_either_style(shown):
    image, other, mix, layer, found = shown
    for strip in found:
        for part, images, known in ((0, image, layer.original), (1, other, layer.stylised)):
            best = layer.original.top_examples[strip.unit][:3]
            maps = (images[best] @ mix)[..., strip.unit]
            threshold = known.thresholds[strip.unit]
            clear = abs(maps - threshold) > 1e-5  # the rest is within rounding
            np.testing.assert_array_equal(strip.active[part::2][clear], (maps > threshold)[clear])
            assert strip.active[part::2].any()
