"""The critic that a progressive generator learns from; it does not ship.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR
2018, table 2 and sections 2 to 4: the mirror image of the generator.

Letters of shapes: B batch, R resolution, h w layer grid, U units.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models.proggan import Bias, Convolution

GROUP = 4
"""Images that are compared with each other (Karras et al., section 3)."""


class Scaled(nnx.Module):
    """Convolve, scale as He et al. would initialise, add a bias, rectify leakily (slope 0.2)."""

    def __init__(self, inputs: int, units: int, *, size: int = 3, rngs: nnx.Rngs):
        self.conv = Convolution(inputs, units, size=size, rngs=rngs)
        self.wscale = Bias(units)

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        gain = math.sqrt(2 / math.prod(self.conv.kernel.shape[:3]))
        return nnx.leaky_relu(self.wscale(self.conv(inputs) * gain), 0.2)


class Discriminator(nnx.Module):
    """Two convolutions per resolution, then halved; at 4 x 4, two linear maps.

    Args:
        sizes: Units at 4 x 4, 8 x 8, ...
        rngs: Stream of the initial parameters, normal with variance 1.
    """

    def __init__(self, sizes: Sequence[int], *, rngs: nnx.Rngs):
        self.colors = nnx.List([Scaled(3, units, size=1, rngs=rngs) for units in sizes])
        self.blocks = nnx.List(
            [
                nnx.List([Scaled(units, units, rngs=rngs), Scaled(units, fewer, rngs=rngs)])
                for fewer, units in zip(sizes[:-1], sizes[1:], strict=True)
            ]
        )
        self.last = Scaled(sizes[0] + 1, sizes[0], rngs=rngs)
        self.hidden = nnx.Linear(16 * sizes[0], sizes[0], rngs=rngs)
        self.decide = nnx.Linear(sizes[0], 1, rngs=rngs)

    def __call__(
        self, images: Float[Array, "B R R 3"], fade: Float[Array, ""] | float
    ) -> Float[Array, "B"]:
        """Score how real images look; larger is more real.

        Args:
            images: RGB in [-1, 1], of any of the resolutions; B a multiple of `GROUP`.
            fade: How much to trust the layers of this resolution, 0 to 1.
        """
        level = int(math.log2(images.shape[1])) - 2
        units = self.colors[level](images)
        for number in range(level, 0, -1):
            first, second = self.blocks[number - 1]
            units = halved(second(first(units)))
            if number == level:
                own = jnp.asarray(fade, units.dtype)
                units = own * units + (1 - own) * self.colors[number - 1](halved(images))
        units = self.last(jnp.concatenate([units, _deviation(units)], axis=-1))
        units = nnx.leaky_relu(self.hidden(units.reshape(len(units), -1)), 0.2)
        return self.decide(units)[:, 0]


def halved(images: Float[Array, "B h w U"]) -> Float[Array, "B _ _ U"]:
    """Average 2 x 2 squares."""
    batch, height, width, units = images.shape
    return images.reshape(batch, height // 2, 2, width // 2, 2, units).mean((2, 4))


def _deviation(units: Float[Array, "B h w U"]) -> Float[Array, "B h w 1"]:
    """Mean standard deviation over the images of a group, as a map."""
    batch, height, width, channels = units.shape
    wide = units.astype(np.promote_types(units.dtype, np.float32))
    groups = wide.reshape(GROUP, -1, height, width, channels)
    spread = jnp.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3)).astype(units.dtype)
    return jnp.broadcast_to(jnp.tile(spread, GROUP)[:, None, None, None], (batch, height, width, 1))
