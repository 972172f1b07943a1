"""What is to be dissected: checked arguments, and what follows from them.

Shapes: B batch, H W label grid, K labels per pixel, C concepts including "none".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.arrays.resampling import Alignment, Shape, pixel_centers
from jaxdissect.dissection.presets import Preset, Scope
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.images import check_unit_range
from jaxdissect.engine.label_grid import LayerOnGrid
from jaxdissect.engine.labelers import Labeler
from jaxdissect.engine.layer_reader import (
    Inputs,
    LayerReader,
    OutputImage,
    as_static,
    check_inputs,
    image_input,
)
from jaxdissect.networks.adapters.recorder import as_layers
from jaxdissect.networks.network import Network, as_network
from jaxdissect.stats import agreement


class LabelRows(NamedTuple):
    """The rows that agreement is counted in: concepts, then scopes of categories.

    Attributes:
        number: How many rows.
        num_scopes: Scopes of categories, each with a channel of the labels; 0 without them.
        scope_of: For every concept the row of its scope; row 0 is all pixels.
    """

    number: int
    num_scopes: int
    scope_of: Int[np.ndarray, "C"]

    @property
    def label_type(self) -> type[np.signedinteger]:
        """Smallest type that holds all of them."""
        return np.int16 if self.number <= np.iinfo(np.int16).max else np.int32


class Labelling(NamedTuple):
    """How images are labelled; a static argument of jitted functions.

    Attributes:
        label: Finds the concepts of pixels, see `Labeler`.
        grid: Height and width of the label grid.
        scope: Which pixels count against a concept.
        category_of: For every concept the place of its category.
        num_categories: How many categories there are.
    """

    label: Callable[[PyTree, Mapping[str, Array], Shape], Array]
    grid: Shape
    scope: Scope
    category_of: tuple[int, ...]
    num_categories: int

    def find(self, params: PyTree, batch: Mapping[str, Array]) -> Int[Array, "B H W K"]:
        """Find ids of concepts, 0 for none."""
        return self.label(params, batch, self.grid)

    def with_scopes(self, labels: Int[Array, "B H W K"]) -> Int[Array, "B H W _"]:
        """Add ids of scopes to ids of concepts, none twice in a pixel."""
        category_of = np.array(self.category_of)
        scope = self.scope(labels, category_of, self.num_categories)
        return jnp.concatenate([agreement.without_repeats(labels), scope], axis=-1)


@dataclass(frozen=True, kw_only=True)
class DissectionSetup:
    """What is to be dissected; built and checked by `dissection_setup`.

    Attributes:
        network: The network.
        source: The examples.
        labeler: Finds the concepts of the pixels.
        preset: Convention for thresholds and scores.
        reader: Reads the layers, for every pass.
        layers: How each layer is read on the label grid.
        labelling: How the images are labelled.
        rows: The rows that agreement is counted in.
        label_shape: Shape [H, W, K] of the labels of one example, with their scopes.
        labeled_images: Names of arrays of the source that the labeler takes as RGB in [0, 1].
    """

    network: Network
    source: Source
    labeler: Labeler
    preset: Preset
    reader: LayerReader
    layers: dict[str, LayerOnGrid]
    labelling: Labelling
    rows: LabelRows
    label_shape: tuple[int, ...]
    labeled_images: tuple[str, ...]

    __repr__ = short_repr

    @property
    def grid(self) -> Shape:
        """Height and width of the label grid."""
        return self.labelling.grid

    @property
    def num_pixels(self) -> int:
        """Pixels of the label grid in the whole data set."""
        return len(self.source) * self.grid[0] * self.grid[1]


def dissection_setup(
    model: Any,
    source: Source,
    labeler: Labeler,
    *,
    layers: str | Sequence[str],
    preset: Preset,
    grid: Shape,
    inputs: Inputs = image_input,
    alignments: Mapping[str, Alignment] | None = None,
    token_grid: Sequence[int] | None = None,
    drop_tokens: int | Sequence[int] | None = None,
    output_image: OutputImage | None = None,
) -> DissectionSetup:
    """Check what is to be dissected; for the arguments and errors see `dissect`."""
    network = as_network(model, token_grid=token_grid, drop_tokens=drop_tokens)
    grid = (int(grid[0]), int(grid[1]))  # hashable, also where the caller gave a list
    layers = as_layers(layers)
    if not layers:
        raise ValueError("`layers` must name at least one layer")
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    reader = LayerReader.of(
        network,
        layers,
        inputs=inputs,
        output_image=output_image,
    )
    example = read_block(source, 0, 1)
    check_inputs(network, reader, example)
    unknown = set(alignments or {}) - set(layers)
    if unknown:
        raise ValueError(f"`alignments` has {sorted(unknown)}, which are not among `layers`")
    found = reader.shapes(network.params, example)
    vocabulary = labeler.vocabulary
    categories = vocabulary.category_names
    category_of = [0, *(categories.index(category) for category in vocabulary.categories[1:])]
    labelling = Labelling(
        as_static(labeler.label),
        grid,
        as_static(preset.scope),
        tuple(category_of),
        len(categories),
    )
    labeled_images = () if output_image is not None else labeler.images
    check_unit_range(example, [name for name in labeled_images if name in example])
    seen = example if found.image is None else {**example, "image": found.image}
    labels = jax.eval_shape(labelling.find, labeler.params, seen)
    with_scopes = jax.eval_shape(labelling.with_scopes, labels)
    # Without scope labels every concept is compared within row 0, all pixels.
    scoped = labels.shape != with_scopes.shape
    num_scopes = len(categories) if scoped else 0
    scope_of = len(vocabulary) + np.array(category_of) if scoped else 0 * np.array(category_of)
    return DissectionSetup(
        network=network,
        source=source,
        labeler=labeler,
        preset=preset,
        reader=reader,
        layers={
            name: LayerOnGrid(
                grid,
                (found.maps[name].shape[1], found.maps[name].shape[2]),
                found.maps[name].shape[3],
                as_static((alignments or {}).get(name, pixel_centers)),
                as_static(preset.border),
            )
            for name in layers
        },
        labelling=labelling,
        rows=LabelRows(len(vocabulary) + num_scopes, num_scopes, scope_of),
        label_shape=with_scopes.shape[1:],
        labeled_images=labeled_images,
    )


class FoundLabels(NamedTuple):
    """Labels of a batch.

    Attributes:
        labels: Ids of concepts and scopes [B, H, W, K].
        lowest, highest: Least and greatest id of a concept in every example [B].
    """

    labels: Array
    lowest: Array
    highest: Array


@partial(jax.jit, static_argnums=0)
def find_labels(labelling: Labelling, params: PyTree, batch: Mapping[str, Array]) -> FoundLabels:
    """Label a batch; a program of its own, shared by all dissections that label alike."""
    with jax.named_scope("label"):
        labels = labelling.find(params, batch)
        wide = labelling.with_scopes(labels)
    return FoundLabels(wide, labels.min(axis=(1, 2, 3)), labels.max(axis=(1, 2, 3)))
