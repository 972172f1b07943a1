"""One dissection that studies repeat: of the network of integers, always with the same answer."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdissect.bench.checking.gate import Gate, equal, fingerprint
from jaxdissect.bench.studies.integers import (
    Drawn,
    Integers,
    dissect_in_numpy,
    integer_network,
)
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.progress import Progress, no_progress

Answer = dict[str, dict[str, np.ndarray]]
"""By layer, "thresholds" in 64ths, "intersection" and "concept": integers."""

_PARTS = 64  # resampled values are multiples of 1/64


class Timed(NamedTuple):
    """One run.

    Attributes:
        seconds: How long it took.
        hash: Fingerprint of its answer.
    """

    seconds: float
    hash: str


class Dissecting:
    """A dissection that can be run again and again; its data and weights are made once.

    Args:
        sizes: Of the network and the data.
        batch_size: Images in a step, of all devices together.
        keeps: Whether activations may be kept on the devices between passes.
        mesh: Devices to spread images over.
    """

    def __init__(
        self,
        sizes: Integers,
        *,
        batch_size: int,
        keeps: bool = True,
        mesh: jax.sharding.Mesh | None = None,
    ) -> None:
        self.sizes, self.batch_size, self.keeps, self.mesh = sizes, batch_size, keeps, mesh
        self.network, self.source = integer_network(sizes), Drawn(sizes)

    def __call__(self, *, progress: Progress = no_progress) -> Dissection:
        return dissect(
            self.network,
            self.source,
            annotated(self.sizes.vocabulary),
            layers=self.sizes.layer_names,
            preset=PNAS2020,
            grid=(self.sizes.side, self.sizes.side),
            batch_size=self.batch_size,
            memory_budget=None if self.keeps else 0,
            mesh=self.mesh,
            progress=progress,
        )

    def timed(self) -> Timed:
        """Dissect, and say how long it took; results are on the host when it ends."""
        begun = time.perf_counter()
        found = self()
        seconds = time.perf_counter() - begun
        return Timed(seconds, fingerprint(answer_of(found)))

    def check(self, found: Dissection, *, units: int = 16) -> Gate:
        """Compare some units of the last layer with NumPy."""
        number = min(units, self.sizes.units)
        place = self.sizes.layers - 1
        expected = dissect_in_numpy(
            self.sizes, self.source, place, number, fraction=PNAS2020.fraction
        )
        whole = answer_of(found)
        ours = whole[self.sizes.layer_names[place]]
        part = {
            "thresholds": ours["thresholds"][:number],
            "intersection": ours["intersection"][:, :number],
            "concept": ours["concept"],
        }
        against = f"NumPy in int64, sorting: {number} units of the last layer, all images"
        return equal(part, dict(expected), against=against, answer=whole)


def answer_of(found: Dissection) -> Answer:
    """Take the thresholds and counts of a dissection of the network of integers, as integers."""
    answer = {}
    for name, layer in found.layers.items():
        thresholds = np.asarray(layer.thresholds, np.float64) * _PARTS
        if not np.array_equal(thresholds, np.rint(thresholds)):
            raise ValueError(f"thresholds of {name} are no multiples of 1/{_PARTS}: not exact")
        answer[name] = {
            "thresholds": thresholds.astype(np.int64),
            "intersection": layer.counts.intersection,
            "concept": layer.counts.concept,
        }
    return answer


def same(hashes: dict[str, str], *, against: str) -> Gate:
    """Check that answers that must be the same have one fingerprint.

    Args:
        hashes: Fingerprints, by what they are of.
        against: What is compared with what.
    """
    values = list(hashes.values())
    return Gate(
        passed=len(set(values)) == 1,
        against=against,
        fingerprint=values[0] if len(set(values)) == 1 else "",
    )


def all_rounds(turns: Mapping[Any, Sequence[Timed]]) -> Gate:
    """Check that every piece of work had the same answer in every round."""
    return Gate(
        passed=all(len({timed.hash for timed in times}) == 1 for times in turns.values()),
        against="its answers in the other rounds, of every size",
    )


def take_turns(works: dict[Any, Callable[[], Timed]], rounds: int) -> dict[Any, list[Timed]]:
    """Run every piece of work once untimed, which compiles it, and then all of them in rounds."""
    for work in works.values():
        work()
    found: dict[Any, list[Timed]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(work())
    return found
