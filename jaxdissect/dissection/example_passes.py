"""The passes that look at examples to show of units.

Shapes: B batch, U units, D concepts, n examples of a sample, h w cells of a layer, H W images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int64, UInt8

from jaxdissect.arrays import bit_masks
from jaxdissect.arrays.resampling import Shape
from jaxdissect.dissection import example_counts, photos
from jaxdissect.dissection.example_counts import LabelIds, LayerColumns, LayerState
from jaxdissect.dissection.layer_counts import Layers
from jaxdissect.dissection.pilot import Chosen, pilot_examples
from jaxdissect.dissection.setup import DissectionSetup, find_labels
from jaxdissect.engine import device_states
from jaxdissect.engine.batching import Batch, batches
from jaxdissect.engine.folding import Progress, fold, map_batches
from jaxdissect.engine.image_bytes import OF_FILES, Bytes
from jaxdissect.engine.processes import replicated

_LARGEST_MASK = 64  # rows and columns
_RANGE_EXAMPLES = 16  # that say about where the lowest values are


class PassesFound(NamedTuple):
    """What both passes have found; on the host."""

    layers: dict[str, LayerState]
    concept_masks: UInt8[np.ndarray, "n D bytes"]
    photos: dict[int, bytes]
    image_size: Shape


@dataclass(frozen=True, kw_only=True)
class ExamplePasses:
    """How the passes run.

    Attributes:
        setup: What reads the layers, and the labels.
        layers: How the layers are read on the label grid.
        mask_size: Rows and columns of masks.
        image_key: Name of the image of an example.
        batch_size: Images in a forward pass.
        mesh: Devices.
        progress: Called with how far each pass has come.
    """

    setup: DissectionSetup
    layers: Layers
    mask_size: Shape
    image_key: str
    batch_size: int
    mesh: jax.sharding.Mesh | None
    progress: Progress

    def lowest(self, sampled: Int64[np.ndarray, "n"]) -> dict[str, Float32[np.ndarray, "U"]]:
        """Find the lowest value of every unit in a few of the sampled examples."""
        setup = self.setup
        few = sampled[pilot_examples(len(sampled), min(_RANGE_EXAMPLES, len(sampled)))]
        params = replicated(setup.network.params, self.mesh)
        table = jnp.asarray(few, jnp.int32)
        kept = {
            name: np.zeros((len(few), layer.num_units), np.float32) for name, layer in self.layers
        }

        def step(batch: dict[str, Any]) -> dict[str, Array]:
            maps = setup.reader.read(params, _in_source(batch, table)).maps
            return _lowest({name: maps[name] for name, _ in self.layers})

        def receive(batch: Batch, found: dict[str, Array]) -> None:
            for name, values in found.items():
                kept[name][batch["example"][batch["weight"]]] = np.asarray(values)[batch["weight"]]

        map_batches(
            step,
            Chosen(setup.source, few),
            batch_size=self.batch_size,
            kept=kept,
            receive=receive,
            mesh=self.mesh,
            description="range of activations",
            progress=self.progress,
        )
        return {name: values.min(axis=0) for name, values in kept.items()}

    def run(
        self,
        ids: LabelIds,
        columns: dict[str, LayerColumns],
        top: Mapping[str, np.ndarray],
        sampled: Int64[np.ndarray, "n"],
        num_mistakes: int,
    ) -> PassesFound:
        """Take both passes."""
        nothing = {
            name: example_counts.init(
                columns[name], num_mistakes=num_mistakes, mask_size=self.mask_size
            )
            for name, _ in self.layers
        }
        columns, ids = replicated((columns, ids), self.mesh)
        states = device_states.spread(nothing, nothing, self.mesh)
        mask_bytes = bit_masks.num_bytes(self.mask_size)
        concept_masks = np.zeros((len(sampled), len(ids.concepts), mask_bytes), np.uint8)
        taken = Photographs(self.image_key)
        everywhere = np.unique(np.concatenate([examples.ravel() for examples in top.values()]))
        others = np.setdiff1d(everywhere, sampled)
        for examples, labelled in ((sampled, True), (others, False)):
            if not len(examples):
                continue
            states = self._pass(
                states, columns, ids, examples, taken, concept_masks if labelled else None
            )
        merged = device_states.collapse(states, _merge, self.mesh)
        taken.add_missing(self, np.union1d(everywhere, sampled))
        assert taken.image_size is not None
        return PassesFound(merged, concept_masks, taken.photos, taken.image_size)

    def _pass(
        self,
        states: dict[str, LayerState],
        columns: dict[str, LayerColumns],
        ids: LabelIds,
        examples: Int64[np.ndarray, "n"],
        taken: "Photographs",
        concept_masks: np.ndarray | None,
    ) -> dict[str, LayerState]:
        """Look at some examples, with their labels where `concept_masks` are to be filled."""
        setup = self.setup
        params = replicated((setup.network.params, setup.labeler.params), self.mesh)
        table = jnp.asarray(examples, jnp.int32)
        grid = setup.grid
        pixels = None if self.mask_size == grid else _mask_pixels(self.mask_size, grid)

        def step(states: dict[str, LayerState], batch: dict[str, Any]) -> Any:
            batch = _in_source(batch, table)
            maps, image = setup.reader.read(params[0], batch)
            labels = None
            if concept_masks is not None:
                seen = batch if image is None else {**batch, "image": image}
                labels = find_labels(setup.labelling, params[1], seen).labels
            states, bits = example_counts.update(
                states,
                columns,
                ids,
                {name: maps[name] for name, _ in self.layers},
                labels,
                batch["example"],
                batch["weight"],
                layers=self.layers,
                mask_pixels=pixels,
                mesh=self.mesh,
            )
            return states, (image, bits)

        def receive(batch: Batch, output: Any) -> None:
            image, bits = output
            rows = np.flatnonzero(batch["weight"])
            if bits is not None and concept_masks is not None:
                concept_masks[batch["example"][rows]] = np.asarray(bits)[rows]
            made = None if image is None else np.asarray(image)
            taken.take(batch, made, examples[batch["example"]])

        return fold(
            step,
            states,
            Chosen(setup.source, examples),
            batch_size=self.batch_size,
            kept={} if concept_masks is None else {"concepts": concept_masks},
            receive=receive,
            mesh=self.mesh,
            description="top images" if concept_masks is None else "examples of units",
            progress=self.progress,
        )


class Photographs:
    """The photographs of examples, taken as they pass."""

    def __init__(self, image_key: str) -> None:
        self.photos: dict[int, bytes] = {}
        self.image_size: Shape | None = None
        self._image_key = image_key

    def take(self, batch: Batch, made: np.ndarray | None, positions: np.ndarray) -> None:
        """Take those of a batch whose weight counts.

        Args:
            batch: A batch.
            made: Images that the network made; None to take those of the batch.
            positions: Of the examples in the whole source.
        """
        if made is None and self._image_key not in batch:
            found = ", ".join(map(repr, sorted(set(batch) - {"example", "weight"})))
            raise ValueError(
                f"`image_key` (={self._image_key!r}) is no array of `source`, which has: {found}"
            )
        images = batch[self._image_key] if made is None else made
        if isinstance(images, Bytes):
            images = images.values if images.table is OF_FILES else np.asarray(images)
        for row in np.flatnonzero(batch["weight"]):
            image = np.asarray(images[row])
            self.image_size = (image.shape[0], image.shape[1])
            self.photos[int(positions[row])] = photos.photo_of(image)

    def add_missing(self, passes: "ExamplePasses", positions: np.ndarray) -> None:
        """Take those that passed in other processes."""
        missing = np.array([at for at in positions if int(at) not in self.photos], np.int64)
        if not len(missing):
            return
        reader, params = passes.setup.reader, passes.setup.network.params
        for batch in batches(Chosen(passes.setup.source, missing), passes.batch_size):
            made = None
            if reader.output_image is not None:
                made = np.asarray(reader.read(params, _in_source(batch, missing)).image)
            self.take(batch, made, missing[batch["example"]])


def _in_source(batch: dict[str, Any], table: Any) -> dict[str, Any]:
    """Give examples their positions in the whole source, as the dissection did."""
    return {**batch, "example": _looked_up(table, batch["example"])}


@jax.jit
def _looked_up(table: Array, places: Array) -> Array:
    return table[places].astype(jnp.int32)


@jax.jit
def _lowest(maps: dict[str, Array]) -> dict[str, Array]:
    return {name: values.min(axis=(1, 2)).astype(jnp.float32) for name, values in maps.items()}


def _merge(a: dict[str, LayerState], b: dict[str, LayerState]) -> dict[str, LayerState]:
    return {name: example_counts.merge(state, b[name]) for name, state in a.items()}


def checked_mask_size(mask_size: Shape | None, grid: Shape) -> Shape:
    """Choose how large masks are.

    Raises:
        ValueError: If `mask_size` is larger than the label grid, or empty.
    """
    if mask_size is None:
        return min(grid[0], _LARGEST_MASK), min(grid[1], _LARGEST_MASK)
    rows, columns = (int(number) for number in mask_size)
    if not (1 <= rows <= grid[0] and 1 <= columns <= grid[1]):
        raise ValueError(
            f"`mask_size` (={(rows, columns)}) must be rows and columns of at most the label grid, "
            f"{grid}"
        )
    return rows, columns


def _mask_pixels(mask_size: Shape, grid: Shape) -> tuple[int, ...]:
    """Choose the pixels of the label grid in which the centres of a mask's pixels lie."""
    rows, columns = (
        ((np.arange(few) + 0.5) * many / few).astype(int)
        for few, many in zip(mask_size, grid, strict=True)
    )
    return tuple(map(int, (rows[:, None] * grid[1] + columns[None]).ravel()))
