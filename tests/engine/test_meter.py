"""What a meter measures of passes over the data."""

import json

import numpy as np
import pytest

from jaxdissect.engine.batching import Joined, Stored, source_name
from jaxdissect.engine.meter import Meter, as_meter, memory_peak


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Shown:
    def __init__(self):
        self.lines, self.figures = [], ""

    def show_figures(self, figures):
        self.figures = figures

    def __call__(self, description, done, total):
        self.lines.append((description, done, total, self.figures))


class SlowFolder(list):
    def describe(self):
        return "folder of photographs"


def metered(clock, meter, *, seconds_of_data, seconds_of_steps):
    def batches():
        for _ in range(4):
            clock.now += seconds_of_data
            yield 8

    running = meter.begin("first pass", SlowFolder(), 40, start=8)
    done = 8
    for examples in running.reading(batches()):
        clock.now += seconds_of_steps
        running.moved(1000 * examples)
        running.ran(examples, forward_passes=2)
        done += examples
        running.reached(done)
    return running.end()


def test_a_pass_is_measured():
    clock = Clock()
    meter = Meter(clock=clock)
    found = metered(clock, meter, seconds_of_data=3, seconds_of_steps=1)
    assert found == meter.passes[0]
    assert (found.description, found.source) == ("first pass", "folder of photographs")
    assert (found.examples, found.seconds, found.examples_per_second) == (32, 16, 2)
    assert (found.waiting, found.forward_passes, found.bytes_moved) == (0.75, 2, 1000)
    assert 2**20 < found.memory_peak < 2**45
    assert "waiting for data 75% of the time: folder of photographs" in str(found)


def test_a_source_that_is_not_waited_for_is_not_called_slow():
    clock = Clock()
    found = metered(clock, Meter(clock=clock), seconds_of_data=1, seconds_of_steps=9)
    assert "10% of the time" in str(found)
    assert "folder" not in str(found)


def test_progress_that_shows_figures_gets_them_with_each_step():
    clock, shown = Clock(), Shown()
    metered(clock, Meter(shown, clock=clock), seconds_of_data=3, seconds_of_steps=1)
    assert [line[:3] for line in shown.lines] == [
        ("first pass", done, 40) for done in (8, 16, 24, 32, 40)
    ]
    assert shown.lines[0][3] == ""
    assert "2 images/s, waiting for data 75% of the time: folder of p" in shown.lines[-1][3]


def test_a_summary_divides_by_the_images_of_the_largest_pass():
    clock = Clock()
    meter = Meter(clock=clock)
    metered(clock, meter, seconds_of_data=3, seconds_of_steps=1)
    running = meter.begin("kept maps", Stored({"x": np.zeros(16)}), 16)
    running.ran(16, forward_passes=0)
    running.reached(16)
    assert running.end() == running.end()
    assert len(meter.passes) == 2
    found = meter.summary()
    assert (found.examples, found.forward_passes, found.bytes_moved) == (32, 2, 1000)
    assert found.source == "folder of photographs"
    assert json.loads(json.dumps(meter.as_json()))["passes"][1]["forward_passes"] == 0


def test_a_pass_that_nothing_passed_has_no_rate():
    clock = Clock()
    running = Meter(clock=clock).begin("nothing", [], 4)
    assert running.end().examples_per_second == 0


def test_a_line_for_every_pass_is_logged(caplog):
    clock = Clock()
    with caplog.at_level("INFO", logger="jaxdissect.engine.meter"):
        metered(clock, Meter(clock=clock), seconds_of_data=3, seconds_of_steps=1)
    (record,) = caplog.records
    assert record.getMessage().startswith("first pass: 32 images in 16.0 s, 2 images/s, waiting")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SlowFolder(), "folder of photographs"),
        (Stored({}), "Stored"),
        (Joined(SlowFolder(), Stored({})), "folder of photographs"),
        ([], "list"),
    ],
)
def test_sources_have_names(source, name):
    assert source_name(source) == name


def test_any_progress_is_metered():
    meter = Meter()
    assert as_meter(meter) is meter
    assert as_meter(lambda *_: None).passes == []
    assert memory_peak() > 0
