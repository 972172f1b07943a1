"""A small generator for tests, its latents, and a segmenter that looks at the colors it makes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.engine.batches import Stored
from jaxdissect.networks.models.proggan import ProgressiveGenerator
from jaxdissect.networks.segmenters.segmenter import Segmenter

CONCEPTS = vocabulary((name, "object") for name in ("red", "green", "blue", "bright", "dark"))
SIZES = (6, 10, 8)  # images 8 x 8; layer2 has 4 x 4 cells, layer3 has 8 x 8


def colors_segmenter(grid, *, offset=0) -> Segmenter:
    """Which color is strongest, whether it is bright or dark, and one of these once more."""

    def segment(params, images, asked):
        assert asked == grid
        b, h, w, _ = images.shape
        pixels = images.reshape(b, grid[0], h // grid[0], grid[1], w // grid[1], 3)
        pixels = pixels.mean(axis=(2, 4))
        mean = pixels.mean(axis=-1)
        strongest = pixels.argmax(axis=-1) + 1
        # Where no color stands out, there is none.
        strongest = jnp.where(pixels.max(axis=-1) > pixels.mean(axis=-1) + 0.01, strongest, 0)
        light = jnp.where(mean > 0.55, 4, jnp.where(mean < 0.45, 5, 0))
        again = jnp.where(mean > 0.5, strongest, light)
        return jnp.stack([strongest, light, again], axis=-1).astype(jnp.int32) + params

    return Segmenter(CONCEPTS, jnp.int32(offset), segment)


@functools.cache
def generator() -> ProgressiveGenerator:
    """A small generator, whose weights numpy draws, because then nothing has to be compiled."""
    random = np.random.RandomState(1)
    module = nnx.eval_shape(lambda: ProgressiveGenerator(SIZES, rngs=nnx.Rngs(0)))
    definition, state = nnx.split(module)

    def draw(leaf):
        return jnp.asarray(random.standard_normal(leaf.shape), jnp.float32)

    return nnx.merge(definition, jax.tree.map(draw, state))


def latents(number=7):
    return np.random.RandomState(0).standard_normal((number, SIZES[0])).astype(np.float32)


def source(number=7):
    return Stored({"latent": latents(number)})
