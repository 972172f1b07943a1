"""Intervene in an image generator, and measure how much of every concept its images show.

Shapes: B batch, Z latent, H W label grid, h w cells of a layer, K labels per pixel, C concepts
including "none", k chosen units.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, and
"GAN Dissection", ICLR 2019: units of a layer are changed, the rest of the generator makes another
image, and a segmenter tells which objects have gone or come. `paint` is one such change at chosen
places; `remove_units` and `insert_units` measure many.

Any network will do that gives images of latents: an nnx.Module, a linen module, functions in a row
(`StagedNetwork`), or one function of yours that lets layers through a tap (`TappedNetwork`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32, PyTree

from jaxdissect.networks.edits import Edit, Units, insert
from jaxdissect.networks.models.proggan import to_pixels as from_signed
from jaxdissect.networks.network import Network
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


def in_range(low: float, high: float) -> ToPixels:
    """Read a generator's images as ranging from `low`, black, to `high`, white, clipped.

    Raises:
        ValueError: if the range is empty.
    """
    if not low < high:
        raise ValueError(f"`low` (={low}) must be below `high` (={high})")
    return lambda images: jnp.clip((images - low) / (high - low), 0, 1)


def generate(
    network: Network,
    params: PyTree,
    latents: Float[Array, "B Z"],
    edits: Mapping[str, Edit] | None = None,
    *,
    to_pixels: ToPixels = from_signed,
) -> Float[Array, "B height width 3"]:
    """Make images of latents under edits of any layers; a pure function, to be jitted or mapped.

    Args:
        network: The generator.
        params: Its parameters.
        latents: Its inputs.
        edits: Edits by layer (`jaxdissect.networks.edits`). Those of zero strength, a * 1 + 0,
            change nothing bit for bit; but a program compiled without an edit may round otherwise
            than one with it, so compare images of one compiled function.
        to_pixels: Makes RGB in [0, 1] of what the generator gives: from [-1, 1] by default,
            `in_range` for others.

    Raises:
        ValueError: if a layer does not exist, or an edit does not fit it.
    """
    return to_pixels(network.apply(params, latents, edits=edits)[0])


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
    return generate(network, params, latents, {layer: edit}, to_pixels=to_pixels)


def image_and_map_shapes(
    network: Network, params: PyTree, latents: Any, layer: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the shapes of a generator's images and of a layer [B, h, w, U] without running it.

    Raises:
        ValueError: if the layer does not exist or has other axes, or the network gives more than
            one array.
    """
    images, maps = jax.eval_shape(
        lambda params, latents: network.apply(params, latents, layers=(layer,)), params, latents
    )
    if not isinstance(images, jax.ShapeDtypeStruct):
        raise ValueError(f"`network` must give images, it gives a {type(images).__name__}")
    shape = maps[layer].shape
    if len(shape) != 4:
        raise ValueError(f"`layer` (={layer!r}) must give maps [B, h, w, U], it gives {shape}")
    return images.shape, shape
