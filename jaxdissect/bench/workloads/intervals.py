"""Confidence intervals of a removal study as large as the paper's, on the host.

Predictions of a classifier that is right on 53% of the images, and of the same without each of some
sets of units, which change some of them; those of a quarter of the sets change nearly all. They are
counted set by set, and then the intervals of the changes of balanced accuracy, recall and
true-negative rate of every class, and of the accuracy over all classes, are found.

Letters: n images, N classes, S sets.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Work, Workload
from jaxdissect.bench.workloads.drawn_values import at_least
from jaxdissect.bench.workloads.feeding import NO_ROOF
from jaxdissect.stats import accuracy, paired_accuracy
from jaxdissect.stats.intervals import Interval

_MEASURES = (
    accuracy.balanced_accuracy,
    accuracy.recall,
    accuracy.true_negative_rate,
    accuracy.overall_accuracy,
)
_CHECKED = 8


@dataclass(frozen=True, kw_only=True)
class IntervalsSizes:
    """Sizes of `intervals`.

    Attributes:
        images: n; the paper has 36,500.
        classes: N.
        sets: S; the paper removes several sets for each class, 2,190 in all.
        changed: Share of the predictions that a set changes, 0 to 1.
    """

    images: int = 36_500
    classes: int = 365
    sets: int = 240
    changed: float = 0.03

    def __post_init__(self) -> None:
        at_least(images=self.images, sets=self.sets)
        if self.classes < 2:
            raise ValueError(f"`classes` (={self.classes}) must be at least 2")
        if not 0 <= self.changed <= 1:
            raise ValueError(f"`changed` (={self.changed}) must be at least 0 and at most 1")


class Answer(NamedTuple):
    """Counts, and the intervals of each measure."""

    counts: paired_accuracy.PairedAccuracy
    intervals: dict[str, Interval]


def prepare(sizes: IntervalsSizes) -> Prepared:
    """Draw predictions."""
    random = np.random.default_rng(0)
    shape = sizes.sets, sizes.images
    labels = random.integers(0, sizes.classes, sizes.images).astype(np.int32)
    drawn = random.integers(0, sizes.classes, sizes.images, dtype=np.int32)
    before = np.where(random.random(sizes.images) < 0.53, labels, drawn)
    share = np.where(np.arange(sizes.sets) % 4 == 3, 0.95, sizes.changed)
    after = random.integers(0, sizes.classes, shape, dtype=np.int32)
    for own, changed in zip(after, share, strict=True):  # at once they would take much memory
        own[...] = np.where(random.random(sizes.images) < changed, own, before)

    def run() -> Answer:
        counts = paired_accuracy.count(before, after, labels, sizes.classes)
        return Answer(
            counts,
            {measure.__name__: paired_accuracy.change(counts, measure) for measure in _MEASURES},
        )

    def check(answer: Answer) -> Gate:
        chosen = np.unique(np.linspace(0, sizes.sets - 1, _CHECKED).round().astype(int))
        found: list[Any] = []
        expected: list[Any] = []
        for one in chosen:
            parts = (answer.counts.after, answer.counts.unchanged)
            found += [part[field][one] for part in parts for field in (1, 2)]
            here = after[one]
            same = here[here == before]
            expected += [
                _counted(here, sizes.classes),
                _counted(here[here == labels], sizes.classes),
                _counted(same, sizes.classes),
                _counted(here[(here == labels) & (here == before)], sizes.classes),
            ]
        known = answer.counts.before.true > 0
        for measure in _MEASURES:
            interval = answer.intervals[measure.__name__]
            change = measure(answer.counts.after) - measure(answer.counts.before)
            differs = np.abs(interval.estimate - change) > 1e-9
            outside = (interval.low > interval.estimate) | (interval.estimate > interval.high)
            empty = interval.low >= interval.high
            wrong = differs | outside | empty
            if change.ndim == 2:
                wrong = wrong[:, known]
            found.append(wrong.sum())
            expected.append(np.int64(0))
        counts = answer.counts
        return gate.equal(
            found,
            expected,
            against=f"counting by NumPy, {len(chosen)} of the sets; every interval is around the "
            "change of its measure",
            answer=[part[field] for part in counts for field in (1, 2)],
        )

    return Prepared(
        images=sizes.images,
        work=Work(products=0.0, operations=0.0, bytes=0.0, counted=NO_ROOF),
        check=check,
        run=run,
        devices=1,
    )


def _counted(classes: np.ndarray, number: int) -> np.ndarray:
    """Count images by class, another way than the library."""
    return (classes[:, None] == np.arange(number)[None]).sum(axis=0)


INTERVALS = Workload(
    name="intervals",
    summary="Counts and confidence intervals of the changes of a removal study, on the host.",
    sizes=IntervalsSizes,
    prepare=prepare,
)
