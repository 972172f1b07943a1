"""Dissect a network: which concept does each unit of each layer respond to?

Shapes: B batch, H W label grid, h w cells of a layer, K labels per pixel, C concepts, U units.

Method (Bau et al. 2020, "Quantifying the agreement between a concept and a unit"): activations
a_u(x, p) are resampled bilinearly to the label grid; the threshold t_u is exceeded on at most 1% of
all pixels; the unit is active where a_u(x, p) > t_u, and IoU_{u,c} compares these pixels with those
of concept c. A unit is called a detector of its best concept if their IoU exceeds 0.04.

Three steps, each a fold over the data: a *survey* runs the network once over every image, finds
the labels, the peaks, and keeps what memory allows; *threshold* passes narrow down t_u exactly;
the *agreement* pass counts shared pixels.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.arrays.resample import Alignment, Shape, pixel_centers
from jaxdissect.engine.batches import Batch, Joined, Source, Stored, read_block
from jaxdissect.engine.fold import Progress, fold, silent
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.passes import MemoryPlan, Reading, plan_memory, sum_examples
from jaxdissect.experiments.dissection import Dissection, LayerDissection
from jaxdissect.experiments.presets import PNAS2020, Preset
from jaxdissect.experiments.thresholds import LayerSearch, count_above, count_kept, widened
from jaxdissect.networks.network import as_maps, as_network, layer_shapes
from jaxdissect.stats import agreement, quantile, scores, topk

_LATTICE = (8, 8)  # pixels per image which the first candidates for thresholds come from
_SAMPLED_PIXELS = 8192

_log = logging.getLogger(__name__)


def image_input(batch: Mapping[str, Array]) -> Array:
    """The network's input is ``batch["image"]`` as it is."""
    return batch["image"]


def dissect(
    model: Any,
    source: Source,
    labeler: Labeler,
    *,
    layers: Sequence[str],
    preset: Preset = PNAS2020,
    grid: Shape = (56, 56),
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    token_grid: Shape | None = None,
    thresholds: Mapping[str, np.ndarray] | None = None,
    num_top_images: int = 10,
    batch_size: int = 8,
    memory_budget: int = 2 * 2**30,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = silent,
) -> Dissection:
    """Find the concept of every unit of some layers.

    Args:
        model: A Network or an nnx.Module.
        source: Examples: dictionaries with what `inputs` and `labeler` read, usually ``image``
            (float [h, w, 3] in [0, 1]) and ``labels`` (int [h, w, K]).
        labeler: Finds the concepts of the pixels: `annotated`, `segmented`, `colored`, or several
            `together`.
        layers: Names of layers with activations [B, h, w, U] or [B, T, U], all dissected at once.
        preset: Convention for thresholds and scores.
        grid: Height and width of the label grid; (56, 56) is the paper's.
        inputs: Makes the network's input of a batch, say by normalising its images.
        alignments: Where the label grid reads a layer, for layers whose cells do not simply fill
            the image edge to edge (see `align_receptive_field`).
        token_grid: Rows and columns of token layers [B, T, U], if not square.
        thresholds: Given thresholds [U] for every layer, instead of those of this data.
        num_top_images: Number of images with the highest peaks to find for each unit.
        batch_size: Images in a forward pass. It does not change the result.
        memory_budget: Bytes of activations that may be kept to run the network only once. What was
            chosen is logged and stands in the result's settings.
        mesh: Devices to spread batches over (see `fold`).
        progress: Told how far each pass has come.

    Returns:
        Thresholds, exact counts, IoU and top images of every layer.

    Raises:
        ValueError: if there are no examples or layers, a layer is unknown, images are integers,
            labels lie outside the vocabulary, or activations are not finite.
    """
    task = _Task(model, source, labeler, layers, preset, grid, inputs, alignments, token_grid)
    plan = plan_memory(task.readings, len(source), memory_budget)
    _log.info("%s", plan)
    options = {"batch_size": batch_size, "mesh": mesh, "progress": progress}

    survey = _survey(task, plan, num_top_images, options)
    thresholds = _given_thresholds(task, thresholds) or _find_thresholds(
        task, plan, survey, options
    )
    counts = _count_agreement(task, plan, survey, thresholds, options)

    results = {}
    for name in task.readings:
        cells = scores.within(counts[name], task.scope_of)
        results[name] = LayerDissection(
            name,
            labeler.vocabulary,
            preset.min_iou,
            thresholds[name],
            counts[name],
            task.scope_of,
            scores.iou(cells)
            if preset.score is None
            else preset.score(counts[name])[: len(labeler.vocabulary)],
            survey.top[name].examples,
            survey.top[name].values,
        )
    settings = {
        "preset": preset.name,
        "fraction": preset.fraction,
        "min_iou": preset.min_iou,
        "scope": preset.scope.__name__,
        "grid": list(grid),
        "examples": len(source),
        "memory": str(plan),
    }
    return Dissection(results, labeler.vocabulary, settings)


class _Task:
    """What is to be dissected: checked arguments, and the traced functions made of them."""

    def __init__(
        self,
        model: Any,
        source: Source,
        labeler: Labeler,
        layers: Sequence[str],
        preset: Preset,
        grid: Shape,
        inputs: Callable[[Mapping[str, Array]], Array],
        alignments: Mapping[str, Alignment] | None,
        token_grid: Shape | None,
    ) -> None:
        self.network = as_network(model)
        self.source, self.labeler, self.preset, self.grid = source, labeler, preset, grid
        self.inputs, self.token_grid = inputs, token_grid
        if not layers:
            raise ValueError("`layers` must name at least one layer")
        if len(source) < 1:
            raise ValueError("`source` has no examples")
        self.num_pixels = len(source) * grid[0] * grid[1]
        example = read_block(source, 0, 1)
        struct = jax.eval_shape(inputs, example)
        if not jnp.issubdtype(struct.dtype, jnp.floating):
            raise ValueError(
                f"`source` gives the network {struct.dtype} inputs; give images as floats in "
                "[0, 1], or pass `inputs`, which converts a batch"
            )
        layer_shapes(self.network, struct, tuple(layers))
        maps = jax.eval_shape(
            lambda params, batch: self.maps(params, batch, tuple(layers)),
            self.network.params,
            example,
        )
        unknown = set(alignments or {}) - set(layers)
        if unknown:
            raise ValueError(f"`alignments` has {sorted(unknown)}, which are not among `layers`")
        self.readings = {
            name: Reading(
                grid,
                maps[name].shape[1:3],
                maps[name].shape[3],
                (alignments or {}).get(name, pixel_centers),
                preset.border,
            )
            for name in layers
        }
        vocabulary = labeler.vocabulary
        categories = vocabulary.category_names
        self.category_of = np.array(
            [0, *(categories.index(category) for category in vocabulary.categories[1:])]
        )
        self.num_categories = len(categories)
        labels = jax.eval_shape(self.labels, example)
        # Without scope labels every concept is compared within row 0, all pixels.
        scoped = jax.eval_shape(lambda b: labeler.label(b, grid), example).shape != labels.shape
        self.num_rows = len(vocabulary) + (self.num_categories if scoped else 0)
        self.scope_of = len(vocabulary) + self.category_of if scoped else 0 * self.category_of
        self.label_shape = labels.shape[1:]

    def maps(
        self, params: Any, batch: Mapping[str, Array], layers: tuple[str, ...]
    ) -> dict[str, Array]:
        """Fresh maps [B, h, w, U] of layers, in one forward pass."""
        activations = self.network.activations(params, self.inputs(batch), layers=layers)
        return {name: as_maps(activations[name], token_grid=self.token_grid) for name in layers}

    def labels(self, batch: Mapping[str, Array]) -> Array:
        """Ids of concepts and scopes [B, H, W, K], none twice in a pixel."""
        labels = self.labeler.label(batch, self.grid)
        scope = self.preset.scope(labels, self.category_of, self.num_categories)
        return jnp.concatenate([agreement.without_repeats(labels), scope], axis=-1)


class _Survey:
    """What the first pass finds, and keeps for the later ones."""

    def __init__(self, task: _Task, plan: MemoryPlan) -> None:
        number = len(task.source)
        ids = np.int16 if task.num_rows <= np.iinfo(np.int16).max else np.int32
        self.labels = np.empty((number, *task.label_shape), ids)
        self.kept = {
            name: np.empty((number, *task.readings[name].kept_shape), np.float32)
            for name in plan.kept
        }
        self.sample: dict[str, list[np.ndarray]] = {name: [] for name in task.readings}
        self.top: dict[str, topk.TopK] = {}


def _survey(task: _Task, plan: MemoryPlan, num_top: int, options: dict[str, Any]) -> _Survey:
    survey = _Survey(task, plan)
    params, names = task.network.params, tuple(task.readings)
    num_concepts = len(task.labeler.vocabulary)
    sampled_per_image = _LATTICE[0] * _LATTICE[1]
    every = max(1, len(task.source) * sampled_per_image // _SAMPLED_PIXELS)

    @partial(jax.jit, donate_argnums=0)
    def look(state: Any, params: Any, batch: Any) -> Any:
        maps = task.maps(params, batch, names)
        labels = task.labeler.label(batch, task.grid)
        state = {
            name: topk.update(
                state[name], maps[name].max(axis=(1, 2)), batch["example"], batch["weight"]
            )
            for name in names
        }
        found = {
            "finite": {name: jnp.isfinite(maps[name]).all(axis=(1, 2, 3)) for name in names},
            "label_range": (labels.min(axis=(1, 2, 3)), labels.max(axis=(1, 2, 3))),
            "labels": task.labels(batch).astype(survey.labels.dtype),
            "kept": {name: task.readings[name].keep(maps[name]) for name in plan.kept},
            "sample": {name: task.readings[name].lattice(maps[name], _LATTICE) for name in names},
        }
        return state, found

    def receive(batch: Batch, found: Any) -> None:
        examples = batch["example"][batch["weight"]]
        _check_finite(found["finite"], batch)
        _check_labels(*found["label_range"], examples, num_concepts)
        rows = slice(examples[0], examples[-1] + 1)
        survey.labels[rows] = found["labels"][: len(examples)]
        for name, maps in found["kept"].items():
            survey.kept[name][rows] = maps[: len(examples)]
        chosen = np.flatnonzero(batch["weight"] & (batch["example"] % every == 0))
        for name, sample in found["sample"].items():
            picked = np.asarray(sample)[chosen]
            survey.sample[name].append(picked.reshape(-1, picked.shape[-1]))

    state = {name: topk.init(reading.num_units, num_top) for name, reading in task.readings.items()}
    state = fold(
        lambda state, batch: look(state, params, batch),
        state,
        task.source,
        receive=receive,
        description="running the network",
        **options,
    )
    survey.top = {name: topk.finalize(state[name]) for name in names}
    return survey


def _given_thresholds(
    task: _Task, thresholds: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    if thresholds is None:
        return {}
    given = {name: np.asarray(value, np.float32) for name, value in thresholds.items()}
    for name, reading in task.readings.items():
        shape = given[name].shape if name in given else None
        if shape != (reading.num_units,):
            raise ValueError(
                f"`thresholds` of layer {name!r} must have shape ({reading.num_units},), "
                f"not {shape}"
            )
    return given


def _find_thresholds(
    task: _Task, plan: MemoryPlan, survey: _Survey, options: dict[str, Any]
) -> dict[str, np.ndarray]:
    searches = {
        name: LayerSearch(
            np.concatenate(survey.sample[name]),
            task.num_pixels,
            fraction=task.preset.fraction,
            interpolated=task.preset.interpolated,
        )
        for name in task.readings
    }
    for name in plan.kept:
        _search_kept(searches[name], task.readings[name], survey.kept[name], name, options)
    if plan.again:
        _search_again(task, {name: searches[name] for name in plan.again}, options)
    return {name: search.thresholds() for name, search in searches.items()}


def _search_kept(
    search: LayerSearch, reading: Reading, kept: np.ndarray, name: str, options: dict[str, Any]
) -> None:
    """Passes over the kept maps of one layer, only of units whose search is open."""
    columns = search.open_columns()
    while len(columns):
        columns = widened(columns, len(search.unit_of))
        units = search.unit_of[columns]
        chosen = None if len(units) == reading.num_units else jnp.asarray(units)
        state = fold(
            lambda state, batch, chosen=chosen: count_kept(state, batch, chosen, reading),
            quantile.init(jnp.asarray(search.search.guesses[:, columns])),
            Stored({"maps": kept}),
            description=f"thresholds of {name}",
            **_larger(options),
        )
        search.narrow(columns, state)
        columns = search.open_columns()


def _search_again(
    task: _Task, searches: Mapping[str, LayerSearch], options: dict[str, Any]
) -> None:
    """Passes that run the network for several layers at once."""
    names = tuple(searches)

    @partial(jax.jit, donate_argnums=0)
    def count(states: Any, params: Any, batch: Any) -> Any:
        maps = task.maps(params, batch, names)
        return {
            name: count_above(
                states[name],
                task.readings[name].on_grid,
                jnp.take(maps[name], searches[name].unit_of, axis=-1),
                batch["weight"],
            )
            for name in names
        }, None

    params = task.network.params
    while any(len(search.open_columns()) for search in searches.values()):
        states = fold(
            lambda states, batch: count(states, params, batch),
            {name: quantile.init(jnp.asarray(s.search.guesses)) for name, s in searches.items()},
            task.source,
            description=f"thresholds of {', '.join(names)}",
            **options,
        )
        for name, search in searches.items():
            search.narrow(np.arange(len(search.unit_of)), states[name])


def _count_agreement(
    task: _Task,
    plan: MemoryPlan,
    survey: _Survey,
    thresholds: Mapping[str, np.ndarray],
    options: dict[str, Any],
) -> dict[str, agreement.AgreementCounts]:
    """Count shared pixels of all layers in one pass."""

    @partial(jax.jit, donate_argnums=0)
    def count(state: Any, params: Any, thresholds: Any, batch: Any) -> Any:
        fresh = task.maps(params, batch, plan.again) if plan.again else {}
        labels = batch["kept/labels"].astype(jnp.int32)
        counted = {}
        for name in task.readings:

            def count_example(maps: Array, labels: Array, weight: Array, name=name) -> Any:
                reading = task.readings[name]
                pixels = (reading.on_grid if name in plan.again else reading.kept_on_grid)(maps)
                active = pixels.reshape(-1, reading.num_units) > thresholds[name][None]
                labels = labels.reshape(-1, labels.shape[-1])
                weight = jnp.broadcast_to(weight, labels.shape[:1])
                return agreement.count(active, labels, weight, num_concepts=task.num_rows)

            maps = fresh[name] if name in plan.again else batch[f"kept/{name}"]
            found = sum_examples(count_example, maps, labels, batch["weight"])
            counted[name] = agreement.add(state[name], found)
        return counted, None

    kept = Stored(
        {"kept/labels": survey.labels} | {f"kept/{name}": survey.kept[name] for name in plan.kept}
    )
    params = task.network.params
    on_device = jax.tree.map(jnp.asarray, dict(thresholds))
    state = fold(
        lambda state, batch: count(state, params, on_device, batch),
        {name: agreement.init(task.num_rows, r.num_units) for name, r in task.readings.items()},
        Joined(task.source, kept) if plan.again else kept,
        description="agreement with concepts",
        **(options if plan.again else _larger(options)),
    )
    return {name: agreement.finalize(state[name]) for name in task.readings}


def _larger(options: dict[str, Any]) -> dict[str, Any]:
    """Steps without a network need less memory per example, and gain from fewer steps."""
    return options | {"batch_size": 4 * options["batch_size"]}


def _check_finite(finite: Mapping[str, Array], batch: Batch) -> None:
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
