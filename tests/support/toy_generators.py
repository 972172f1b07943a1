"""Small generators for tests, latents, and segmenters that look at the colors they make.

`generator` is a progressive GAN. `painter` is one function whose units cause what is known: its
latent is its layer, 4 x 4 cells of 6 units, of which 0 to 2 paint red, green and blue, 3 and 4 a
little of all, and 5 a checkerboard, which is wrong.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.engine.batching import Stored
from jaxdissect.generators import Generator
from jaxdissect.generators.generator import from_signed
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
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


def labelled_generator(grid, *, offset=0, model=None) -> Generator:
    """The small generator, or another one of such latents, with the segmenter of its colors."""
    segmenter = colors_segmenter(grid, offset=offset)
    return Generator(model or generator(), SIZES[0], segmenter=segmenter, grid=grid)


def latents(number=7):
    return np.random.RandomState(0).standard_normal((number, SIZES[0])).astype(np.float32)


def source(number=7):
    return Stored({"latent": latents(number)})


# --- units of which it is known what they cause ---------------------------------------------------

PAINTER_SIZE = 4 * 4 * 6
COLORS = vocabulary((name, "object") for name in ("red", "green", "blue"))
PAINTS = np.array(
    [[2, 0, 0], [0, 2, 0], [0, 0, 2], [0.2, 0.1, 0.1], [0.1, 0.1, 0.2], [0, 0, 0]], np.float32
)


def paint_images(params, latents, tap):
    """Images [B, 8, 8, 3] in [-1, 1]."""
    maps = tap("maps", jax.nn.relu(latents.reshape(-1, 4, 4, 6)))
    pixels = (maps @ params["paints"]).repeat(2, axis=1).repeat(2, axis=2)
    odd = (jnp.indices((8, 8)).sum(axis=0) % 2).astype(jnp.float32)[None, :, :, None]
    wrong = maps[..., 5:].repeat(2, axis=1).repeat(2, axis=2) * odd * params["wrong"]
    return jnp.tanh(tap("pixels", pixels + wrong) - 1)


def painter() -> TappedNetwork:
    params = {"paints": jnp.asarray(PAINTS), "wrong": jnp.float32(1)}
    return TappedNetwork(paint_images, params)


def painter_source(number, seed=0):
    random = np.random.RandomState(seed)
    return Stored({"latent": random.standard_normal((number, PAINTER_SIZE)).astype(np.float32)})


def strongest_color() -> Segmenter:
    """Red, green or blue where it stands out, none elsewhere; one label channel, with scores."""

    def probabilities(params, images, grid):
        b, h, w, _ = images.shape
        pixels = images.reshape(b, grid[0], h // grid[0], grid[1], w // grid[1], 3)
        pixels = pixels.mean(axis=(2, 4))
        none = jnp.full((*pixels.shape[:-1], 1), 0.4)
        return jax.nn.softmax(params * jnp.concatenate([none, pixels], axis=-1))

    def segment(params, images, grid):
        found = probabilities(params, images, grid).argmax(axis=-1)
        return found[..., None].astype(jnp.int32)

    def score(params, images, concept, grid):
        found = probabilities(params, images, grid)
        return found[..., concept], found.argmax(axis=-1) == concept

    return Segmenter(COLORS, jnp.float32(10), segment, score)


STRONGEST_COLOR = strongest_color()


def labelled_painter(
    grid=(8, 8), *, segmenter: Segmenter | None = STRONGEST_COLOR, to_pixels=from_signed
) -> Generator:
    """The painter with a segmenter, that of its colors."""
    return Generator(painter(), PAINTER_SIZE, segmenter=segmenter, grid=grid, to_pixels=to_pixels)
