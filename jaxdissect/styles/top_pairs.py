"""The images that units respond to most, each beside itself in another style.

Shapes: H W pixels of the images, k images.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Array

from jaxdissect.arrays.resampling import Alignment, Border, Shape, clamp_border
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.setup import image_input
from jaxdissect.dissection.top_images import UnitImages, top_images
from jaxdissect.engine.data.pairs import Paired
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.networks.network import Network
from jaxdissect.styles.style_study import LayerStyle, StyleStudy


def top_image_pairs(
    network: Network,
    source: Paired,
    study: StyleStudy,
    *,
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    border: Border = clamp_border,
    token_grid: Shape | None = None,
    num_extremes: int = 5,
    num_pairs: int = 4,
    batch_size: int = 8,
    progress: Progress = silent,
) -> dict[str, list[UnitImages]]:
    """Find the top images of the units that agree most and least, in both styles.

    Args:
        network: The network that was studied.
        source: The pairs.
        study: The result.
        inputs, alignments, border, token_grid: The same as in the study.
        num_extremes: Number of units from either end.
        num_pairs: Number of pairs of images of a unit.
        batch_size: Images in a forward pass.
        progress: Is called with how far the passes have come.

    Returns:
        By layer: the interpretable units that agree best, then those that agree least, from better
        to worse. Each has the images with its highest peaks in their own style, every one followed
        by its stylised image, and where it is active in both, by the thresholds of either style.
        Its IoU is that of both styles.
    """
    units: dict[str, list[int]] = {}
    for name, layer in study.layers.items():
        ranking = layer.ranking
        worst = ranking[max(num_extremes, len(ranking) - num_extremes) :]
        units[name] = [*map(int, ranking[:num_extremes]), *map(int, worst)]
    conditions = (
        (source.originals, {name: layer.original for name, layer in study.layers.items()}),
        (
            source.stylised,
            {
                name: replace(layer.stylised, top_examples=layer.original.top_examples)
                for name, layer in study.layers.items()
            },
        ),
    )
    originals, stylised = (
        top_images(
            Dissection(layers, study.vocabulary),
            network,
            images,
            inputs=inputs,
            alignments=alignments,
            border=border,
            token_grid=token_grid,
            units=units,
            num_images=num_pairs,
            batch_size=batch_size,
            progress=progress,
        )
        for images, layers in conditions
    )
    return {
        name: [_beside(layer, *both) for both in zip(originals[name], stylised[name], strict=True)]
        for name, layer in study.layers.items()
    }


def _beside(layer: LayerStyle, original: UnitImages, stylised: UnitImages) -> UnitImages:
    images = np.stack([original.images, stylised.images], axis=1)
    active = np.stack([original.active, stylised.active], axis=1)
    return original._replace(
        concept=f"{original.concept} ({original.iou:.2f})",
        category="both styles",
        iou=float(layer.iou[original.unit]),
        images=images.reshape(-1, *images.shape[2:]),
        active=active.reshape(-1, *active.shape[2:]),
    )
