"""The first pass: run the network once over every image and keep what later passes need."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.dissection.setup import FoldOptions, Task
from jaxdissect.engine.batching import Batch
from jaxdissect.engine.folding import fold
from jaxdissect.engine.label_grid import MemoryPlan
from jaxdissect.stats import topk

LATTICE = (8, 8)  # pixels per image which the first candidates for thresholds come from
_SAMPLED_PIXELS = 8192


class Survey:
    """What the first pass finds, and keeps for the later ones.

    Attributes:
        labels: Concepts and scopes of every example [N, H, W, K].
        kept: Maps of every example, for the layers that are kept.
        sample: Some pixels of every layer, as a list of arrays [*, U].
        top: The examples with the highest peaks of every unit.
    """

    def __init__(self, task: Task, plan: MemoryPlan) -> None:
        number = len(task.source)
        self.labels = np.empty((number, *task.label_shape), _label_type(task))
        self.kept = {
            name: np.empty((number, *task.readings[name].kept_shape), np.float32)
            for name in plan.kept
        }
        self.sample: dict[str, list[np.ndarray]] = {name: [] for name in task.readings}
        self.top: dict[str, topk.TopK] = {}


def survey_step(task: Task, plan: MemoryPlan) -> Any:
    """Compile on first use: one forward pass, and all that the survey wants of it.

    Returns:
        ``step(state, params, labeler_params, batch) -> (state, found)``, where the state holds the
        top examples of every layer, and what is found goes to the host.
    """
    names = tuple(task.readings)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, params: Any, labeler_params: Any, batch: Any) -> Any:
        maps, labels = task.observe(params, labeler_params, batch, names)
        peaks = {name: maps[name].max(axis=(1, 2)) for name in names}
        state = {
            name: topk.update(state[name], peaks[name], batch["example"], batch["weight"])
            for name in names
        }
        found = {
            "finite": {name: all_finite(maps[name]) for name in names},
            "lowest_label": labels.min(axis=(1, 2, 3)),
            "highest_label": labels.max(axis=(1, 2, 3)),
            "labels": task.with_scopes(labels).astype(_label_type(task)),
            "kept": {name: task.readings[name].keep(maps[name]) for name in plan.kept},
            "sample": {name: task.readings[name].lattice(maps[name], LATTICE) for name in names},
        }
        return state, found

    return step


def take_survey(
    task: Task, plan: MemoryPlan, step: Any, num_top: int, options: FoldOptions
) -> Survey:
    """Run the network over all examples; errors are those of `dissect`."""
    survey = Survey(task, plan)
    num_concepts = len(task.labeler.vocabulary)
    every = max(1, len(task.source) * LATTICE[0] * LATTICE[1] // _SAMPLED_PIXELS)

    def receive(batch: Batch, found: Any) -> None:
        examples = batch["example"][batch["weight"]]
        check_finite(found["finite"], batch)
        _check_labels(found["lowest_label"], found["highest_label"], examples, num_concepts)
        rows = slice(examples[0], examples[-1] + 1)
        survey.labels[rows] = found["labels"][: len(examples)]
        for name, maps in found["kept"].items():
            survey.kept[name][rows] = maps[: len(examples)]
        chosen = np.flatnonzero(batch["weight"] & (batch["example"] % every == 0))
        for name, sample in found["sample"].items():
            picked = np.asarray(sample)[chosen]
            survey.sample[name].append(picked.reshape(-1, picked.shape[-1]))

    params = task.network.params, task.labeler.params
    state = fold(
        lambda state, batch: step(state, *params, batch),
        {name: topk.init(reading.num_units, num_top) for name, reading in task.readings.items()},
        task.source,
        receive=receive,
        description="running the network",
        **options.with_network(),
    )
    survey.top = {name: topk.finalize(state[name]) for name in task.readings}
    return survey


def all_finite(maps: Array) -> Array:
    """Say of every example [B, ..., U] whether all its activations are finite."""
    # Not by minimum and maximum: on CPU they may pass over NaN. Summing unit by unit first is
    # faster than looking at all values of an example in one go.
    places = tuple(range(1, maps.ndim - 1))
    wrong = (~jnp.isfinite(maps)).sum(axis=places, dtype=jnp.int32)
    return (wrong == 0).all(axis=1)


def _label_type(task: Task) -> type[np.signedinteger]:
    return np.int16 if task.num_rows <= np.iinfo(np.int16).max else np.int32


def check_finite(finite: Mapping[str, Array], batch: Batch) -> None:
    """Raise ValueError if `all_finite` found a layer to be otherwise in an example that counts."""
    for name, flags in finite.items():
        wrong = batch["example"][~np.asarray(flags) & batch["weight"]]
        if len(wrong):
            number = int(batch["example"][0]) // len(batch["example"])
            raise ValueError(
                f"layer {name!r} has NaN or infinite activations in batch {number}, "
                f"example {', '.join(map(str, wrong[:5]))}"
            )


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
                f"not in the vocabulary: ids are 0 to {num_concepts - 1}"
            )
