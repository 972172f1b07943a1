"""Importance of units to classes: the reference's tables, plain loops, and equal ranks."""

import numpy as np
import pytest
from support import golden

from jaxdissect.classifiers import importance


def draw(units=40, classes=12, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(units, classes)).round(1), random.uniform(size=units)


def test_tables_are_those_of_the_reference():
    arrays, meta = golden.load("importance_a")
    damage = arrays["baseline_ba"].astype(np.float64) - arrays["single_unit_ba"]
    damage[63, 1] += 1e-9  # of four equal units, the reference's unstable sort takes this one
    iou = arrays["iou"].max(axis=0)
    important = importance.is_important(damage, top=meta["cutoff"])
    np.testing.assert_array_equal(important.sum(axis=1), arrays["unit_importance"])
    groups = importance.by_number_of_classes(important, iou, most=meta["tail"])
    np.testing.assert_array_equal(groups.value, arrays["bars_x"])
    np.testing.assert_array_equal(groups.number, arrays["bars_n"])
    np.testing.assert_allclose(groups.mean, arrays["bars_mean_iou"], rtol=1e-6)
    np.testing.assert_allclose(groups.standard_error, arrays["bars_stderr"], rtol=1e-5)
    worst = np.flatnonzero(importance.is_important(damage, top=1).any(axis=1))
    np.testing.assert_array_equal(worst, arrays["min_damage_units"])
    groups = importance.by_mean_damage(damage, iou)
    # The reference divides by the number of units where the estimate needs one less.
    fewer = np.sqrt(31 / 32)
    for found, name in (
        (groups.value, "group32_importance"),
        (groups.mean, "group32_mean_iou"),
        (groups.standard_error * fewer, "group32_iou_err"),
        (groups.value_error * fewer, "group32_importance_err"),
    ):
        np.testing.assert_allclose(found, arrays[name], rtol=1e-4)


def test_important_units_by_plain_loops():
    damage, _ = draw()
    important = importance.is_important(damage, top=3)
    for label in range(12):
        order = sorted(range(40), key=lambda unit, label=label: (-damage[unit, label], unit))
        assert (damage[order[:3], label] > 0).all()
        assert np.flatnonzero(important[:, label]).tolist() == sorted(order[:3])
        assert importance.ranking(damage)[label].tolist() == order
    for wrong in (0, 41):
        with pytest.raises(ValueError, match="`top`"):
            importance.is_important(damage, top=wrong)


def test_a_unit_without_damage_is_important_to_no_class():
    damage = np.zeros((12, 5))
    damage[7, 0] = 0.1
    important = importance.is_important(damage)
    assert np.argwhere(important).tolist() == [[7, 0]]
    improving = -np.arange(1, 13.0)[:, None] * np.ones((1, 5))
    assert not importance.is_important(improving).any()


def test_equal_damage_is_ranked_by_the_margin_lost():
    damage = np.array([[0.0, 0.1], [0.2, 0.1], [0.2, 0.1], [0.0, 0.3]])
    margin = np.array([[1.0, 0.5], [2.0, 0.5], [3.0, 0.7], [4.0, -9.0]])
    assert importance.ranking(damage).tolist() == [[1, 2, 0, 3], [3, 0, 1, 2]]
    found = importance.ranking(damage, margin_lost=margin)
    assert found.tolist() == [[2, 1, 3, 0], [3, 2, 0, 1]]
    important = importance.is_important(damage, top=3, margin_lost=margin)
    assert [np.flatnonzero(column).tolist() for column in important.T] == [[1, 2], [0, 2, 3]]


def test_groups_by_plain_loops():
    damage, iou = draw()
    important = importance.is_important(damage)
    groups = importance.by_number_of_classes(important, iou, most=3)
    number = important.sum(axis=1)
    for value in range(4):
        members = iou[number == value] if value < 3 else iou[number >= 3]
        assert groups.number[value] == len(members)
        assert groups.mean[value] == pytest.approx(members.mean())
        error = members.std(ddof=1) / np.sqrt(len(members))
        assert groups.standard_error[value] == pytest.approx(error)
    alone = importance.by_number_of_classes(important[:1], iou[:1], most=9)
    assert alone.number.sum() == 1 and np.isnan(alone.standard_error).all()
    assert np.isnan(alone.mean).sum() == 9
    uneven = importance.by_mean_damage(damage, iou, size=16)
    assert uneven.number.tolist() == [16, 16, 8] and (np.diff(uneven.value) <= 0).all()
    with pytest.raises(ValueError, match="`size`"):
        importance.by_mean_damage(damage, iou, size=0)


def test_improvements_are_the_negative_damages():
    damage, _ = draw(6, 4)
    found = importance.improvements(damage, least=0.5)
    expected = {(u, c) for u in range(6) for c in range(4) if damage[u, c] < -0.5}
    assert {(unit, label) for unit, label, _ in found} == expected and expected
    gains = [gain for *_, gain in found]
    assert gains == sorted(gains, reverse=True)
    assert all(gain == -damage[unit, label] for unit, label, gain in found)


def test_rank_correlation():
    a = np.array([0.0, 1.0, 1.0, 5.0])
    assert importance.rank_correlation(a, a**3) == pytest.approx(1)
    assert importance.rank_correlation(a, -a) == pytest.approx(-1)
    assert importance.rank_correlation(a, np.ones(4)) == 0
    # Ranks 0, 1.5, 1.5, 3 and 1, 0, 2, 3.
    b = np.array([2.0, 1.0, 3.0, 4.0])
    expected = np.corrcoef([0, 1.5, 1.5, 3], [1, 0, 2, 3])[0, 1]
    assert importance.rank_correlation(a, b) == pytest.approx(expected)
