"""A trained generator of cat faces as its owner would write it, in plain flax nnx.

Nothing here knows of jaxdissect, so the tests that dissect this network see what any user brings.
Every layer is a 5x5 convolution with a leaky rectifier; nothing normalizes.

Letters of shapes: B batch, Z = 512 latent, H W grid of a layer, h w of the next, U units.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from stored_arrays import refuse_others

LATENT_SIZE = 512
IMAGE_SIZE = 64
NEGATIVE_SLOPE = 0.2


class RectifiedConv(nnx.Module):
    """A 5x5 convolution that keeps the size, followed by the leaky rectifier."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs):
        self.convolution = nnx.Conv(inputs, units, (5, 5), padding="SAME", rngs=rngs)

    def __call__(self, inputs: Float[Array, "B H W _"]) -> Float[Array, "B H W U"]:
        return jax.nn.leaky_relu(self.convolution(inputs), NEGATIVE_SLOPE)


class CatGenerator(nnx.Module):
    """Cat faces from normal numbers; each convolution returns its rectified units.

    `conv7` has 8 x 8 cells, `conv8` 16 x 16, `conv9` 32 x 32, and `conv10` one for every pixel.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(LATENT_SIZE, 512, rngs=rngs)
        self.conv7 = RectifiedConv(8, 64, rngs=rngs)
        self.conv8 = RectifiedConv(64, 64, rngs=rngs)
        self.conv9 = RectifiedConv(64, 64, rngs=rngs)
        self.conv10 = RectifiedConv(64, 64, rngs=rngs)
        self.conv11 = RectifiedConv(64, 3, rngs=rngs)

    def __call__(self, latents: Float[Array, "B Z"]) -> Float[Array, "B 64 64 3"]:
        """Return RGB in [0, 1]."""
        units = self.dense(latents).reshape(-1, 8, 8, 8)
        for convolve in (self.conv7, self.conv8, self.conv9):
            units = _doubled(convolve(units))
        return jnp.clip(self.conv11(self.conv10(units)), 0, 1)


def _doubled(units: Float[Array, "B H W U"]) -> Float[Array, "B h w U"]:
    return units.repeat(2, axis=1).repeat(2, axis=2)


def cat_generator(folder: Path) -> CatGenerator:
    """Build the generator with the trained weights of `generator580.npz` in `folder`.

    Raises:
        ValueError: if the file lacks arrays, has other ones, or shapes differ; all are listed.
    """
    with np.load(folder / "generator580.npz") as file:
        arrays = {name: file[name] for name in file.files}
    # Only shapes are made here: random values would be thrown away.
    network = nnx.eval_shape(lambda: CatGenerator(rngs=nnx.Rngs(0)))
    layers = {"dense_2": network.dense} | {
        f"conv2d_{number}": getattr(network, f"conv{number}").convolution for number in range(7, 12)
    }
    places = {
        f"{name}/{kind}": (layer, kind) for name, layer in layers.items() for kind in _PARAMETERS
    }
    expected = {name: getattr(*place).shape for name, place in places.items()}
    refuse_others(arrays, expected)
    for name, (layer, kind) in places.items():
        setattr(layer, kind, nnx.Param(jnp.asarray(arrays[name])))
    return network


_PARAMETERS = ("kernel", "bias")
