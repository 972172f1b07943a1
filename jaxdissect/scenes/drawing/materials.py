"""What surfaces are made of: every material has a texture of its own.

A texture is a sum of four things, each of which a material may lack: cells (bricks, leaves, blades)
that differ in brightness, joints between the cells, waves (ripples, weave, sheen), and patches of
smooth noise. So a texture is a row of numbers, and all materials are drawn by one formula, see
`textures`.
"""

from typing import NamedTuple

import numpy as np
from jax import Array

from jaxdissect.scenes.concepts import MATERIALS

Number = float | Array


class Texture(NamedTuple):
    """The numbers that make a texture, or arrays of them with one number per pixel.

    Lengths are in pixels, contrasts are shares of brightness.

    Attributes:
        width, height: Size of a cell.
        bond: By how much of its width every other row of cells is shifted.
        crook: How far the borders of cells are bent, as a share of a cell.
        tint: Contrast between cells.
        gap_x, gap_y: Width of the joints between columns and rows.
        joint: Brightness of the joints, relative to the material.
        ripple, ripple_x, ripple_y: Contrast of waves, and their number per pixel along x and y.
        weave: Contrast of the product of waves along x and along y, of these numbers.
        patch, patch_size: Contrast and size of smooth patches; they bend the waves too.
    """

    width: Number = 4.0
    height: Number = 4.0
    bond: Number = 0.0
    crook: Number = 0.0
    tint: Number = 0.0
    gap_x: Number = 0.0
    gap_y: Number = 0.0
    joint: Number = 1.0
    ripple: Number = 0.0
    ripple_x: Number = 0.0
    ripple_y: Number = 0.0
    weave: Number = 0.0
    patch: Number = 0.0
    patch_size: Number = 6.0


PLAIN = Texture()

TEXTURES = {
    "wood": Texture(4.5, 24.0, 0.3, 0.0, 0.1, 0.8, 0.0, 0.72, 0.07, 0.4, 0.03, 0.0, 0.1, 5.0),
    "brick": Texture(7.0, 3.6, 0.5, 0.0, 0.16, 0.9, 0.9, 1.35),
    "stone": Texture(6.5, 5.0, 0.4, 0.35, 0.14, 0.8, 0.8, 0.68, patch=0.1, patch_size=3.0),
    "plaster": Texture(patch=0.07, patch_size=7.0),
    "shingle": Texture(3.4, 3.0, 0.5, 0.0, 0.14, 0.0, 1.0, 0.66),
    "metal": Texture(ripple=0.1, ripple_x=0.04, ripple_y=0.11),
    "glass": Texture(ripple=0.16, ripple_x=0.07, ripple_y=0.07),
    "ceramic": Texture(7.0, 7.0, 0.0, 0.0, 0.03, 0.9, 0.9, 0.78, ripple=0.04, ripple_x=0.1),
    "fabric": Texture(weave=0.14, ripple_x=0.25, ripple_y=0.25, patch=0.05, patch_size=6.0),
    "paper": Texture(2.0, 2.0, tint=0.06, patch=0.1, patch_size=4.0),
    "rubber": Texture(1.0, 1.0, tint=0.1),
    "foliage": Texture(2.2, 2.0, 0.5, 0.3, 0.3, patch=0.28, patch_size=5.0),
    "grass": Texture(1.0, 3.6, 0.5, 0.5, 0.2, patch=0.16, patch_size=9.0),
    "petal": Texture(1.6, 1.6, 0.5, 0.0, 0.14),
    "water": Texture(ripple=0.16, ripple_x=0.012, ripple_y=0.17, patch=0.14, patch_size=7.0),
    "sand": Texture(1.0, 1.0, tint=0.07, ripple=0.045, ripple_x=0.03, ripple_y=0.1, patch=0.05),
    "earth": Texture(2.0, 1.2, 0.5, tint=0.15, patch=0.2, patch_size=5.0),
    "asphalt": Texture(1.0, 1.0, tint=0.16),
    "snow": Texture(1.0, 1.0, tint=0.03, patch=0.07, patch_size=4.0),
    "vapor": Texture(patch=0.1, patch_size=6.0),
    "skin": Texture(patch=0.05, patch_size=3.0),
    "fur": Texture(1.0, 2.2, 0.5, tint=0.12, patch=0.1, patch_size=4.0),
}

TEXTURE_TABLE = np.array([PLAIN, *(TEXTURES[name] for name in MATERIALS)], np.float32)
"""[1 + materials, numbers]: the texture of no material, then those of `MATERIALS`."""
