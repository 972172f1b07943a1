"""Exponents and lines of measured times, and how often their intervals hold the truth."""

import numpy as np
import pytest

from jaxdissect.bench.studies.fits import Estimate, estimate, exponent, last_exponent, line
from jaxdissect.bench.studies.growth import CLEARLY, Growth, memory_exponent, verdict
from jaxdissect.bench.studies.memory import Measured

NUMBERS = (64, 128, 256, 512)


def rounds_of(power, *, fixed=0.0, rounds=4, noise=0.0, drift=0.0, seed=0):
    """Seconds [rounds, sizes]: every round is slow or fast as a whole, and every time a little."""
    random = np.random.default_rng(seed)
    seconds = fixed + 1e-3 * np.asarray(NUMBERS, np.float64) ** power
    together = np.exp(drift * random.standard_normal((rounds, 1)))
    return seconds * together * np.exp(noise * random.standard_normal((rounds, len(NUMBERS))))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponents_of_powers_are_found(power):
    found = exponent(NUMBERS, rounds_of(power))
    assert found.value == pytest.approx(power, abs=1e-9)
    assert last_exponent(NUMBERS, rounds_of(power)).value == pytest.approx(power, abs=1e-9)


def test_a_machine_that_is_slow_for_whole_rounds_does_not_widen_intervals():
    found = exponent(NUMBERS, rounds_of(1.0, drift=0.5))
    assert found.high - found.low < 1e-6


def test_fixed_costs_hide_growth_less_in_the_largest_sizes():
    seconds = rounds_of(2.0, fixed=30.0)
    assert exponent(NUMBERS, seconds).value < CLEARLY < last_exponent(NUMBERS, seconds).value


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = [
        found.low <= 1.0 <= found.high
        for found in (exponent(NUMBERS, rounds_of(1.0, noise=0.1, seed=i)) for i in range(1000))
    ]
    assert 0.92 <= np.mean(held) <= 0.98  # of 95%


def test_noise_alone_is_not_called_worse_than_linear_and_quadratic_growth_is():
    def verdicts(power, noise, rounds=4):
        times = (rounds_of(power, noise=noise, rounds=rounds, seed=seed) for seed in range(300))
        return [
            verdict((exponent(NUMBERS, seconds), last_exponent(NUMBERS, seconds)))
            for seconds in times
        ]

    linear, noisy, quadratic = verdicts(1.0, 0.05), verdicts(1.0, 0.3, 3), verdicts(2.0, 0.05)
    assert linear.count("no") == 0 and linear.count("yes") >= 280
    assert noisy.count("no") <= 2 and noisy.count("not shown") > 100
    assert quadratic.count("no") >= 290
    # Two rounds are sure of nothing, and quadratic growth is seen nevertheless.
    assert verdicts(2.0, 0.1, 2).count("no") >= 290 and verdicts(1.0, 0.1, 2).count("no") == 0


def test_what_is_too_noisy_is_not_called_shown():
    assert verdict((Estimate(1.0, -1.0, 3.0), Estimate(1.0, -2.0, 4.0))) == "not shown"
    assert verdict((Estimate(1.0, 0.9, 1.1), Estimate(1.0, 0.5, 1.5))) == "yes"
    assert verdict((Estimate(1.0, 0.9, 1.1), Estimate(1.6, 1.4, 1.8, 1.2))) == "yes"
    assert verdict((Estimate(1.0, 0.9, 1.1), Estimate(1.6, 1.4, 1.8, 1.3))) == "no"


def test_lines_are_found_beside_noise_of_whole_rounds():
    found = line(NUMBERS, 0.25 + 2e-3 * np.asarray(NUMBERS) * np.ones((3, 1)))
    assert found.fixed.value == pytest.approx(0.25)
    assert found.each.value == pytest.approx(2e-3)
    assert np.allclose(found.rounds, (0.25, 2e-3))


def test_one_value_says_nothing_of_its_error():
    assert estimate([2.0]) == Estimate(2.0, -np.inf, np.inf)


def test_memory_that_cannot_be_told_has_no_exponent():
    def growth(*amounts):
        taken = tuple(Measured(amount, "process") for amount in amounts)
        return Growth(numbers=NUMBERS, rounds=rounds_of(1.0), memory=taken)

    assert memory_exponent(growth(10, 20, None, 80)) is None
    assert memory_exponent(growth(10, 20, 0, 80)) is None
    assert memory_exponent(growth(10, 20, 40, 80)) == pytest.approx(1.0)
