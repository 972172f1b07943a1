"""The top images of units, and where in them the units are active.

Shapes: B batch, h w cells of a layer, H W pixels of the images, U units, k images.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int64

from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import (
    Alignment,
    Border,
    Shape,
    clamp_border,
    pixel_centers,
    resample,
)
from jaxdissect.dissection.example_counts import peaks_and_places
from jaxdissect.dissection.pilot import Chosen
from jaxdissect.dissection.result import Dissection, LayerDissection, Provenance
from jaxdissect.engine.batching import Source, batches
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import digest
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.layer_reader import Inputs, LayerReader, OutputImage, image_input
from jaxdissect.networks.network import Network, as_network
from jaxdissect.stats.quantile import exceeds

PEAK_TOLERANCE = 0.02
"""Of the highest peak of a layer: other machines round otherwise, and no more."""


class UnitImages(NamedTuple):
    """A unit and its top images, best first.

    Attributes:
        unit: The unit.
        concept, category: Its best concept.
        iou: IoU of the two.
        detects: Whether that is enough to call it a detector.
        images: RGB in [0, 1].
        active: The pixels on which the unit is active.
        layer: Its layer; empty where that is not known.
        cells: Row and column of the layer's cell with the highest activation; of several such cells
            the one nearest to their middle; None where that is not known.
    """

    unit: int
    concept: str
    category: str
    iou: float
    detects: bool
    images: Float32[np.ndarray, "k H W 3"]
    active: Bool[np.ndarray, "k H W"]
    layer: str = ""
    cells: Int64[np.ndarray, "k 2"] | None = None

    __repr__ = short_repr


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


def top_images(
    dissection: Dissection,
    network: Any,
    source: Source,
    *,
    inputs: Inputs = image_input,
    output_image: OutputImage | None = None,
    image_key: str = "image",
    units: Mapping[str, Sequence[int]] | None = None,
    examples: Mapping[str, np.ndarray] | None = None,
    num_units: int = 12,
    num_images: int = 8,
    progress: Progress = no_progress,
) -> dict[str, list[UnitImages]]:
    """Find the top images of units of all layers, running the network on them.

    Layers are read as they were for the dissection, which knows alignments, borders, token grid
    and batch size.

    Args:
        dissection: The result of dissecting the network.
        network: The network that was dissected, a Network or an nnx.Module.
        source: The data it was dissected on; images all of one size.
        inputs, output_image: What `dissect` was given.
        image_key: Name of the image of an example, RGB in [0, 1]; not read from a network that
            makes images.
        units: Units of every layer; the best when None.
        examples: Positions of the examples to show of every unit of `units` [U, k], instead of
            those with its highest peaks.
        num_units: How many of the best units of every layer, fewer if fewer have any concept.
        num_images: Images of a unit, fewer if the dissection found fewer top images.
        progress: Called with how far the pass has come.

    Returns:
        By layer, best unit first or as `units` are ordered.

    Raises:
        ValueError: If the network is another one, activations are not those of the dissection
            (because `inputs` or `source` are others), examples have no image, or the dissection
            does not know how a layer was read.
        TypeError: If `network` is neither a Network nor an nnx.Module.
    """
    chosen = {
        name: list(units[name]) if units is not None else layer.best_units(num_units)
        for name, layer in dissection.layers.items()
    }
    names = tuple(name for name in chosen if chosen[name])
    if not names:
        return {name: [] for name in chosen}
    provenance, on_grid = known_reading(dissection, names)
    network = as_network(
        network, token_grid=provenance.token_grid, drop_tokens=provenance.drop_tokens
    )
    check_dissected(network, provenance)
    reader = LayerReader.of(
        network,
        provenance.layers,
        inputs=inputs,
        output_image=output_image,
    )
    shown = {
        name: (examples or {}).get(name, dissection[name].top_examples[chosen[name], :num_images])
        for name in names
    }
    found: dict[str, list[list[Any]]] = {
        name: [[None] * shown[name].shape[1] for _ in chosen[name]] for name in names
    }
    thresholds = {name: dissection[name].thresholds[chosen[name]] for name in names}
    units_of = {name: np.array(chosen[name], np.int32) for name in names}
    wanted = np.unique(np.concatenate([shown[name].ravel() for name in names]))
    for batch in batches(Chosen(source, wanted), provenance.batch_size):
        positions = wanted[batch["example"]].astype(np.int32)  # in the whole source, as before
        maps, made = reader.read(network.params, {**batch, "example": positions})
        images = _images_of(batch, image_key) if made is None else np.asarray(made, np.float32)
        size = images.shape[1:3]
        active, peaks, cells = _regions(maps, thresholds, units_of, layers=on_grid, size=size)
        for row, position in enumerate(batch["example"][batch["weight"]]):
            for name in names:
                for place, column in np.argwhere(shown[name] == wanted[position]):
                    if examples is None:
                        peak = float(peaks[name][row, place])
                        _check_peak(dissection[name], chosen[name][place], int(column), peak)
                    region = np.asarray(active[name][row, ..., place])
                    cell = divmod(int(cells[name][row, place]), maps[name].shape[2])
                    found[name][place][column] = images[row], region, cell
        progress("top images", int(batch["example"][-1]) + 1, len(wanted))
    return {
        name: [
            _unit_images(layer, unit, found[name][place]) for place, unit in enumerate(chosen[name])
        ]
        for name, layer in dissection.layers.items()
    }


@partial(jax.jit, static_argnames=("layers", "size"))
def _regions(
    maps: dict[str, Array],
    thresholds: dict[str, Array],
    units: dict[str, Array],
    *,
    layers: tuple[tuple[str, LayerOnGrid], ...],
    size: Shape,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Find active regions and peaks of some units of every layer, and the cells of the peaks."""
    some = {name: jnp.take(maps[name], units[name], axis=-1) for name, _ in layers}
    active = {
        name: active_regions(
            some[name], thresholds[name], size, alignment=layer.alignment, border=layer.border
        )
        for name, layer in layers
    }
    peaks = {name: peaks_and_places(some[name]) for name, _ in layers}
    return (
        active,
        {name: peak for name, (peak, _) in peaks.items()},
        {name: cell for name, (_, cell) in peaks.items()},
    )


def _images_of(batch: Mapping[str, np.ndarray], image_key: str) -> Float32[np.ndarray, "B H W 3"]:
    if image_key not in batch:
        known = ", ".join(sorted(set(batch) - {"example", "weight"}))
        raise ValueError(
            f"`source` has no {image_key!r}, give the name of its images as `image_key` (`source` "
            f"has: {known})"
        )
    return np.asarray(batch[image_key], np.float32)


def known_reading(
    dissection: Dissection, names: Sequence[str]
) -> tuple[Provenance, tuple[tuple[str, LayerOnGrid], ...]]:
    """Find how layers were read for a dissection.

    Raises:
        ValueError: If that is not known.
    """
    on_grid = []
    for name in names:
        layer = dissection[name].on_grid
        if layer is None or dissection.provenance is None:
            raise ValueError(
                f"`dissection` does not know how layer {name!r} was read: it was saved before "
                "version 0.2, or read by an alignment of your own; dissect again"
            )
        on_grid.append((name, layer))
    assert dissection.provenance is not None
    return dissection.provenance, tuple(on_grid)


def check_dissected(network: Network, provenance: Provenance) -> None:
    """Check that a network is the one that was dissected.

    Raises:
        ValueError: If its parameters are others.
    """
    if digest(network.params) != provenance.network:
        raise ValueError("`network` is not the one that was dissected: its parameters are others")


def _check_peak(layer: LayerDissection, unit: int, column: int, peak: float) -> None:
    expected = float(layer.top_values[unit, column])
    if abs(peak - expected) > PEAK_TOLERANCE * float(np.abs(layer.top_values).max()):
        raise ValueError(
            f"the peak of unit {unit} of layer {layer.name!r} in example "
            f"{layer.top_examples[unit, column]} is {peak:g}, and was {expected:g} in the "
            "dissection: `inputs` and `source` must be those of the dissection"
        )


def _unit_images(
    layer: LayerDissection,
    unit: int,
    found: Sequence[tuple[np.ndarray, np.ndarray, tuple[int, int]]],
) -> UnitImages:
    concept = layer.best_concept[unit]
    return UnitImages(
        unit,
        layer.vocabulary.names[concept],
        layer.vocabulary.categories[concept],
        float(layer.best_iou[unit]),
        bool(layer.best_iou[unit] > layer.min_iou),
        np.stack([image for image, _, _ in found]),
        np.stack([active for _, active, _ in found]),
        layer.name,
        np.array([cell for _, _, cell in found], np.int64),
    )
