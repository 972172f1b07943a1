"""Intervene in an image generator, and measure how much of every concept its images show.

Shapes: B batch, Z latent, H W label grid, h w cells of a layer, K labels per pixel, C concepts
including "none", U units, k chosen units, M interventions.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, and
"GAN Dissection", ICLR 2019: units of a layer are changed, the rest of the generator makes another
image, and a segmenter tells which objects have gone or come. `paint` is one such change at chosen
places; `remove_units` and `insert_units` measure many.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int32, PyTree

from jaxdissect.arrays.resample import Shape
from jaxdissect.engine.batches import Source, read_block
from jaxdissect.engine.labelers import at_pixel_centers
from jaxdissect.networks.edits import Edit, Units, insert
from jaxdissect.networks.models.proggan import to_pixels as from_signed
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.program import split
from jaxdissect.networks.segmenters.segmenter import Segmenter
from jaxdissect.stats import agreement

ToPixels = Callable[[Array], Array]  # from a generator's images to RGB in [0, 1]


def concept_areas(labels: Int[Array, "B H W K"], num_concepts: int) -> Int32[Array, "B C"]:
    """Count the pixels of every concept in every image, exactly.

    Args:
        labels: Ids, 0 for none; those beyond [0, C) are in no area.
        num_concepts: C, including "none".

    Returns:
        Pixels with the concept among their labels, each counted once; for concept 0, pixels
        without any label.
    """
    distinct = agreement.without_repeats(labels).reshape(labels.shape[0], -1)
    image = jnp.arange(labels.shape[0])[:, None]
    areas = jnp.zeros((labels.shape[0], num_concepts), jnp.int32)
    areas = areas.at[image, distinct].add(1, mode="drop", wrap_negative_indices=False)
    unlabelled = (labels == 0).all(axis=-1).sum(axis=(1, 2), dtype=jnp.int32)
    return areas.at[:, 0].set(unlabelled)


def paint(
    network: Network,
    params: PyTree,
    latents: Float[Array, "B Z"],
    layer: str,
    units: Units,
    values: Float[Array, "k"] | float,
    where: Float[Array, "*places"] | Bool[Array, "*places"],
    *,
    to_pixels: ToPixels = from_signed,
) -> Float[Array, "B height width 3"]:
    """Set units to values at chosen cells of a layer, and make the images that follow.

    A pure function, to be jitted with `network`, `layer` and `to_pixels` fixed. Value 0 removes.

    Args:
        network: The generator.
        params: Its parameters.
        latents: Its inputs.
        layer: Where the units are.
        units: Which ones.
        values: What to set each of them, or all, to.
        where: Strength of the change in [0, 1] at every cell, [h, w] for all images or [B, h, w].
        to_pixels: Makes RGB in [0, 1] of what the generator gives.

    Returns:
        Images.

    Raises:
        ValueError: if the layer does not exist or gives no maps, units or values do not fit it, or
            `where` is not of its height and width.
    """
    latents = jnp.asarray(latents)
    _, (_, *cells, num_units) = image_and_map_shapes(network, params, latents, layer)
    if where.shape not in (tuple(cells), (latents.shape[0], *cells)):
        raise ValueError(
            f"`where` (={where.shape}) must have the cells of layer {layer!r}, {tuple(cells)}, "
            "for all images or for each"
        )
    edit = insert(units, values, num_units, where=where.astype(jnp.float32))
    return to_pixels(network.apply(params, latents, edits={layer: edit})[0])


class Generation:
    """A generator, the layer of it to intervene in, and the segmenter that looks at its images.

    Args:
        model: A Network or an nnx.Module from latents [B, Z] to images [B, height, width, 3].
        source: Examples with a ``latent`` [Z].
        segmenter: Says what the images show.
        layer: Where to intervene, a layer that gives [B, h, w, U].
        grid: Height and width of the label maps.
        to_pixels: Makes RGB in [0, 1] of what the generator gives.
        chunk_size: At most so many interventions run together.

    Attributes:
        params: Parameters of the generator and of the segmenter, to be given to jitted functions.
        cells: Height and width of the layer.
        num_units: Units of the layer, U.
        num_concepts: C.

    Raises:
        ValueError: if there are no examples or one has no latent, the layer does not exist or is
            not of that shape, the network gives no images, or `chunk_size` is not positive.
        TypeError: if `model` is neither a Network nor an nnx.Module.
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
        self.network, self.segmenter, self.layer = as_network(model), segmenter, layer
        self.source, self.to_pixels, self.chunk_size = source, to_pixels, chunk_size
        self.grid = (int(grid[0]), int(grid[1]))  # hashable, also where the caller gave a list
        self.params = (self.network.params, segmenter.params)
        self.num_concepts = len(segmenter.vocabulary)
        if min(self.grid) < 1:
            raise ValueError(f"`grid` (={self.grid}) must have a positive height and width")
        if chunk_size < 1:
            raise ValueError(f"`chunk_size` (={chunk_size}) must be at least 1")
        if len(source) < 1:
            raise ValueError("`source` has no examples")
        example = read_block(source, 0, 1)
        if "latent" not in example:
            raise ValueError(
                "`source` must give examples with a 'latent', the generator's input [Z]; they "
                f"have: {', '.join(sorted(example))}"
            )
        images, maps = image_and_map_shapes(
            self.network, self.network.params, example["latent"], layer
        )
        if len(images) != 4 or images[3] != 3:
            raise ValueError(f"`network` must give images [B, height, width, 3], it gives {images}")
        self.cells, self.num_units = maps[1:3], maps[3]

    def under_each(
        self,
        params: PyTree,
        latents: Array,
        edit_of: Callable[[Any], Edit],
        interventions: Array,
        *,
        look: Callable[[Int32[Array, "B H W K"]], PyTree] = lambda labels: (),
    ) -> tuple[Int32[Array, "M B _"], PyTree]:
        """Make and label images under every intervention; what comes before the layer runs once.

        Every chunk is one and the same program, so that an intervention which changes nothing has
        the very image of another one that changes nothing.

        Args:
            params: As `self.params`.
            latents: A batch of inputs [B, Z].
            edit_of: Makes the edit of one intervention.
            interventions: What `edit_of` takes, along a leading axis M.
            look: What else to tell about the labels of a batch.

        Returns:
            Areas of the C concepts and, last, pixels with labels that are none of them, for
            `checked`; and for each intervention what `look` tells.
        """
        network_params, segmenter_params = params

        def observe(intervention: Any) -> Any:
            edits = {self.layer: edit_of(intervention)}
            with jax.named_scope("generate"):
                images = self.network.apply(network_params, latents, edits=edits)[0]
                images = self.to_pixels(images)
            with jax.named_scope("segment"):
                labels = self.segmenter.segment(segmenter_params, images, self.grid)
                labels = at_pixel_centers(labels, self.grid)
            known = (labels >= 0) & (labels < self.num_concepts)
            counted = jnp.where(known, labels, self.num_concepts)
            return concept_areas(counted, self.num_concepts + 1), look(labels)

        number = len(interventions)
        num_chunks = -(-number // self.chunk_size)
        size = -(-number // num_chunks)
        # The last chunk is filled up with copies.
        filled = np.minimum(np.arange(num_chunks * size), number - 1).reshape(num_chunks, size)
        after = split(observe, interventions[0])  # all up to the layer runs here, once
        observed = lax.map(jax.vmap(after), interventions[filled])
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], observed)

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


def image_and_map_shapes(
    network: Network, params: PyTree, latents: Any, layer: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the shapes of a generator's images and of a layer [B, h, w, U] without running it.

    Raises:
        ValueError: if the layer does not exist or has other axes.
    """
    images, maps = jax.eval_shape(
        lambda params, latents: network.apply(params, latents, layers=(layer,)), params, latents
    )
    shape = maps[layer].shape
    if len(shape) != 4:
        raise ValueError(f"`layer` (={layer!r}) must give maps [B, h, w, U], it gives {shape}")
    return images.shape, shape
