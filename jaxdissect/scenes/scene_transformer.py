"""A small vision transformer that classifies the scene of an image, beside the small VGG.

Letters of shapes: B batch, N classes.
"""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxdissect.networks.models.layers import float_images
from jaxdissect.networks.models.vision_transformer import VisionTransformer
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.scene_classifier import IMAGE_SIZE

PATCH_SIZE = 8

WIDTH, DEPTH, HEADS, NEURONS = 96, 6, 4, 192
"""Units of a token, blocks, and the attention heads and neurons of each."""

TRANSFORMER_LAYERS = (
    *(f"blocks.{block}.mlp.act" for block in range(DEPTH)),
    f"blocks.{DEPTH - 1}.attn.heads",
    f"blocks.{DEPTH - 1}",
)
"""The layers to dissect: the neurons of every block, then the last heads and what leaves them."""


class SceneTransformer(VisionTransformer):
    """Six blocks over 8 x 8 patches and a class token; it never saw a label of an object.

    Layers are those of a `VisionTransformer`: `patch_embed`, ..., `blocks.5.mlp.act`, `blocks.5`,
    `norm`, `head`.

    Args:
        rngs: Stream of the initial parameters.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        super().__init__(
            len(SCENES),
            image_size=(IMAGE_SIZE, IMAGE_SIZE),
            patch_size=(PATCH_SIZE, PATCH_SIZE),
            width=WIDTH,
            depth=DEPTH,
            heads=HEADS,
            hidden=NEURONS,
            rngs=rngs,
        )

    def __call__(self, inputs: Any) -> Float[Array, "B N"]:
        """Score the scenes.

        Args:
            inputs: RGB in [0, 1], [B, 64, 64, 3].

        Returns:
            Logits, in the order of `jaxdissect.scenes.rendering.SCENES`.

        Raises:
            ValueError: If the images have other axes or another size, or are no floats.
        """
        return super().__call__((float_images(inputs, expected="floats in [0, 1]") - 0.5) * 4)
