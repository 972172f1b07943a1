"""The greatest use of memory while something was measured.

Devices count the peak of a process and cannot begin anew; a row that stays below what an earlier
one used has no peak of its own. Linux can begin anew for the memory of a process, which then is
that of Python, JAX and all that is held from before, without what was freed.
"""

import ctypes
from pathlib import Path

import jax

from jaxdissect.engine.meter import memory_peak

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # see proc(5)


class PeakOfRow:
    """Measures the peak from when it is made."""

    greatest = 0
    """Of all until now: what Linux has begun anew forgets what was before."""

    def __init__(self) -> None:
        self._before = self.process()
        self._anew = not _devices_count() and _forgotten()
        self.before = _resident_peak() if self._anew else _in_use()
        """In use when it was made; None where it is not known."""

    def process(self) -> int:
        """Find the greatest use of one device until now.

        Where devices do not count, the greatest memory of this process.
        """
        counted = memory_peak() if _devices_count() else max(memory_peak(), _resident_peak() or 0)
        PeakOfRow.greatest = max(PeakOfRow.greatest, counted)
        return PeakOfRow.greatest

    def row(self) -> int | None:
        """Find the same since the beginning; None where it stayed below what was used before."""
        if self._anew:
            return _resident_peak()
        peak = self.process()
        return peak if peak > self._before else None


def _devices_count() -> bool:
    return any(
        "peak_bytes_in_use" in (device.memory_stats() or {}) for device in jax.local_devices()
    )


def _forgotten() -> bool:
    """Let the peak of the memory of this process begin anew, where the system can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that is freed, but not yet given back
    except (AttributeError, OSError, TypeError):
        pass  # another C library
    try:
        _FORGET.write_text(_FORGET_PEAK)
    except OSError:
        return False
    return _resident_peak() is not None


def _in_use() -> int | None:
    """Find the greatest use of one device now, where devices count it."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return max((one["bytes_in_use"] for one in stats if "bytes_in_use" in one), default=None)


def _resident_peak() -> int | None:
    """Read the peak of the memory of this process, where the system tells it."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return None
