"""What is to be dissected: checked arguments, and the functions to trace that follow from them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.arrays.resampling import Alignment, Shape, pixel_centers
from jaxdissect.dissection.presets import Preset
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.folding import Progress, silent
from jaxdissect.engine.label_grid import Reading
from jaxdissect.engine.labelers import Labeler
from jaxdissect.networks.network import as_maps, as_network, layer_shapes
from jaxdissect.stats import agreement

OutputImage = Callable[[Array], Array]
"""Makes RGB in [0, 1] of what a generator gives."""


class FoldOptions(NamedTuple):
    """How to pass over the data."""

    batch_size: int
    mesh: jax.sharding.Mesh | None = None
    progress: Progress = silent

    def with_network(self) -> dict[str, Any]:
        """Options of `fold` for passes that run the network."""
        return self._asdict()

    def without_network(self) -> dict[str, Any]:
        """Options for other passes: steps need less memory per example, and gain from fewer."""
        return self._replace(batch_size=4 * self.batch_size)._asdict()


def image_input(batch: Mapping[str, Array]) -> Array:
    """The network's input is ``batch["image"]`` as it is."""
    return batch["image"]


class Task:
    """What is to be dissected; for the arguments and errors see `dissect`.

    Attributes:
        readings: How each layer is read on the label grid.
        num_pixels: Pixels of the label grid in the whole data set.
        num_scopes: Scopes of categories, each with a channel of the labels; 0 without them.
        num_rows: Rows that agreement is counted in: concepts, then scopes of categories.
        scope_of: For every concept the row of its scope; row 0 is all pixels.
        label_shape: Shape [H, W, K] of the labels of one example.
    """

    def __init__(
        self,
        model: Any,
        source: Source,
        labeler: Labeler,
        layers: Sequence[str],
        preset: Preset,
        grid: Shape,
        inputs: Callable[[Mapping[str, Array]], Array],
        alignments: Mapping[str, Alignment] | None,
        token_grid: Shape | None,
        output_image: OutputImage | None = None,
    ) -> None:
        self.network, self.output_image = as_network(model), output_image
        grid = (int(grid[0]), int(grid[1]))  # hashable, also where the caller gave a list
        self.source, self.labeler, self.preset, self.grid = source, labeler, preset, grid
        self.inputs, self.token_grid = inputs, token_grid
        if not layers:
            raise ValueError("`layers` must name at least one layer")
        if len(source) < 1:
            raise ValueError("`source` has no examples")
        self.num_pixels = len(source) * grid[0] * grid[1]
        example = read_block(source, 0, 1)
        struct = jax.eval_shape(inputs, example)
        if not jnp.issubdtype(struct.dtype, jnp.floating):
            raise ValueError(
                f"`source` gives the network {struct.dtype} inputs; give images as floats in "
                "[0, 1], or pass `inputs`, which converts a batch"
            )
        layer_shapes(self.network, struct, tuple(layers))
        maps = jax.eval_shape(
            lambda params, batch: self.maps(params, batch, tuple(layers)),
            self.network.params,
            example,
        )
        unknown = set(alignments or {}) - set(layers)
        if unknown:
            raise ValueError(f"`alignments` has {sorted(unknown)}, which are not among `layers`")
        self.readings = {
            name: Reading(
                grid,
                maps[name].shape[1:3],
                maps[name].shape[3],
                (alignments or {}).get(name, pixel_centers),
                preset.border,
            )
            for name in layers
        }
        vocabulary = labeler.vocabulary
        categories = vocabulary.category_names
        self.category_of = np.array(
            [0, *(categories.index(category) for category in vocabulary.categories[1:])]
        )
        self.num_categories = len(categories)
        found = jax.eval_shape(
            lambda params, own, batch: self.observe(params, own, batch, tuple(layers))[1],
            self.network.params,
            labeler.params,
            example,
        )
        labels = jax.eval_shape(self.with_scopes, found)
        # Without scope labels every concept is compared within row 0, all pixels.
        scoped = found.shape != labels.shape
        self.num_scopes = self.num_categories if scoped else 0
        self.num_rows = len(vocabulary) + self.num_scopes
        self.scope_of = len(vocabulary) + self.category_of if scoped else 0 * self.category_of
        self.label_shape = labels.shape[1:]

    def maps(
        self, params: Any, batch: Mapping[str, Array], layers: tuple[str, ...]
    ) -> dict[str, Array]:
        """Fresh maps [B, h, w, U] of layers, in one forward pass."""
        activations = self.network.activations(params, self.inputs(batch), layers=layers)
        return self._laid_out(activations, layers)

    def _laid_out(
        self, activations: Mapping[str, Array], layers: tuple[str, ...]
    ) -> dict[str, Array]:
        return {name: as_maps(activations[name], token_grid=self.token_grid) for name in layers}

    def observe(
        self,
        params: Any,
        labeler_params: Any,
        batch: Mapping[str, Array],
        layers: tuple[str, ...],
    ) -> tuple[dict[str, Array], Array]:
        """Maps of layers, and labels of the images: of what the network gives, if it makes them."""
        if self.output_image is None:
            maps = self.maps(params, batch, layers)
        else:
            output, activations = self.network.apply(params, self.inputs(batch), layers=layers)
            maps = self._laid_out(activations, layers)
            batch = {**batch, "image": self.output_image(output)}
        return maps, self.labeler.label(labeler_params, batch, self.grid)

    def with_scopes(self, labels: Array) -> Array:
        """Ids of concepts and scopes [B, H, W, K], none twice in a pixel."""
        scope = self.preset.scope(labels, self.category_of, self.num_categories)
        return jnp.concatenate([agreement.without_repeats(labels), scope], axis=-1)
