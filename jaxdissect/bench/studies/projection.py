"""How long a dissection would take on 256 devices: on paper, from what one device was measured at.

Nothing here was run on so many devices. What is measured: how the time of a dissection on one
device of this machine depends on the number of images, ``fixed + each * images``. What is read from
the programs that XLA compiles for several devices: which of them let devices send to each other,
how much, and how often they ran. What is assumed, and said in the tables: how fast a network of
devices is, as a range, and that reading the images keeps up.

Every device counts by itself, and counts are joined when a pass ends: gathered by all devices, one
part each, and added up; and the values that settle thresholds are brought to every host. So a step
needs no other device, and what is sent grows with units, concepts and the number of devices, not
with images.
"""

import math
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.children import child
from jaxdissect.bench.studies.collectives import (
    Collective,
    programs_of_process,
    traced,
)
from jaxdissect.bench.studies.dissecting import Dissecting, all_rounds, take_turns
from jaxdissect.bench.studies.fits import Estimate, Line, line
from jaxdissect.bench.studies.integers import Integers
from jaxdissect.bench.study import Cell, Found, ResultTable, Study
from jaxdissect.engine.devices import data_mesh, join_processes


@dataclass(frozen=True, kw_only=True)
class Interconnect:
    """How devices are assumed to be joined.

    Attributes:
        name: Where that would be so.
        bytes: That a device receives in a second.
        latency: Seconds from one device to the next.
    """

    name: str
    bytes: float
    latency: float


SLOW = Interconnect(name="100 Gbit/s for every 8 devices", bytes=100e9 / 8 / 8, latency=30e-6)
FAST = Interconnect(name="400 Gbit/s for every device", bytes=400e9 / 8, latency=5e-6)
"""Assumed, not measured: the range from a cluster of eight devices to a plain network card, to one
with a fast card for every device. Devices within a machine are mostly faster than both."""


DEVICES_OF_MACHINE = 8
"""How many devices one process is assumed to have."""


@dataclass(frozen=True, kw_only=True)
class ProjectionSizes:
    """What is projected.

    Attributes:
        devices: Numbers of devices to project to.
        data_sets: Numbers of images to project to; the defaults are the validation and the training
            images of Places365.
        compiled_for: Numbers of parts of a processor, half of them in each of two processes, for
            which programs are compiled and read: at least two, even, from 4 on.
        images: Numbers of images that are timed on one device, at least two that increase.
        batch_size: Images of a step for each device.
        units, layers, concepts, channels, side, hidden, depth: See `Integers`; the defaults have
            the 4,225 units of the 13 layers of VGG-16, and one more.
        rounds: How often everything is timed, at least 2.
    """

    devices: tuple[int, ...] = (1, 8, 64, 256)
    data_sets: tuple[int, ...] = (36_500, 1_803_460)
    compiled_for: tuple[int, ...] = (4, 8)
    images: tuple[int, ...] = (32, 64, 128)
    batch_size: int = 8
    units: int = 325
    layers: int = 13
    concepts: int = 1825
    channels: int = 6
    side: int = 56
    hidden: int = 256
    depth: int = 4
    rounds: int = 3

    def __post_init__(self) -> None:
        for name in ("devices", "data_sets", "images"):
            numbers = getattr(self, name)
            if not numbers or list(numbers) != sorted(set(numbers)) or numbers[0] < 1:
                raise ValueError(f"`{name}` (={numbers}) must be numbers from 1 on that increase")
        if len(self.images) < 2:
            raise ValueError(f"`images` (={self.images}) must be two or more, to fit a line")
        numbers = self.compiled_for
        if len(set(numbers)) < 2 or any(number < 4 or number % 2 for number in numbers):
            raise ValueError(
                f"`compiled_for` (={numbers}) must be two or more different even numbers from 4 "
                "on: parts of two processes, to see what grows with them"
            )
        if self.rounds < 2:
            raise ValueError(f"`rounds` (={self.rounds}) must be at least 2, for an interval")
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` (={self.batch_size}) must be at least 1")
        self.integers(self.images[0])

    def integers(self, images: int) -> Integers:
        """What is dissected, of so many images."""
        names = ("units", "layers", "concepts", "channels", "side", "hidden", "depth")
        return Integers(images=images, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A program that lets devices send to each other.

    Attributes:
        program: Its name.
        runs: How often it runs in a dissection.
        operations: What it sends.
    """

    program: str
    runs: float
    operations: tuple[Collective, ...]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What devices send to each other in a whole dissection.

    Attributes:
        compiled_for: For how many devices the programs were compiled.
        sending: Programs that send.
        silent: Names of programs that ran and send nothing.
    """

    compiled_for: int
    sending: tuple[Sending, ...]
    silent: tuple[str, ...]

    def received(self, devices: int, *, programs: str = "") -> float:
        """Bytes that one device receives, by all programs or those of one name."""
        return math.fsum(
            one.runs * operation.received(*self._members(operation, devices))
            for one in self.sending
            if programs in ("", one.program)
            for operation in one.operations
        )

    def room(self, devices: int) -> float:
        """Bytes that one device must have room for at once, for what it receives."""
        return max(
            (
                sum(part.result(*self._members(part, devices)) for part in one.operations)
                for one in self.sending
            ),
            default=0.0,
        )

    def _members(self, operation: Collective, devices: int) -> tuple[int, int]:
        """How many would take part, and for how many it was compiled: devices, or machines."""
        if operation.members in (0, self.compiled_for):
            return devices, self.compiled_for
        return -(-devices // DEVICES_OF_MACHINE), operation.members

    @property
    def operations(self) -> float:
        """How many operations send."""
        return math.fsum(one.runs * len(one.operations) for one in self.sending)


def measure_projection(sizes: ProjectionSizes, roofs: Roofs) -> Found:
    """Project to many devices; see `Study.measure`."""
    works = {
        images: Dissecting(sizes.integers(images), batch_size=sizes.batch_size)
        for images in sizes.images
    }
    turns = take_turns({images: work.timed for images, work in works.items()}, sizes.rounds)
    smallest = works[sizes.images[0]]
    gates = {
        "counts": smallest.check(smallest()),
        "every round": all_rounds(turns),
    }
    rounds = np.array([[timed.seconds for timed in turns[images]] for images in sizes.images]).T
    fitted = line(sizes.images, rounds)
    # The same images for all: others might need another pass, which sends too.
    few = 2 * max(sizes.compiled_for) * sizes.batch_size
    sent = {number: _sent(sizes, number, images=few) for number in sizes.compiled_for}
    fewest = min(sizes.compiled_for)
    more = _sent(sizes, fewest, images=4 * few)
    most = sizes.devices[-1]
    gates["what is sent is the same for each number compiled for"] = within(
        np.array([one.received(most) for one in sent.values()]),
        np.array([sent[fewest].received(most)] * len(sent)),
        _ALIKE,
        reason="small messages that all is well are sent once in some steps",
        against=f"programs for {' and '.join(map(str, sent))} devices, bytes for {most}",
    )
    gates["what is sent does not grow with images"] = _grows_not(sent[fewest], more)
    projected = [
        project(sizes, fitted, sent[fewest], roofs, devices=devices, images=images)
        for images in sizes.data_sets
        for devices in sizes.devices
    ]
    data = {
        "sizes": asdict(sizes),
        "seconds": rounds.tolist(),
        "fixed": list(fitted.fixed),
        "each": list(fitted.each),
        "sent": {str(number): asdict(one) for number, one in sent.items()},
        "sent, four times the images": asdict(more),
        "assumed": [asdict(SLOW), asdict(FAST)],
        "projected": [asdict(one) for one in projected],
    }
    tables = [_table(sizes, fitted, projected), _sent_table(sizes, sent[fewest])]
    return Found(tables=tables, gates=gates, data=data)


# --- what is read ---------------------------------------------------------------------------------


def _sent(sizes: ProjectionSizes, devices: int, *, images: int) -> Sent:
    """Dissect on parts of a processor, in two processes as on two machines, and read programs."""
    with ExitStack() as stack:
        processes = [stack.enter_context(child(devices // 2)) for _ in range(2)]
        address = f"localhost:{_free_port()}"
        for index, process in enumerate(processes):
            process.begin(
                "projection:send_together",
                sizes=asdict(sizes.integers(images)),
                batch_size=sizes.batch_size * devices,
                address=address,
                index=index,
            )
        answer = [process.answer() for process in processes][0]
    sending = tuple(
        Sending(
            program=one["program"],
            runs=one["runs"],
            operations=tuple(Collective(**operation) for operation in one["operations"]),
        )
        for one in answer["sending"]
    )
    return Sent(compiled_for=devices, sending=sending, silent=tuple(answer["silent"]))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def send_together(
    sizes: dict[str, int], batch_size: int, address: str, index: int
) -> dict[str, Any]:
    """Dissect on all devices of two processes, and say what they sent; what children are asked."""
    join_processes(address, 2, index)
    work = Dissecting(Integers(**sizes), batch_size=batch_size, mesh=data_mesh())
    work()
    _, ran = traced(work)
    # The trace is of this process' devices, the programs are for those of both.
    own = len(jax.local_devices())
    found = what_ran(programs_of_process(), ran, devices=own)
    jax.distributed.shutdown()  # while the other does too
    return asdict(replace(found, compiled_for=len(jax.devices())))


def what_ran(
    programs: Sequence[tuple[str, Sequence[Collective]]],
    ran: Counter[tuple[str, str]],
    *,
    devices: int,
) -> Sent:
    """Find out which programs sent how often.

    Programs of one name are not told apart by what ran: each is taken to have run as often as the
    others.

    Args:
        programs: The collective operations of every program, by its name; none of most.
        ran: How often operations ran, on all devices, by names of program and operation.
        devices: How many devices of this process they were counted on.
    """
    wanted: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for name, operations in programs:
        wanted[name] += len(operations)
    for name, operation in {(n, one.name) for n, several in programs for one in several}:
        seen[name] += ran[name, operation]
    sending = tuple(
        Sending(
            program=name,
            runs=seen[name] / (devices * wanted[name]),
            operations=tuple(operations),
        )
        for name, operations in programs
        if operations and seen[name]  # others ran once, before
    )
    silent = {name for name, _ in ran} - {one.program for one in sending}
    return Sent(compiled_for=devices, sending=sending, silent=tuple(sorted(silent)))


def _grows_not(fewer: Sent, more: Sent) -> Gate:
    ratio = more.operations / max(fewer.operations, 1e-30)
    return Gate(
        passed=0 < ratio <= _MORE,
        against="a dissection of four times as many images: number of operations that send",
        difference=ratio,
        tolerance=_MORE,
        reason=(
            "joining once a pass, and other data may need another pass; joining in every step "
            "would give 4"
        ),
    )


_MORE, _ALIKE = 2.0, 0.05


# --- what follows ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Projected:
    """A dissection on paper; each pair is the least and the most that it may be.

    Attributes:
        devices, images: Of what.
        computing: Seconds of all but joining.
        joining: Seconds of sending and adding up.
        whole: Both.
        efficiency: Speed over that of one device times their number.
        room: Bytes for what a device receives at once.
    """

    devices: int
    images: int
    computing: tuple[float, float]
    joining: tuple[float, float]
    whole: tuple[float, float]
    efficiency: tuple[float, float]
    room: float


def project(
    sizes: ProjectionSizes, fitted: Line, sent: Sent, roofs: Roofs, *, devices: int, images: int
) -> Projected:
    """Put a dissection together from its parts.

    A device takes the images of whole steps. What does not depend on images takes as long as on one
    device. Joining is receiving, with the latency of every place of the ring, and then reading all
    parts and adding them up at the measured bandwidth of the device's memory.

    Raises:
        ValueError: If time did not grow with images, so that there is nothing to project.
    """

    def computing(number: int) -> np.ndarray:
        """Seconds by the line of every round: errors of its two numbers go together."""
        fixed, each = np.array(fitted.rounds).T
        steps = math.ceil(images / (number * sizes.batch_size))
        return np.maximum(fixed, 0.0) + each * steps * sizes.batch_size

    def joining(network: Interconnect) -> float:
        if devices == 1:
            return 0.0
        received = sent.received(devices)
        passing = received / network.bytes
        waiting = sent.operations * (devices - 1) * network.latency
        return passing + waiting + _READ_AND_WRITTEN * received / roofs.bytes

    if min(each for _, each in fitted.rounds) <= 0:
        raise ValueError(
            "the time of a dissection does not grow with `images` in every round: the machine is "
            "too noisy for so few; give more images or wait until it is quiet"
        )
    alone, together = computing(1), computing(devices)
    fast, slow = joining(FAST), joining(SLOW)
    shares = [alone / (devices * (together + joined)) for joined in (fast, slow)]
    return Projected(
        devices=devices,
        images=images,
        computing=(float(together.min()), float(together.max())),
        joining=(fast, slow),
        whole=(float(together.min()) + fast, float(together.max()) + slow),
        efficiency=(float(np.min(shares)), float(np.max(shares))),
        room=sent.room(devices) if devices > 1 else 0.0,
    )


_READ_AND_WRITTEN = 3  # a part and the sum so far are read, and the sum is written


def _table(sizes: ProjectionSizes, fitted: Line, projected: Sequence[Projected]) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (
            one.images,
            one.devices,
            _range(one.computing),
            _range(one.joining),
            _range(one.whole),
            _range(tuple(100 * share for share in one.efficiency)),
            _range(
                (
                    8 * one.images / one.whole[1] / one.devices,
                    8 * one.images / one.whole[0] / one.devices,
                )
            ),
            one.room / 2**30,
        )
        for one in projected
    ]
    return ResultTable(
        title=(
            f"On paper, not measured: a dissection of {sizes.layers * sizes.units:,} units on up "
            f"to {sizes.devices[-1]} devices"
        ),
        columns=(
            "images",
            "devices",
            "computing (s)",
            "joining counts (s)",
            "whole (s)",
            "efficiency (%)",
            "images/s that 8 devices must be fed",
            "room for what a device receives (GiB)",
        ),
        rows=tuple(rows),
        note=(
            f"Measured on one device: {_seconds(fitted.fixed)} s, and {_seconds(fitted.each, 1e3)} "
            f"ms for each image (95% intervals over {sizes.rounds} rounds), with compiled programs "
            "and a network of integers, which costs less than a published one. Assumed: what does "
            "not depend on images takes as long on many devices; reading images keeps up; devices "
            f"are joined in a ring, from {SLOW.name} with {1e6 * SLOW.latency:.0f} microseconds "
            f"from one to the next, to {FAST.name} with {1e6 * FAST.latency:.0f}; all activations "
            "are kept, or none, as in the measurement. The ranges hold these assumptions and the "
            "lines of all rounds, not what else may happen on so many devices."
        ),
    )


def _sent_table(sizes: ProjectionSizes, sent: Sent) -> ResultTable:
    grouped: dict[str, list[Sending]] = {}
    for one in sent.sending:
        grouped.setdefault(one.program, []).append(one)
    most = sizes.devices[-1]
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            sum(one.runs for one in several),
            ", ".join(sorted({part.kind for one in several for part in one.operations})),
            sent.received(DEVICES_OF_MACHINE, programs=name) / 2**20,
            sent.received(most, programs=name) / 2**20,
        )
        for name, several in grouped.items()
    ]
    return ResultTable(
        title="What devices send to each other in a dissection",
        columns=(
            "program",
            "runs",
            "operations",
            f"a device receives, of {DEVICES_OF_MACHINE} (MiB)",
            f"a device receives, of {most} (MiB)",
        ),
        rows=tuple(rows),
        note=(
            f"Read from the programs that XLA compiled for {sent.compiled_for} parts of a "
            "processor in two processes, as on two machines, and counted in a trace; "
            f"{DEVICES_OF_MACHINE} devices are taken to be one machine's. Programs named "
            "everywhere bring to every host the values by which thresholds are settled; those "
            "named identity_fn rows of single images, of which there were few here and which "
            "grow with images until they are sampled. These ran too and send nothing, those of "
            f"every step among them: {', '.join(sent.silent)}. Gathering grows with the number of "
            "devices; a sum over all devices in its place would let each receive twice its part, "
            "whatever their number."
        ),
    )


def _range(pair: Sequence[float]) -> str:
    low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in pair)
    return low if low == high else f"{low} to {high}"


def _seconds(found: Estimate, unit: float = 1.0) -> str:
    return f"{unit * found.value:.3g} ({unit * found.low:.3g} to {unit * found.high:.3g})"


PROJECTION = Study(
    name="projection",
    summary="How long a dissection would take on 256 devices, on paper, and what limits it.",
    sizes=ProjectionSizes,
    measure=measure_projection,
)
