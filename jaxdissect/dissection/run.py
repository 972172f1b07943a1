"""Dissect a network: which concept does each unit of each layer respond to?

Shapes: B batch, H W label grid, h w cells of a layer, K labels per pixel, C concepts, U units.

Method (Bau et al. 2020, "Quantifying the agreement between a concept and a unit"): activations
a_u(x, p) are resampled bilinearly to the label grid; the threshold t_u is exceeded on at most 1% of
all pixels; the unit is active where a_u(x, p) > t_u, and IoU_{u,c} compares these pixels with those
of concept c. A unit is called a detector of its best concept if their IoU exceeds 0.04.

Passes, each a fold over the data or over what is kept of it in device memory: a pilot of a few
images says about where t_u is; a pass narrows that down by counting some candidates, and finds the
peaks; another finds the labels, counts the pixels that are surely active, and collects the few
values that may be t_u with their pixels' labels, which settle it exactly afterwards. Where few
values are in question, one pass does it; the few units that are still open cost further passes, for
them alone.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Alignment, Shape
from jaxdissect.dissection.layer_search import LayerSearch, LayerWork, check_thresholds
from jaxdissect.dissection.passes import Looking, Passes
from jaxdissect.dissection.pilot import Chosen, pilot_examples, sampling_of
from jaxdissect.dissection.presets import PNAS2020, Preset
from jaxdissect.dissection.result import Dissection, LayerDissection, Provenance
from jaxdissect.dissection.setup import DissectionSetup, dissection_setup
from jaxdissect.dissection.subject import Subject
from jaxdissect.engine.batching import Source
from jaxdissect.engine.identity import digest
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.layer_reader import Inputs, OutputImage, image_input
from jaxdissect.engine.memory_plan import memory_budget as default_budget
from jaxdissect.engine.memory_plan import plan_memory
from jaxdissect.engine.processes import Placement
from jaxdissect.engine.progress import Progress, no_progress
from jaxdissect.engine.resume import FoldOptions
from jaxdissect.stats import scores, topk

_log = logging.getLogger(__name__)


def dissect(
    model: Any,
    source: Source,
    labeler: Labeler,
    *,
    layers: str | Sequence[str],
    preset: Preset = PNAS2020,
    grid: Shape = (56, 56),
    inputs: Inputs = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
    output_image: OutputImage | None = None,
    thresholds: Mapping[str, np.ndarray] | None = None,
    num_top_images: int = 10,
    batch_size: int = 8,
    memory_budget: int | None = None,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
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
        inputs: Makes the network's input of a batch, for example by normalising its images. A pure
            function: what it reads besides the batch must not change between calls.
        alignments: Where the label grid reads a layer, for layers whose cells do not simply fill
            the image edge to edge (see `align_receptive_field`).
        token_grid: Rows and columns of token layers [B, T, U]. None finds the grid whose cells
            have the image's aspect, with a leading class token or none, if only one fits.
        drop_tokens: Tokens that are no cells: 2 for the two leading ones, -2 for the two trailing
            ones, or their positions. For layers of attention heads see `as_network`.
        output_image: For a network that makes images: RGB in [0, 1] of what it gives, which
            `labeler` finds as ``image`` (see `jaxdissect.generators`).
        thresholds: Given thresholds [U] for every layer, instead of those of this data.
        num_top_images: Number of images with the highest peaks to find for each unit.
        batch_size: Images in a forward pass. It does not change the result.
        memory_budget: Bytes of activations and labels that may be kept in device memory to run the
            network only once; None for half of what is free there, 2 GiB on CPU. What was chosen is
            logged and stands in the result's settings.
        checkpoints: Folder from which an interrupted dissection resumes, with the same result,
            whatever the batch size and the number of devices; None keeps none. With it nothing is
            kept in device memory, as if `memory_budget` were 0.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far each pass has come.

    Returns:
        Thresholds, exact counts, IoU and top images of every layer.

    Raises:
        ValueError: If there are no examples or layers, a layer is unknown, images are integers,
            labels lie outside the vocabulary, activations are not finite, `checkpoints` holds
            another computation or is damaged, or another argument does not fit; the message says
            which.
        TypeError: If `model` is neither a Network nor an nnx.Module.
    """
    setup = dissection_setup(
        model,
        source,
        labeler,
        layers=layers,
        preset=preset,
        grid=grid,
        inputs=inputs,
        alignments=alignments,
        token_grid=token_grid,
        drop_tokens=drop_tokens,
        output_image=output_image,
    )
    return run_dissection(
        setup,
        FoldOptions(batch_size, mesh, progress, checkpoints, save_every),
        thresholds=thresholds,
        num_top_images=num_top_images,
        memory_budget=memory_budget,
    ).dissection


class DissectionRun(NamedTuple):
    """A dissection, and what was kept of the activations that it came from."""

    setup: DissectionSetup
    passes: Passes
    dissection: Dissection

    __repr__ = short_repr


class Tuning(NamedTuple):
    """What changes the passes that are taken, and never the result.

    Attributes:
        pilot: Images of the pilot; None for a twentieth of all.
        candidates: How many candidates a pass counts; None for what suits the device.
        room: How many values a pass may collect in a layer; None for what memory allows.
        enough: A first pass only narrows, if more values than so many would be collected; None for
            what is fastest.
    """

    pilot: int | None = None
    candidates: int | None = None
    room: int | None = None
    enough: int | None = None


_TUNING = Tuning()


def run_dissection(
    setup: DissectionSetup,
    options: FoldOptions,
    *,
    thresholds: Mapping[str, np.ndarray] | None = None,
    num_top_images: int,
    memory_budget: int | None,
    labels: list[Any] | None = None,
    tuning: Tuning | None = None,
) -> DissectionRun:
    """Take all passes of a dissection; for arguments and errors see `dissect`.

    Args:
        labels: Labels of every batch, where they are known from another dissection of the same
            examples.
    """
    budget = default_budget(options.mesh) if memory_budget is None else memory_budget
    label_bytes = int(np.prod(setup.label_shape)) * np.dtype(setup.rows.label_type).itemsize
    plan = plan_memory(
        setup.layers,
        len(setup.source),
        budget,
        label_bytes=label_bytes,
        devices=Placement(options.mesh).devices,
        stream=options.checkpoints is not None,
    )
    _log.info("%s", plan)
    given = None if thresholds is None else check_thresholds(setup.layers, thresholds)
    searches = {
        name: LayerSearch(
            layer,
            setup.num_pixels,
            setup.preset,
            thresholds=None if given is None else given[name],
        )
        for name, layer in setup.layers.items()
    }
    passes = Passes(setup, plan, options, labels=labels)
    top = _search(searches, passes, num_top_images, tuning or _TUNING, is_given=given is not None)

    preset, vocabulary, scope_of = setup.preset, setup.labeler.vocabulary, setup.rows.scope_of
    results = {}
    for name, layer in setup.layers.items():
        found, counts = searches[name].result()
        iou = (
            scores.iou(scores.within(counts, scope_of))
            if preset.score is None
            else preset.score(counts)[: len(vocabulary)]
        )
        results[name] = LayerDissection(
            name=name,
            vocabulary=vocabulary,
            min_iou=preset.min_iou,
            thresholds=found,
            counts=counts,
            scope_of=scope_of,
            iou=iou,
            top_examples=top[name].examples,
            top_values=top[name].values,
            on_grid=layer,
        )
    settings = {
        "preset": preset.name,
        "fraction": preset.fraction,
        "min_iou": preset.min_iou,
        "scope": preset.scope.__name__,
        "thresholds": _kind_of_thresholds(preset, is_given=given is not None),
        "grid": list(setup.grid),
        "examples": len(setup.source),
        "memory": str(plan),
        "forward_passes_per_image": round(passes.network_runs / len(setup.source), 4),
    }
    provenance = Provenance(
        network=digest(setup.network.params),
        layers=tuple(setup.layers),
        token_grid=setup.reader.structure.token_layout.grid,
        drop_tokens=setup.reader.structure.token_layout.drop,
        batch_size=options.batch_size,
    )
    reader = setup.reader
    subject = Subject(setup.network, setup.source, reader.inputs, reader.output_image)
    dissection = Dissection(results, vocabulary, settings, provenance, subject)
    return DissectionRun(setup, passes, dissection)


def _kind_of_thresholds(preset: Preset, *, is_given: bool) -> str:
    if is_given:
        return "given"
    return "interpolated" if preset.interpolated else "order statistics"


_NARROWING, _COLLECTING = "narrowing thresholds", "agreement with concepts"
_KEPT_SHARE = 0.002
"""Of kept maps, as many values are collected as cost no more than narrowing once."""


def _search(
    searches: Mapping[str, LayerSearch],
    passes: Passes,
    num_top: int,
    tuning: Tuning,
    *,
    is_given: bool,
) -> dict[str, topk.TopK]:
    """Take passes until all columns of all layers are answered; return the top images."""
    setup, plan = passes.setup, passes.plan
    total = len(setup.source)
    entry = 8 + setup.label_shape[-1] * np.dtype(setup.rows.label_type).itemsize
    all_columns = sum(search.num_columns for search in searches.values())
    on_cpu = jax.default_backend() == "cpu"

    def plan_work(name: str) -> LayerWork:
        search = searches[name]
        share = search.num_columns / all_columns
        room = tuning.room or int(plan.collected_bytes * share) // entry
        kept = name in plan.kept
        enough = max(2**14, int(_KEPT_SHARE * setup.num_pixels * search.num_columns))
        return search.work(
            room,
            enough=(enough if kept else room) if tuning.enough is None else tuning.enough,
            num_candidates=tuning.candidates or (32 if on_cpu and not kept else 16),
            spare=not kept,
        )

    def learn(samples: Mapping[str, np.ndarray]) -> None:
        for name, sample in samples.items():
            kept = name in plan.kept
            searches[name].learn_sample(
                sample, tuning.candidates or (32 if on_cpu and not kept else 16)
            )

    if plan.again and not is_given:
        examples = pilot_examples(total, tuning.pilot)
        source = Chosen(setup.source, examples)
        learn(passes.sample(source, plan.again, sampling_of(len(examples))))
    now = tuple(searches) if is_given else plan.again
    work = {name: plan_work(name) for name in now}
    every = max(1, total // 1024)
    sampled = () if is_given else plan.kept
    looking = Looking(num_top, sampled, sampling_of(-(-total // every)), every)
    first = passes.run(work, "running the network", looking=looking)
    for name in now:
        searches[name].learn(work[name], first.layers[name])
    learn(first.samples)
    top = first.top
    del first
    while not all(search.is_done for search in searches.values()):
        work = {name: plan_work(name) for name, search in searches.items() if not search.is_done}
        # What is kept is narrowed as far as it takes, without running the network.
        narrowed = {
            name: part for name, part in work.items() if name in plan.kept and not part.collects
        }
        work = narrowed or work
        collects = any(part.collects for part in work.values())
        found = passes.run(work, _COLLECTING if collects else _NARROWING).layers
        for name, part in work.items():
            searches[name].learn(part, found[name])
    return top
