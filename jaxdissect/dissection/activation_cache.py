"""The first pass: run the network once over every image and keep what later passes need."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from jaxdissect.dissection.setup import DissectionSetup, find_labels
from jaxdissect.engine.batching import Batch
from jaxdissect.engine.folding import FoldOptions, fold
from jaxdissect.engine.images import check_unit_range
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.layer_reader import all_finite, check_finite
from jaxdissect.engine.memory_plan import MemoryPlan
from jaxdissect.stats import topk

LATTICE = (8, 8)  # pixels per image which the first candidates for thresholds come from
_SAMPLED_PIXELS = 8192

Layers = tuple[tuple[str, LayerOnGrid], ...]
"""How layers are read, as a static argument."""


class ActivationCache:
    """What the first pass finds, and keeps for the later ones.

    Attributes:
        labels: Concepts and scopes of every example [N, H, W, K].
        kept: Maps of every example, for the layers that are kept.
        sample: Some pixels of every layer, as a list of arrays [*, U].
        top: The examples with the highest peaks of every unit.
    """

    def __init__(self, setup: DissectionSetup, plan: MemoryPlan) -> None:
        number = len(setup.source)
        self.labels = np.empty((number, *setup.label_shape), setup.rows.label_type)
        self.kept = {
            name: np.empty((number, *setup.layers[name].kept_shape), np.float32)
            for name in plan.kept
        }
        self.sample: dict[str, list[np.ndarray]] = {name: [] for name in setup.layers}
        self.top: dict[str, topk.TopK] = {}


class _Seen(NamedTuple):
    """What the first pass takes to the host of the maps of a batch, by layer."""

    finite: dict[str, Array]
    kept: dict[str, Array]
    sample: dict[str, Array]


def fill_cache(
    setup: DissectionSetup, plan: MemoryPlan, num_top: int, options: FoldOptions
) -> ActivationCache:
    """Run the network over all examples; errors are those of `dissect`."""
    cache = ActivationCache(setup, plan)
    num_concepts = len(setup.labeler.vocabulary)
    every = max(1, len(setup.source) * LATTICE[0] * LATTICE[1] // _SAMPLED_PIXELS)
    layers = tuple(setup.layers.items())
    params, labeler_params = setup.network.params, setup.labeler.params

    def step(state: dict[str, topk.TopKState], batch: dict[str, Any]) -> Any:
        maps, image = setup.reader.read(params, batch)
        shown = batch if image is None else {**batch, "image": image}
        labels = find_labels(setup.labelling, labeler_params, shown)
        state, seen = _look(
            state, maps, batch["example"], batch["weight"], layers=layers, keep=plan.kept
        )
        return state, (labels, seen)

    def receive(batch: Batch, found: Any) -> None:
        labels, seen = found
        examples = batch["example"][batch["weight"]]
        check_finite(seen.finite, batch)
        check_unit_range(batch, setup.labeled_images)
        _check_labels(labels.lowest, labels.highest, examples, num_concepts)
        rows = slice(examples[0], examples[-1] + 1)
        cache.labels[rows] = labels.labels[: len(examples)]
        for name, maps in seen.kept.items():
            cache.kept[name][rows] = maps[: len(examples)]
        chosen = np.flatnonzero(batch["weight"] & (batch["example"] % every == 0))
        for name, sample in seen.sample.items():
            picked = np.asarray(sample)[chosen]
            cache.sample[name].append(picked.reshape(-1, picked.shape[-1]))

    state = fold(
        step,
        {name: topk.init(layer.num_units, num_top) for name, layer in layers},
        setup.source,
        receive=receive,
        description="running the network",
        **options.with_network(),
    )
    cache.top = {name: topk.finalize(state[name]) for name, _ in layers}
    return cache


@partial(jax.jit, static_argnames=("layers", "keep"), donate_argnums=0)
def _look(
    state: dict[str, topk.TopKState],
    maps: dict[str, Array],
    examples: Array,
    weight: Array,
    *,
    layers: Layers,
    keep: tuple[str, ...],
) -> tuple[dict[str, topk.TopKState], _Seen]:
    state = {
        name: topk.update(state[name], maps[name].max(axis=(1, 2)), examples, weight)
        for name, _ in layers
    }
    finite = {name: all_finite(maps[name]) for name, _ in layers}
    kept = {name: layer.keep(maps[name]) for name, layer in layers if name in keep}
    sample = {name: layer.lattice(maps[name], LATTICE) for name, layer in layers}
    return state, _Seen(finite, kept, sample)


def _check_labels(lowest: Array, highest: Array, examples: np.ndarray, num_concepts: int) -> None:
    for labels, wrong in (
        (lowest, np.asarray(lowest) < 0),
        (highest, np.asarray(highest) >= num_concepts),
    ):
        wrong = wrong[: len(examples)]
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"`labels` of example {examples[place]} contain {int(labels[place])}, which is "
                f"not in the vocabulary: ids are 0 to {num_concepts - 1}, where 0 means no label"
            )
