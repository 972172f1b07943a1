"""Pairs of images that show at which places units are active in both styles."""

import numpy as np

from jaxdissect.dissection.unit_images import UnitImages, top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.pairs import STYLISED
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import Inputs, image_input
from jaxdissect.networks.network import Network
from jaxdissect.styles.style_study import LayerStyle, StyleStudy, stylised_input


def top_image_pairs(
    study: StyleStudy,
    network: Network,
    source: Source,
    *,
    num_extremes: int = 5,
    num_pairs: int = 4,
    inputs: Inputs = image_input,
    progress: Progress = no_progress,
) -> dict[str, list[UnitImages]]:
    """Find pairs of images for the units that agree most and least in both styles.

    Args:
        study: The result of `study_style`.
        network: The network that was studied.
        source: The pairs that were studied.
        num_extremes: Units from either end.
        num_pairs: Pairs of images of a unit.
        inputs: What `study_style` was given.
        progress: Called with how far the passes have come.

    Returns:
        By layer: the `num_extremes` interpretable units that agree best, then as many that agree
        least, from better to worse. Each has the images with its highest peaks in their own style,
        every one followed by its stylised image; its IoU is that of both styles.

    Raises:
        ValueError: If network, inputs or source are not those of the study.
    """
    units: dict[str, list[int]] = {}
    for name, layer in study.layers.items():
        ranking = layer.ranking
        worst = ranking[max(num_extremes, len(ranking) - num_extremes) :]
        units[name] = [*map(int, ranking[:num_extremes]), *map(int, worst)]
    originals = top_images(
        study.originals,
        network,
        source,
        inputs=inputs,
        units=units,
        num_images=num_pairs,
        progress=progress,
    )
    stylised = top_images(
        study.stylised,
        network,
        source,
        inputs=stylised_input(inputs),
        image_key=STYLISED,
        units=units,
        examples={
            name: layer.original.top_examples[units[name], :num_pairs]
            for name, layer in study.layers.items()
        },
        progress=progress,
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
