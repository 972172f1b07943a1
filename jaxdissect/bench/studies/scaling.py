"""How a dissection becomes faster with more devices, and that its answer stays the same.

Strong: the same images on more devices. Weak: as many images for every device. The network of
integers (`integers.py`) has the same answer on every device, so its fingerprint must be the same
on one device and on all, and on accelerators the same as on a processor.

Accelerators are taken in this process, the first ones of all. A processor is divided into devices
in processes of their own, each on as many cores as devices, as far as there are cores.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.children import available_cores, can_choose_cores, child
from jaxdissect.bench.studies.dissecting import Dissecting, Timed, same, take_turns
from jaxdissect.bench.studies.integers import Integers
from jaxdissect.bench.study import Found, ResultTable, Study
from jaxdissect.engine.devices import data_mesh, most_devices_of_processor

STRONG, WEAK = "strong", "weak"


@dataclass(frozen=True, kw_only=True)
class ScalingSizes:
    """What is dissected, on how many devices.

    Attributes:
        devices: Numbers of devices, from 1 on; none takes 1, 2, 4, ... and all accelerators, or 1,
            2 and 4 parts of a processor.
        on_processor: Numbers of parts of the processor on which the answer of accelerators is
            checked; there only.
        images: Images for one device; in the strong case, of all.
        batch_size: Images of a step for each device.
        units, layers, concepts, channels, side, hidden, depth: See `Integers`.
        rounds: How often everything is timed.
    """

    devices: tuple[int, ...] = ()
    on_processor: tuple[int, ...] = (1, 4)
    images: int = 64
    batch_size: int = 8
    units: int = 256
    layers: int = 2
    concepts: int = 512
    channels: int = 4
    side: int = 56
    hidden: int = 256
    depth: int = 4
    rounds: int = 3

    def __post_init__(self) -> None:
        for name in ("devices", "on_processor"):
            numbers = getattr(self, name)
            if any(number < 1 for number in numbers) or len(set(numbers)) < len(numbers):
                raise ValueError(f"`{name}` (={numbers}) must be different numbers from 1 on")
        if self.devices and self.devices[0] != 1:
            raise ValueError(f"`devices` (={self.devices}) must begin with 1, to compare with")
        for name in ("images", "batch_size", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        self.integers(self.images)

    def integers(self, images: int) -> Integers:
        """What is dissected, of so many images."""
        names = ("units", "layers", "concepts", "channels", "side", "hidden", "depth")
        return Integers(images=images, **{name: getattr(self, name) for name in names})


class Place(NamedTuple):
    """Where a dissection runs.

    Attributes:
        devices: On how many devices.
        parallel: How many of them, or of their cores, compute at the same time.
        run: ``run(images, batch_size)`` dissects there.
    """

    devices: int
    parallel: int
    run: Callable[[int, int], Timed]


def measure_scaling(sizes: ScalingSizes, roofs: Roofs) -> Found:
    """Measure scaling; see `Study.measure`.

    Raises:
        ValueError: If there are not so many devices.
    """
    del roofs
    on_cpu = jax.default_backend() == "cpu"
    numbers = sizes.devices or _all_numbers(on_cpu)
    most = most_devices_of_processor() if on_cpu else len(jax.local_devices())
    if max(numbers) > most:
        raise ValueError(f"`devices` (={numbers}) must be at most {most}, as many as there are")
    with ExitStack() as stack:
        kept: dict[tuple[int, int, int], Dissecting] = {}
        places = [
            _part_of_processor(stack, sizes, number) if on_cpu else _here(sizes, number, kept)
            for number in numbers
        ]
        works = {
            (kind, place.devices): partial(
                place.run,
                sizes.images * (place.devices if kind == WEAK else 1),
                sizes.batch_size * place.devices,
            )
            for place in places
            for kind in (STRONG, WEAK)
        }
        turns = take_turns(works, sizes.rounds)
        others = {} if on_cpu else _on_processor(sizes)
        gates = {
            "the same answer on every number of devices": _identical(turns, numbers, others),
            "the same answer for more images": _weak_identical(sizes, places[0], turns, numbers),
        }
    rows = [_row(kind, place, turns) for kind in (STRONG, WEAK) for place in places]
    data = {
        "sizes": asdict(sizes),
        "rows": rows,
        "turns": {
            f"{kind} {number}": [timed._asdict() for timed in times]
            for (kind, number), times in turns.items()
        },
        "fingerprints on a processor": others,
    }
    return Found(tables=[_table(sizes, rows, on_cpu)], gates=gates, data=data)


def _all_numbers(on_cpu: bool) -> tuple[int, ...]:
    if on_cpu:
        return (1, 2, 4)
    most = len(jax.local_devices())
    powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return tuple(sorted({*powers, most}))


# --- where it runs --------------------------------------------------------------------------------


def _here(sizes: ScalingSizes, devices: int, kept: dict[tuple[int, int, int], Dissecting]) -> Place:
    def run(images: int, batch_size: int) -> Timed:
        key = devices, images, batch_size
        if key not in kept:
            kept[key] = Dissecting(
                sizes.integers(images), batch_size=batch_size, mesh=data_mesh(devices)
            )
        return kept[key].timed()

    return Place(devices, devices, run)


def _part_of_processor(stack: ExitStack, sizes: ScalingSizes, devices: int) -> Place:
    cores = min(devices, len(available_cores()))
    process = stack.enter_context(child(devices, cores=cores))

    def run(images: int, batch_size: int) -> Timed:
        integers = asdict(sizes.integers(images))
        return Timed(*process.ask("scaling:dissect_here", sizes=integers, batch_size=batch_size))

    return Place(devices, cores, run)


_DISSECTIONS: dict[str, Dissecting] = {}  # of a child, which is asked again and again


def dissect_here(sizes: dict[str, int], batch_size: int) -> tuple[float, str]:
    """Dissect on all devices of this process; what a child is asked to."""
    key = f"{sizes} {batch_size}"
    if key not in _DISSECTIONS:
        _DISSECTIONS[key] = Dissecting(Integers(**sizes), batch_size=batch_size, mesh=data_mesh())
    timed = _DISSECTIONS[key].timed()
    return timed.seconds, timed.hash


# --- what is checked ------------------------------------------------------------------------------

Turns = dict[tuple[str, int], list[Timed]]


def _on_processor(sizes: ScalingSizes) -> dict[str, str]:
    """Find the fingerprints of the strong case on parts of the processor."""
    found = {}
    for devices in sizes.on_processor:
        with child(devices) as process:
            timed = process.ask(
                "scaling:dissect_here",
                sizes=asdict(sizes.integers(sizes.images)),
                batch_size=sizes.batch_size * devices,
            )
        found[f"{devices} parts of the processor"] = timed[1]
    return found


def _identical(turns: Turns, numbers: Sequence[int], others: dict[str, str]) -> Gate:
    hashes = {
        f"{number} devices, round {place}": timed.hash
        for number in numbers
        for place, timed in enumerate(turns[STRONG, number])
    }
    against = f"{', '.join(map(str, numbers))} devices, every round"
    if others:
        against += f", and {' and '.join(others)}"
    return same(hashes | others, against=against)


def _weak_identical(sizes: ScalingSizes, one: Place, turns: Turns, numbers: Sequence[int]) -> Gate:
    """Dissect what more devices have dissected on one device, untimed."""
    passed = True
    for number in numbers:
        expected = one.run(sizes.images * number, sizes.batch_size).hash
        passed = passed and all(timed.hash == expected for timed in turns[WEAK, number])
    return Gate(passed=passed, against="one device on the same images")


# --- what is shown --------------------------------------------------------------------------------


def _row(kind: str, place: Place, turns: Turns) -> dict[str, Any]:
    """Compare with one device, round by round; medians over the rounds."""
    alone = np.array([timed.seconds for timed in turns[kind, 1]])
    together = np.array([timed.seconds for timed in turns[kind, place.devices]])
    work = place.devices if kind == WEAK else 1  # times that of one device
    faster = work * alone / together
    return {
        "kind": kind,
        "devices": place.devices,
        "parallel": place.parallel,
        "seconds": float(np.median(together)),
        "faster": float(np.median(faster)),
        "efficiency": float(np.median(faster)) / place.parallel,
    }


def _table(sizes: ScalingSizes, rows: Sequence[dict[str, Any]], on_cpu: bool) -> ResultTable:
    note = (
        "Strong: the same images on more devices; weak: as many images for every device. Times of "
        "every round are compared with one device in the same round; medians. Efficiency is the "
        "gain in images per second over "
    )
    if on_cpu:
        note += (
            "the number of cores that work at the same time. A processor was divided, in processes "
            "of their own"
            + (", each kept to that many cores. " if can_choose_cores() else ". ")
            + "Parts of one processor share its caches and its memory; more parts than cores "
            "cannot be faster, and show what dividing costs."
        )
    else:
        note += "the number of devices."
        if len({row["devices"] for row in rows}) == 1:
            note += " There is one device: nothing can be said of more."
    return ResultTable(
        title=f"Scaling of a dissection, {sizes.layers * sizes.units:,} units",
        columns=(
            "scaling",
            "devices",
            "cores" if on_cpu else "at the same time",
            "images",
            "seconds, median",
            "images/s",
            "times as fast as one",
            "efficiency (%)",
        ),
        rows=tuple(
            (
                row["kind"],
                row["devices"],
                row["parallel"],
                images,
                row["seconds"],
                images / row["seconds"],
                row["faster"],
                100 * row["efficiency"],
            )
            for row in rows
            for images in (sizes.images * (row["devices"] if row["kind"] == WEAK else 1),)
        ),
        note=note,
    )


SCALING = Study(
    name="scaling",
    summary="How speed grows from one device to all, strong and weak, with the same answer.",
    sizes=ScalingSizes,
    measure=measure_scaling,
)
