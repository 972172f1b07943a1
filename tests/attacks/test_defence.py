"""Deactivated units as a defence: masks, votes, curves, faults."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import toy_attacked as toy

from jaxdissect.attacks import carlini_wagner_l2 as cw
from jaxdissect.attacks import defence
from jaxdissect.networks.edits import ablate
from jaxdissect.stats import intervals

ORDER = np.array([5, 2, 7, 0, 1, 3, 4, 6])
FEW = cw.CarliniWagnerSettings(binary_search_steps=3, max_iterations=60, learning_rate=2e-2)
KEY = jax.random.key(0)

attack = partial(cw.carlini_wagner, settings=FEW, refuse_reached=False, slots=3)


def no_attack(*arguments):
    raise AssertionError("attacked")


def removed(masks):
    return [set(np.flatnonzero(~np.asarray(mask)).tolist()) for mask in masks]


def test_first_units_are_those_of_the_order():
    masks = defence.first_units(ORDER)
    for size in range(9):
        assert removed(masks(KEY, size)) == [set(ORDER[:size].tolist())]


def test_random_units_are_as_many_and_any():
    masks = defence.random_units(8, num_masks=400)
    found = np.asarray(masks(KEY, 3))
    assert (found.sum(axis=1) == 5).all()
    share = 1 - found.mean(axis=0)
    assert abs(share - 3 / 8).max() < 0.1
    assert len(np.unique(found, axis=0)) > 40  # of 56
    np.testing.assert_array_equal(found, masks(KEY, 3))
    assert (found != np.asarray(masks(jax.random.key(1), 3))).any()


def test_random_among_the_first():
    found = removed(defence.random_among(ORDER, 4, num_masks=60)(KEY, 2))
    assert all(len(units) == 2 and units <= {5, 2, 7, 0} for units in found)
    assert len({tuple(sorted(units)) for units in found}) == 6
    assert removed(defence.random_among(ORDER, 4)(KEY, 4)) == [{5, 2, 7, 0}]


def test_defended_scores_are_means_over_edited_networks():
    network, images = toy.classifier(), jnp.asarray(toy.images(7))
    scores = defence.DefendedScores(network, "conv2")
    keep = defence.random_units(8, num_masks=3)(KEY, 2)
    each = []
    for units in removed(keep):
        edits = {"conv2": ablate(sorted(units), 8)}
        each.append(jax.nn.log_softmax(network.apply(network.params, images, edits=edits)[0]))
    found = jax.jit(scores)((network.params, keep), images)
    np.testing.assert_allclose(found, np.mean(each, axis=0), 1e-4, 1e-5)
    votes = np.array([np.bincount(row, minlength=5) for row in np.argmax(each, -1).T])
    predicted = defence.majority_vote(scores, network.params, keep, images, batch_size=3)
    np.testing.assert_array_equal(predicted, votes.argmax(1))


def curve(masks, sizes, attacks=(attack,), **options):
    images = toy.images(7)
    labels = toy.predictions(images)
    scores, targets = toy.scores(), toy.targets(images)
    found = attack(scores, scores.params, jnp.asarray(images), jnp.asarray(targets))
    assert found.success.any()
    adversarial = np.asarray(found.images)
    given = (images, labels, targets, adversarial, "conv2", masks, sizes, attacks)
    return found, defence.defence_curve(KEY, toy.classifier(), *given, **options)


def test_curve_of_a_fixed_defence():
    found, measured = curve(defence.first_units(ORDER), (0, 3))
    # Without any unit deactivated the defence is the network, and both attacks are the same.
    assert measured.rate("clean")[0] == 1
    success = float(found.success.mean())
    for measure in ("transferred_success", "adaptive_success"):
        np.testing.assert_allclose(measured.rate(measure)[0], success)
        np.testing.assert_allclose(measured.undefended[measure].mean(), success)
    np.testing.assert_allclose(measured.change("adaptive").estimate[0], 0, atol=1e-12)
    median = np.median(found.distance[found.success])
    np.testing.assert_allclose(measured.distances[0], median, 0.02)
    assert (measured.rate("transferred") <= 1 - measured.rate("transferred_success") + 1e-9).all()
    # The attack of the last size, done by hand on the edited network.
    keep = defence.first_units(ORDER)(KEY, 3)
    scores = defence.DefendedScores(toy.classifier(), "conv2")
    images = toy.images(7)
    targets = toy.targets(images)
    given = (toy.classifier().params, keep)
    again = attack(scores, given, jnp.asarray(images), jnp.asarray(targets))
    edits = {"conv2": ablate(ORDER[:3].tolist(), 8)}
    network = toy.classifier()
    after = np.asarray(network.apply(network.params, again.images, edits=edits)[0]).argmax(1)
    assert measured.outcomes["adaptive"].shape == (2, 1, 7)  # fixed masks are drawn once
    np.testing.assert_array_equal(measured.outcomes["adaptive_success"][1, 0], after == targets)
    correct = after == toy.predictions(images)
    np.testing.assert_array_equal(measured.outcomes["adaptive"][1, 0], correct)


def test_curve_of_a_random_defence_and_untargeted_attacks():
    masks, attackers = (defence.random_units(8, num_masks=number) for number in (3, 3))
    images, steps = toy.images(7), []
    labels = toy.predictions(images)
    labels[0] = (labels[0] + 1) % toy.CLASSES  # misclassified before any attack
    untargeted = partial(attack, settings=FEW._replace(targeted=False))
    measured = defence.defence_curve(
        KEY, toy.classifier(), images, labels, labels, images, "conv2", masks, (1,), [untargeted],
        targeted=False, attacker_masks=attackers, num_draws=4,
        progress=lambda *what: steps.append(what[1:]),
    )  # fmt: skip
    assert steps == [(0, 1), (1, 1)]
    for measure in defence.MEASURES:
        found = measured.outcomes[measure]
        assert found.shape == (1, 4, 7)
        low, high = (getattr(measured.interval(measure), end)[0] for end in ("low", "high"))
        assert low <= measured.rate(measure)[0] <= high and high > low
    # Whatever is not classified correctly is what an untargeted attacker wants.
    found = measured.outcomes
    np.testing.assert_array_equal(found["transferred"], ~found["transferred_success"])
    np.testing.assert_array_equal(found["adaptive"], ~found["adaptive_success"])
    assert not measured.undefended["clean"][0] and measured.undefended["clean"][1:].all()
    assert measured.change("adaptive").estimate[0] < 0


def curve_of(outcomes, undefended):
    measures: dict[defence.DefenceMeasure, np.ndarray] = {"clean": outcomes}
    return defence.DefenceCurve(
        np.arange(len(outcomes)), measures, {"clean": undefended}, np.zeros(len(outcomes))
    )


def test_intervals_of_one_draw_are_those_of_images():
    outcomes = np.arange(20)[None, None] < np.array([0, 7, 20])[:, None, None]
    undefended = np.arange(20) >= 4
    found = curve_of(outcomes, undefended)
    assert np.isnan(found.spread("clean")).all()
    expected = intervals.proportion_interval(np.array([0, 7, 20]), 20)
    np.testing.assert_allclose(found.interval("clean"), expected)
    gained, lost = np.array([0, 4, 4]), np.array([16, 13, 0])
    expected = intervals.paired_interval(gained, lost, 20)
    np.testing.assert_allclose(found.change("clean"), expected, atol=1e-12)
    # The same masks, drawn again and again, say no more.
    again = curve_of(outcomes.repeat(6, axis=1), undefended)
    np.testing.assert_allclose(again.spread("clean"), 0, atol=1e-12)
    np.testing.assert_allclose(again.interval("clean"), found.interval("clean"), 1e-7)


def test_intervals_hold_for_other_images_and_other_draws():
    """Images and draws of masks that differ in how well they do, 1000 times each."""
    random = np.random.default_rng(0)
    logistic = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    for center, images, draws in ((0.0, 1.0, 0.5), (1.5, 2.0, 0.2), (2.5, 1.0, 1.0)):
        each = center + images * random.standard_normal((1000, 1, 24))
        each = each + draws * random.standard_normal((1000, 5, 1))
        outcomes = random.random(each.shape) < logistic(each)
        found = curve_of(outcomes, np.ones(24, bool)).interval("clean")
        many = random.standard_normal((10**5, 2)) @ np.array([images, draws])
        truth = logistic(center + many).mean()
        assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.98
        assert (found.high > found.low).all()


def test_attacker_goes_further_where_unknown_masks_need_it():
    masks = defence.random_units(8, num_masks=3)
    further = partial(
        cw.carlini_wagner,
        settings=FEW._replace(confidence=1.0, initial_const=1.0),
        refuse_reached=False,
        slots=3,
    )
    gentle, confident, both = (
        curve(masks, (1,), attacks)[1] for attacks in ([attack], [further], [attack, further])
    )
    rates = [found.rate("adaptive_success")[0] for found in (both, confident, gentle)]
    assert rates[0] >= rates[1] > rates[2]
    # Images that need no more than the gentle attack stay near.
    assert gentle.distances[0] <= both.distances[0] <= confident.distances[0]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="`pool`"):
        defence.random_among(ORDER, 9)
    with pytest.raises(ValueError, match="`num_masks`"):
        defence.random_units(8, num_masks=0)
    with pytest.raises(ValueError, match="more than the `pool`"):
        defence.random_among(ORDER, 3)(KEY, 4)
    images, classes = toy.images(1), np.zeros(1, np.int32)
    given = (toy.classifier(), images, classes, classes, images, "conv2")
    for sizes in ((), (9,)):
        with pytest.raises(ValueError, match="`sizes`"):
            defence.defence_curve(KEY, *given, defence.first_units(ORDER), sizes, [attack])
    with pytest.raises(ValueError, match="`num_draws`"):
        defence.defence_curve(KEY, *given, defence.first_units(ORDER), (1,), [attack], num_draws=0)
    # Before any attack.
    with pytest.raises(ValueError, match="more than the `pool`"):
        defence.defence_curve(KEY, *given, defence.random_among(ORDER, 2), (0, 3), [no_attack])
    with pytest.raises(ValueError, match="`attacks`"):
        defence.defence_curve(KEY, *given, defence.first_units(ORDER), (1,), [])
