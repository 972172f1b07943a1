"""Changes of units under attack: the reference's arithmetic, peaks, faults."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden
from support import toy_attacked as toy

from jaxdissect.attacks import effect_on_units
from jaxdissect.attacks.effect_on_units import PeakChanges
from jaxdissect.classifiers.importance import is_important


def test_groups_are_those_of_the_reference():
    arrays, meta = golden.load("adv_stats_a")
    peaks = PeakChanges(arrays["acts_ori"].max((2, 3)), arrays["acts_adv"].max((2, 3)))
    sources = arrays["source_class"]
    found = effect_on_units.changes_by_group(
        peaks.change,
        # The reference lists the change of accuracy, which is least where damage is greatest.
        is_important(-arrays["sua_diff"], top=meta["num_imp_units"]),
        sources,
        np.full(len(sources), meta["target_class"]),
        factor=meta["ci_99_factor"],
    )
    for group in found:
        np.testing.assert_allclose((group.mean, group.interval), arrays[group.name], 1e-6)


def test_a_unit_in_both_counts_in_both():
    important = np.array([[1, 1], [1, 0], [0, 0]], bool)
    change = np.array([[1.0, 2.0, 4.0], [3.0, 6.0, 8.0]])
    target, source, other = effect_on_units.changes_by_group(
        change, important, np.array([1, 1]), np.array([0, 0]), factor=2.0
    )
    assert [group.pairs for group in (target, source, other)] == [4, 2, 2]
    assert [group.mean for group in (target, source, other)] == [3.0, 2.0, 6.0]
    # Means by image 1.5, 4.5 and 1, 3 and 4, 8, with the spread of a sample.
    for group, (low, high) in zip(
        (target, source, other), ((1.5, 4.5), (1, 3), (4, 8)), strict=True
    ):
        expected = 63.6567 * np.std([low, high], ddof=1) / np.sqrt(2)
        np.testing.assert_allclose(group.interval_by_image, expected, rtol=1e-5)


def test_what_is_not_known_has_no_interval():
    """One pair, one image, and pairs that all change alike say nothing of the spread."""
    important, classes = np.array([[1, 0, 0], [0, 1, 0]], bool), np.array([0])
    target, *_ = effect_on_units.changes_by_group(np.ones((1, 2)), important, classes + 1, classes)
    assert (target.mean, target.interval, target.interval_by_image) == (1, np.inf, np.inf)
    two = [np.tile(x, 2) for x in (classes + 1, classes)]
    target, *_ = effect_on_units.changes_by_group(np.full((2, 2), 0.1), important, *two)
    assert (target.interval, target.interval_by_image) == (np.inf, np.inf)


@pytest.mark.parametrize("images", [2, 4, 8, 64])
def test_coverage_of_intervals_by_image(images):
    """Units of an image change together; the groups have as many units in every image, or not."""
    random = np.random.default_rng(images)
    important = np.zeros((12, 3), bool)
    important[:4, 0] = important[4:8, 1] = important[5:, 2] = True
    shape = (800, images, 1)
    changes = 1 + 0.3 * (random.normal(size=shape) + random.normal(size=(*shape[:2], 12)))
    sources, targets = np.arange(images) % 2 + 1, np.zeros(images, int)
    covered = []
    for change in changes:
        groups = effect_on_units.changes_by_group(change, important, sources, targets)
        covered += [[abs(group.mean - 1) <= group.interval_by_image for group in groups]]
    assert np.mean(covered, axis=0).min() >= 0.975


def test_group_without_units():
    important = np.ones((2, 3), bool)
    *_, other = effect_on_units.changes_by_group(
        np.ones((1, 2)), important, np.array([1]), np.array([0])
    )
    assert (other.pairs, other.mean) == (0, 0.0) and np.isinf(other.interval)


def test_peaks_are_those_of_the_maps():
    images, after = toy.images(7), toy.images(7, seed=1)
    network = toy.classifier()
    mesh = jax.make_mesh((4,), ("data",))
    found = effect_on_units.measure_peaks(network, images, after, "conv2", batch_size=4, mesh=mesh)
    for shown, peaks in ((images, found.before), (after, found.after)):
        maps = network.activations(network.params, jnp.asarray(shown), layers=("conv2",))["conv2"]
        np.testing.assert_allclose(peaks, np.asarray(maps).max((1, 2)), 1e-5)
    np.testing.assert_allclose(found.change, abs(found.after - found.before), 1e-6)
    order = effect_on_units.most_changed(found.change)
    assert (np.diff(found.change.mean(0)[order]) <= 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.array([1, 2])}, r"`targets` must lie in \[0, 2\)"),
        ({"sources": np.array([0])}, "`sources`"),
        ({"change": np.ones((2, 4))}, "must have the 3 units"),
    ],
)
def test_groups_refuse_what_makes_no_sense(changes, message):
    given = {"change": np.ones((2, 3)), "important": np.ones((3, 2), bool)}
    given |= {"sources": np.array([0, 0]), "targets": np.array([1, 1])}
    # jaxtyping's checks of the test session would come before our own messages.
    unchecked: Any = inspect.unwrap(effect_on_units.changes_by_group)
    with pytest.raises(ValueError, match=message):
        unchecked(**(given | changes))


def test_pairs_must_fit():
    with pytest.raises(ValueError, match="`adversarial`"):
        measure: Any = inspect.unwrap(effect_on_units.measure_peaks)
        measure(toy.classifier(), toy.images(3), toy.images(2), "conv2")
