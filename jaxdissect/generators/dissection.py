"""Dissect a generator: which concept, in the images that it makes, does each unit stand for?

Shapes: B batch, Z latent, U units.

Bau et al., "GAN Dissection", ICLR 2019, section 3.1: the image is the output of the network. It is
segmented, and activations, resampled to the label grid, are compared with its labels.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, Float64, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.dissection.presets import GANDISSECT2019, Preset
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.labelers import segmented
from jaxdissect.generators.generator import Generator, latent_input


def dissect_generator(
    generator: Generator,
    source: Source,
    *,
    layers: Sequence[str],
    preset: Preset = GANDISSECT2019,
    num_top_images: int = 10,
    batch_size: int = 16,
    memory_budget: int | None = None,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Dissection:
    """Find the concept of every unit of some layers of a generator.

    Images are made and segmented once, in the same forward pass that records all layers.

    Args:
        generator: What makes the images and labels them.
        source: Examples with a ``latent`` [Z], such as `latents`.
        layers: Layers with activations [B, h, w, U] or [B, T, U], all dissected at once.
        preset: Convention for thresholds and scores; the default has units active on 0.5% of the
            pixels, whose thresholds are the values that the reference inserts.
        num_top_images: Images to find with the highest peaks of each unit.
        batch_size: Latents in a step.
        memory_budget: Bytes of activations and labels that may be kept in device memory; None for
            half of what is free there, 2 GiB on CPU.
        checkpoints: Folder from which an interrupted dissection resumes, with the same result; None
            keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far each pass has come.

    Returns:
        Thresholds, exact counts, IoU and top images of every layer; its settings name the
        generator by a digest of its parameters, so that it is known again.
        ``GeneratedImages(generator, source)`` holds the images for the pictures of a report.

    Raises:
        ValueError: If an example has no latent of the generator, there is no segmenter, a layer
            does not exist, or another argument makes no sense to `dissect`.
    """
    generator.check_latents(source)
    result = dissect(
        generator.network,
        source,
        segmented(generator.checked_segmenter()),
        layers=layers,
        preset=preset,
        grid=generator.grid,
        inputs=latent_input,
        output_image=generator.to_pixels,
        num_top_images=num_top_images,
        batch_size=batch_size,
        memory_budget=memory_budget,
        checkpoints=checkpoints,
        save_every=save_every,
        mesh=mesh,
        progress=progress,
    )
    assert result.provenance is not None  # `dissect` has just filled it in
    made_with = {"generator": result.provenance.network}
    return replace(result, settings={**result.settings, **made_with})


def ranked_units(result: Dissection, layer: str, concept: int) -> Int64[np.ndarray, "U"]:
    """Rank the units of a layer by their IoU with a concept, best first, equals by unit."""
    return np.argsort(-result[layer].iou[concept], kind="stable")


class RankedUnits(NamedTuple):
    """The units of a layer, by how well they match a concept.

    Attributes:
        iou: IoU of every unit with the concept.
        ranking: Units by it, best first, equals by unit.
        levels: The level that each unit exceeds on 0.5% of the pixels.
    """

    iou: Float64[np.ndarray, "U"]
    ranking: Int64[np.ndarray, "U"]
    levels: Float32[np.ndarray, "U"]

    __repr__ = short_repr


def rank_units_by_iou(
    generator: Generator,
    source: Source,
    layer: str,
    concept: int,
    *,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    progress: Progress = no_progress,
) -> RankedUnits:
    """Dissect a layer, and rank its units by their IoU with one concept.

    Args:
        generator: What makes the images and labels them.
        source: Examples with a ``latent`` [Z]; not those to measure the effects of units with.
        layer: Layer of the units.
        concept: Id of the concept.
        batch_size: Latents in a step.
        checkpoints: Folder from which an interrupted dissection resumes, with the same result; None
            keeps none.
        save_every: Steps between checkpoints.
        progress: Called with how far each pass has come.

    Raises:
        ValueError: If an example has no latent of the generator, there is no segmenter, or the
            layer does not exist.
    """
    result = dissect_generator(
        generator,
        source,
        layers=(layer,),
        num_top_images=1,
        batch_size=batch_size,
        checkpoints=checkpoints,
        save_every=save_every,
        progress=progress,
    )
    found = result[layer]
    return RankedUnits(found.iou[concept], ranked_units(result, layer, concept), found.thresholds)
