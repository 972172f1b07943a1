"""Dissect a generator: which concept, in the images that it makes, does each unit stand for?

Shapes: B batch, Z latent, U units.

Bau et al., "GAN Dissection", ICLR 2019, section 3.1: the image is the output of the network. It is
segmented, and activations, resampled to the label grid, are compared with its labels.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, SupportsIndex

import jax
import numpy as np
from jaxtyping import Array, Int64

from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection.presets import GANDISSECT2019, Preset
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.engine.labelers import segmented
from jaxdissect.engine.resume import digest
from jaxdissect.generators.images import ToPixels, from_signed, generate
from jaxdissect.generators.interventions import check_latents
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.segmenter import Segmenter


def latent_input(batch: Any) -> Array:
    """The network's input is ``batch["latent"]``."""
    return batch["latent"]


class Generated:
    """A source of latents with the images that a generator makes of them, when they are read.

    Args:
        model: A Network or an nnx.Module from latents to images.
        source: Examples with a ``latent`` [Z].
        to_pixels: Makes RGB in [0, 1] of what the generator gives.

    Raises:
        ValueError: if there are no examples, or one has no latent.
        TypeError: if `model` is neither a Network nor an nnx.Module.
    """

    def __init__(self, model: Any, source: Source, *, to_pixels: ToPixels = from_signed) -> None:
        check_latents(source)
        self._network, self._source = as_network(model), source
        self._make = jax.jit(partial(generate, self._network, to_pixels=to_pixels))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        place = range(len(self))[index]
        return {name: array[0] for name, array in self.read(place, place + 1).items()}

    def read(self, first: int, last: int) -> Batch:
        """Stack the examples from `first` up to, not including, `last`, each with its ``image``."""
        batch = read_block(self._source, first, last)
        images = self._make(self._network.params, batch["latent"])
        return {**batch, "image": np.asarray(images)}


def dissect_generator(
    model: Any,
    source: Source,
    segmenter: Segmenter,
    *,
    layers: Sequence[str],
    preset: Preset = GANDISSECT2019,
    grid: Shape = (64, 64),
    to_pixels: ToPixels = from_signed,
    num_top_images: int = 10,
    batch_size: int = 16,
    memory_budget: int = 2 * 2**30,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = silent,
) -> Dissection:
    """Find the concept of every unit of some layers of a generator.

    Images are made and segmented once, in the same forward pass that records all layers.

    Args:
        model: A Network or an nnx.Module from latents [B, Z] to images [B, height, width, 3].
        source: Examples with a ``latent`` [Z], such as `latents`.
        segmenter: Says what the images show.
        layers: Layers with activations [B, h, w, U] or [B, T, U], all dissected at once.
        preset: Convention for thresholds and scores; the default has units active on 0.5% of the
            pixels, whose thresholds are the values that the reference inserts.
        grid: Height and width of the label grid; (64, 64) is the paper's.
        to_pixels: Makes RGB in [0, 1] of what the generator gives: from [-1, 1] by default,
            `generate.in_range` for others.
        num_top_images, batch_size, memory_budget, mesh, progress: As for `dissect`.

    Returns:
        Thresholds, exact counts, IoU and top images of every layer; its settings name the
        generator by a digest of its parameters, so that it is known again.
        ``Generated(model, source)`` holds the images for the pictures of a report.

    Raises:
        ValueError, TypeError: As `dissect`; also if an example has no latent.
    """
    check_latents(source)
    network = as_network(model)
    result = dissect(
        network,
        source,
        segmented(segmenter),
        layers=layers,
        preset=preset,
        grid=grid,
        inputs=latent_input,
        output_image=to_pixels,
        num_top_images=num_top_images,
        batch_size=batch_size,
        memory_budget=memory_budget,
        mesh=mesh,
        progress=progress,
    )
    made_with = {"generator": digest(network.params)}
    return replace(result, settings={**result.settings, **made_with})


def ranked_units(result: Dissection, layer: str, concept: int) -> Int64[np.ndarray, "U"]:
    """Rank the units of a layer by their IoU with a concept, best first, equals by unit."""
    return np.argsort(-result[layer].iou[concept], kind="stable")
