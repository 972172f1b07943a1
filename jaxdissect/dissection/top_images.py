"""The top images of units, and where in them the units are active.

Shapes: B batch, h w cells of a layer, H W pixels of the images, U units, k images.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

from jaxdissect.arrays.resampling import (
    Alignment,
    Border,
    Shape,
    clamp_border,
    pixel_centers,
    resample,
)
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.setup import image_input
from jaxdissect.engine.batching import Source, batches
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.networks.network import Network, as_maps
from jaxdissect.stats.quantile import exceeds


class UnitImages(NamedTuple):
    """A unit and its top images, best first.

    Attributes:
        unit: The unit.
        concept, category: Its best concept.
        iou: IoU of the two.
        detects: Whether that is enough to call it a detector.
        images: RGB in [0, 1].
        active: The pixels on which the unit is active.
    """

    unit: int
    concept: str
    category: str
    iou: float
    detects: bool
    images: Float32[np.ndarray, "k H W 3"]
    active: Bool[np.ndarray, "k H W"]


def active_regions(
    maps: Float[Array, "*batch h w U"],
    thresholds: Float32[Array, "U"],
    size: Shape,
    *,
    alignment: Alignment = pixel_centers,
    border: Border = clamp_border,
) -> Bool[Array, "*batch H W U"]:
    """Find the pixels of an image on which units are active: a_u > t_u after resampling.

    Args:
        maps: Activations of the units.
        thresholds: t_u.
        size: Height and width of the image.
        alignment: Where pixels read the layer, as in the dissection.
        border: What lies beyond the outermost cells, as in the dissection.
    """
    pixels = resample(maps.astype(jnp.float32), size, alignment=alignment, border=border)
    return exceeds(pixels, thresholds.reshape((1,) * (pixels.ndim - 1) + (-1,)))


def best_units(layer: LayerDissection, number: int) -> list[int]:
    """Choose the units with the highest IoU with a concept, best first, equals by unit."""
    comparable = (layer.best_concept > 0) & np.isfinite(layer.best_iou)
    order = np.argsort(-np.where(comparable, layer.best_iou, -1.0), kind="stable")
    return [int(unit) for unit in order[:number] if comparable[unit]]


def top_images(
    dissection: Dissection,
    network: Network,
    source: Source,
    *,
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    border: Border = clamp_border,
    token_grid: Shape | None = None,
    units: Mapping[str, Sequence[int]] | None = None,
    num_units: int = 12,
    num_images: int = 8,
    batch_size: int = 8,
    progress: Progress = silent,
) -> dict[str, list[UnitImages]]:
    """Find the top images of units of all layers, running the network on them.

    Args:
        dissection: The result of dissecting the network.
        network: The network that was dissected.
        source: The data it was dissected on, with the key ``image``: RGB in [0, 1], all of one
            size.
        inputs, alignments, border, token_grid: As they were for the dissection.
        units: Units of every layer; the best when None.
        num_units: How many of the best units of every layer, fewer if fewer have any concept.
        num_images: Images of a unit, fewer if the dissection found fewer top images.
        batch_size: Images in a forward pass.
        progress: Told how far the pass has come.

    Returns:
        By layer, best unit first or as `units` are ordered.
    """
    chosen = {
        name: list(units[name]) if units is not None else best_units(layer, num_units)
        for name, layer in dissection.layers.items()
    }
    layers = tuple(name for name in chosen if chosen[name])
    examples = {name: dissection[name].top_examples[chosen[name], :num_images] for name in layers}
    found: dict[str, list[list[tuple[np.ndarray, np.ndarray] | None]]] = {
        name: [[None] * examples[name].shape[1] for _ in chosen[name]] for name in layers
    }

    @partial(jax.jit, static_argnames="size")
    def regions(params: Any, batch: Any, *, size: Shape) -> dict[str, Array]:
        activations = network.activations(params, inputs(batch), layers=layers)
        return {
            name: active_regions(
                as_maps(activations[name], token_grid=token_grid)[..., np.array(chosen[name])],
                jnp.asarray(dissection[name].thresholds[chosen[name]]),
                size,
                alignment=(alignments or {}).get(name, pixel_centers),
                border=border,
            )
            for name in layers
        }

    wanted = np.unique(np.concatenate([examples[name].ravel() for name in layers] or [[]]))
    for batch in batches(_Chosen(source, wanted), batch_size) if len(wanted) else ():
        active = regions(network.params, batch, size=batch["image"].shape[1:3])
        for row, position in enumerate(batch["example"][batch["weight"]]):
            image = np.asarray(batch["image"][row], np.float32)
            for name in layers:
                for unit, place in np.argwhere(examples[name] == wanted[position]):
                    found[name][unit][place] = image, np.asarray(active[name][row, ..., unit])
        progress("top images", int(batch["example"][-1]) + 1, len(wanted))

    return {
        name: [
            _unit_images(layer, unit, [pair for pair in found[name][place] if pair is not None])
            for place, unit in enumerate(chosen[name])
        ]
        for name, layer in dissection.layers.items()
    }


class _Chosen:
    """Some examples of a source."""

    def __init__(self, source: Source, examples: np.ndarray) -> None:
        self._source, self._examples = source, examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._source[int(self._examples[index])]


def _unit_images(
    layer: LayerDissection, unit: int, pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> UnitImages:
    concept = layer.best_concept[unit]
    return UnitImages(
        unit,
        layer.vocabulary.names[concept],
        layer.vocabulary.categories[concept],
        float(layer.best_iou[unit]),
        bool(layer.best_iou[unit] > layer.min_iou),
        np.stack([image for image, _ in pairs]),
        np.stack([active for _, active in pairs]),
    )
