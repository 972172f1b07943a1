"""A small VGG that classifies the scene of an image; it never saw a label of an object.

After Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015: 3 x 3 convolutions, each with a ReLU, in blocks that end in a pooling. One
linear map follows, so that what a unit does to a class can be read from few weights.

Letters of shapes: B batch, h w layer grid, U units, N classes.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.convolution import Conv2D, max_pool2d
from jaxdissect.networks.models.layers import Chain, checked_images
from jaxdissect.scenes.rendering import SCENES

BLOCKS = ((24,), (48,), (64, 64), (96, 48))
"""Units of the convolutions of every block."""

CONVOLUTIONS = tuple(
    f"features.relu{block}_{index}"
    for block, widths in enumerate(BLOCKS, 1)
    for index in range(1, len(widths) + 1)
)
"""The layers to dissect, every convolution after its ReLU; the last sees objects best."""

IMAGE_SIZE = 64


class SceneClassifier(nnx.Module):
    """Six convolutions in four blocks, and a linear map.

    Layers are `features.conv1_1`, `features.relu1_1`, `features.pool1`, ..., `features.relu4_2`
    (16 x 16 cells), `features.pool4` (4 x 4), and `fc5`.

    Args:
        rngs: Stream of the initial parameters.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        features: dict[str, Any] = {}
        inputs = 3
        for block, widths in enumerate(BLOCKS, 1):
            for index, units in enumerate(widths, 1):
                features[f"conv{block}_{index}"] = Conv2D(inputs, units, rngs=rngs)
                features[f"relu{block}_{index}"] = nnx.relu
                inputs = units
            # The third keeps its 16 x 16 cells: units that see objects should localise them.
            if block < 3:
                features[f"pool{block}"] = max_pool2d
        features["pool4"] = _pool_to_grid
        self.features = Chain(features)
        self.fc5 = nnx.Linear(4 * 4 * inputs, len(SCENES), rngs=rngs)

    def __call__(self, images: Any) -> Float[Array, "B N"]:
        """Score the scenes.

        Args:
            images: RGB in [0, 1], [B, 64, 64, 3].

        Returns:
            Logits, in the order of `jaxdissect.scenes.rendering.SCENES`.

        Raises:
            ValueError: If the images have other axes or another size, or are no floats.
        """
        return self.scores(self.pooled(images))

    def scores(self, units: Float[Array, "B 4 4 U"]) -> Float[Array, "B N"]:
        """Score the scenes from the activations of `features.pool4`."""
        return self.fc5(units.reshape(len(units), -1))

    def pooled(self, images: Any) -> Float[Array, "B 4 4 U"]:
        """Compute the activations that the scores are made of, `features.pool4`."""
        dtype = getattr(self.features, self.features.names[0]).kernel.dtype
        images = checked_images(images, dtype=dtype)
        if images.shape[1:3] != (IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"`images` (={images.shape}) must be {IMAGE_SIZE} x {IMAGE_SIZE} pixels"
            )
        return self.features((images - 0.5) * 4)


def _pool_to_grid(units: Float[Array, "B 16 16 U"]) -> Float[Array, "B 4 4 U"]:
    return max_pool2d(max_pool2d(units))
