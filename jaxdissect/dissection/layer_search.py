"""The search for the thresholds of one layer: what a pass is to look at, and what it has found.

Shapes: C rows of labels, U units, Q columns (a unit at a wanted rank), W columns of a pass, V those
of them that are narrowed, M candidates, I sampled images, S pixels of each.

A column is *answered* when its threshold is known and all pixels above it have been counted with
their labels. A pass narrows the brackets of some columns, by counting candidates, and collects the
values inside the brackets of others, of which there must not be more than fit; a column may be
narrowed and collected in one pass.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Integer

from jaxdissect.dissection.presets import Preset
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.stats import quantile
from jaxdissect.stats.agreement import AgreementCounts

# A pass may take only some columns, but only a few numbers of them, as each is compiled anew.
_WIDTHS = (1 / 8, 1 / 2)


class LayerWork(NamedTuple):
    """What a pass is to look at in one layer.

    Attributes:
        columns: The columns [W]; those from `number` on repeat others to fill up a width.
        number: How many count.
        units: The unit of each [W]; None if they are the layer's units in order.
        low, high: Brackets [W] whose values are collected, and above which pixels are counted with
            their labels; None only narrows.
        capacity: How many values there is room for.
        chosen: Places among `columns` [V] of those that are narrowed; None for all in order.
        candidates: Values [M, V] to count above; None only collects.
    """

    columns: Integer[np.ndarray, "W"]
    number: int
    units: Integer[np.ndarray, "W"] | None
    low: Float32[np.ndarray, "W"] | None
    high: Float32[np.ndarray, "W"] | None
    capacity: int
    chosen: Integer[np.ndarray, "V"] | None
    candidates: Float32[np.ndarray, "M V"] | None

    @property
    def collects(self) -> bool:
        """Whether labels are needed."""
        return self.low is not None


class LayerFound(NamedTuple):
    """What a pass has found in one layer; for the letters see `LayerWork`.

    Attributes:
        above: Pixels above each candidate [M, V].
        shared: Pixels above `high` with each label [C, W], and the pixels of each label.
        above_high, above_low, at_least_low: Pixels [W] above the ends of brackets, and not below
            the lower one.
        values, places, labels: Values inside, the place of their columns, and their pixels' labels.
        complete: Whether there was room for all.
    """

    above: np.ndarray | None
    shared: AgreementCounts | None
    above_high: np.ndarray | None
    above_low: np.ndarray | None
    at_least_low: np.ndarray | None
    values: np.ndarray | None
    places: np.ndarray | None
    labels: np.ndarray | None
    complete: bool


class LayerSearch:
    """The search of one layer between passes.

    Args:
        layer: How the layer is read.
        total: Number of pixels there are.
        preset: The fraction of them on which a unit may be active, and whether Hazen's interpolated
            quantile is looked for, which needs two ranks of every unit.
        thresholds: Given thresholds [U], which are not looked for.
    """

    def __init__(
        self,
        layer: LayerOnGrid,
        total: int,
        preset: Preset,
        *,
        thresholds: Float32[np.ndarray, "U"] | None = None,
    ) -> None:
        self.num_units, self._total = layer.num_units, total
        ranks, self._weight = [quantile.upper_rank(preset.fraction, total)], 0.0
        if preset.interpolated and thresholds is None:
            lower, upper, self._weight = quantile.hazen_ranks(1 - preset.fraction, total)
            ranks = [lower, upper]
        self.unit_of = np.tile(np.arange(layer.num_units), len(ranks))
        self._search = quantile.start(total, np.repeat(ranks, layer.num_units))
        if thresholds is not None:
            keys = quantile.to_keys(thresholds)
            self._search = self._search._replace(low=keys - 1, high=keys)
        self._given = thresholds
        self._guess: quantile.Guess | None = None
        self._values = np.zeros(len(self.unit_of), np.float32)
        self._answered = np.zeros(len(self.unit_of), bool)
        self._shared: np.ndarray | None = None
        self._concept: np.ndarray | None = None

    @property
    def num_columns(self) -> int:
        """Q."""
        return len(self.unit_of)

    @property
    def is_done(self) -> bool:
        """Whether all columns are answered."""
        return bool(self._answered.all())

    def learn_sample(self, sample: Float32[np.ndarray, "I S U"], num_candidates: int) -> None:
        """Guess from some pixels of some images where thresholds are."""
        self._guess = quantile.guess(
            sample[..., self.unit_of] if self.num_columns > self.num_units else sample,
            self._total,
            self._search.rank,
            number=num_candidates,
        )

    def work(self, room: int, *, enough: int, num_candidates: int, spare: bool) -> LayerWork:
        """Plan a pass over all data.

        Args:
            room: How many values may be collected.
            enough: Narrow only, if more than so many would be collected by the guess alone.
            num_candidates: M.
            spare: Whether to count some candidates besides, in case that the guess was wrong.
        """
        waiting = np.flatnonzero(~self._answered)
        guess, search = self._guess, self._search
        is_open = quantile.is_open(search)
        if guess is None:
            expected = np.where(is_open, search.inside, 0).astype(float)
        else:
            expected = np.where(guess.low == guess.high, 0, guess.share * self._total)
            if expected.sum() > min(room, enough):
                return self._narrow_all(guess.candidates)
        cheapest = waiting[np.argsort(expected[waiting], kind="stable")]
        fits = np.zeros(self.num_columns, bool)
        fits[cheapest] = np.cumsum(expected[cheapest]) <= room
        if not fits.any():
            return self._narrow(waiting, num_candidates)
        columns = self._widened(waiting)
        if guess is None:
            low, high = quantile.to_floats(search.low), quantile.to_floats(search.high)
            low = np.where(is_open, low, high)
            capacity = int(expected[fits].sum())
            narrowed = waiting[~fits[waiting]]
        else:
            low, high = guess.low, guess.high
            capacity = int(expected.sum() * 1.5) + 2**12
            narrowed = waiting if spare else waiting[:0]
        nothing = ~fits[columns] | (np.arange(len(columns)) >= len(waiting))
        low, high = (np.where(nothing, np.float32(np.inf), end[columns]) for end in (low, high))
        chosen = candidates = None
        if len(narrowed):
            narrowed = self._widened(narrowed)
            if guess is None:
                candidates = self._candidates(narrowed, num_candidates)
            else:
                candidates = guess.outer[:, narrowed]
            chosen = np.searchsorted(columns[: len(waiting)], narrowed)
            if np.array_equal(chosen, np.arange(len(columns))):
                chosen = None
        return LayerWork(
            columns,
            min(len(waiting), len(columns)),
            self._units(columns),
            low,
            high,
            _rounded(capacity),
            chosen,
            candidates,
        )

    def _narrow_all(self, candidates: np.ndarray) -> LayerWork:
        columns = np.arange(self.num_columns)
        units = self._units(columns)
        return LayerWork(columns, len(columns), units, None, None, 0, None, candidates)

    def _narrow(self, waiting: np.ndarray, num_candidates: int) -> LayerWork:
        columns = self._widened(waiting)
        candidates = self._candidates(columns, num_candidates)
        units = self._units(columns)
        return LayerWork(columns, len(columns), units, None, None, 0, None, candidates)

    def _candidates(self, columns: np.ndarray, number: int) -> np.ndarray:
        part = quantile.Search(*(field[columns] for field in self._search))
        return quantile.candidates_inside(part, number)

    def _units(self, columns: np.ndarray) -> np.ndarray | None:
        units = self.unit_of[columns].astype(np.int32)
        return None if np.array_equal(units, np.arange(self.num_units)) else units

    def _widened(self, columns: np.ndarray) -> np.ndarray:
        """Repeat some columns so that the width is one of a few."""
        for share in _WIDTHS:
            width = int(self.num_columns * share)
            if len(columns) <= width:
                return np.resize(columns, width)
        return np.resize(columns, self.num_columns)

    def learn(self, work: LayerWork, found: LayerFound) -> None:
        """Learn from a finished pass over all data."""
        columns = work.columns[: work.number]
        if work.candidates is not None and found.above is not None:
            chosen = work.columns if work.chosen is None else work.columns[work.chosen]
            self._learn_counts(chosen, quantile.to_keys(work.candidates), found.above)
        if work.low is not None and work.high is not None:
            low, high = (quantile.to_keys(end[: work.number]) for end in (work.low, work.high))
            counts = (found.above_high, found.above_low, found.at_least_low)
            counts = np.stack([count[: work.number] for count in counts if count is not None])
            if self._given is None:
                self._learn_counts(columns, np.stack([high, low, low - 1]), counts)
            self._answer(columns, low, high, counts, found)
        self._guess = None

    def _learn_counts(self, columns: np.ndarray, keys: np.ndarray, above: np.ndarray) -> None:
        part = quantile.Search(*(field[columns] for field in self._search))
        for whole, new in zip(
            self._search, quantile.narrow_by_keys(part, keys, above), strict=True
        ):
            whole[columns] = new

    def _answer(
        self,
        columns: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        counts: np.ndarray,
        found: LayerFound,
    ) -> None:
        """Settle the thresholds that the pass has covered, and count the pixels above them."""
        assert found.shared is not None and found.values is not None
        assert found.places is not None and found.labels is not None
        known = quantile.Search(*(field[columns] for field in self._search))
        is_open = quantile.is_open(known)
        inside = is_open & found.complete & (known.low >= low) & (known.high <= high)
        closed = ~is_open & (known.high >= low) & (known.high <= high)
        closed &= found.complete | (known.high == high)
        # All that was collected of the columns that are settled by it.
        kept = np.flatnonzero(found.places < len(columns))
        values, places, labels = (part[kept] for part in (found.values, found.places, found.labels))
        settled = np.flatnonzero(inside)
        place_of = np.full(len(columns), -1)
        place_of[settled] = np.arange(len(settled))
        own = inside[places]
        part = quantile.Search(
            low[settled],
            high[settled],
            counts[1, settled],
            counts[0, settled],
            known.rank[settled],
        )
        thresholds = quantile.to_floats(known.high)
        thresholds[settled] = quantile.settle(part, values[own], place_of[places[own]])
        if self._given is not None:
            thresholds = self._given[columns]
        answered = inside | closed
        above = answered[places]
        above &= quantile.to_keys(values) > quantile.to_keys(thresholds)[places]
        shared = found.shared.intersection[:, : len(columns)] + _count_labels(
            labels[above], places[above], len(found.shared.concept), len(columns)
        )
        if self._shared is None:
            self._shared = np.zeros((len(shared), self.num_columns), np.int64)
            self._concept = found.shared.concept
        done = columns[answered]
        self._values[done] = thresholds[answered]
        self._shared[:, done] = shared[:, answered]
        self._answered[done] = True

    def result(self) -> tuple[Float32[np.ndarray, "U"], AgreementCounts]:
        """Thresholds and counts of all units, once all columns are answered."""
        assert self.is_done and self._shared is not None and self._concept is not None
        if self.num_columns == self.num_units:
            return self._values, AgreementCounts(self._shared, self._concept)
        lower, upper = self._values.reshape(2, -1).astype(np.float64)
        thresholds = (lower * (1 - self._weight) + upper * self._weight).astype(np.float32)
        # No pixel lies between the two, so that those above the threshold are above one of them.
        below = quantile.to_keys(thresholds) < quantile.to_keys(upper.astype(np.float32))
        shared = np.where(below, *np.split(self._shared, 2, axis=1))
        return thresholds, AgreementCounts(shared, self._concept)


def check_thresholds(
    layers: Mapping[str, LayerOnGrid], thresholds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Check thresholds that the caller gave, for every layer.

    Raises:
        ValueError: If some are missing, or not as many as the layer has units.
    """
    given = {name: np.asarray(value, np.float32) for name, value in thresholds.items()}
    for name, layer in layers.items():
        shape = given[name].shape if name in given else None
        if shape != (layer.num_units,):
            raise ValueError(
                f"`thresholds` of layer {name!r} must have shape ({layer.num_units},), not {shape}"
            )
    return given


def _count_labels(
    labels: Integer[np.ndarray, "n K"], places: np.ndarray, rows: int, columns: int
) -> np.ndarray:
    """Count pixels [rows, columns] by label; row 0 counts all."""
    flat = labels.astype(np.int64) * columns + places[:, None]
    flat = flat[labels > 0]
    counted = np.bincount(flat, minlength=rows * columns).reshape(rows, columns)
    counted[0] = np.bincount(places, minlength=columns)
    return counted


def _rounded(capacity: int) -> int:
    """Round up to one of a few sizes, as each is compiled anew."""
    size = 1024
    while size < capacity:
        size = size * 3 // 2 if size & (size - 1) == 0 else size // 3 * 4
    return size
