"""The inner loops of the search for thresholds: counting above candidates, and collecting.

Both read all activations once. Counting compares each with every candidate, and is bound by
comparisons; collecting looks for the few values inside a bracket, and is bound by memory.

Letters: P pixels, U units, M candidates, K labels per pixel.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Program, Work, Workload
from jaxdissect.bench.workloads.drawn_values import (
    at_least,
    checked_units,
    drawn_columns,
    drawn_labels,
    drawn_values,
    labels_of_pixels,
    level,
)
from jaxdissect.stats import brackets, counting, int64_counter
from jaxdissect.stats.counting_sums import count_by_sums

Form = Literal["library", "sums", "xla", "pallas"]

_MOST_VALUES = 2**31


@dataclass(frozen=True, kw_only=True)
class CountingSizes:
    """Sizes of `counting`.

    Attributes:
        images: Images.
        units: U.
        grid: Pixels of the label grid along each side.
        candidates: M.
        form: "library" is what the library takes on this device; "sums" a sum for each candidate,
            "xla" what it takes without Pallas, "pallas" the kernel in Pallas.
    """

    images: int = 64
    units: int = 512
    grid: int = 56
    candidates: int = 16
    form: Form = "library"

    def __post_init__(self) -> None:
        at_least(images=self.images, units=self.units, grid=self.grid, candidates=self.candidates)
        check_number(self.images, self.units, self.grid)


def check_number(images: int, units: int, grid: int) -> None:
    """Check that all activations of some images can be counted in one program.

    Raises:
        ValueError: If there are 2**31 or more.
    """
    if images * units * grid**2 >= _MOST_VALUES:
        raise ValueError(
            f"`images` (={images}) times `units` (={units}) times the pixels of the grid must be "
            "below 2**31, as the program counts them in 32 bits"
        )


def prepare_counting(sizes: CountingSizes) -> Prepared:
    """Make activations and candidates between the highest 3% and the highest 0.1%."""
    rows = sizes.images * sizes.grid**2
    samples = drawn_values(rows, sizes.units)
    levels = np.linspace(level(0.03), level(0.001), sizes.candidates).round()
    candidates = jnp.broadcast_to(
        jnp.asarray(levels, jnp.float32)[:, None], (sizes.candidates, sizes.units)
    )

    def check(answer: Array) -> Gate:
        chosen = checked_units(sizes.units)
        columns = drawn_columns(rows, sizes.units, chosen)
        expected = np.stack([(columns > one).sum(axis=0) for one in levels.astype(np.float32)])
        found = np.asarray(answer)
        return gate.equal(
            found[:, chosen],
            expected,
            against=f"NumPy in int64, {len(chosen)} of the units",
            answer=found,
        )

    values = rows * sizes.units
    return Prepared(
        images=sizes.images,
        work=Work(
            products=0.0,
            operations=2.0 * values * sizes.candidates,
            bytes=4.0 * (values + 2 * sizes.candidates * sizes.units),
            counted="a comparison with its addition of every value with every candidate; all "
            "values and candidates read once, all counts written",
        ),
        check=check,
        program=Program(function=jax.jit(_in_form(sizes.form)), arguments=(samples, candidates)),
    )


def _in_form(form: Form) -> Callable[[Array, Array], Array]:
    """Counting in one of its forms, a function of its own for each call.

    What was traced with another value of the switch must not be taken.
    """
    if form == "sums":
        return lambda samples, candidates: count_by_sums(samples, candidates)
    if form == "pallas" and jax.default_backend() == "cpu":
        raise ValueError("`form` (='pallas') needs a GPU or TPU; 'library' runs everywhere")
    switch = None if form == "library" else form

    def count(samples: Array, candidates: Array) -> Array:
        before = os.environ.get("JAXDISSECT_KERNELS")
        if switch is not None:
            os.environ["JAXDISSECT_KERNELS"] = switch
        try:
            return counting.counts_above(samples, candidates)
        finally:
            if before is not None:
                os.environ["JAXDISSECT_KERNELS"] = before
            elif switch is not None:
                del os.environ["JAXDISSECT_KERNELS"]

    return count


COUNTING = Workload(
    name="counting",
    summary="Counts of the activations of every unit above several candidates for its threshold.",
    sizes=CountingSizes,
    prepare=prepare_counting,
)


@dataclass(frozen=True, kw_only=True)
class CollectingSizes:
    """Sizes of `collecting`.

    Attributes:
        images: Images.
        units: U.
        grid: Pixels of the label grid along each side.
        channels: K.
        share: Share of all values that lie inside the brackets, 0 to 0.4.
    """

    images: int = 64
    units: int = 512
    grid: int = 56
    channels: int = 6
    share: float = 0.0002

    def __post_init__(self) -> None:
        at_least(images=self.images, units=self.units, grid=self.grid, channels=self.channels)
        check_number(self.images, self.units, self.grid)
        if not 0 <= self.share <= 0.4:
            raise ValueError(f"`share` (={self.share}) must be at least 0 and at most 0.4")


def prepare_collecting(sizes: CollectingSizes) -> Prepared:
    """Make activations, labels and brackets whose upper end 1% exceed, and as many as may be."""
    rows, units = sizes.images * sizes.grid**2, sizes.units
    samples = drawn_values(rows, units)
    labels = labels_of_pixels(
        drawn_labels(
            sizes.images, sizes.grid, concepts=1825, channels=sizes.channels, labels_per_image=65
        )
    )
    weight = jnp.ones(rows, bool)
    above = min(0.01, 0.5 - sizes.share)
    low, high = level(above + sizes.share), level(above)
    values = rows * units
    capacity = int(1.2 * values * sizes.share) + 1024
    state = brackets.init(
        jnp.full(units, low),
        jnp.full(units, high),
        capacity=capacity,
        num_labels=sizes.channels,
    )

    def check(answer: brackets.BracketState) -> Gate:
        chosen = checked_units(units)
        columns = drawn_columns(rows, units, chosen)
        inside = (columns > low) & (columns <= high)
        pixels, places = np.nonzero(inside)
        own = np.asarray(labels)[pixels]
        expected = (
            *((test(columns)).sum(axis=0) for test in (_above(high), _above(low), _not_below(low))),
            _ordered(columns[inside], chosen[places], own),
        )
        counts, collected = _counts_and_values(answer)
        of_chosen = collected[np.isin(collected[:, 0], chosen)]
        found = (*(each[chosen] for each in counts), of_chosen)
        return gate.equal(
            found,
            expected,
            against=f"NumPy in int64, {len(chosen)} of the units, with every value and label",
            answer=(*counts, collected),
        )

    return Prepared(
        images=sizes.images,
        work=Work(
            products=0.0,
            operations=6.0 * values,
            bytes=4.0 * values
            + 2 * sizes.share * values * (4 + 4 + 2 * sizes.channels)
            + rows * (1 + 4 * sizes.channels),
            counted="three comparisons of every value, with their additions; all values, labels "
            "and weights read once, what lies inside with its labels written, and read before",
        ),
        check=check,
        program=Program(
            function=jax.jit(brackets.update), arguments=(state, samples, labels, weight)
        ),
        notes={"values inside": int(sizes.share * values)},
    )


def _above(end: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda columns: columns > end


def _not_below(end: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda columns: columns >= end


def _counts_and_values(answer: brackets.BracketState) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Bring an answer to the host, its values in an order that is the same on every device."""
    counts = tuple(
        int64_counter.to_int64(counter)
        for counter in (answer.above_high, answer.above_low, answer.at_least_low)
    )
    used = min(int(answer.used), len(answer.values))
    values, units, labels = (
        np.asarray(part)[:used] for part in (answer.values, answer.units, answer.labels)
    )
    return counts, _ordered(values, units, labels)


def _ordered(values: np.ndarray, units: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """List units, values and labels [n, 2 + K] as whole numbers in their order."""
    table = np.column_stack([units, values.astype(np.int64), labels]).astype(np.int64)
    return table[np.lexsort(table.T[::-1])]


COLLECTING = Workload(
    name="collecting",
    summary="Collects the few activations that may be thresholds, with the labels of their pixels.",
    sizes=CollectingSizes,
    prepare=prepare_collecting,
)
