"""How much memory a piece of work takes beyond what is there already.

High-water marks of a process never fall, so that what was done before would hide what is measured
now. Linux sets that of a process back when asked to. Accelerators do not: while the work runs,
another thread looks often at what is in use; their own mark counts where it has risen.
"""

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax

Result = TypeVar("Result")

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_EVERY = 0.0005  # seconds between two looks


class Measured(NamedTuple):
    """What a piece of work took.

    Attributes:
        bytes: Greatest use less that before; None where it cannot be told.
        kind: "device, its own mark", "device, looked at often" (no less than that), "process", or
            why it cannot be told.
    """

    bytes: int | None
    kind: str


def measured(work: Callable[[], Result]) -> tuple[Result, Measured]:
    """Do some work, and measure what it takes: memory of devices, or of the process on CPUs."""
    gc.collect()
    counters = [device for device in jax.local_devices() if device.memory_stats()]
    return _of_devices(work, counters) if counters else _of_process(work)


def _of_process(work: Callable[[], Result]) -> tuple[Result, Measured]:
    _give_back()
    try:
        _CLEAR.write_text("5")
        before = _bytes_of("VmRSS")
    except OSError:
        return work(), Measured(None, "only Linux sets the high-water mark of a process back")
    result = work()
    return result, Measured(max(0, _bytes_of("VmHWM") - before), "process")


def _bytes_of(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{_STATUS} has no {name}")


def _give_back() -> None:
    """Return to the system what the allocator keeps for later, or it would hide what is new."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # of another C library


def _of_devices(work: Callable[[], Result], devices: list[Any]) -> tuple[Result, Measured]:
    before, marks = _in_use(devices), _marks(devices)
    greatest = list(before)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY):
            greatest[:] = map(max, greatest, _in_use(devices))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        result = work()
    finally:
        ended.set()
        looking.join()
    risen = [
        after - used
        for used, mark, after in zip(before, marks, _marks(devices), strict=True)
        if after > mark
    ]
    if risen:
        return result, Measured(max(risen), "device, its own mark")
    seen = max(most - used for most, used in zip(greatest, before, strict=True))
    return result, Measured(seen, "device, looked at often")


def _in_use(devices: list[Any]) -> list[int]:
    return [device.memory_stats().get("bytes_in_use", 0) for device in devices]


def _marks(devices: list[Any]) -> list[int]:
    return [device.memory_stats().get("peak_bytes_in_use", 0) for device in devices]
