"""What devices send to each other, read from the programs that XLA has compiled.

XLA writes out every collective operation with the shape of its result. From that follows what a
device receives, as it is usually done, in a ring: of a gathered array all parts but its own, of a
sum of all devices twice as much less a little.
"""

import gzip
import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax

Result = TypeVar("Result")

_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_OPERATION = re.compile(
    rf"%?([\w.-]+) = (\(.*?\)|\S+) ({'|'.join(_KINDS)})(?:-start)?\(", re.MULTILINE
)
_SHAPE = re.compile(r"\b(pred|bf16|[sufc]\d+)\w*\[([\d,]*)\]")
_BITS = {"pred": 8, "bf16": 16}


@dataclass(frozen=True, kw_only=True)
class Collective:
    """One operation of a program.

    Attributes:
        name: Its name in the program.
        kind: Such as "all-gather".
        bytes: Of its result on one device; where XLA starts it and waits for it later, that of its
            largest part.
        members: How many devices of a group take part; 0 for all.
    """

    name: str
    kind: str
    bytes: int
    members: int = 0

    def received(self, devices: int, compiled_for: int) -> float:
        """Count the bytes that one device receives, in a ring.

        Args:
            devices: In a ring of so many, each of which has as much to give.
            compiled_for: For how many the program was compiled, which says how much that is.
        """
        others = devices - 1
        return {
            "all-gather": others * self.bytes / compiled_for,
            "all-reduce": 2 * others / devices * self.bytes,
            "reduce-scatter": others / devices * self.bytes * compiled_for,
            "all-to-all": others / devices * self.bytes,
            "collective-permute": float(self.bytes) if others else 0.0,
        }[self.kind]

    def result(self, devices: int, compiled_for: int) -> float:
        """Count the bytes of its result on one device, for another number of devices."""
        if self.kind == "all-gather":
            return self.bytes * devices / compiled_for
        if self.kind == "reduce-scatter":
            return self.bytes * compiled_for / devices
        return float(self.bytes)


def read_collectives(text: str) -> tuple[Collective, ...]:
    """Find the collective operations in the text of a compiled program.

    Args:
        text: What `compiled.as_text()` gives.
    """
    found = []
    for match in _OPERATION.finditer(text):
        name, shapes, kind = match.groups()
        sizes = [_bytes(*shape) for shape in _SHAPE.findall(shapes)]
        is_started = match.group().endswith("-start(")
        number = max(sizes, default=0) if is_started else sum(sizes)
        rest = text[match.end() :].partition("\n")[0]
        found.append(Collective(name=name, kind=kind, bytes=number, members=_members(rest)))
    return tuple(found)


def _members(attributes: str) -> int:
    """Count the devices of a group, of which XLA writes two of two in several ways.

    {{0,2},{1,3}}, [2,2]<=[4], and mesh['a'=2,'b'=2] {'a'}, groups along an axis.
    """
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    if listed is not None:
        return listed[1].count(",") + 1
    named = re.search(r"replica_groups=mesh\[([^\]]*)\] ?\{([^}]*)\}", attributes)
    if named is not None:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", named[2]))
    shaped = re.search(r"replica_groups=\[\d+,(\d+)\]", attributes)
    return 0 if shaped is None else int(shaped[1])


def _bytes(kind: str, axes: str) -> int:
    bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind))
    return math.prod(int(axis) for axis in axes.split(",") if axis) * bits // 8


def programs_of_process() -> list[tuple[str, tuple[Collective, ...]]]:
    """Read all programs that this process has compiled and not forgotten."""
    client: Any = jax.local_devices()[0].client
    return [
        (str(module.name), read_collectives(module.to_string()))
        for executable in client.live_executables()
        for module in executable.hlo_modules()
    ]


def traced(work: Callable[[], Result]) -> tuple[Result, Counter[tuple[str, str]]]:
    """Do some work, and count the operations of programs that ran, on all devices.

    Returns:
        The result, and numbers by name of the program and name of the operation.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(folder, profiler_options=options):
            result = work()
        return result, _operations(sorted(Path(folder).rglob("*.trace.json.gz")))


def _operations(files: Iterable[Path]) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for path in files:
        with gzip.open(path) as file:
            events = json.load(file)["traceEvents"]
        for event in events:
            program = event.get("args", {}).get("hlo_module")
            if program is not None and event.get("ph") == "X":
                counted[str(program), str(event["name"])] += 1
    return counted
