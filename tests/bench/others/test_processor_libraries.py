"""Libraries of the processor do the same work as ours, and a wrong answer is noticed."""

import numpy as np
import pytest

from jaxdissect.bench.others import (
    class_metrics,
    host,
    label_components,
    map_resampling,
    unit_quantiles,
)
from jaxdissect.bench.others.match import Absent, Contender

MATCHES = {
    "components": (
        label_components.components_match,
        label_components.Sizes(maps=2, side=19),
        {"scipy", "scikit-image"},
    ),
    "resampling": (
        map_resampling.resampling_match,
        map_resampling.Sizes(images=2, units=3, side=5, grid=12),
        {"scipy", "scikit-image", "torch"},
    ),
    "quantiles": (
        unit_quantiles.quantiles_match,
        unit_quantiles.Sizes(images=1, units=5),
        {"scipy", "torch", "numpy"},
    ),
    "accuracy": (
        class_metrics.classes_match,
        class_metrics.ClassSizes(images=200, classes=6),
        {"scikit-learn"},
    ),
    "overlap": (
        class_metrics.overlap_match,
        class_metrics.OverlapSizes(images=1, units=4, concepts=3, sampled=5),
        {"scikit-learn", "numpy"},
    ),
}


def answers_of(match):
    return {each.name: each.run() for each in match.contenders if isinstance(each, Contender)}


@pytest.mark.parametrize("name", MATCHES)
def test_all_find_the_same(name):
    prepare, sizes, libraries = MATCHES[name]
    match = prepare(sizes)
    absent = {each.library for each in match.contenders if isinstance(each, Absent)}
    used = {each.library for each in match.contenders if isinstance(each, Contender)}
    assert used | absent == libraries | {"jaxdissect"}
    gates = match.check(answers_of(match))
    assert gates or absent
    assert all(gate.passed for gate in gates.values()), gates


@pytest.mark.parametrize("name", ["components", "resampling", "quantiles", "overlap"])
def test_a_wrong_answer_of_ours_is_noticed(name):
    prepare, sizes, _ = MATCHES[name]
    match = prepare(sizes)
    answers = answers_of(match)
    ours = match.contenders[0].name
    answers[ours] = np.array(answers[ours])
    answers[ours].flat[-1] += 1
    gates = match.check(answers)
    assert not all(gate.passed for gate in gates.values())


def test_wrong_areas_and_accuracies_are_noticed():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    prepare, sizes, _ = MATCHES["accuracy"]
    match = prepare(sizes)
    answers = answers_of(match)
    areas, balanced = answers["jaxdissect"]
    wrong = match.check(answers | {"jaxdissect": (areas + 0.1, balanced + 1e-9)})
    assert not any(gate.passed for gate in wrong.values()) and len(wrong) == 2


def test_components_are_called_by_their_first_pixels():
    numbers = np.array([[[0, 7, 0], [3, 7, 0], [3, 0, 5]]])
    expected = [[[0, 2, 0], [4, 2, 0], [4, 0, 9]]]
    np.testing.assert_array_equal(label_components.first_pixels(numbers), expected)


def test_bilinear_weights_are_those_of_pixel_centers():
    maps = np.array([0.0, 4.0]).reshape(1, 2, 1, 1)
    found = map_resampling.exact_bilinear(maps, (4, 1))
    np.testing.assert_allclose(found.ravel(), [0, 1, 3, 4])


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        (label_components.Sizes, {"maps": 0}, "`maps` .=0."),
        (map_resampling.Sizes, {"grid": 0}, "`grid` .=0."),
        (unit_quantiles.Sizes, {"units": 0}, "`units` .=0."),
        (class_metrics.ClassSizes, {"classes": 1}, "`classes` .=1. at least 2"),
        (class_metrics.OverlapSizes, {"sampled": 10**6}, "`sampled` .=1000000. must be in"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        sizes(**options)


def test_ours_runs_on_the_device_and_from_host_memory():
    first, second = host.ours(lambda x: x + 1, (np.arange(3),), exactness="exact")
    assert not isinstance(first.run(), np.ndarray) and isinstance(second.run(), np.ndarray)
    np.testing.assert_array_equal(second.run(), [1, 2, 3])
