"""A small segmenter of scenes, for images that nobody drew: those of a generator.

After Xiao et al., "Unified Perceptual Parsing for Scene Understanding", ECCV 2018: a pyramid of
features with a pyramid pooling on top, from which a head for each category classifies every pixel.
Colors are measured from the pixels.

Letters of shapes: B batch, h w layer grid, H W grid of labels, U units, C outputs, K = 4 channels.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int32, PyTree

from jaxdissect.arrays.colors import color_labels
from jaxdissect.networks.convolution import Conv2D, max_pool2d
from jaxdissect.networks.models.layers import Chain, adaptive_average_pool, float_images
from jaxdissect.networks.models.pyramid_pooling import resized, size_of
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES
from jaxdissect.networks.segmenters.segmenter import (
    Grid,
    Segmenter,
    check_concept,
    predict_at_sizes,
)
from jaxdissect.scenes.concepts import CHANNELS, CONCEPTS, FIRST_COLOR, scene_vocabulary

STAGES = ((24, 24), (48, 48), (72, 72), (112, 112))
"""Units of the convolutions of every stage, at 64 x 64, 32 x 32, ... cells for 64 x 64 pixels."""

WIDTH = 48
"""Units of the pyramid of features."""

POOLS = (1, 2, 4)
"""Grids of the pyramid pooling."""

IMAGE_SIZE = 64

HEADS = tuple(channel for channel in CHANNELS if channel != "color")
"""Categories that have a head of their own."""

CONCEPT_IDS = {
    category: [i for i, (_, own) in enumerate(CONCEPTS, 1) if own == category]
    for category in CHANNELS
}
"""Ids of the concepts of every category, in the order of the outputs of its head."""


class SceneParser(nnx.Module):
    """Four stages, pyramid pooling on the last, and a pyramid back to the finest.

    Layers are `stage1` to `stage4`, `pooled`, `fused`, `finest`, and a head per category, such as
    `heads.object`.

    Args:
        rngs: Stream of the initial parameters.
    """

    def __init__(self, *, rngs: nnx.Rngs):
        inputs = 3
        for number, widths in enumerate(STAGES, 1):
            layers: dict[str, Any] = {"pool": max_pool2d} if number > 1 else {}
            for index, units in enumerate(widths, 1):
                layers |= _rectified(f"conv{index}", inputs, units, rngs=rngs)
                inputs = units
            setattr(self, f"stage{number}", Chain(layers))
        self.pyramid = nnx.List([Conv2D(inputs, WIDTH, (1, 1), rngs=rngs) for _ in POOLS])
        self.pooled = Chain(_rectified("conv", inputs + len(POOLS) * WIDTH, WIDTH, rngs=rngs))
        finer = [widths[-1] for widths in STAGES[:-1]]
        self.lateral = nnx.List([Conv2D(units, WIDTH, (1, 1), rngs=rngs) for units in finer])
        self.fused = Chain(_rectified("conv", 3 * WIDTH, WIDTH, rngs=rngs))
        self.finest = Chain(_rectified("conv", 2 * WIDTH, WIDTH, rngs=rngs))
        self.heads = nnx.Dict(
            {name: Conv2D(WIDTH, 1 + len(CONCEPT_IDS[name]), (1, 1), rngs=rngs) for name in HEADS}
        )

    def __call__(self, images: Float[Array, "B H W 3"]) -> dict[str, Float[Array, "B H W _"]]:
        """Give logits of every category, none of its concepts first.

        Args:
            images: RGB in [0, 1], sides multiples of 32.
        """
        images = float_images(images)
        if any(side % 32 for side in images.shape[1:3]):
            raise ValueError(f"`images` (={images.shape}) must have sides that are multiples of 32")
        units = (images - 0.5) * 4
        stages = []
        for number in range(1, 1 + len(STAGES)):
            units = getattr(self, f"stage{number}")(units)
            stages.append(units)
        levels = [self._pool(stages[-1])]
        for stage, inside in reversed(list(zip(stages[:-1], self.lateral, strict=True))):
            levels.append(inside(stage) + resized(levels[-1], size_of(stage)))
        coarser = [resized(level, size_of(levels[2])) for level in levels[:3]]
        fused = self.fused(jnp.concatenate(coarser, axis=-1))
        finest = [levels[3], resized(fused, size_of(levels[3]))]
        units = self.finest(jnp.concatenate(finest, axis=-1))
        return {name: head(units) for name, head in self.heads.items()}

    def _pool(self, units: Float[Array, "B h w U"]) -> Float[Array, "B h w _"]:
        """Add what is seen in ever larger parts of the image."""
        parts = [
            resized(nnx.relu(convolve(adaptive_average_pool(units, (size, size)))), size_of(units))
            for size, convolve in zip(POOLS, self.pyramid, strict=True)
        ]
        return self.pooled(jnp.concatenate([units, *parts], axis=-1))


def _rectified(name: str, inputs: int, units: int, *, rngs: nnx.Rngs) -> dict[str, Any]:
    return {name: Conv2D(inputs, units, rngs=rngs), f"{name}_relu": nnx.relu}


def scene_segmenter(parser: SceneParser) -> Segmenter:
    """Make a segmenter of a trained parser.

    Its labels are those of the scenes: the object, part and material of every pixel, and its color.
    Scores of a concept are its probability among those of its category; colors have none.
    """
    definition, params = nnx.split(parser)

    def answer(params: PyTree, images: Array, grid: Grid) -> dict[str, Array]:
        logits = nnx.merge(definition, params)(images)
        return {name: resized(maps, grid) for name, maps in logits.items()}

    parse = partial(
        predict_at_sizes,
        answer,
        sizes=[(IMAGE_SIZE, IMAGE_SIZE)],
        prepare=_as_it_is,
        rules=DEFAULT_RULES,
    )

    def segment(params: PyTree, images: Any, grid: Grid) -> Int32[Array, "B H W K"]:
        logits = parse(params, images, grid)
        channels = [
            jnp.asarray(np.array([0, *CONCEPT_IDS[name]], np.int32))[logits[name].argmax(-1)]
            for name in HEADS
        ]
        colors = color_labels(float_images(images), grid=grid) + (FIRST_COLOR - 1)
        return jnp.stack([*channels, colors], axis=-1)

    def score(params: PyTree, images: Any, concept_id: int, grid: Grid) -> tuple[Array, Array]:
        check_concept(known, concept_id)
        category = known.categories[concept_id]
        if category not in HEADS:
            raise ValueError(
                f"`concept_id` (={concept_id}) is a color: colors are measured, not scored"
            )
        logits = parse(params, images, grid)[category]
        position = 1 + CONCEPT_IDS[category].index(concept_id)
        return jax.nn.softmax(logits)[..., position], logits.argmax(-1) == position

    known = scene_vocabulary()
    return Segmenter(known, params, segment, score)


def _as_it_is(images: Array) -> Array:
    return images
