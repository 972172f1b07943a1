"""Make images of a generator, as they are or with units of a layer changed, and measure them.

Shapes: B batch, Z latent, H W label grid, h w cells of a layer, K labels per pixel, C concepts
including "none", U units, k chosen units, n examples, S conditions.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, and
"GAN Dissection", ICLR 2019: units of a layer are changed, and the rest of the generator makes
another image.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.generators.generator import Generator, GeneratorParams
from jaxdissect.networks.edits import Edit, Units, insert, keep_units
from jaxdissect.stats import agreement

# --- pure functions -------------------------------------------------------------------------------


def generate(
    generator: Generator,
    params: GeneratorParams,
    latents: Float[Array, "B Z"],
    *,
    edits: Mapping[str, Edit] | None = None,
) -> Float[Array, "B height width 3"]:
    """Make images of latents under edits of any layers; a pure function, to be jitted or mapped.

    Args:
        generator: What makes the images.
        params: Its parameters, such as `generator.params`.
        latents: Its inputs.
        edits: Edits by layer (`jaxdissect.networks.edits`). Those of zero strength, a * 1 + 0,
            change nothing bit for bit; but a program compiled without an edit may round otherwise
            than one with it, so compare images of one compiled function.

    Returns:
        RGB in [0, 1].

    Raises:
        ValueError: If a layer does not exist, or an edit does not fit it.
    """
    with jax.named_scope("generate"):
        return generator.to_pixels(generator.network.apply(params.network, latents, edits=edits)[0])


def paint_units(
    generator: Generator,
    params: GeneratorParams,
    latents: Float[Array, "B Z"],
    layer: str,
    units: Units,
    values: Float[Array, "k"] | float,
    where: Float[Array, "*places"] | Bool[Array, "*places"],
) -> Float[Array, "B height width 3"]:
    """Set units to values at chosen cells of a layer, and make the images that follow.

    A pure function, to be jitted with `generator` and `layer` fixed. Value 0 removes.

    Args:
        generator: What makes the images.
        params: Its parameters, such as `generator.params`.
        latents: Its inputs.
        layer: Layer of the units.
        units: Numbers of the units.
        values: What to set each of them, or all, to.
        where: Strength of the change in [0, 1] at every cell, [h, w] for all images or [B, h, w].

    Returns:
        RGB in [0, 1].

    Raises:
        ValueError: If the layer does not exist or gives no maps, units or values do not fit it, or
            `where` is not of its height and width.
    """
    latents = jnp.asarray(latents)
    *cells, num_units = generator.map_shape(layer)
    if where.shape not in (tuple(cells), (latents.shape[0], *cells)):
        raise ValueError(
            f"`where` (={where.shape}) must have the cells of layer {layer!r}, {tuple(cells)}, "
            "for all images or for each"
        )
    edit = insert(units, values, num_units, where=where.astype(jnp.float32))
    return generate(generator, params, latents, edits={layer: edit})


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


# --- images of chosen examples --------------------------------------------------------------------


class GeneratedImages:
    """A source of latents together with the images that a generator makes of them when read.

    Args:
        generator: What makes the images.
        source: Examples with a ``latent`` [Z].

    Raises:
        ValueError: If there are no examples, or they have no latents of this generator.
    """

    def __init__(self, generator: Generator, source: Source) -> None:
        generator.check_latents(source)
        self._generator, self._source = generator, source
        self._make = jax.jit(partial(generate, generator))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        place = range(len(self))[index]
        return {name: array[0] for name, array in self.read(place, place + 1).items()}

    def read(self, first: int, last: int) -> Batch:
        """Stack the examples from `first` up to, not including, `last`, each with its ``image``."""
        batch = read_block(self._source, first, last)
        images = self._make(self._generator.params, batch["latent"])
        return {**batch, "image": np.asarray(images)}


def images_without_units(
    generator: Generator,
    source: Source,
    layer: str,
    examples: Int[np.ndarray, "n"],
    keep: Bool[np.ndarray, "S U"],
) -> Float[np.ndarray, "S n height width 3"]:
    """Make images of some examples without the units of each condition.

    Args:
        generator: What makes the images.
        source: Examples with a ``latent`` [Z].
        layer: Layer of the units.
        examples: Positions in `source`.
        keep: For each condition, False for the units that are removed together.

    Returns:
        RGB in [0, 1].

    Raises:
        ValueError: If the layer does not exist, or `keep` does not fit it.
    """

    @jax.jit
    def make(params: GeneratorParams, latents: Array, keep: Array) -> Array:
        return generate(generator, params, latents, edits={layer: keep_units(keep)})

    latents = _latents_of(source, examples)
    return np.stack([np.asarray(make(generator.params, latents, jnp.asarray(k))) for k in keep])


def images_with_units(
    generator: Generator,
    source: Source,
    layer: str,
    units: Int[np.ndarray, "k"],
    values: Float[np.ndarray, "k"],
    examples: Int[np.ndarray, "S n"],
    where: Float[np.ndarray, "S n h w"],
) -> Float[np.ndarray, "S n height width 3"]:
    """Make images of some examples with units set to values at chosen cells, under conditions.

    Args:
        generator: What makes the images.
        source: Examples with a ``latent`` [Z].
        layer: Layer of the units.
        units: Numbers of the units.
        values: What to set each of them to.
        examples: For each condition, positions in `source`.
        where: Strength of the change in [0, 1] at every cell, for each condition and example.

    Returns:
        RGB in [0, 1].

    Raises:
        ValueError: If the layer does not exist, or units, values or cells do not fit it.
    """

    @jax.jit
    def make(params: GeneratorParams, latents: Array, values: Array, where: Array) -> Array:
        return paint_units(generator, params, latents, layer, units, values, where)

    return np.stack(
        [
            np.asarray(
                make(
                    generator.params,
                    _latents_of(source, chosen),
                    jnp.asarray(values),
                    jnp.asarray(places),
                )
            )
            for chosen, places in zip(examples, where, strict=True)
        ]
    )


def _latents_of(source: Source, examples: Int[np.ndarray, "n"]) -> Float[Array, "n Z"]:
    return jnp.asarray(np.stack([source[int(i)]["latent"] for i in examples]))
