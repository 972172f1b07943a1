"""A painting as a document: strokes over an image of a generator, and what they are painted with.

Shapes: Z latent.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020,
"Semantic paint", and "GAN Dissection", ICLR 2019, section 5: a brush over the image sets units of a
layer at the cells below it, and the generator makes the rest of the image fit. A painting is kept
as what the user did, not as arrays; `replay` makes the same image of it again, bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.painting.strokes import Stroke, rows_crossed

MAX_STROKES, MAX_STRENGTH = 200, 2.0

MAX_ROWS = 2**24
"""Rows of pixels that all strokes of a painting cross together, which take seconds to mark."""

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
class PaintedStroke:
    """One stroke of a painting, with what it does.

    Attributes:
        stroke: Where the brush was.
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
        layer: Layer of the units that are painted with.
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
        ValueError: If a number is out of range, there are more than `MAX_STROKES` strokes, they
            would take too long to mark (`MAX_ROWS`), or one has a paint that does not exist.
    """

    layer: str
    image_size: tuple[int, int]
    latent_size: int
    seed: int
    example: int
    paints: Mapping[str, Paint]
    strokes: tuple[PaintedStroke, ...]
    model: str = ""
    digest: str | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        for name, low, bits in (("seed", 0, 64), ("example", 0, 31), ("latent_size", 1, 16)):
            value = getattr(self, name)
            if not low <= value < 2**bits:
                raise ValueError(f"`{name}` (={value}) must be at least {low} and below 2^{bits}")
        if len(self.strokes) > MAX_STROKES:
            raise ValueError(
                f"`strokes` must be at most {MAX_STROKES}, there are {len(self.strokes)}"
            )
        rows = sum(rows_crossed(stroke.stroke, self.image_size) for stroke in self.strokes)
        if rows > MAX_ROWS:
            raise ValueError(
                f"`strokes` must cross at most {MAX_ROWS} rows of pixels in all, not {rows}: use "
                "fewer or shorter ones, or a smaller brush"
            )
        used = {stroke.paint for stroke in self.strokes} - {None}
        if not used <= set(self.paints):
            raise ValueError(f"`strokes` have paints that are not in `paints`: {used}")

    def latent(self) -> Float32[np.ndarray, "Z"]:
        """Draw the input of the generator again."""
        inputs = latents(self.example + 1, self.latent_size, seed=self.seed)
        return inputs[self.example]["latent"]
