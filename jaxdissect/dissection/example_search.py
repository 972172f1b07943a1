"""Find what there is to show of every unit, with one run of the network on each example.

Shapes: C concepts, U units, k top images, E edges of bins, h w cells of a layer, H W images.

Two passes take disjoint parts of the data, both with the program that the dissection read its maps
by: first a sample, evenly spread over the data, in which the values of all pixels are counted and
the units' mistakes are found; then those top images that are not among it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int64, UInt8

from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection import photos
from jaxdissect.dissection.example_counts import LabelIds, LayerColumns
from jaxdissect.dissection.example_passes import ExamplePasses, checked_mask_size
from jaxdissect.dissection.layer_examples import LayerExamples, Mistakes, UnitExamples
from jaxdissect.dissection.mistakes import MistakeState
from jaxdissect.dissection.pilot import pilot_examples
from jaxdissect.dissection.presets import (
    Preset,
    Scope,
    all_pixels,
    annotated_images,
    annotated_pixels,
)
from jaxdissect.dissection.receptive_fields import receptive_extents
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.dissection.setup import dissection_setup
from jaxdissect.dissection.unit_images import PEAK_TOLERANCE, check_dissected, known_reading
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.layer_reader import Inputs, OutputImage, image_input
from jaxdissect.networks.network import as_network
from jaxdissect.stats import int64_counter

_BINS = 32
_SCOPES = {scope.__name__: scope for scope in (all_pixels, annotated_images, annotated_pixels)}


def unit_examples(
    dissection: Dissection,
    network: Any,
    source: Source,
    labeler: Labeler,
    *,
    inputs: Inputs = image_input,
    output_image: OutputImage | None = None,
    image_key: str = "image",
    num_images: int = 16,
    num_mistakes: int = 4,
    sample: int = 512,
    units: Mapping[str, Sequence[int]] | None = None,
    mask_size: Shape | None = None,
    scope: Scope | None = None,
    photo_bytes: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> UnitExamples:
    """Find top images, patches, histogram and mistakes of all units of all layers at once.

    The network runs once on the examples of a sample and on the top images, as it did for the
    dissection, which knows alignments, borders, token grid and batch size. What is found does not
    depend on the number of devices. Masks show the very pixels of the label grid that were counted.

    Args:
        dissection: The result of dissecting the network.
        network: The network that was dissected, a Network or an nnx.Module.
        source: The data it was dissected on; images all of one size.
        labeler: What found the concepts of the pixels.
        inputs, output_image: What `dissect` was given.
        image_key: Name of the image of an example, RGB in [0, 1]; not read from a network that
            makes images.
        num_images: Top images of a unit; fewer if the dissection found fewer.
        num_mistakes: False positives, and false negatives, of a unit at most.
        sample: How many examples, evenly spread over the data, histograms and mistakes are found
            in; all if there are fewer.
        units: Units of every layer; all when None.
        mask_size: Rows and columns of masks, no more than the label grid has; None for those of
            the label grid, or 64 where it has more.
        scope: Which pixels count against a concept; None for that of the preset of the dissection.
        photo_bytes: How many bytes all photographs may have together; None for 9 MB, and 18 kB for
            each unit beyond 512. They are made smaller, and compressed more, to keep to it.
        mesh: Devices to spread batches over (see `fold`).
        progress: Called with how far each pass has come.

    Returns:
        What there is to show of every unit, the layers in the order of the dissection.

    Raises:
        ValueError: If the network is another one, activations are not those of the dissection
            (because `inputs` or `source` are others), the labeler has other concepts, a number
            makes no sense, the dissection has no layers or no top images, or it does not know how
            a layer was read.
        TypeError: If `network` is neither a Network nor an nnx.Module.
    """
    for name, value in (("num_images", num_images), ("num_mistakes", num_mistakes)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1")
    if sample < 1:
        raise ValueError(f"`sample` (={sample}) must be at least 1")
    if not dissection.layers:
        raise ValueError("`dissection` has no layers")
    if labeler.vocabulary != dissection.vocabulary:
        raise ValueError(
            f"`labeler` knows {len(labeler.vocabulary)} concepts, other than the "
            f"{len(dissection.vocabulary)} of the dissection: pass the one that it was made with"
        )
    provenance, layers = known_reading(dissection, list(dissection.layers))
    network = as_network(
        network, token_grid=provenance.token_grid, drop_tokens=provenance.drop_tokens
    )
    check_dissected(network, provenance)
    grid = layers[0][1].grid
    chosen = _chosen_units(dissection, units)
    top = {name: dissection[name].top_examples[chosen[name], :num_images] for name in chosen}
    if min(examples.size for examples in top.values()) < 1:
        raise ValueError("`dissection` has found no top images: pass `num_top_images` to `dissect`")
    if (last := max(int(examples.max()) for examples in top.values())) >= len(source):
        raise ValueError(
            f"`source` has {len(source)} examples, and the dissection has example {last} among its "
            "top images: pass the data that it was made with"
        )
    setup = dissection_setup(
        network,
        source,
        labeler,
        layers=provenance.layers,
        preset=Preset("examples", fraction=0.0, min_iou=0.0, scope=_scope(dissection, scope)),
        grid=grid,
        inputs=inputs,
        output_image=output_image,
    )
    passes = ExamplePasses(
        setup=setup,
        layers=layers,
        mask_size=checked_mask_size(mask_size, grid),
        image_key=image_key,
        batch_size=provenance.batch_size,
        mesh=mesh,
        progress=progress,
    )
    sampled = pilot_examples(len(source), min(sample, len(source)))
    lowest = passes.lowest(sampled)
    edges = {
        name: _edges(
            lowest[name][chosen[name]],
            dissection[name].thresholds[chosen[name]],
            dissection[name].top_values[chosen[name], 0],
        )
        for name in chosen
    }
    ids, columns = _columns(dissection, chosen, top, edges)
    found = passes.run(ids, columns, top, sampled, num_mistakes)
    extents = receptive_extents(
        setup.reader,
        setup.network.params,
        source,
        image_key=image_key,
        batch_size=provenance.batch_size,
    )
    results = {}
    for name, layer in dissection.layers.items():
        state = found.layers[name]
        peaks, cells, masks = map(np.asarray, state.top)
        _check_peaks(layer, chosen[name], top[name], peaks)
        shape = dict(layers)[name].shape
        places = np.stack(np.divmod(cells, shape[1]), axis=-1)
        extent = extents.get(name)
        concepts = layer.best_concept[chosen[name]].astype(np.int64)
        total = len(sampled) * grid[0] * grid[1]
        results[name] = LayerExamples(
            units=chosen[name],
            concepts=concepts,
            examples=top[name],
            peaks=peaks,
            cells=shape,
            places=places,
            masks=masks,
            boxes=None if extent is None else extent.boxes(places),
            field_size=None if extent is None else extent.size,
            edges=edges[name],
            counts=_counts(int64_counter.to_int64(state.above), total),
            false_positives=_mistakes(
                state.false_positives, columns[name], sampled, found.concept_masks
            ),
            false_negatives=_mistakes(
                state.false_negatives, columns[name], sampled, found.concept_masks
            ),
        )
    shown = _shown(results)
    most = sum(map(len, chosen.values()))
    return UnitExamples(
        results,
        sampled,
        passes.mask_size,
        found.image_size,
        photos.within_bytes(
            {position: found.photos[position] for position in shown},
            photos.default_bytes(most) if photo_bytes is None else photo_bytes,
        ),
        provenance.network,
    )


# --- before the passes ----------------------------------------------------------------------------


def _chosen_units(
    dissection: Dissection, units: Mapping[str, Sequence[int]] | None
) -> dict[str, Int64[np.ndarray, "U"]]:
    unknown = set(units or {}) - set(dissection.layers)
    if unknown:
        raise ValueError(
            f"`units` has {sorted(unknown)}; dissected were {', '.join(dissection.layers)}"
        )
    chosen = {}
    for name, layer in dissection.layers.items():
        every = np.arange(layer.num_units)
        wanted = every if units is None else np.array(units.get(name, ()), np.int64)
        if not np.isin(wanted, every).all():
            raise ValueError(f"`units` of layer {name!r} must lie in [0, {layer.num_units})")
        chosen[name] = wanted
    return chosen


def _scope(dissection: Dissection, scope: Scope | None) -> Scope:
    if scope is not None:
        return scope
    if not any(layer.scope_of.any() for layer in dissection.layers.values()):
        return all_pixels
    name = dissection.settings.get("scope")
    if name not in _SCOPES:
        raise ValueError(
            f"`dissection` counts within a scope of your own ({name!r}): pass it as `scope`"
        )
    return _SCOPES[name]


def _edges(
    lowest: Float32[np.ndarray, "U"],
    thresholds: Float32[np.ndarray, "U"],
    highest: Float32[np.ndarray, "U"],
) -> Float32[np.ndarray, "U E"]:
    """Divide the range of every unit's values evenly, with an edge at its threshold."""
    threshold = thresholds.astype(np.float64)
    low = np.minimum(lowest.astype(np.float64), threshold)
    high = np.maximum(highest.astype(np.float64), threshold)
    below = np.floor(_BINS * (threshold - low) / np.where(high > low, high - low, 1)).astype(int)
    below = np.clip(below, 1, _BINS - 1)
    # As many bins lie below the threshold as leave the others enough room above it.
    width = np.maximum((threshold - low) / below, (high - threshold) / (_BINS - below))
    smallest = np.maximum(np.abs(threshold), 1) * 1e-3  # of units whose values are all alike
    width = np.where(width > 0, width, smallest)
    # Of units whose values differ by rounding alone, edges would be equal.
    width = np.maximum(width, 4.0 * np.spacing(np.abs(thresholds)))
    steps = np.arange(_BINS + 1) - below[:, None]
    return (threshold[:, None] + width[:, None] * steps).astype(np.float32)


def _columns(
    dissection: Dissection,
    chosen: Mapping[str, np.ndarray],
    top: Mapping[str, np.ndarray],
    edges: Mapping[str, np.ndarray],
) -> tuple[LabelIds, dict[str, LayerColumns]]:
    """Say what to look at in every layer, and which labels to look for."""
    concepts = {name: dissection[name].best_concept[units] for name, units in chosen.items()}
    scopes = {name: dissection[name].scope_of[concepts[name]] for name in chosen}
    wanted_concepts, wanted_scopes = (
        np.setdiff1d(np.concatenate(list(found.values())), [0]).astype(np.int32)
        for found in (concepts, scopes)
    )

    def places(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        place = np.searchsorted(wanted, found)
        return np.where(found > 0, place, len(wanted)).astype(np.int32)

    columns = {
        name: LayerColumns(
            jnp.asarray(units, jnp.int32),
            jnp.asarray(dissection[name].thresholds[units]),
            jnp.asarray(edges[name][:, 1:-1].T),
            jnp.asarray(top[name], jnp.int32),
            jnp.asarray(places(concepts[name], wanted_concepts)),
            jnp.asarray(places(scopes[name], wanted_scopes)),
        )
        for name, units in chosen.items()
    }
    return LabelIds(jnp.asarray(wanted_concepts), jnp.asarray(wanted_scopes)), columns


# --- after the passes -----------------------------------------------------------------------------


def _check_peaks(
    layer: LayerDissection, units: np.ndarray, top: np.ndarray, peaks: np.ndarray
) -> None:
    expected = layer.top_values[units, : top.shape[1]]
    wrong = np.abs(peaks - expected) > PEAK_TOLERANCE * float(np.abs(layer.top_values).max())
    if wrong.any():
        unit, place = np.argwhere(wrong)[0]
        raise ValueError(
            f"the peak of unit {units[unit]} of layer {layer.name!r} in example "
            f"{top[unit, place]} is {peaks[unit, place]:g}, and was {expected[unit, place]:g} in "
            "the dissection: `inputs` and `source` must be those of the dissection"
        )


def _counts(above: Int64[np.ndarray, "M U"], total: int) -> Int64[np.ndarray, "U _"]:
    """Count the values between edges, from how many lie above each inner one."""
    units = above.shape[1]
    first, last = np.full((1, units), total, np.int64), np.zeros((1, units), np.int64)
    return np.ascontiguousarray(-np.diff(np.concatenate([first, above, last]), axis=0).T)


def _mistakes(
    state: MistakeState,
    columns: LayerColumns,
    sampled: Int64[np.ndarray, "n"],
    concept_masks: UInt8[np.ndarray, "n D bytes"],
) -> Mistakes:
    """Put the worst examples of a layer together with where its concepts are in them."""
    is_one = np.asarray(state.ranks) > 0
    examples = np.where(is_one, state.examples, -1).astype(np.int64)
    rows = np.searchsorted(sampled, np.where(is_one, examples, sampled[0]))
    concepts = np.asarray(columns.concepts)[:, None]
    shown = np.zeros_like(state.masks)
    if concept_masks.shape[1]:
        places = np.minimum(concepts, concept_masks.shape[1] - 1)
        shown = np.where(is_one[..., None], concept_masks[rows, places], 0).astype(np.uint8)
    return Mistakes(examples, np.asarray(state.pixels), np.asarray(state.masks), shown)


def _shown(layers: Mapping[str, LayerExamples]) -> list[int]:
    """List the positions of all examples that any unit shows."""
    every = [
        examples.ravel()
        for layer in layers.values()
        for examples in (
            layer.examples,
            layer.false_positives.examples,
            layer.false_negatives.examples,
        )
    ]
    found = np.unique(np.concatenate(every))
    return [int(position) for position in found if position >= 0]
