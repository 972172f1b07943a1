"""Overlap counting: on how many pixels every unit is active where every concept is.

Letters: P pixels, U units, C concepts, K labels per pixel.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Program, Work, Workload
from jaxdissect.bench.workloads.counting import check_number
from jaxdissect.bench.workloads.drawn_values import (
    at_least,
    checked_units,
    count_in_numpy,
    distinct_labels,
    drawn_columns,
    drawn_labels,
    drawn_values,
    labels_of_pixels,
    level,
)
from jaxdissect.stats import agreement, quantile


@dataclass(frozen=True, kw_only=True)
class OverlapSizes:
    """Sizes of `overlap`.

    Attributes:
        images: Images.
        units: U.
        grid: Pixels of the label grid along each side.
        concepts: C, with "none".
        channels: K.
        labels_per_image: About as many different labels an image has.
        by_image: Whether the program is told which pixels are those of an image, as a dissection
            tells it; only the speed depends on it.
    """

    images: int = 64
    units: int = 512
    grid: int = 56
    concepts: int = 1825
    channels: int = 6
    labels_per_image: int = 65
    by_image: bool = True

    def __post_init__(self) -> None:
        at_least(
            images=self.images,
            units=self.units,
            grid=self.grid,
            channels=self.channels,
            labels_per_image=self.labels_per_image,
        )
        if self.concepts < 2:
            raise ValueError(f"`concepts` (={self.concepts}) must be at least 2, with 'none'")
        check_number(self.images, self.units, self.grid)


def prepare(sizes: OverlapSizes) -> Prepared:
    """Make activations of which 1% are above their thresholds, and labels of their pixels."""
    pixels = sizes.grid**2
    rows = sizes.images * pixels
    samples = drawn_values(rows, sizes.units)
    labels = labels_of_pixels(
        drawn_labels(
            sizes.images,
            sizes.grid,
            concepts=sizes.concepts,
            channels=sizes.channels,
            labels_per_image=sizes.labels_per_image,
        )
    )
    threshold = level(0.01)
    thresholds = jnp.full(sizes.units, threshold, jnp.float32)
    counted = partial(
        agreement.count,
        num_concepts=sizes.concepts,
        image_pixels=pixels if sizes.by_image else None,
    )

    def count(
        samples: Array, thresholds: Array, labels: Array, weight: Array
    ) -> agreement.BatchCounts:
        return counted(quantile.exceeds(samples, thresholds[None]), labels, weight)

    of_pixel = float((np.asarray(labels) > 0).sum(axis=1).mean())

    def check(answer: agreement.BatchCounts) -> Gate:
        chosen = checked_units(sizes.units)
        active = drawn_columns(rows, sizes.units, chosen) > threshold
        expected = count_in_numpy(active, distinct_labels(np.asarray(labels)), sizes.concepts)
        found = tuple(np.asarray(part) for part in answer)
        return gate.equal(
            (found[0][:, chosen], found[1]),
            expected,
            against=f"NumPy in int64, {len(chosen)} of the units and every concept",
            answer=found,
        )

    values = rows * sizes.units
    return Prepared(
        images=sizes.images,
        work=Work(
            products=0.0,
            operations=values * (1 + 0.01 * (1 + of_pixel)),
            bytes=4.0 * values + rows * (1 + 4 * sizes.channels) + 4 * sizes.concepts * sizes.units,
            counted="a comparison of every value, and an addition for every active pixel and each "
            "of its labels; all values and labels read once, all counts written. The matrix "
            "products that accelerators count by are a way and not counted",
        ),
        check=check,
        program=Program(
            function=jax.jit(count),
            arguments=(samples, thresholds, labels, jnp.ones(rows, bool)),
        ),
        notes={"labels of a pixel": round(of_pixel, 2)},
    )


OVERLAP = Workload(
    name="overlap",
    summary="Counts the pixels on which every unit is active and every concept is present.",
    sizes=OverlapSizes,
    prepare=prepare,
)
