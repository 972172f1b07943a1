"""The attack of Carlini and Wagner: the reference, invariances, gradients, faults."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy

from jaxdissect.attacks import carlini_wagner_l2 as cw
from jaxdissect.attacks import sharding
from jaxdissect.attacks.attack_interface import ClassScores, is_classified_as, margin, succeeds
from jaxdissect.networks.adapters.staged_network import StagedNetwork

FEW = cw.CarliniWagnerSettings(binary_search_steps=3, max_iterations=60, learning_rate=2e-2)


def attack(images, targets, *, settings=FEW, slots=3, **options):
    """With three slots, so that the attack of the tests is compiled once for each number."""
    scores = toy.scores()
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    return cw.carlini_wagner(
        scores, scores.params, images, targets, settings=settings, slots=slots, **options
    )


# --- Carlini and Wagner -----------------------------------------------------------------------


def assert_as_reference(name, rtol):
    scores, images, expected, meta = toy.golden_attack(name)
    np.testing.assert_allclose(
        scores(scores.params, jnp.asarray(expected["images"])), expected["scores"], atol=1e-5
    )
    options = {key: value for key, value in meta["params"].items() if key != "adam"}
    assert cw.CarliniWagnerSettings(**options) == cw.CarliniWagnerSettings()
    targets = jnp.asarray(meta["targets"], jnp.int32)
    found = cw.carlini_wagner(scores, scores.params, images, targets)
    assert found.images.dtype == images.dtype and found.success.all()
    before, after = (scores(scores.params, shown).argmax(1) for shown in (images, found.images))
    np.testing.assert_array_equal(np.stack([before, after], 1), expected["predictions"])
    np.testing.assert_allclose(found.distance**2, expected["squares"], rtol)
    return found, expected


@pytest.mark.slow
def test_images_are_those_of_the_reference_in_float64():
    """The reference optimises a thousand steps; in float64 every pixel ends where it does."""
    with jax.enable_x64(True):
        found, expected = assert_as_reference("cw_attack_a_float64", 1e-6)
        np.testing.assert_allclose(found.images, expected["images"], atol=1e-6)


@pytest.mark.slow
def test_distances_are_those_of_the_reference_in_float32():
    assert_as_reference("cw_attack_b_float32", 0.02)


def test_results_are_those_of_the_network():
    images = toy.images(7)
    targets = toy.targets(images)
    found = attack(images, targets)
    assert found.success.any()
    after = toy.predictions(found.images)
    np.testing.assert_array_equal(found.success, after == targets)
    apart = np.sqrt(((np.asarray(found.images) - images) ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(found.distance[found.success], apart[found.success], 1e-4)
    assert np.isinf(found.distance[~found.success]).all() and not apart[~found.success].any()
    assert (found.constant[found.success] > 0).all() and (found.iterations > 0).all()
    assert found.images.min() >= 0 and found.images.max() <= 1


def test_examples_do_not_depend_on_each_other():
    """In another order, among other examples, and in another number of slots."""
    images = toy.images(11)
    targets = toy.targets(images)
    whole = attack(images[:7], targets[:7])
    order = np.array([9, 3, 8, 0, 10, 6, 1])
    mixed = attack(images[order], targets[order])
    shared = np.flatnonzero(order < 7)
    toy.assert_same(jax.tree.map(lambda part: part[shared], mixed),
                jax.tree.map(lambda part: part[order[shared]], whole))  # fmt: skip
    toy.assert_same(attack(images[:7], targets[:7], slots=7), whole)


def test_many_targets_are_attacks_each():
    images = toy.images(4)[:1]
    targets = (toy.predictions(images) + np.array([1, 2, 3, 4, 1, 2, 3])) % toy.CLASSES
    found = attack(images, targets[None].astype(np.int32))
    assert found.images.shape == (1, 7, toy.SIZE, toy.SIZE, 3) and found.success.shape == (1, 7)
    one_by_one = attack(images.repeat(7, axis=0), targets.astype(np.int32))
    toy.assert_same(found, jax.tree.map(lambda part: part[None], one_by_one))


@pytest.mark.parametrize("axes", ["Auto", "Explicit"])
def test_attack_over_devices(axes):
    images = toy.images(7)
    targets = toy.targets(images)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType[axes],))
    toy.assert_same(attack(images, targets, mesh=mesh), attack(images, targets))


def test_attack_over_devices_compiles_once():
    images = jnp.asarray(toy.images(7))
    targets = jnp.asarray(toy.targets(toy.images(7)))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    traced = []

    def scores(params, images):
        traced.append(images.shape)
        return toy.scores()(params, images)

    def run():
        cw.carlini_wagner(scores, toy.scores().params, images, targets, settings=FEW, mesh=mesh)

    run()
    before = len(traced)
    run()
    assert len(traced) == before > 0


@pytest.mark.slow
def test_attack_compiled_and_step_by_step():
    """Under a jit of the caller, and without any."""
    images, scores = jnp.asarray(toy.images(3)), toy.scores()
    targets = jnp.asarray(toy.targets(toy.images(3)))
    settings = FEW._replace(binary_search_steps=2, max_iterations=4, learning_rate=0.5)
    run = partial(cw.carlini_wagner, scores, settings=settings, slots=2)
    expected = run(scores.params, images, targets)
    assert expected.success.any()
    toy.assert_same(jax.jit(run)(scores.params, images, targets), expected)
    with jax.disable_jit():
        toy.assert_same(run(scores.params, images, targets), expected)


def test_confidence_keeps_the_target_ahead():
    images = toy.images(7)
    targets = toy.targets(images)
    found = attack(images, targets, settings=FEW._replace(confidence=0.3, initial_const=1.0))
    ahead = -margin(toy.scores()(toy.scores().params, found.images), jnp.asarray(targets))
    assert found.success.any() and (ahead[found.success] >= 0.3 - 1e-5).all()


def test_untargeted_images_are_classified_as_anything_else():
    """About as near as with the nearest target, and ahead by the confidence."""
    images = toy.images(7)
    classes = toy.predictions(images).astype(np.int32)
    settings = FEW._replace(targeted=False)
    found = attack(images, classes, settings=settings)
    assert found.success.all()
    assert (toy.predictions(found.images) != classes).all()
    every = np.array([[c for c in range(toy.CLASSES) if c != own] for own in classes], np.int32)
    nearest = attack(images, every).distance.min(1)
    assert (np.asarray(found.distance) <= 2 * nearest).all()
    further = attack(images, classes, settings=settings._replace(confidence=0.3, initial_const=1.0))
    ahead = margin(toy.scores()(toy.scores().params, further.images), jnp.asarray(classes))
    assert further.success.any() and (ahead[further.success] >= 0.3 - 1e-5).all()
    with pytest.raises(ValueError, match="image 0 is already classified as [0-4]; and not as"):
        attack(images, (classes + 1) % toy.CLASSES, settings=settings)


def test_success_needs_scores():
    scores = jnp.asarray([[jnp.nan, 1.0], [1.0, 2.0]])
    for targeted, expected in ((True, [False, False]), (False, [False, True])):
        found = succeeds(scores, jnp.asarray([0, 0]), targeted=targeted)
        np.testing.assert_array_equal(found, expected)


def test_slots_are_those_of_the_devices_of_the_attack(monkeypatch):
    images = jnp.zeros((9, 1, 1, 3))
    mesh = jax.make_mesh((4,), ("data",))
    assert sharding.checked_slots(None, 9, images, None) == sharding.SLOTS
    assert sharding.checked_slots(None, 9, images, mesh) == sharding.SLOTS
    monkeypatch.setattr(sharding, "_platform", lambda images, mesh: "gpu" if mesh else "cpu")
    assert sharding.checked_slots(None, 9, images, mesh) == 9


def test_early_abort_saves_steps_alone():
    images = toy.images(7)
    targets = toy.targets(images)
    settings = FEW._replace(max_iterations=200, learning_rate=5e-2)
    found = attack(images, targets, settings=settings)
    whole = attack(images, targets, settings=settings._replace(abort_early=False))
    assert (whole.iterations == 600).all() and (found.iterations < 600).any()
    np.testing.assert_array_equal(found.success, whole.success)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constant_images_can_be_attacked(value):
    """Black and white have almost no slope in tanh space: found or not, all is finite."""
    images = np.full((7, toy.SIZE, toy.SIZE, 3), value, np.float32)
    targets = toy.targets(images)
    found = attack(images, targets)
    assert np.isfinite(found.images).all()
    np.testing.assert_array_equal(found.success, toy.predictions(found.images) == targets)
    assert value != 0.3 or found.success.any()


def test_other_bounds():
    """The same attack on images of bytes finds the same images."""
    images, scores = jnp.asarray(toy.images(7)), toy.scores()
    targets = jnp.asarray(toy.targets(toy.images(7)))

    def of_bytes(params, images):
        return scores(params, images / 255)

    found = attack(images, targets)
    settings = FEW._replace(bounds=(0.0, 255.0), initial_const=FEW.initial_const * 255**2)
    wide = cw.carlini_wagner(of_bytes, scores.params, 255 * images, targets, settings=settings)
    np.testing.assert_allclose(wide.distance / 255, found.distance, 0.02)


def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        scores, images, _, meta = toy.golden_attack("cw_attack_a_float64")
        random = np.random.RandomState(0)
        start = cw.to_points(images, (0.0, 1.0))
        shift = jnp.asarray(0.1 * random.standard_normal(start.shape))
        targets = jnp.asarray(meta["targets"], jnp.int32)
        constants = jnp.asarray([0.1, 3.0, 20.0])

        @jax.jit
        def total(shift):
            return cw.losses(
                scores, cw.CarliniWagnerSettings(), scores.params, shift, start, targets, constants
            ).loss.sum()

        gradient = jax.grad(total)(shift)
        for _ in range(5):
            direction = jnp.asarray(random.standard_normal(start.shape))
            difference = total(shift + 1e-6 * direction) - total(shift - 1e-6 * direction)
            slope = (gradient * direction).sum()
            np.testing.assert_allclose(difference / 2e-6, slope, 1e-5, 1e-6)


def test_margin_and_success_of_scores():
    scores = jnp.asarray([[1.0, 3.0, 3.0], [0.0, 2.0, 1.0]])
    np.testing.assert_array_equal(margin(scores, jnp.asarray([0, 1])), [2.0, -1.0])
    np.testing.assert_array_equal(is_classified_as(scores, jnp.asarray([2, 1])), [False, True])
    found = is_classified_as(scores, jnp.asarray([1, 1]), confidence=1.5)
    np.testing.assert_array_equal(found, [False, False])


# --- faults ---------------------------------------------------------------------------------------


def given(**changes):
    images = toy.images(3)
    return {"images": images, "targets": toy.targets(images)} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": toy.images(3) * 2}, r"`images` must lie within `bounds` \(=\(0.0, 1.0\)\)"),
        ({"images": toy.images(3) - np.float32(np.nan)}, "must lie within `bounds`"),
        ({"images": toy.images(3)[0]}, r"`images` \(=float32\[8, 8, 3\]\) must be"),
        ({"images": (toy.images(3) * 255).astype(np.uint8)}, "of float32 or float64"),
        ({"images": toy.images(3)[:0], "targets": np.zeros(0, np.int32)}, "at least one image"),
        ({"targets": np.array([0, 1, 9], np.int32)}, "`targets` has 9, and scores are of"),
        ({"targets": np.array([0, -1, 1], np.int32)}, "`targets` has -1"),
        ({"targets": np.zeros(2, np.int32)}, r"must be integers \[3\] or \[3, T\]"),
        ({"targets": np.zeros(3, np.float32)}, "must be integers"),
        (
            {"targets": toy.predictions(toy.images(3))},
            "image 0 is already classified as [0-4];",
        ),
        ({"slots": 0}, "`slots`"),
        ({"settings": FEW._replace(bounds=(1.0, 0.0))}, "`bounds`"),
        ({"settings": FEW._replace(binary_search_steps=0)}, "`binary_search_steps`"),
        ({"settings": FEW._replace(max_iterations=0)}, "`max_iterations`"),
        ({"settings": FEW._replace(learning_rate=0.0)}, "`learning_rate`"),
        ({"settings": FEW._replace(initial_const=-1.0)}, "`initial_const`"),
        ({"settings": FEW._replace(confidence=-1.0)}, "`confidence`"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    scores = toy.scores()
    options: dict[str, Any] = {"settings": FEW} | given(**changes)
    # jaxtyping's checks of the test session would come before our own messages.
    unchecked: Any = inspect.unwrap(cw.carlini_wagner)
    with pytest.raises(ValueError, match=message):
        unchecked(scores, scores.params, **options)


def test_scores_that_are_none_are_refused():
    images = jnp.asarray(toy.images(2))
    with pytest.raises(ValueError, match="`scores` must give"):
        cw.carlini_wagner(
            lambda params, images: images.mean((1, 2, 3)), None, images, jnp.zeros(2, jnp.int32)
        )


def test_scores_of_networks_that_compute_the_same_are_equal():
    stages = toy.stages()
    network, again = (StagedNetwork(stages, {"shift": jnp.full(3, by)}) for by in (0.0, 1.0))
    other = StagedNetwork(toy.stages(), network.params)
    assert ClassScores(network) == ClassScores(again) != ClassScores(other)
    assert len({ClassScores(network), ClassScores(again)}) == 1
