"""Which compiled programs took how long, from a trace of `jax.profiler`."""

import gzip
import json
from collections import defaultdict
from pathlib import Path


def longest_programs(folder: Path) -> list[tuple[str, float]]:
    """Add up the time of the operations of every program, over all devices of this machine.

    On processors operations run in several threads at once, each of which counts.

    Args:
        folder: What was given to `jax.profiler.trace`; the newest trace in it is read.

    Returns:
        Names of programs and seconds, longest first; empty where there is no trace.
    """
    found = sorted(folder.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
    if not found:
        return []
    with gzip.open(found[-1]) as file:
        events = json.load(file)["traceEvents"]
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        module = event.get("args", {}).get("hlo_module")
        if module is not None and event.get("ph") == "X":
            seconds[module] += event.get("dur", 0) / 1e6
    return sorted(seconds.items(), key=lambda pair: -pair[1])
