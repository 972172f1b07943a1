"""Painting with units: strokes over an image of a generator, as a document that can be replayed.

Shapes: H W image, h w cells of a layer, U units, k units of a paint, Z latent.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020,
"Semantic paint", and "GAN Dissection", ICLR 2019, section 5: a brush over the image sets units of a
layer at the cells below it, and the generator makes the rest of the image fit. A painting is kept
as what the user did, not as arrays; `replay` makes the same image of it again, bit for bit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, PyTree

from jaxdissect.arrays.resampling import Shape
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.resume import digest
from jaxdissect.generators.images import ToPixels, from_signed, image_and_map_shapes
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.network import Network, as_network
from jaxdissect.painting.strokes import Stroke, cells_under

MAX_STROKES, MAX_STRENGTH = 200, 2.0

Action = Literal["draw", "erase", "restore"]
"""Set units to their values, set them to zero, or give a place back as it was."""


@dataclass(frozen=True)
class Paint:
    """Units that are painted with, and what they are set to."""

    units: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.units or len(set(self.units)) < len(self.units) or min(self.units) < 0:
            raise ValueError(f"`units` (={list(self.units)}) must be different units, at least one")
        if len(self.values) != len(self.units) or not all(map(math.isfinite, self.values)):
            raise ValueError(
                f"`values` must be {len(self.units)} finite numbers, one for each unit"
            )


@dataclass(frozen=True)
class Painted:
    """One stroke of a painting.

    Attributes:
        stroke: Where.
        action: What it does there.
        paint: Name of the paint; None to restore, which gives all units back.
        strength: 1 sets units to their value, less mixes it with what was there, more exceeds it:
            activations a become a (1 - min(strength, 1)) + value * strength.
    """

    stroke: Stroke
    action: Action
    paint: str | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        if (self.paint is None) != (self.action == "restore"):
            raise ValueError(
                f"`paint` (={self.paint!r}) must be a name to draw or erase, and none to restore"
            )
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise ValueError(f"`strength` (={self.strength}) must be 0 to {MAX_STRENGTH:g}")


@dataclass(frozen=True)
class Painting:
    """All that makes a painted image, given the generator.

    Attributes:
        layer: Whose units are painted with.
        image_size: Height and width of the image that the strokes are on.
        latent_size: Z, the length of the generator's input.
        seed: With `example`, the input: example `example` of `latents(_, Z, seed=seed)`.
        example: See `seed`.
        paints: Paints by name.
        strokes: In the order in which they were made; where two set the same unit at the same
            cell, the later counts.
        model: What the generator is called, for people.
        digest: Of the generator's parameters, so that another's are noticed; None if not known.

    Raises:
        ValueError: if a number is out of range, there are more than `MAX_STROKES` strokes, or one
            has a paint that does not exist.
    """

    layer: str
    image_size: tuple[int, int]
    latent_size: int
    seed: int
    example: int
    paints: Mapping[str, Paint]
    strokes: tuple[Painted, ...]
    model: str = ""
    digest: str | None = None

    def __post_init__(self) -> None:
        for name, low, bits in (("seed", 0, 64), ("example", 0, 31), ("latent_size", 1, 16)):
            value = getattr(self, name)
            if not low <= value < 2**bits:
                raise ValueError(f"`{name}` (={value}) must be at least {low} and below 2^{bits}")
        if len(self.strokes) > MAX_STROKES:
            raise ValueError(
                f"`strokes` must be at most {MAX_STROKES}, there are {len(self.strokes)}"
            )
        used = {stroke.paint for stroke in self.strokes} - {None}
        if not used <= set(self.paints):
            raise ValueError(f"`strokes` have paints that are not in `paints`: {used}")

    def latent(self) -> Float32[np.ndarray, "Z"]:
        """Draw the input of the generator again."""
        inputs = latents(self.example + 1, self.latent_size, seed=self.seed)
        return inputs[self.example]["latent"]


def edit_of(painting: Painting, cells: Sequence[int], num_units: int) -> Edit:
    """Make the edit of a painting: at every cell and unit, that of the last stroke that is there.

    Args:
        painting: What was done.
        cells: Height and width of the layer.
        num_units: Units of the layer, U.

    Returns:
        Halves [h, w, U], float32; one and zero where nothing is painted.

    Raises:
        ValueError: if a unit is not in [0, U), or a stroke does not fit the image.
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


Render = Callable[[PyTree, Float[Array, "Z"], Edit], Float32[Array, "H W 3"]]
"""(parameters, latent, edit) -> image, RGB in [0, 1]."""


def renderer(network: Network, layer: str, *, to_pixels: ToPixels = from_signed) -> Render:
    """Compile a generator once for all paintings on one layer.

    Paintings, the empty one too, run the very same program: what is undone leaves no trace.
    """

    @jax.jit
    def render(params: PyTree, latent: Array, edit: Edit) -> Array:
        images, _ = network.apply(params, latent[None], edits={layer: edit})
        return to_pixels(images)[0].astype(jnp.float32)

    return render


def replay(
    model: Any, painting: Painting, *, to_pixels: ToPixels = from_signed
) -> Float32[np.ndarray, "H W 3"]:
    """Make the image of a painting again.

    On the same machine, with the same versions, it is that of the painting page, bit for bit.
    The painting does not tell how the page made RGB: where it was opened with a ``--pixel-range``,
    `to_pixels` must be that range's.

    Args:
        model: The generator, a Network or an nnx.Module from latents [B, Z] to images.
        painting: What was done, such as `painting_files.from_json` reads it.
        to_pixels: Makes RGB in [0, 1] of what the generator gives.

    Returns:
        RGB in [0, 1]; `as_bytes` gives the page's pixels.

    Raises:
        ValueError: if the generator has other parameters, images of another size, no such layer or
            no such units.
        TypeError: if `model` is neither a Network nor an nnx.Module.
    """
    network = as_network(model)
    if painting.digest not in (None, digest(network.params)):
        raise ValueError(
            f"`painting` was made with other parameters of a generator ({painting.model!r}, "
            f"{painting.digest}) than those of `model` ({digest(network.params)})"
        )
    cells, num_units = fitting(network, painting)
    latent = jnp.asarray(painting.latent())
    render = renderer(network, painting.layer, to_pixels=to_pixels)
    return np.asarray(render(network.params, latent, edit_of(painting, cells, num_units)))


def fitting(network: Network, painting: Painting) -> tuple[Shape, int]:
    """Check that a painting is one of images of this generator.

    Returns:
        Height and width of its layer, and the number of units.

    Raises:
        ValueError: if the layer does not exist, or images have another size.
    """
    latent = jax.ShapeDtypeStruct((1, painting.latent_size), jnp.float32)
    images, (_, *cells, num_units) = image_and_map_shapes(
        network, network.params, latent, painting.layer
    )
    if images[1:3] != tuple(painting.image_size):
        raise ValueError(
            f"`image_size` (={painting.image_size}) must be that of the generator's images, "
            f"{images[1:3]}"
        )
    return (cells[0], cells[1]), num_units


def as_bytes(image: Float[np.ndarray, "*shape"]) -> np.ndarray:
    """Round RGB in [0, 1] to bytes, halves to even."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
