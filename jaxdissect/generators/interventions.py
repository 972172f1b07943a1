"""What all measurements of interventions in a generator share: many edits of one layer, each image
looked at.

Shapes: B batch, Z latent, H W label grid, K labels per pixel, C concepts including "none",
M interventions, n examples.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float32, Int, Int32, PyTree

from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.engine.labelers import at_pixel_centers
from jaxdissect.generators.images import (
    ToPixels,
    concept_areas,
    generate,
    image_and_map_shapes,
)
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.jaxpr.partial_eval import split
from jaxdissect.networks.network import as_network
from jaxdissect.networks.segmenters.segmenter import Segmenter


class Interventions:
    """A generator, and the layer of it to intervene in.

    Args:
        model: A Network or an nnx.Module from latents [B, Z] to images [B, height, width, 3].
        source: Examples with a ``latent`` [Z].
        layer: Where to intervene, a layer that gives [B, h, w, U].
        to_pixels: Makes RGB in [0, 1] of what the generator gives.
        chunk_size: At most so many interventions run together.

    Attributes:
        cells: Height and width of the layer.
        num_units: Units of the layer, U.
        image_size: Height and width of the images.

    Raises:
        ValueError: if there are no examples or one has no latent, the layer does not exist or is
            not of that shape, the network gives no images, or `chunk_size` is not positive.
        TypeError: if `model` is neither a Network nor an nnx.Module.
    """

    def __init__(
        self, model: Any, source: Source, layer: str, to_pixels: ToPixels, chunk_size: int
    ) -> None:
        self.network, self.layer = as_network(model), layer
        self.source, self.to_pixels, self.chunk_size = source, to_pixels, chunk_size
        if chunk_size < 1:
            raise ValueError(f"`chunk_size` (={chunk_size}) must be at least 1")
        check_latents(source)
        images, maps = image_and_map_shapes(
            self.network, self.network.params, read_block(source, 0, 1)["latent"], layer
        )
        if len(images) != 4 or images[3] != 3:
            raise ValueError(f"`network` must give images [B, height, width, 3], it gives {images}")
        self.cells: Shape = (maps[1], maps[2])
        self.num_units = maps[3]
        self.image_size: Shape = (images[1], images[2])

    def observe_each(
        self,
        params: PyTree,
        latents: Array,
        edit_of: Callable[[Any], Edit],
        interventions: Array,
        observe: Callable[[Array], PyTree],
    ) -> PyTree:
        """Make images under every intervention; what comes before the layer runs once.

        Every chunk is one and the same program, so that an intervention which changes nothing has
        the very image of another one that changes nothing.

        Args:
            params: Parameters of the generator.
            latents: A batch of inputs [B, Z].
            edit_of: Makes the edit of one intervention.
            interventions: What `edit_of` takes, along a leading axis M.
            observe: What to tell about images, RGB in [0, 1].

        Returns:
            What `observe` tells, for each intervention.
        """

        def after_edit(intervention: Any) -> Any:
            edits = {self.layer: edit_of(intervention)}
            with jax.named_scope("generate"):
                images = generate(self.network, params, latents, edits, to_pixels=self.to_pixels)
            return observe(images)

        number = len(interventions)
        num_chunks = -(-number // self.chunk_size)
        size = -(-number // num_chunks)
        # The last chunk is filled up with copies.
        filled = np.minimum(np.arange(num_chunks * size), number - 1).reshape(num_chunks, size)
        after = split(after_edit, interventions[0])  # all up to the layer runs here, once
        observed = lax.map(jax.vmap(after), interventions[filled])
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], observed)


class Generation(Interventions):
    """A generator, the layer of it to intervene in, and the segmenter that looks at its images.

    Args:
        model, source, layer, to_pixels, chunk_size: As for `Interventions`.
        segmenter: Says what the images show.
        grid: Height and width of the label maps.

    Attributes:
        params: Parameters of the generator and of the segmenter, to be given to jitted functions.
        num_concepts: C.

    Raises:
        ValueError, TypeError: As `Interventions`; also if `grid` is empty.
    """

    def __init__(
        self,
        model: Any,
        source: Source,
        segmenter: Segmenter,
        layer: str,
        grid: Shape,
        to_pixels: ToPixels,
        chunk_size: int,
    ) -> None:
        self.grid = (int(grid[0]), int(grid[1]))  # hashable, also where the caller gave a list
        if min(self.grid) < 1:
            raise ValueError(f"`grid` (={self.grid}) must have a positive height and width")
        super().__init__(model, source, layer, to_pixels, chunk_size)
        self.segmenter = segmenter
        self.params = (self.network.params, segmenter.params)
        self.num_concepts = len(segmenter.vocabulary)

    def under_each(
        self,
        params: PyTree,
        latents: Array,
        edit_of: Callable[[Any], Edit],
        interventions: Array,
        *,
        look: Callable[[Int32[Array, "B H W K"]], PyTree] = lambda labels: (),
    ) -> tuple[Int32[Array, "M B _"], PyTree]:
        """Make and label images under every intervention, as `observe_each` does.

        Args:
            params: As `self.params`.
            latents, edit_of, interventions: As for `observe_each`.
            look: What else to tell about the labels of a batch.

        Returns:
            Areas of the C concepts and, last, pixels with labels that are none of them, for
            `checked`; and for each intervention what `look` tells.
        """
        network_params, segmenter_params = params

        def observe(images: Array) -> Any:
            labels = self.label(segmenter_params, images)
            known = (labels >= 0) & (labels < self.num_concepts)
            counted = jnp.where(known, labels, self.num_concepts)
            return concept_areas(counted, self.num_concepts + 1), look(labels)

        return self.observe_each(network_params, latents, edit_of, interventions, observe)

    def label(self, segmenter_params: PyTree, images: Array) -> Int32[Array, "B H W K"]:
        """Label images on the grid."""
        with jax.named_scope("segment"):
            labels = self.segmenter.segment(segmenter_params, images, self.grid)
            return at_pixel_centers(labels, self.grid)

    def checked(
        self, areas: Any, weight: Bool[np.ndarray, "B"], examples: Int[np.ndarray, "B"]
    ) -> Int32[np.ndarray, "M n C"]:
        """Bring areas to the host, without the copies that fill up a batch.

        Raises:
            ValueError: if the segmenter gave labels that are not in its vocabulary.
        """
        areas = np.asarray(areas)[:, weight]
        wrong = examples[weight][areas[:, :, -1].any(axis=0)]
        if len(wrong):
            raise ValueError(
                f"`segmenter` gives labels that are not in its vocabulary, whose ids are 0 to "
                f"{self.num_concepts - 1}, for images of example {', '.join(map(str, wrong[:5]))}"
            )
        return areas[:, :, :-1]


def check_latents(source: Source) -> None:
    """Refuse sources without examples, or without latents.

    Raises:
        ValueError: see above.
    """
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    example = read_block(source, 0, 1)
    if "latent" not in example:
        raise ValueError(
            "`source` must give examples with a 'latent', the generator's input [Z]; they "
            f"have: {', '.join(sorted(example))}"
        )


def checked_concepts(concepts: Any, num_concepts: int) -> Int[np.ndarray, "k"]:
    """Bring ids of concepts to the host.

    Raises:
        ValueError: if one is no integer or not in the vocabulary.
    """
    found = np.asarray(concepts)
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"`concepts` (={found.tolist()}) must be ids, integers")
    wrong = [int(concept) for concept in found if not 0 <= concept < num_concepts]
    if wrong:
        raise ValueError(f"`concepts` must be in [0, {num_concepts}), got {wrong}")
    return found.astype(np.int64)


def checked_values(values: Any, number: int, whose: str) -> Float32[np.ndarray, "_"]:
    """Bring values of units to the host.

    Raises:
        ValueError: if they are not `number` finite numbers.
    """
    found = np.asarray(values, np.float32)
    if found.shape != (number,) or not np.isfinite(found).all():
        raise ValueError(
            f"`values` (={found.tolist()}) must be {number} finite numbers, one for each {whose}"
        )
    return found
