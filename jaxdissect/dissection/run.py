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
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from jaxdissect.arrays.resampling import Alignment, Shape
from jaxdissect.dissection.activation_cache import Survey, survey_step, take_survey
from jaxdissect.dissection.count_agreement import count_overlap, overlap_step
from jaxdissect.dissection.presets import PNAS2020, Preset
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.setup import FoldOptions, OutputImage, Task, image_input
from jaxdissect.dissection.thresholds import find_thresholds, given_thresholds
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.engine.label_grid import MemoryPlan, plan_memory
from jaxdissect.engine.labelers import Labeler
from jaxdissect.stats import scores

_log = logging.getLogger(__name__)


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
    output_image: OutputImage | None = None,
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
        output_image: For a network that makes images: RGB in [0, 1] of what it gives, which
            `labeler` finds as ``image`` (see `generator_dissection.dissect_generator`).
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
            labels lie outside the vocabulary, activations are not finite, or another argument does
            not fit; the message says which.
        TypeError: if `model` is neither a Network nor an nnx.Module.
    """
    task = Task(
        model, source, labeler, layers, preset, grid, inputs, alignments, token_grid, output_image
    )
    options = FoldOptions(batch_size, mesh, progress)
    return examine(
        task,
        options,
        thresholds=thresholds,
        num_top_images=num_top_images,
        memory_budget=memory_budget,
    ).dissection


class Examined(NamedTuple):
    """A dissection, and what was kept of the activations that it came from."""

    task: Task
    plan: MemoryPlan
    survey: Survey
    dissection: Dissection


def examine(
    task: Task,
    options: FoldOptions,
    *,
    thresholds: Mapping[str, np.ndarray] | None,
    num_top_images: int,
    memory_budget: int,
) -> Examined:
    """Take all steps of a dissection; for arguments and errors see `dissect`."""
    plan = plan_memory(task.readings, len(task.source), memory_budget)
    _log.info("%s", plan)
    given = given_thresholds(task, thresholds)
    survey = take_survey(task, plan, survey_step(task, plan), num_top_images, options)
    thresholds = given or find_thresholds(task, plan, survey, options)
    counts = count_overlap(task, plan, survey, overlap_step(task, plan), thresholds, options)

    preset, vocabulary = task.preset, task.labeler.vocabulary
    results = {}
    for name in task.readings:
        cells = scores.within(counts[name], task.scope_of)
        results[name] = LayerDissection(
            name,
            vocabulary,
            preset.min_iou,
            thresholds[name],
            counts[name],
            task.scope_of,
            scores.iou(cells)
            if preset.score is None
            else preset.score(counts[name])[: len(vocabulary)],
            survey.top[name].examples,
            survey.top[name].values,
        )
    settings = {
        "preset": preset.name,
        "fraction": preset.fraction,
        "min_iou": preset.min_iou,
        "scope": preset.scope.__name__,
        "grid": list(task.grid),
        "examples": len(task.source),
        "memory": str(plan),
    }
    return Examined(task, plan, survey, Dissection(results, vocabulary, settings))
