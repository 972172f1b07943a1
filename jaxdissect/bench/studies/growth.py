"""How time and memory of a dissection grow with images, units, concepts, layers, label channels.

One number grows while the others stay; ``seconds ~ number ** p`` is fitted, and p must be 1, which
is linear, or less. Programs are compiled before. Fixed costs make p less than it is in the long
run, so the two largest sizes are also fitted alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.dissecting import Dissecting, Timed, all_rounds, take_turns
from jaxdissect.bench.studies.fits import Estimate, exponent, last_exponent
from jaxdissect.bench.studies.integers import Integers
from jaxdissect.bench.studies.memory import Measured, measured
from jaxdissect.bench.study import Cell, Found, ResultTable, Study

CLEARLY = 1.25
"""Exponent above which growth is called worse than linear, if it surely is above it."""

PLAINLY = 1.75
"""Exponent of all sizes above which it is called so in any case: few rounds are sure of nothing."""

_REASON = (
    "quadratic growth would be 2; arrays that outgrow a cache grow a little faster than linearly; "
    "what the exponent is above with a chance of 99.9% counts, so that noise alone does not fail, "
    f"or the exponent of all sizes less {PLAINLY - CLEARLY:g}, if that is more"
)


@dataclass(frozen=True, kw_only=True)
class GrowthSizes:
    """What is dissected, and how large it grows.

    Attributes:
        images, units, concepts, layers, channels: What each grows through, at least two numbers
            that increase; none leaves it out. The others then have the numbers of `base`.
        base_images, base_units, base_concepts, base_layers, base_channels: What stays.
        unkept_images: Numbers of images with nothing kept on the device, for its memory.
        side: Height and width of images and label grid.
        hidden, depth: Of the network, see `Integers`.
        batch_size: Images in a step.
        rounds: How often everything is timed, at least 2.
    """

    images: tuple[int, ...] = (64, 128, 256, 512)
    units: tuple[int, ...] = (64, 128, 256, 512)
    concepts: tuple[int, ...] = (256, 512, 1024, 2048)
    layers: tuple[int, ...] = (1, 2, 4, 8)
    channels: tuple[int, ...] = (1, 2, 4, 8)
    unkept_images: tuple[int, ...] = (64, 128, 256, 512)
    base_images: int = 96
    base_units: int = 128
    base_concepts: int = 256
    base_layers: int = 1
    base_channels: int = 4
    side: int = 56
    hidden: int = 64
    depth: int = 1
    batch_size: int = 16
    rounds: int = 4

    def __post_init__(self) -> None:
        for name in (*_GROWING, "unkept_images"):
            numbers = getattr(self, name)
            increases = list(numbers) == sorted(set(numbers)) and min(numbers, default=1) > 0
            if len(numbers) == 1 or not increases:
                raise ValueError(
                    f"`{name}` (={numbers}) must be two or more numbers from 1 on that increase, "
                    "or none to leave it out"
                )
        if not any(getattr(self, name) for name in (*_GROWING, "unkept_images")):
            raise ValueError("`images`, `units` and the others are all empty: let one grow")
        if self.rounds < 2:
            raise ValueError(f"`rounds` (={self.rounds}) must be at least 2, for an interval")
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` (={self.batch_size}) must be at least 1")
        for name in _GROWING:
            for number in getattr(self, name):
                replace(self.base, **{name: number})  # refuses what makes no sense

    @property
    def base(self) -> Integers:
        """What is dissected where nothing has grown."""
        return Integers(
            **{name: getattr(self, f"base_{name}") for name in _GROWING},
            side=self.side,
            hidden=self.hidden,
            depth=self.depth,
        )


_GROWING = ("images", "units", "concepts", "layers", "channels")
_SHOWN = {
    "images": "images",
    "units": "units of a layer",
    "concepts": "concepts",
    "layers": "layers",
    "channels": "label channels",
    "unkept_images": "images, nothing kept",
}


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How one thing grows.

    Attributes:
        numbers: Its sizes.
        rounds: Seconds [rounds, sizes].
        memory: What was taken at every size.
    """

    numbers: tuple[int, ...]
    rounds: np.ndarray
    memory: tuple[Measured, ...]

    @property
    def exponents(self) -> tuple[Estimate, Estimate]:
        """That of all sizes, and that of the two largest."""
        return exponent(self.numbers, self.rounds), last_exponent(self.numbers, self.rounds)


def verdict(exponents: Sequence[Estimate]) -> str:
    """Say whether growth is linear or better: "yes", "no", or "not shown" where it is too noisy."""
    if lowest_exponent(exponents) > CLEARLY:
        return "no"
    return "yes" if exponents[0].high <= CLEARLY else "not shown"


def lowest_exponent(exponents: Sequence[Estimate]) -> float:
    """Tell what growth is no better than: above `CLEARLY` it is worse than linear.

    Args:
        exponents: That of all sizes, then that of the two largest.
    """
    sure = max(found.surely_above for found in exponents)
    return max(sure, exponents[0].value - (PLAINLY - CLEARLY))


def measure_growth(sizes: GrowthSizes, roofs: Roofs) -> Found:
    """Measure growth; see `Study.measure`."""
    del roofs
    grown: dict[str, Growth] = {}
    gates: dict[str, Gate] = {}
    for name in (*_GROWING, "unkept_images"):
        numbers = getattr(sizes, name)
        if numbers:
            grown[name] = _grow(sizes, name, numbers, gates)
    for name, growth in grown.items():
        gates[f"linear or better: {_SHOWN[name]}"] = _linear(growth)
    return Found(tables=_tables(grown), gates=gates, data=_data(sizes, grown))


def _grow(sizes: GrowthSizes, name: str, numbers: Sequence[int], gates: dict[str, Gate]) -> Growth:
    field, keeps = name.removeprefix("unkept_"), not name.startswith("unkept_")
    works = {
        number: Dissecting(
            replace(sizes.base, **{field: number}), batch_size=sizes.batch_size, keeps=keeps
        )
        for number in numbers
    }
    turns = take_turns({number: work.timed for number, work in works.items()}, sizes.rounds)
    memory = []
    for number, work in works.items():
        found, taken = measured(work)
        memory.append(taken)
        if number == numbers[0]:
            gates[f"{_SHOWN[name]}: {number}"] = work.check(found)
    gates[f"{_SHOWN[name]}: every round"] = all_rounds(turns)
    return Growth(numbers=tuple(numbers), rounds=_seconds(turns, numbers), memory=tuple(memory))


def _seconds(turns: dict[int, list[Timed]], numbers: Sequence[int]) -> np.ndarray:
    return np.array([[timed.seconds for timed in turns[number]] for number in numbers]).T


def _linear(growth: Growth) -> Gate:
    lowest = lowest_exponent(growth.exponents)
    return Gate(
        passed=lowest <= CLEARLY,
        against="exponents of all sizes and of the two largest: what they are surely above",
        difference=lowest,
        tolerance=CLEARLY,
        reason=_REASON,
    )


def _tables(grown: dict[str, Growth]) -> list[ResultTable]:
    fitted: list[tuple[Cell, ...]] = []
    measured_rows: list[tuple[Cell, ...]] = []
    for name, growth in grown.items():
        every, last = growth.exponents
        fitted.append(
            (
                _SHOWN[name],
                f"{growth.numbers[0]} to {growth.numbers[-1]}",
                every.value,
                f"{every.low:.2f} to {every.high:.2f}",
                last.value,
                f"{last.low:.2f} to {last.high:.2f}",
                verdict(growth.exponents),
                memory_exponent(growth),
            )
        )
        for place, number in enumerate(growth.numbers):
            seconds = growth.rounds[:, place]
            taken = growth.memory[place]
            measured_rows.append(
                (
                    _SHOWN[name],
                    number,
                    float(np.median(seconds)),
                    1e3 * float(np.median(seconds)) / number,
                    None if taken.bytes is None else taken.bytes / 2**20,
                    taken.kind,
                )
            )
    return [
        ResultTable(
            title="Growth of a dissection: exponents of time",
            columns=(
                "what grows",
                "range",
                "exponent",
                "95% interval",
                "of the two largest",
                "95% interval of the two largest",
                "linear or better",
                "exponent of memory",
            ),
            rows=tuple(fitted),
            note=(
                "1 is linear, 0 does not grow. Fixed costs make the exponent of all sizes less "
                "than it is in the long run; the two largest alone show more of it and are "
                f'noisier. "Yes": the interval of all ends below {CLEARLY}; "no": one of the two '
                f"is above it with a chance of 99.9%, or that of all is above {PLAINLY}. Programs "
                "were compiled before."
            ),
        ),
        ResultTable(
            title="Growth of a dissection: what was measured",
            columns=(
                "what grows",
                "number",
                "seconds, median",
                "ms for each",
                "memory beyond what was there (MiB)",
                "memory of",
            ),
            rows=tuple(measured_rows),
            note=(
                "Data are in host memory before and do not count. On CPUs what is kept on the "
                "device counts, as it is the process' memory."
            ),
        ),
    ]


def memory_exponent(growth: Growth) -> float | None:
    """Fit the exponent of memory; None where it cannot be told."""
    taken = [found.bytes for found in growth.memory]
    if any(not number for number in taken):
        return None
    return exponent(growth.numbers, np.array([taken], np.float64)).value


def _data(sizes: GrowthSizes, grown: dict[str, Growth]) -> dict[str, Any]:
    return {
        "base": asdict(sizes.base),
        "growth": {
            name: {
                "numbers": list(growth.numbers),
                "seconds": growth.rounds.tolist(),
                "memory": [found._asdict() for found in growth.memory],
                "exponents": [list(found) for found in growth.exponents],
            }
            for name, growth in grown.items()
        },
    }


GROWTH = Study(
    name="growth",
    summary="How time and memory grow with images, units, concepts, layers and label channels.",
    sizes=GrowthSizes,
    measure=measure_growth,
)
