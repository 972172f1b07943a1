"""A small classifier of shapes, shipped with its weights: a network to dissect without a download.

It says which of the eight kinds of shapes of `jaxdissect.engine.data.shapes` a picture shows, and
was trained on nothing else: what its units know of where shapes are, of textures and of colors,
they found by themselves. `benchmarks/train_shapes.py` trains it again.

Letters of shapes: B batch, H W image, h w layer grid, I channels in, U units, S kinds of shapes.
"""

from importlib import resources

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from safetensors.numpy import load

from jaxdissect.networks.weights.mapping import with_parameters

NUM_SHAPES = 8

WEIGHTS = "shapes.safetensors"


class RectifiedConv(nnx.Module):
    """A convolution with bias that keeps the size of its input, then a ReLU."""

    def __init__(self, inputs: int, units: int, size: int, *, rngs: nnx.Rngs):
        self.convolution = nnx.Conv(
            inputs, units, (size, size), kernel_init=nnx.initializers.he_normal(), rngs=rngs
        )

    def __call__(self, inputs: Float[Array, "B h w I"]) -> Float[Array, "B h w U"]:
        return nnx.relu(self.convolution(inputs))


class ShapesClassifier(nnx.Module):
    """Five rectified convolutions, the mean over all places, one linear map.

    The units of `conv3` to `conv5`, 16 x 16 for the pictures it was trained on, see squares of 20,
    28 and 36 pixels.

    Args:
        rngs: Stream of the initial parameters.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = RectifiedConv(3, 16, 5, rngs=rngs)
        self.conv2 = RectifiedConv(16, 32, 3, rngs=rngs)
        self.conv3 = RectifiedConv(32, 48, 3, rngs=rngs)
        self.conv4 = RectifiedConv(48, 64, 3, rngs=rngs)
        self.conv5 = RectifiedConv(64, 64, 3, rngs=rngs)
        self.classify = nnx.Linear(64, NUM_SHAPES, rngs=rngs)

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B S"]:
        """Score the presence of each kind of shape.

        Args:
            images: RGB in [0, 1], 64 x 64 in training; sides are multiples of 4.

        Returns:
            Logits: `jax.nn.sigmoid` gives the probability that a kind is present, independently
            of the others.

        Raises:
            ValueError: If `images` has other axes or sides.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or any(n % 4 for n in images.shape[1:3]):
            raise ValueError(
                f"`images` (={images.shape}) must have axes [B, H, W, 3], H and W multiples of 4"
            )
        units = (images - 0.5) * 4.0
        units = _pool(self.conv1(units))
        units = _pool(self.conv2(units))
        units = self.conv5(self.conv4(self.conv3(units)))
        return self.classify(units.mean(axis=(1, 2)))


def _pool(units: Float[Array, "B h w U"]) -> Float[Array, "B half_h half_w U"]:
    # In pairs: the gradient of a windowed maximum takes ten times longer on CPUs.
    batch, height, width, channels = units.shape
    pairs = units.reshape(batch, height // 2, 2, width // 2, 2, channels)
    rows = jnp.maximum(pairs[:, :, 0], pairs[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


def shapes_classifier() -> ShapesClassifier:
    """Build the classifier with the trained weights that come with the package.

    Raises:
        ValueError: If the weights do not belong to this network.
    """
    arrays = load(resources.files("jaxdissect.networks.models").joinpath(WEIGHTS).read_bytes())
    return with_parameters(lambda: ShapesClassifier(rngs=nnx.Rngs(0)), arrays, source=WEIGHTS)
