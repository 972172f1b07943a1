"""Units as detectors: peaks of a network, and choosing on some images and judging on others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.toy_classifiers import pooled, scenes

from jaxdissect.classifiers.detectors import (
    PeakActivations,
    as_binary,
    best_detectors,
    peak_activations,
)
from jaxdissect.engine.batching import Stored
from jaxdissect.networks.network import as_network
from jaxdissect.stats import threshold_classifier

NUMBER, CLASSES, UNITS = 50, 5, 6
LAYERS = ("conv1", "conv2")


@pytest.fixture(scope="module")
def network():
    return as_network(pooled())


@pytest.fixture(scope="module")
def found(network):
    return peak_activations(network, scenes(NUMBER, CLASSES), LAYERS, batch_size=16)


@pytest.fixture(scope="module")
def parts():
    """Peaks of 4 units over images to choose with, and others: unit 2 sees class 1, a little."""
    rng = np.random.default_rng(0)

    def part(number):
        labels = np.arange(number) % 3
        values = rng.integers(0, 12, (number, 4)).astype(np.float32)
        values[labels == 1, 2] += 6
        return PeakActivations(values, labels.astype(np.int64))

    return part(60), part(45)


def test_peaks_are_maxima(network, found):
    source = scenes(NUMBER, CLASSES)
    images = jnp.asarray(source.arrays["image"])
    maps = network.activations(network.params, images, layers=LAYERS)
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer].values, maps[layer].max((1, 2)), atol=1e-5)
        np.testing.assert_array_equal(found[layer].labels, source.arrays["label"])


@pytest.mark.parametrize(("batch_size", "devices"), [(7, 1), (8, 4)])
def test_peaks_in_any_batches(network, found, batch_size, devices):
    mesh = jax.make_mesh((devices,), ("batch",))
    source = scenes(NUMBER, CLASSES)
    again = peak_activations(network, source, LAYERS, batch_size=batch_size, mesh=mesh)
    for layer in LAYERS:
        np.testing.assert_allclose(again[layer].values, found[layer].values, atol=1e-5)
        np.testing.assert_array_equal(again[layer].labels, found[layer].labels)


def test_chosen_on_some_and_judged_on_others(parts):
    choosing, judging = parts
    best = best_detectors(*parts, units_per_class=2)
    np.testing.assert_array_equal(best.classes, [0, 1, 2])
    assert best.units[1, 0] == 2 and best.order()[0] == 1
    every = threshold_classifier.fit(choosing.values, choosing.labels, 3)
    others = threshold_classifier.fit(judging.values, judging.labels, 3)
    for c in range(3):
        of_class = every.balanced_accuracy[:, c]
        assert best.chosen_accuracy[c, 0] == of_class.max()
        assert best.chosen_accuracy[c, 1] == np.sort(of_class)[-2]
        own = judging.labels == c
        for place in range(2):
            unit, threshold = best.units[c, place], best.thresholds[c, place]
            active = judging.values[:, unit] > threshold
            expected = (active[own].mean() + (~active[~own]).mean()) / 2
            np.testing.assert_allclose(best.accuracy[c, place], expected)
            assert best.auroc[c, place] == others.auroc[unit, c]
            assert best.chosen_auroc[c, place] == every.auroc[unit, c]


def test_few_units_are_tried(parts):
    every = best_detectors(*parts, units_per_class=9)
    alone = best_detectors(*parts, units=(3, 1), units_per_class=9)
    for c in range(3):
        assert sorted(every.units[c]) == [0, 1, 2, 3]
        wanted = [unit for unit in every.units[c] if unit in (1, 3)]
        np.testing.assert_array_equal(alone.units[c], wanted)
        for column in ("thresholds", "accuracy", "auroc", "chosen_accuracy", "chosen_auroc"):
            places = np.isin(every.units[c], wanted)
            np.testing.assert_array_equal(
                getattr(alone, column)[c], getattr(every, column)[c, places]
            )


def test_classes_without_images_are_left_out(parts):
    choosing, judging = parts
    few = judging.labels != 2
    only = PeakActivations(judging.values[few], judging.labels[few])
    best = best_detectors(choosing, only, num_classes=7)
    np.testing.assert_array_equal(best.classes, [0, 1])
    assert np.isfinite(best.thresholds).all()


def test_classes_are_joined():
    labels = np.array([0, 3, 1, 3])
    np.testing.assert_array_equal(as_binary(labels, np.array([0, 1])), [1, 0, 1, 0])
    for wanted, message in (([0, 1, 3], "all of the 4"), ([2], "none of the 4")):
        with pytest.raises(ValueError, match=message):
            as_binary(labels, np.array(wanted))


def test_what_cannot_be_detected(network, parts):
    choosing, judging = parts
    alone = PeakActivations(
        judging.values[judging.labels == 1], judging.labels[judging.labels == 1]
    )
    with pytest.raises(ValueError, match="two classes or more"):
        best_detectors(choosing, alone)
    with pytest.raises(ValueError, match="`units_per_class`"):
        best_detectors(choosing, judging, units_per_class=0)
    for units in ((), (4,), (-1, 2)):
        with pytest.raises(ValueError, match="`units` "):
            best_detectors(choosing, judging, units=units)
    with pytest.raises(ValueError, match="3 units"):
        best_detectors(choosing, PeakActivations(judging.values[:, :3], judging.labels))
    with pytest.raises(ValueError, match="some class that `choosing` has"):
        best_detectors(choosing, judging._replace(labels=judging.labels + 3))
    arrays = scenes(8, 2).arrays
    with pytest.raises(ValueError, match="`layers`"):
        peak_activations(network, Stored(arrays), ())
    with pytest.raises(ValueError, match="have: image, label"):
        peak_activations(network, Stored(arrays), LAYERS, label_key="scene")
    broken = arrays["image"].copy()
    broken[5, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="'conv1' has NaN .* example 5"):
        peak_activations(network, Stored(arrays | {"image": broken}), LAYERS, batch_size=4)
