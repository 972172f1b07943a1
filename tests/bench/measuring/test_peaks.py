import sys

import numpy as np
import pytest

from jaxdissect.bench.measuring.peaks import PeakOfRow
from jaxdissect.bench.measuring.probe import probe

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux forgets the peak of a process"
)


@on_linux
def test_the_peak_of_a_row_is_its_own():
    size = 2**28
    before = PeakOfRow()
    held = np.ones(size, np.uint8)
    large = before.row()
    del held
    after = PeakOfRow()
    small = after.row()
    assert large is not None and small is not None
    assert large - small > 0.8 * size
    assert before.before is not None and large - before.before > 0.8 * size
    assert after.process() > 0.99 * large  # of all until now; the kernel counts roughly


def test_devices_that_cannot_begin_anew_tell_only_a_greater_peak(monkeypatch):
    peaks = iter([100, 100, 300, 300])
    monkeypatch.setattr("jaxdissect.bench.measuring.peaks.memory_peak", lambda: next(peaks))
    monkeypatch.setattr("jaxdissect.bench.measuring.peaks._devices_count", lambda: True)
    monkeypatch.setattr(PeakOfRow, "greatest", 0)
    row = PeakOfRow()
    assert row.row() is None
    assert row.row() == row.process() == 300


def test_the_probe_takes_some_time():
    assert 0 < probe() < 10
