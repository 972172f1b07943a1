"""Many edits of one layer of a generator, each followed by a look at the images that it makes.

Shapes: B batch, Z latent, H W label grid, K labels per pixel, C concepts including "none",
M interventions, n examples.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, PyTree

from jaxdissect.arrays.resampling import Shape
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.generators.images import concept_areas, generate
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.jaxpr.partial_eval import split


class EditedLayer:
    """The layer of a generator that interventions edit.

    Args:
        generator: What makes the images.
        name: A layer that gives [B, h, w, U].
        chunk_size: At most so many interventions run together.

    Attributes:
        generator: As given.
        name: As given.
        cells: Height and width of the layer, h and w.
        num_units: Units of the layer, U.

    Raises:
        ValueError: If the layer does not exist or is not of that shape, or `chunk_size` is not
            positive.
    """

    def __init__(self, generator: Generator, name: str, *, chunk_size: int = 1) -> None:
        if chunk_size < 1:
            raise ValueError(f"`chunk_size` (={chunk_size}) must be at least 1")
        self.generator, self.name = generator, name
        height, width, self.num_units = generator.map_shape(name)
        self.cells: Shape = (height, width)
        self._chunk_size = chunk_size

    def images(
        self, params: GeneratorParams, latents: Float[Array, "B Z"], edit: Edit
    ) -> Float[Array, "B height width 3"]:
        """Make images under an edit of the layer; a pure function."""
        return generate(self.generator, params, latents, edits={self.name: edit})

    def observe_each(
        self,
        params: GeneratorParams,
        latents: Float[Array, "B Z"],
        edit_of: Callable[[Array], Edit],
        interventions: Array,
        observe: Callable[[Array], PyTree],
    ) -> PyTree:
        """Make images under every intervention; what comes before the layer runs once.

        Every chunk is one and the same program, so that an intervention which changes nothing has
        the very image of another one that changes nothing.

        Args:
            params: Parameters of the generator.
            latents: A batch of inputs.
            edit_of: Makes the edit of one intervention.
            interventions: What `edit_of` takes, along a leading axis M.
            observe: What to return about images, RGB in [0, 1].

        Returns:
            What `observe` returns, for each intervention.
        """

        def after_edit(intervention: Array) -> PyTree:
            return observe(self.images(params, latents, edit_of(intervention)))

        number = len(interventions)
        num_chunks = -(-number // self._chunk_size)
        size = -(-number // num_chunks)
        # The last chunk is filled up with copies.
        filled = np.minimum(np.arange(num_chunks * size), number - 1).reshape(num_chunks, size)
        after = split(after_edit, interventions[0])  # all up to the layer runs here, once
        observed = lax.map(jax.vmap(after), interventions[filled])
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], observed)

    def areas_of_each(
        self,
        params: GeneratorParams,
        latents: Float[Array, "B Z"],
        edit_of: Callable[[Array], Edit],
        interventions: Array,
        *,
        look: Callable[[Int32[Array, "B H W K"]], PyTree] = lambda labels: (),
    ) -> tuple[Int32[Array, "M B _"], PyTree]:
        """Make and label images under every intervention, like `observe_each`.

        Args:
            params: Parameters of the generator.
            latents: A batch of inputs.
            edit_of: Makes the edit of one intervention.
            interventions: What `edit_of` takes, along a leading axis M.
            look: What else to return about the labels of a batch.

        Returns:
            Areas of the C concepts and, last, pixels with labels that are none of them, for
            `checked_areas`; and for each intervention what `look` returns.
        """
        num_concepts = len(self.generator.vocabulary)

        def observe(images: Array) -> tuple[Array, PyTree]:
            labels = self.generator.label(params, images)
            known = (labels >= 0) & (labels < num_concepts)
            counted = jnp.where(known, labels, num_concepts)
            return concept_areas(counted, num_concepts + 1), look(labels)

        return self.observe_each(params, latents, edit_of, interventions, observe)


def checked_areas(
    areas: Int32[Array, "B M _"] | Int32[np.ndarray, "B M _"],
    weight: Bool[np.ndarray, "B"],
    examples: Int[np.ndarray, "B"],
) -> Int32[np.ndarray, "M n C"]:
    """Bring areas to the host, without the copies that fill up a batch.

    Args:
        areas: Areas of the concepts and, last, of labels that are none, as `areas_of_each` returns
            them, but the images first.
        weight: False for the copies.
        examples: Positions in the source.

    Raises:
        ValueError: If the segmenter gave labels that are not in its vocabulary.
    """
    found = np.asarray(areas)[weight].swapaxes(0, 1)
    wrong = examples[weight][found[:, :, -1].any(axis=0)]
    if len(wrong):
        raise ValueError(
            f"`segmenter` gives labels that are not in its vocabulary, whose ids are 0 to "
            f"{found.shape[2] - 2}, for images of example {', '.join(map(str, wrong[:5]))}"
        )
    return found[:, :, :-1]


def checked_concepts(concepts: Any, num_concepts: int) -> Int[np.ndarray, "k"]:
    """Bring ids of concepts to the host.

    Raises:
        ValueError: If one is no integer or not in the vocabulary.
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
        ValueError: If they are not `number` finite numbers.
    """
    found = np.asarray(values, np.float32)
    if found.shape != (number,) or not np.isfinite(found).all():
        raise ValueError(
            f"`values` (={found.tolist()}) must be {number} finite numbers, one for each {whose}"
        )
    return found
