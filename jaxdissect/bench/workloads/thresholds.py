"""Exact thresholds of all units of a layer, from activations that are kept in device memory.

What a dissection does between its first pass and counting: a sample tells about where thresholds
are, passes over the kept maps narrow that down, and the few values that may be thresholds are
collected, of which those of the right rank are taken. No network runs. As in a dissection, the pass
that collects also counts pixels by their labels; there is one label here, and it is nowhere.

Letters: I images, h w cells of the layer, U units, P pixels of the label grid.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.bench.checking import gate
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.workload import Prepared, Work, Workload
from jaxdissect.bench.workloads.dissection_gate import resampled_in_numpy
from jaxdissect.bench.workloads.drawn_values import (
    at_least,
    checked_units,
    drawn_columns,
    drawn_values,
    sorted_threshold,
)
from jaxdissect.bench.workloads.trunk import RectifiedConv
from jaxdissect.dissection import layer_counts
from jaxdissect.dissection.layer_search import LayerSearch
from jaxdissect.dissection.passes import KeptBatch, Passes
from jaxdissect.dissection.pilot import sampling_of
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.setup import DissectionSetup, dissection_setup
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.memory_plan import MemoryPlan
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.resume import FoldOptions
from jaxdissect.networks.convolution import conv2d
from jaxdissect.networks.models.layers import Chain
from jaxdissect.stats import quantile

_LAYER = "maps"
_STEP = 16.0  # drawn values are divided by it: float32 holds what resampling makes of the rest
_NARROWED_SHARE = 0.002
"""A first pass narrows if more than this share of all values would be collected."""


@dataclass(frozen=True, kw_only=True)
class ThresholdsSizes:
    """Sizes of `thresholds`.

    Attributes:
        images: I.
        batch_size: Images in a step.
        units: U.
        cells: h and w.
        grid: Pixels of the label grid along each side: `cells` times a power of 2.
    """

    images: int = 64
    batch_size: int = 8
    units: int = 512
    cells: int = 14
    grid: int = 56

    def __post_init__(self) -> None:
        at_least(
            images=self.images,
            batch_size=self.batch_size,
            units=self.units,
            cells=self.cells,
            grid=self.grid,
        )
        if self.grid % self.cells or self.grid // self.cells not in (1, 2, 4, 8):
            raise ValueError(
                f"`grid` (={self.grid}) must be 1, 2, 4 or 8 times `cells` (={self.cells})"
            )


def prepare(sizes: ThresholdsSizes) -> Prepared:
    """Put maps of whole numbers into device memory, batch by batch."""
    setup, total = _setup(sizes), sizes.images
    starts = range(0, total, sizes.batch_size)
    last = starts[-1] + sizes.batch_size
    shape = (last, sizes.cells, sizes.cells, sizes.units)
    rows = last * sizes.cells**2
    maps = jax.jit(lambda values: jnp.floor(values / _STEP).reshape(shape))(
        drawn_values(rows, sizes.units)
    )
    labels = jnp.zeros((sizes.batch_size, sizes.grid, sizes.grid, 1), setup.rows.label_type)
    kept, examples = [], []
    for start in starts:
        own = jnp.arange(start, start + sizes.batch_size, dtype=jnp.int32)
        number = min(sizes.batch_size, total - start)
        kept.append(
            KeptBatch(number, own < total, {_LAYER: maps[start : start + sizes.batch_size]}, labels)
        )
        examples.append(own)
    del maps
    plan = MemoryPlan((_LAYER,), (), 0, labels=True)
    notes: dict[str, Any] = {}

    def run() -> np.ndarray:
        meter = Meter()
        thresholds = _find(setup, plan, kept, examples, meter)
        notes["passes over kept maps"] = len(meter.passes)
        return thresholds

    def check(answer: np.ndarray) -> Gate:
        chosen = checked_units(sizes.units)
        cells = np.floor(drawn_columns(rows, sizes.units, chosen) / _STEP)
        own = cells.reshape(last, sizes.cells, sizes.cells, -1)[:total]
        pixels = resampled_in_numpy(own, setup.grid)
        assert pixels is not None
        columns = pixels.reshape(-1, len(chosen))
        expected = sorted_threshold(columns, PNAS2020.fraction)
        return gate.equal(
            quantile.to_keys(answer[chosen]),
            quantile.to_keys(expected),
            against=f"sorting by NumPy, {len(chosen)} of the units",
            answer=quantile.to_keys(answer),
        )

    return Prepared(
        images=total, work=_least_work(sizes), check=check, run=run, notes=notes, devices=1
    )


def _setup(sizes: ThresholdsSizes) -> DissectionSetup:
    """Describe the layer, the grid and how many examples there are."""
    # It only tells of the layer, and never runs: kept maps alone are read.
    kernel = np.zeros((1, 1, 3, sizes.units), np.float32)
    network = Chain({_LAYER: RectifiedConv(kernel, conv2d, whole=False)})
    one = np.zeros((1, sizes.cells, sizes.cells, 3), np.float32)
    nothing = np.zeros((1, sizes.grid, sizes.grid, 1), np.int32)
    source = Stored(
        {  # the same example again and again, which nobody reads
            "image": np.broadcast_to(one, (sizes.images, *one.shape[1:])),
            "labels": np.broadcast_to(nothing, (sizes.images, *nothing.shape[1:])),
        }
    )
    return dissection_setup(
        network,
        source,
        annotated(vocabulary([("nothing", "object")])),
        layers=_LAYER,
        preset=PNAS2020,
        grid=(sizes.grid, sizes.grid),
    )


def _find(
    setup: DissectionSetup,
    plan: MemoryPlan,
    kept: list[KeptBatch],
    examples: list[jax.Array],
    meter: Meter,
) -> np.ndarray:
    """Search as `dissect` does where all is kept."""
    passes = Passes(setup, plan, FoldOptions(len(kept[0].weight), None, meter, None, 100))
    passes.kept = kept
    layer = setup.layers[_LAYER]
    search = LayerSearch(layer, setup.num_pixels, setup.preset)
    total = len(setup.source)
    every = max(1, total // 1024)
    sampling = sampling_of(-(-total // every))
    chosen = ((_LAYER, layer),)
    sampled = [
        layer_counts.sample_layers(batch.maps, example, layers=chosen, sampling=sampling)[_LAYER]
        for batch, example in zip(kept, examples, strict=True)
    ]
    sample = np.concatenate(
        [np.asarray(part)[: batch.examples] for part, batch in zip(sampled, kept, strict=True)]
    )
    search.learn_sample(sample[::every], quantile.NUM_CANDIDATES)
    enough = max(2**14, int(_NARROWED_SHARE * setup.num_pixels * search.num_columns))
    room = plan.collected_bytes // (8 + 2 * setup.label_shape[-1])
    while not search.is_done:
        work = search.work(room, enough=enough, num_candidates=quantile.NUM_CANDIDATES, spare=False)
        search.learn(work, passes.run({_LAYER: work}, "thresholds").layers[_LAYER])
    return search.result()[0]


def _least_work(sizes: ThresholdsSizes) -> Work:
    """Count one interpolation and one comparison of every pixel, and one reading of the maps."""
    pixels, cells = sizes.grid**2, sizes.cells**2
    between = 3 * sizes.grid * sizes.cells + 3 * pixels
    return Work(
        products=0.0,
        operations=float(sizes.images * sizes.units * (between + 2 * pixels)),
        bytes=4.0 * sizes.images * sizes.units * cells,
        counted="every pixel of the grid interpolated once, of rows and then of columns, and "
        "compared with its threshold, with an addition; all maps read once. A search that knows "
        "nothing before takes several passes, and compares with several candidates in some",
    )


THRESHOLDS = Workload(
    name="thresholds",
    summary="Exact thresholds of the units of a layer, from maps in device memory.",
    sizes=ThresholdsSizes,
    prepare=prepare,
)
