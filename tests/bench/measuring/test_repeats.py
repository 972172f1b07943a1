import jax
import jax.numpy as jnp
import pytest

from jaxdissect.bench.measuring.repeats import (
    LEAST_SECONDS,
    MOST_RUNS,
    UNDER_WAY,
    repeat,
    runs_under_way,
)


class Machine:
    """A clock that runs of a given length move on, and what happens on it."""

    def __init__(self, seconds, *, asynchronous=False):
        self.seconds, self.now, self.runs = seconds, 0.0, 0
        self.asynchronous = asynchronous
        self.under_way = self.most_under_way = 0

    def clock(self):
        return self.now

    def run(self):
        self.runs += 1
        if not self.asynchronous:
            self.now += self.seconds
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return Answer(self, self.runs)


class Answer:
    def __init__(self, machine, number):
        self.machine, self.number, self.ready = machine, number, False

    def block_until_ready(self):
        if not self.ready:
            self.ready = True
            self.machine.under_way -= 1
            if self.machine.asynchronous:
                self.machine.now += self.machine.seconds
        return self


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("seconds", [1e-4, 0.001, 0.02, 0.5])
def test_a_repeat_takes_long_enough_for_the_clock(seconds, asynchronous):
    machine = Machine(seconds, asynchronous=asynchronous)
    found = repeat(machine.run, seconds=0.6, least_repeats=4, clock=machine.clock)
    assert found.seconds == pytest.approx([seconds] * len(found.seconds))
    assert LEAST_SECONDS <= found.runs_per_repeat * seconds * 1.0001 < 2 * LEAST_SECONDS + seconds
    assert 0.6 <= sum(found.seconds) * found.runs_per_repeat * 1.0001 < 0.6 + 4 * seconds + 0.1


def test_there_are_as_many_repeats_as_wanted_however_long_they_take():
    machine = Machine(100.0)
    found = repeat(machine.run, seconds=1.0, least_repeats=4, clock=machine.clock)
    assert found.seconds == (100.0,) * 4
    assert found.runs_per_repeat == 1
    assert machine.runs == 5


def test_a_run_that_is_known_to_be_long_needs_no_other_before_it_is_timed():
    machine = Machine(100.0)
    found = repeat(machine.run, seconds=1.0, least_repeats=4, expected=90.0, clock=machine.clock)
    assert len(found.seconds) == machine.runs == 4


def test_repeats_are_not_so_long_that_there_would_be_too_few():
    machine = Machine(0.001)
    found = repeat(machine.run, seconds=0.1, least_repeats=10, clock=machine.clock)
    assert found.runs_per_repeat == 10
    assert len(found.seconds) >= 10


def test_the_answer_is_that_of_the_last_timed_run_and_ready():
    machine = Machine(0.01, asynchronous=True)
    found = repeat(machine.run, seconds=0.5, clock=machine.clock, under_way=3)
    assert found.answer.number == machine.runs
    assert found.answer.ready
    assert machine.under_way == 0


@pytest.mark.parametrize("under_way", [1, UNDER_WAY])
def test_no_more_runs_than_allowed_are_under_way(under_way):
    machine = Machine(1e-4, asynchronous=True)
    repeat(machine.run, seconds=0.1, clock=machine.clock, under_way=under_way)
    assert machine.most_under_way == under_way


def test_a_processor_gets_one_run_at_a_time():
    machine = Machine(1e-4, asynchronous=True)
    repeat(machine.run, seconds=0.1, clock=machine.clock)
    assert machine.most_under_way == 1


@pytest.mark.parametrize(
    ("size", "runs"), [(1, UNDER_WAY), (2**20, UNDER_WAY), (2**22, 2), (2**24, 1)]
)
def test_devices_have_room_for_the_answers_of_runs_under_way(size, runs, monkeypatch):
    class Device:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 2**26}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert runs_under_way((jnp.zeros(size, jnp.uint8), "not an array")) == runs
    assert runs_under_way() == UNDER_WAY


def test_times_are_above_zero_even_if_the_clock_stands_still():
    machine = Machine(0.0)
    calls = iter(range(10**6))
    found = repeat(
        machine.run, seconds=1.0, least_repeats=3, clock=lambda: float(next(calls) // 10)
    )
    assert all(seconds > 0 for seconds in found.seconds)
    assert 1 <= found.runs_per_repeat <= MOST_RUNS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": -1.0}, r"`seconds` \(=-1.0\) must not be negative"),
        ({"seconds": float("nan")}, r"`seconds` \(=nan\)"),
        ({"seconds": 1.0, "least_repeats": 0}, r"`least_repeats` \(=0\) must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        repeat(lambda: None, **options)
