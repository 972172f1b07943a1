"""Memory that work takes beyond what is there."""

import sys
import time

import numpy as np
import pytest

from jaxdissect.bench.studies import memory
from jaxdissect.bench.studies.memory import measured

MANY = 2**26  # bytes


def busy():
    return int(np.ones(MANY, np.uint8).sum())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets high-water marks back")
def test_what_was_used_before_does_not_hide_what_is_used_now():
    busy()  # the mark is high before
    found, taken = measured(busy)
    assert found == MANY and taken.kind == "process"
    assert taken.bytes is not None and 0.9 * MANY < taken.bytes < 2 * MANY
    assert (measured(lambda: None)[1].bytes or 0) < MANY / 4


class Device:
    """Counts its memory as accelerators do; its mark never falls."""

    def __init__(self):
        self.used, self.mark = 100, 1000

    def memory_stats(self):
        return {"bytes_in_use": self.used, "peak_bytes_in_use": self.mark}


def test_marks_of_devices_count_where_they_have_risen(monkeypatch):
    device = Device()
    monkeypatch.setattr(memory.jax, "local_devices", lambda: [device])

    def work():
        device.mark = 1500

    assert measured(work)[1] == (1400, "device, its own mark")


def test_devices_whose_marks_were_higher_before_are_looked_at_often(monkeypatch):
    device = Device()
    monkeypatch.setattr(memory.jax, "local_devices", lambda: [device])

    def work():
        device.used = 700
        time.sleep(0.2)
        device.used = 100

    assert measured(work)[1] == (600, "device, looked at often")
