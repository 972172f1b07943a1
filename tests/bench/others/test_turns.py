"""Contenders take turns, and the interval of their ratio holds what it says it holds."""

import numpy as np
import pytest

from jaxdissect.bench.others.match import Contender, Terms
from jaxdissect.bench.others.turns import LEAST_SECONDS, ratio, take_turns

TERMS = Terms(device="", threads="", precision="", layout="", exactness="")


class Clock:
    """Time that passes only where a contender lets it."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def __call__(self):
        return self.now

    def contender(self, name, seconds, *, share=1.0, fails_at=None, steps=None):
        runs = iter(range(10**6))

        def run():
            number = next(runs)
            if number == fails_at:
                raise RuntimeError("out of memory\nand more")
            self.now += seconds
            self.order.append(name)
            return f"{name} {number}"

        return Contender(
            name=name,
            library="numpy",
            run=run,
            wait=lambda answer: None,
            terms=TERMS,
            share=share,
            steps=steps,
        )


def turns_of(clock, *contenders, **options):
    return take_turns(contenders, clock=clock, pause=lambda seconds: None, **options)


def test_every_second_turn_is_in_reverse_order():
    clock = Clock()
    turns_of(clock, clock.contender("a", 1), clock.contender("b", 2), turns=3)
    assert "".join(clock.order) == "aabb" + "ab" + "ba" + "ab"


def test_short_runs_are_timed_together_and_told_for_one():
    clock = Clock()
    times, problems = turns_of(clock, clock.contender("a", LEAST_SECONDS / 8), turns=2)
    assert times["a"].calls == 8 and not problems
    np.testing.assert_allclose(times["a"].seconds, LEAST_SECONDS / 8)
    assert times["a"].answer == "a 17"  # 2 + 2 x 8 runs: that of the last one, which was timed


def test_parts_are_scaled_to_the_whole():
    clock = Clock()
    times, _ = turns_of(clock, clock.contender("a", 1, share=0.25, steps=lambda: 7), turns=2)
    assert times["a"].seconds == (4, 4) and times["a"].median == 4 and times["a"].steps == 7


def test_turns_end_after_some_time_but_not_before_the_third():
    clock = Clock()
    times, _ = turns_of(clock, clock.contender("a", 1), turns=9, seconds=0.5)
    assert len(times["a"].seconds) == 3
    times, _ = turns_of(clock, clock.contender("a", 1), turns=9, seconds=5.5)
    assert len(times["a"].seconds) == 6


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_what_cannot_run_does_not_stop_the_others(fails_at):
    clock = Clock()
    failing = clock.contender("a", 1, fails_at=fails_at)
    times, problems = turns_of(clock, failing, clock.contender("b", 1), turns=4)
    assert list(times) == ["b"] and len(times["b"].seconds) == 4
    assert problems == {"a": "RuntimeError: out of memory"}


def test_turns_refuse_what_makes_no_sense():
    clock = Clock()
    one = clock.contender("a", 1)
    with pytest.raises(ValueError, match="`turns` .=0. must be at least 1"):
        turns_of(clock, one, turns=0)
    with pytest.raises(ValueError, match="must have different names"):
        turns_of(clock, one, one, turns=1)
    with pytest.raises(ValueError, match="`share` .=0.0. must be above 0"):
        clock.contender("a", 1, share=0.0)


def test_a_ratio_is_that_of_the_medians():
    found = ratio([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [4.0, 4.0, 6.0, 12.0, 20.0, 18.0, 14.0])
    assert found.value == 12 / 4
    assert (found.low, found.high) == (2, 4) and found.chance == pytest.approx(1 - 2 / 2**7)


@pytest.mark.parametrize(("turns", "chance"), [(1, 0), (2, 0.5), (5, 0.9375), (6, 0.96875)])
def test_few_turns_say_how_little_their_interval_holds(turns, chance):
    found = ratio([1.0] * turns, [1.0] * turns)
    assert found.chance == pytest.approx(chance)


def test_a_clock_that_stands_still_gives_a_ratio_all_the_same():
    found = ratio([0.0] * 3, [0.0] * 3)
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_ratios_need_the_same_turns():
    with pytest.raises(ValueError, match="must have equal turns"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize("turns", [7, 11])
def test_intervals_hold_the_true_ratio_as_often_as_they_say(turns):
    """Times with a common drift, skewed noise, and now and then something that disturbs one."""
    random = np.random.default_rng(turns)
    true, held, trials, chance = 1.7, 0, 1000, 0.0
    for _ in range(trials):
        drift = np.exp(np.cumsum(random.normal(0, 0.1, turns)))
        ours, theirs = (
            drift * np.exp(random.gamma(1, 0.05, turns)) * (1 + 3 * (random.random(turns) < 0.05))
            for _ in range(2)
        )
        found = ratio(ours.tolist(), (true * theirs).tolist())
        held += found.low <= true <= found.high
        chance = found.chance
    assert chance >= 0.95
    assert held / trials >= chance - 3 * (chance * (1 - chance) / trials) ** 0.5
