"""Which units are sensitive to shapes, which to textures: where are they active in another style?

Shapes: B batch, h w cells of a layer, H W label grid, U units.

Every layout is shown twice, in its own style and in another (see `jaxdissect.engine.data.pairs`).
A shape-sensitive unit is active at the same places in both images; a texture-sensitive one is not.

Method (Bau et al. 2020 and its code): each condition has thresholds of its own, exceeded on at most
1% of the pixels of all its images, so that lower activations on stylised images alone do not make a
unit texture-sensitive. The IoU of a unit's two regions, over all pixels of all pairs, measures how
far they agree. Both conditions are dissected with the same labels, those of the originals: shapes
have not moved, while materials and colors are those that the image had before.

The published code compares activations at a layer's own resolution with thresholds of resampled
ones; here thresholds and regions come from the same pixels of the label grid. It also assumes that
every unit is active on 1% of the pixels, which holds only for units without ties; see
`region_overlap.reference_score`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int64, PyTree

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Alignment, Shape
from jaxdissect.dissection.presets import PNAS2020, Preset
from jaxdissect.dissection.result import Dissection, LayerDissection, Provenance
from jaxdissect.dissection.run import DissectionRun, run_dissection
from jaxdissect.dissection.setup import dissection_setup
from jaxdissect.engine.batching import Source
from jaxdissect.engine.data.pairs import STYLISED
from jaxdissect.engine.identity import content
from jaxdissect.engine.label_grid import LayerOnGrid, fold_examples
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.layer_reader import Inputs, image_input
from jaxdissect.engine.memory_plan import memory_budget as default_budget
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.progress import Progress, no_progress
from jaxdissect.engine.resume import FoldOptions, fold_resumably
from jaxdissect.stats import quantile, region_overlap

MIN_STYLE_IOU = 0.1
"""IoU of the two regions above which a unit is shape-sensitive, as in the paper's code."""

Thresholds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class LayerStyle:
    """How the units of one layer respond when the style changes.

    Attributes:
        original, stylised: The dissection of the layer under each condition, by the same labels.
        pixels: Pixels of the label grid on which units are active under both, and under each.
        min_style_iou: IoU of the two regions above which a unit is shape-sensitive.
    """

    original: LayerDissection
    stylised: LayerDissection
    pixels: region_overlap.OverlapCounts
    min_style_iou: float = MIN_STYLE_IOU

    __repr__ = short_repr

    @property
    def name(self) -> str:
        """The layer."""
        return self.original.name

    @cached_property
    def iou(self) -> Float[np.ndarray, "U"]:
        """IoU of the two regions of each unit, in [0, 1]."""
        return region_overlap.iou(self.pixels)

    @property
    def is_interpretable(self) -> Bool[np.ndarray, "U"]:
        """Whether each unit has a concept: whether it is a detector on originals."""
        return np.isin(np.arange(self.original.num_units), self.original.detectors())

    @property
    def ranking(self) -> Int64[np.ndarray, "_"]:
        """Interpretable units, those whose regions agree best first."""
        order = np.argsort(-self.iou, kind="stable")
        return order[self.is_interpretable[order]]

    @property
    def shape_sensitive(self) -> Int64[np.ndarray, "_"]:
        """Interpretable units whose regions agree better than `min_style_iou`, best first."""
        return self.ranking[self.iou[self.ranking] > self.min_style_iou]

    @property
    def texture_sensitive(self) -> Int64[np.ndarray, "_"]:
        """All other interpretable units, those that agree least first."""
        return self.ranking[self.iou[self.ranking] <= self.min_style_iou][::-1]

    @property
    def concept_iou(self) -> Float[np.ndarray, "2 U"]:
        """IoU with the best concept of each unit on originals: there, and on stylised images."""
        concepts, units = self.original.best_concept, np.arange(self.original.num_units)
        return np.stack([self.original.iou[concepts, units], self.stylised.iou[concepts, units]])


@dataclass(frozen=True)
class StyleStudy:
    """How the units of several layers respond when the style changes.

    Attributes:
        layers: Results by layer, in the order in which they were requested.
        vocabulary: The concepts.
        settings: The settings of the study, as JSON values.
        provenance: What the activations came from.
    """

    layers: Mapping[str, LayerStyle]
    vocabulary: Vocabulary
    settings: Mapping[str, Any]
    provenance: Provenance | None = None

    __repr__ = short_repr

    @property
    def originals(self) -> Dissection:
        """The dissection on original images."""
        layers = {name: layer.original for name, layer in self.layers.items()}
        return Dissection(layers, self.vocabulary, self.settings, self.provenance)

    @property
    def stylised(self) -> Dissection:
        """The dissection on stylised images, by the labels of the originals."""
        layers = {name: layer.stylised for name, layer in self.layers.items()}
        return Dissection(layers, self.vocabulary, self.settings, self.provenance)


def study_style(
    model: Any,
    source: Source,
    labeler: Labeler,
    *,
    layers: str | Sequence[str],
    min_style_iou: float = MIN_STYLE_IOU,
    preset: Preset = PNAS2020,
    grid: Shape = (56, 56),
    inputs: Inputs = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
    thresholds: tuple[Thresholds, Thresholds] | None = None,
    num_top_images: int = 10,
    batch_size: int = 8,
    memory_budget: int | None = None,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> StyleStudy:
    """Compare where units are active in original and stylised images.

    Args:
        model: A Network or an nnx.Module.
        source: Pairs, such as `Paired`: what `dissect` takes, with the stylised image under
            "stylised".
        labeler: Finds the concepts of the originals, such as `annotated` or `segmented`.
        layers: Names of layers, all studied at once.
        min_style_iou: IoU of the two regions above which a unit is shape-sensitive, in [0, 1].
        preset: Convention for thresholds and scores.
        grid: Height and width of the label grid.
        inputs: Makes the network's input from a batch. For the stylised images it is given the same
            batch with these as its "image".
        alignments: Where the label grid reads each layer; pixel centers when None.
        token_grid, drop_tokens: How token layers [B, T, U] are read, if this does not follow from
            the image (see `dissect`).
        thresholds: Given thresholds [U] for every layer, of the originals and of the stylised
            images, instead of those of these images.
        num_top_images: Number of images with the highest peaks to find for each unit.
        batch_size: Images in a forward pass.
        memory_budget: Bytes of activations and labels that may be kept of both conditions together
            in device memory; None for half of what is free there, 2 GiB on CPU.
        checkpoints: Folder from which an interrupted study resumes, with the same result; None
            keeps none. With it nothing is kept in device memory.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Is called with how far each pass has come.

    Returns:
        Both dissections, and exact counts of shared pixels, of every layer.

    Raises:
        ValueError: If `min_style_iou` is out of range, examples have no stylised image of the same
            size, `checkpoints` holds another computation or is damaged, or an argument does not fit
            a dissection.
        TypeError: If `model` is neither a Network nor an nnx.Module.
    """
    if not 0 <= min_style_iou <= 1:
        raise ValueError(f"`min_style_iou` (={min_style_iou}) must lie in [0, 1]")
    if len(source):
        _check_pair(source[0])

    options = FoldOptions(batch_size, mesh, progress, checkpoints, save_every)
    budget = default_budget(mesh) if memory_budget is None else memory_budget
    steps: dict[str, Any] = {"num_top_images": num_top_images, "memory_budget": budget // 2}
    given = thresholds or (None, None)
    shared: dict[str, Any] = {
        "layers": layers,
        "preset": preset,
        "grid": grid,
        "alignments": alignments,
        "token_grid": token_grid,
        "drop_tokens": drop_tokens,
    }
    setup = dissection_setup(model, source, labeler, inputs=inputs, **shared)
    first = run_dissection(setup, options.within("originals"), thresholds=given[0], **steps)
    # The labeler finds the originals for the stylised images too, unless their labels are kept.
    other = dissection_setup(
        setup.network, source, labeler, inputs=stylised_input(inputs), **shared
    )
    second = run_dissection(
        other,
        options.within("stylised"),
        thresholds=given[1],
        labels=[batch.labels for batch in first.passes.kept if batch.labels is not None],
        **steps,
    )
    counts = _count_pairs(first, second, options)
    results = {
        name: LayerStyle(layer, second.dissection[name], counts[name], min_style_iou)
        for name, layer in first.dissection.layers.items()
    }
    settings = {**first.dissection.settings, "min_style_iou": float(min_style_iou)}
    provenance = first.dissection.provenance
    return StyleStudy(results, labeler.vocabulary, settings, provenance)


@dataclass(frozen=True)
class _StylisedInput:
    inputs: Inputs

    def __call__(self, batch: Mapping[str, Array]) -> Array:
        return self.inputs({**batch, "image": batch[STYLISED]})


def stylised_input(inputs: Inputs = image_input) -> Inputs:
    """Make the network's input of the stylised image of each pair."""
    return _StylisedInput(inputs)


def _check_pair(example: Mapping[str, Any]) -> None:
    sizes = [np.shape(example[key]) if key in example else None for key in ("image", STYLISED)]
    if None in sizes or sizes[0] != sizes[1]:
        raise ValueError(
            f"`source` must give pairs of equal shape, but 'image' has {sizes[0]} and "
            f"{STYLISED!r} {sizes[1]}"
        )


# --- the last pass --------------------------------------------------------------------------------


def _count_pairs(
    first: DissectionRun, second: DissectionRun, options: FoldOptions
) -> dict[str, region_overlap.OverlapCounts]:
    """Count shared pixels of all layers in one pass."""
    conditions, plan = (first, second), first.passes.plan
    assert plan == second.passes.plan  # same layers, same number of examples, same budget
    setup = first.setup
    layers = tuple(setup.layers.items())
    thresholds = tuple(
        {name: jnp.asarray(condition.dissection[name].thresholds) for name, _ in layers}
        for condition in conditions
    )
    on_devices = replicated(thresholds, options.mesh)
    count = partial(_count, layers=layers, kept=plan.kept)
    nothing = {name: region_overlap.init(layer.num_units) for name, layer in layers}
    kept = [condition.passes.kept for condition in conditions]
    if not plan.again:
        state = replicated(nothing, options.mesh)
        for original, stylised in zip(*kept, strict=True):
            state = count(state, (original.maps, stylised.maps), on_devices, original.weight)
        return {name: region_overlap.finalize(state[name]) for name, _ in layers}
    before = zip(*kept, strict=True)

    def step(params: PyTree, thresholds: Any, state: Any, batch: dict[str, Any]) -> Any:
        fresh = [condition.setup.reader.read(params, batch).maps for condition in conditions]
        here = next(before, None)
        if here is not None:
            fresh = [maps | own.maps for maps, own in zip(fresh, here, strict=True)]
        return count(state, tuple(fresh), thresholds, batch["weight"]), None

    state = fold_resumably(
        partial(step, replicated(setup.network.params, options.mesh), on_devices),
        nothing,
        setup.source,
        plain_step=partial(step, setup.network.params, thresholds),
        settings=lambda: {"network (weights)": content(setup.network.params)},
        kept={},
        description="agreement of both styles",
        forward_passes=2,
        **options.of("pairs"),
    )
    return {name: region_overlap.finalize(state[name]) for name, _ in layers}


@partial(jax.jit, static_argnames=("layers", "kept"), donate_argnums=0)
def _count(
    state: dict[str, region_overlap.OverlapState],
    maps: tuple[dict[str, Array], ...],
    thresholds: tuple[dict[str, Array], ...],
    weight: Array,
    *,
    layers: tuple[tuple[str, LayerOnGrid], ...],
    kept: tuple[str, ...],
) -> dict[str, region_overlap.OverlapState]:
    """Count the pixels of a batch on which units are active under both conditions."""
    counted = {}
    for name, layer in layers:

        def update(
            state: region_overlap.OverlapState,
            original: Array,
            stylised: Array,
            weight: Array,
            name: str = name,
            layer: LayerOnGrid = layer,
        ) -> region_overlap.OverlapState:
            pixels = layer.kept_on_grid if name in kept else layer.on_grid
            active, other = (
                quantile.exceeds(
                    pixels(maps).reshape(-1, layer.num_units), thresholds[place][name][None]
                )
                for place, maps in enumerate((original, stylised))
            )
            weight = jnp.repeat(weight.reshape(-1), active.shape[0] // weight.size)
            return region_overlap.update(state, active, other, weight)

        both = (maps[0][name], maps[1][name])
        counted[name] = fold_examples(update, state[name], *both, weight)
    return counted
