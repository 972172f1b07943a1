"""Dissect a network: which concept does each unit of each layer respond to?

Shapes: B batch, H W label grid, h w cells of a layer, K labels per pixel, C concepts, U units.

Method (Bau et al. 2020, "Quantifying the agreement between a concept and a unit"): activations
a_u(x, p) are resampled bilinearly to the label grid; the threshold t_u is exceeded on at most 1% of
all pixels; the unit is active where a_u(x, p) > t_u, and IoU_{u,c} compares these pixels with those
of concept c. A unit is called a detector of its best concept if their IoU exceeds 0.04.

Three steps, each a fold over the data: the first pass runs the network once over every image, finds
the labels, the peaks, and keeps what memory allows; threshold passes narrow down t_u exactly; the
last pass counts shared pixels.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Alignment, Shape
from jaxdissect.dissection.activation_cache import ActivationCache, fill_cache
from jaxdissect.dissection.count_agreement import count_agreement_of_layers
from jaxdissect.dissection.presets import PNAS2020, Preset
from jaxdissect.dissection.result import Dissection, LayerDissection, Provenance
from jaxdissect.dissection.setup import DissectionSetup, dissection_setup
from jaxdissect.dissection.thresholds import check_thresholds, find_thresholds
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import FoldOptions, Progress, no_progress
from jaxdissect.engine.identity import digest
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.layer_reader import Inputs, OutputImage, image_input
from jaxdissect.engine.memory_plan import MemoryPlan, plan_memory
from jaxdissect.stats import scores

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
    memory_budget: int = 2 * 2**30,
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
        memory_budget: Bytes of activations that may be kept to run the network only once. What was
            chosen is logged and stands in the result's settings.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far each pass has come.

    Returns:
        Thresholds, exact counts, IoU and top images of every layer.

    Raises:
        ValueError: If there are no examples or layers, a layer is unknown, images are integers,
            labels lie outside the vocabulary, activations are not finite, or another argument does
            not fit; the message says which.
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
        FoldOptions(batch_size, mesh, progress),
        thresholds=thresholds,
        num_top_images=num_top_images,
        memory_budget=memory_budget,
    ).dissection


class DissectionRun(NamedTuple):
    """A dissection, and what was kept of the activations that it came from."""

    setup: DissectionSetup
    plan: MemoryPlan
    cache: ActivationCache
    dissection: Dissection

    __repr__ = short_repr


def run_dissection(
    setup: DissectionSetup,
    options: FoldOptions,
    *,
    thresholds: Mapping[str, np.ndarray] | None = None,
    num_top_images: int,
    memory_budget: int,
) -> DissectionRun:
    """Take all steps of a dissection; for arguments and errors see `dissect`."""
    plan = plan_memory(setup.layers, len(setup.source), memory_budget)
    _log.info("%s", plan)
    found = None if thresholds is None else check_thresholds(setup.layers, thresholds)
    cache = fill_cache(setup, plan, num_top_images, options)
    found = found or find_thresholds(setup, plan, cache, options)
    counts = count_agreement_of_layers(setup, plan, cache, found, options)

    preset, vocabulary, scope_of = setup.preset, setup.labeler.vocabulary, setup.rows.scope_of
    results = {}
    for name, layer in setup.layers.items():
        iou = (
            scores.iou(scores.within(counts[name], scope_of))
            if preset.score is None
            else preset.score(counts[name])[: len(vocabulary)]
        )
        results[name] = LayerDissection(
            name=name,
            vocabulary=vocabulary,
            min_iou=preset.min_iou,
            thresholds=found[name],
            counts=counts[name],
            scope_of=scope_of,
            iou=iou,
            top_examples=cache.top[name].examples,
            top_values=cache.top[name].values,
            on_grid=layer,
        )
    settings = {
        "preset": preset.name,
        "fraction": preset.fraction,
        "min_iou": preset.min_iou,
        "scope": preset.scope.__name__,
        "grid": list(setup.grid),
        "examples": len(setup.source),
        "memory": str(plan),
    }
    provenance = Provenance(
        network=digest(setup.network.params),
        layers=tuple(setup.layers),
        token_grid=setup.reader.structure.token_layout.grid,
        drop_tokens=setup.reader.structure.token_layout.drop,
        batch_size=options.batch_size,
    )
    return DissectionRun(setup, plan, cache, Dissection(results, vocabulary, settings, provenance))
