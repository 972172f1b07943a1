"""From a painting to the image that it makes of a generator's.

Shapes: H W image, h w cells of a layer, U units, Z latent.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, UInt8

from jaxdissect.engine.identity import digest
from jaxdissect.generators.generator import Generator, GeneratorParams, ToPixels, from_signed
from jaxdissect.generators.images import generate
from jaxdissect.networks.edits import Edit
from jaxdissect.painting.document import Painting
from jaxdissect.painting.strokes import cells_under


def edit_of(painting: Painting, cells: Sequence[int], num_units: int) -> Edit:
    """Make the edit of a painting: at every cell and unit, that of the last stroke that is there.

    Args:
        painting: What was done.
        cells: Height and width of the layer.
        num_units: Units of the layer, U.

    Returns:
        Halves [h, w, U], float32; one and zero where nothing is painted.

    Raises:
        ValueError: If a unit is not in [0, U), or a stroke does not fit the image.
    """
    wrong = {unit for paint in painting.paints.values() for unit in paint.units} - set(
        range(num_units)
    )
    if wrong:
        raise ValueError(f"`units` must be in [0, {num_units}), got {sorted(wrong)[:5]}")
    keep = np.ones((*cells, num_units), np.float32)
    add = np.zeros_like(keep)
    for stroke in painting.strokes:
        under = cells_under(stroke.stroke, painting.image_size, cells)
        if stroke.paint is None:
            keep[under], add[under] = 1, 0
            continue
        paint = painting.paints[stroke.paint]
        values = np.array(paint.values, np.float32) * (stroke.action == "draw")
        rows, columns = np.nonzero(under)
        where = rows[:, None], columns[:, None], np.array(paint.units)[None]
        keep[where] = 1 - min(stroke.strength, 1.0)
        add[where] = values * np.float32(stroke.strength)
    return Edit(jnp.asarray(keep), jnp.asarray(add))


def painted_cells(painting: Painting, cells: Sequence[int]) -> Bool[np.ndarray, "h w"]:
    """Find the cells where a painting changes the generator: those drawn on and not restored."""
    there = np.zeros(tuple(cells), bool)
    for stroke in painting.strokes:
        under = cells_under(stroke.stroke, painting.image_size, cells)
        there[under] = stroke.action != "restore"
    return there


Render = Callable[[GeneratorParams, Float[Array, "Z"], Edit], Float32[Array, "H W 3"]]
"""(parameters, latent, edit) -> image, RGB in [0, 1]."""


def renderer(generator: Generator, layer: str) -> Render:
    """Compile a generator once for all paintings on one layer.

    Paintings, the empty one too, run the very same program: what is undone leaves no trace.
    """

    @jax.jit
    def render(params: GeneratorParams, latent: Array, edit: Edit) -> Array:
        images = generate(generator, params, latent[None], edits={layer: edit})
        return images[0].astype(jnp.float32)

    return render


def replay(
    model: Any, painting: Painting, *, to_pixels: ToPixels = from_signed
) -> Float32[np.ndarray, "H W 3"]:
    """Make the image of a painting again.

    On the same machine, with the same versions, it is that of the painting page, bit for bit.
    The painting does not say how the page made RGB: where it was opened with a ``--pixel-range``,
    `to_pixels` must be that range's.

    Args:
        model: The generator, a Network or an nnx.Module from latents [B, Z] to images.
        painting: What was done, such as `from_json` reads it.
        to_pixels: Makes RGB in [0, 1] of what the generator gives.

    Returns:
        RGB in [0, 1]; `as_bytes` gives the page's pixels.

    Raises:
        ValueError: If the generator has other parameters, images of another size, no such layer or
            no such units.
        TypeError: If `model` is neither a Network nor an nnx.Module.
    """
    generator = Generator(model, painting.latent_size, to_pixels=to_pixels)
    found = digest(generator.network.params)
    if painting.digest not in (None, found):
        raise ValueError(
            f"`painting` was made with other parameters of a generator ({painting.model!r}, "
            f"{painting.digest}) than those of `model` ({found})"
        )
    *cells, num_units = generator.map_shape(painting.layer)
    if generator.image_size != tuple(painting.image_size):
        raise ValueError(
            f"`image_size` (={painting.image_size}) must be that of the generator's images, "
            f"{generator.image_size}"
        )
    latent, edit = jnp.asarray(painting.latent()), edit_of(painting, cells, num_units)
    return np.asarray(renderer(generator, painting.layer)(generator.params, latent, edit))


def as_bytes(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round RGB in [0, 1] to bytes, halves to even."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
