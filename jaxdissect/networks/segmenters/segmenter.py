"""What a segmenter is, how to run it, and how several join.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020, label
images with networks: objects, parts and materials by unified parsing
(`jaxdissect.networks.segmenters.parsing_segmenter`), colors by semantic segmentation
(`jaxdissect.networks.segmenters.semantic_segmenter`).

Letters of shapes: B batch, h w image, H W grid of labels, K labels per pixel.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxdissect.arrays.concepts import Vocabulary
from jaxdissect.arrays.representation import short_repr
from jaxdissect.networks.models.layers import float_images
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, Rules

Grid = tuple[int, int]

# (params, images prepared for the network, grid) -> probabilities on the grid
Predict = Callable[[PyTree, Array, Grid], Any]


def no_score(
    params: PyTree, images: Any, concept_id: int, grid: Grid
) -> tuple[Float[Array, "B H W"], Bool[Array, "B H W"]]:
    """Refuse to score, for segmenters that can only label."""
    raise ValueError("`segmenter` gives labels alone: it was made without a `score`")


class Segmenter(NamedTuple):
    """Concepts, a function that labels images with them, and one that scores one of them.

    Both are pure and work under `jax.jit` with `grid` and `concept_id` static, `jax.vmap` and,
    the scores, `jax.grad`. They take RGB images in [0, 1] of any height and width.

    Attributes:
        vocabulary: What the labels mean.
        params: Parameters of the networks. Give them to jitted functions as an argument: arrays
            that a jitted function closes over become constants of the compiled program.
        segment: ``segment(params, images, grid)``: labels int32 [B, H, W, K], 0 = none.
        score: ``score(params, images, concept_id, grid)``: how probable the concept is at every
            pixel [B, H, W], differentiable, and where it is among the labels, bool [B, H, W].
            May be left out.
    """

    vocabulary: Vocabulary
    params: PyTree
    segment: Callable[[PyTree, Float[Array, "B h w 3"], Grid], Int32[Array, "B H W K"]]
    score: Callable[
        [PyTree, Float[Array, "B h w 3"], int, Grid],
        tuple[Float[Array, "B H W"], Bool[Array, "B H W"]],
    ] = no_score

    __repr__ = short_repr


def predict_labels(
    segmenter: Segmenter, images: Float[Array, "B h w 3"], *, grid: Grid | None = None
) -> Int32[Array, "B H W K"]:
    """Label images.

    Args:
        segmenter: In a function to be jitted, ``segmenter._replace(params=params)``.
        images: RGB in [0, 1].
        grid: Height and width of the label maps; a quarter of the images' when None.

    Returns:
        Ids in the segmenter's vocabulary; 0 = none.

    Raises:
        ValueError: If the images have other axes or are no floats, or the grid is empty.
    """
    return segmenter.segment(segmenter.params, images, _quarter(images) if grid is None else grid)


def predict_single_concept(
    segmenter: Segmenter,
    images: Float[Array, "B h w 3"],
    name: str,
    *,
    category: str | None = None,
    grid: Grid | None = None,
) -> tuple[Float[Array, "B H W"], Bool[Array, "B H W"]]:
    """Score one concept at every pixel, differentiably.

    Args:
        segmenter: In a function to be jitted, ``segmenter._replace(params=params)``.
        images: RGB in [0, 1].
        name: The concept.
        category: Its category, where several concepts have that name.
        grid: Height and width of the maps; a quarter of the images' when None.

    Returns:
        The probability of the concept at every pixel, in [0, 1], and the pixels it is a label of.
        There is no gradient through the latter.

    Raises:
        ValueError: If there is no such concept, the segmenter has no scores, the images have other
            axes or are no floats, or the grid is empty.
    """
    concept_id = segmenter.vocabulary.index(name, category=category)
    grid = _quarter(images) if grid is None else grid
    return segmenter.score(segmenter.params, images, concept_id, grid)


# --- several segmenters as one ------------------------------------------------------------------


def merge_segmenters(*segmenters: Segmenter, rules: Rules = DEFAULT_RULES) -> Segmenter:
    """Join segmenters: all their concepts; the labels of each become further channels.

    A concept of several of them has, as its score, the greatest of theirs.

    Args:
        segmenters: One or more; their parameters become a tuple.
        rules: How vocabularies are joined.

    Raises:
        ValueError: If there are no segmenters.
    """
    if not segmenters:
        raise ValueError("`segmenters` must not be empty")
    known, tables = rules.join(*(segmenter.vocabulary for segmenter in segmenters))

    def segment(params: PyTree, images: Any, grid: Grid) -> Array:
        channels = [
            # Ids that are in no vocabulary become -1, to be refused, rather than a concept.
            jnp.asarray(table)
            .at[segmenter.segment(own, images, grid)]
            .get(mode="fill", fill_value=-1, wrap_negative_indices=False)
            for segmenter, own, table in zip(segmenters, params, tables, strict=True)
        ]
        return jnp.concatenate(channels, axis=-1)

    def score(params: PyTree, images: Any, concept_id: int, grid: Grid) -> tuple[Array, Array]:
        check_concept(known, concept_id)
        found = [
            segmenter.score(own, images, int(index), grid)
            for segmenter, own, table in zip(segmenters, params, tables, strict=True)
            for index in np.flatnonzero(table == concept_id)
        ]
        scores, masks = zip(*found, strict=True)
        return functools.reduce(jnp.maximum, scores), functools.reduce(operator.or_, masks)

    return Segmenter(known, tuple(segmenter.params for segmenter in segmenters), segment, score)


# --- what the segmenters share ------------------------------------------------------------------


def predict_at_sizes(
    predict: Predict,
    params: PyTree,
    images: Any,
    grid: Grid,
    *,
    sizes: Sequence[Grid],
    prepare: Callable[[Array], Array],
    rules: Rules,
) -> Any:
    """Run a network on images of every size and join its answers, map by map.

    Args:
        predict: The network: ``predict(params, prepared, grid)``, any pytree of maps.
        params: Its parameters.
        images: RGB [B, h, w, 3] in [0, 1].
        grid: Height and width of the maps.
        sizes: Heights and widths at which the network sees the images.
        prepare: From RGB in [0, 1] to what the network takes.
        rules: How to resize and join.

    Raises:
        ValueError: If the images have other axes or are no floats, or the grid is empty.
    """
    images = checked_input(images, grid)
    answers = []
    for height, width in sizes:
        same = images.shape[1:3] == (height, width)
        resized = images if same else rules.resize(images, (height, width))
        answers.append(predict(params, prepare(resized), grid))
    return jax.tree.map(lambda *maps: rules.over_sizes(maps), *answers)


def checked_input(images: Any, grid: Grid) -> Array:
    """Return what a segmenter labels, and on which grid, after a look at both.

    Raises:
        ValueError: If the images have other axes or are no floats, or the grid is empty.
    """
    images = _checked(images)
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(f"`grid` (={grid}) must have a positive height and width")
    return images


def check_sizes(sizes: Sequence[Grid]) -> None:
    """Refuse sizes that are not pairs of a positive height and width.

    Raises:
        ValueError: If `sizes` are not such pairs, or if there are none.
    """
    if not sizes or any(np.shape(size) != (2,) or min(size) < 1 for size in sizes):
        raise ValueError(f"`sizes` (={sizes}) must be pairs (height, width) of positive numbers")


def check_concept(known: Vocabulary, concept_id: int) -> None:
    """Refuse ids that stand for no concept.

    Raises:
        ValueError: If `concept_id` is 0, or not in the vocabulary.
    """
    if not 1 <= concept_id < len(known):
        raise ValueError(
            f"`concept_id` (={concept_id}) must lie in 1 to {len(known) - 1}: none has no score"
        )


def _checked(images: Any) -> Array:
    return float_images(images, expected="RGB floats in [0, 1]: divide bytes by 255")


def _quarter(images: Any) -> Grid:
    """Grid of the experiments of the reference."""
    height, width = _checked(images).shape[1:3]
    return height // 4, width // 4
