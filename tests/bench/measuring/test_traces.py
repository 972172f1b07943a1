"""Which compiled programs a trace says took how long."""

import gzip
import json

from jaxdissect.bench.measuring.traces import longest_programs


def event(module, microseconds, *, phase="X"):
    return {"ph": phase, "dur": microseconds, "args": {"hlo_module": module}}


def test_operations_add_up_by_program(tmp_path):
    events = [
        event("jit_count", 2000),
        event("jit_read", 5000),
        event("jit_count", 4000),
        event("jit_read", 9, phase="M"),
        {"ph": "X", "dur": 10**9},
    ]
    folder = tmp_path / "plugins" / "profile"
    folder.mkdir(parents=True)
    with gzip.open(folder / "host.trace.json.gz", "wt") as file:
        json.dump({"traceEvents": events}, file)
    assert longest_programs(tmp_path) == [("jit_count", 0.006), ("jit_read", 0.005)]


def test_no_trace_tells_nothing(tmp_path):
    assert longest_programs(tmp_path) == []
