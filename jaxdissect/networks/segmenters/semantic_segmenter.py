"""Semantic segmentation: labels of one or several categories from a single softmax.

Bau et al. (PNAS 2020) label colors so. The label file that comes with a network holds the format of
its images, and which category each of its outputs belongs to: a category is one question, such as
which color, and the most probable of its labels is the answer.

Letters of shapes: B batch, h w image, H W grid of labels, K categories, C outputs.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxdissect.arrays.concepts import NONE, Vocabulary, vocabulary
from jaxdissect.networks.segmenters.rules import DEFAULT_RULES, Rules
from jaxdissect.networks.segmenters.segmenter import (
    Grid,
    Segmenter,
    check_concept,
    check_sizes,
    predict_at_sizes,
)

BYTE_ORDERS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0)}
"""Channels of RGB images in the order in which a network takes them."""


class ImageFormat(NamedTuple):
    """How a network takes images: ``(images[..., channels] - mean) / stdev`` of RGB in [0, 1]."""

    channels: tuple[int, ...]
    mean: tuple[float, ...]
    stdev: tuple[float, ...]

    def __call__(self, images: Float[Array, "B h w 3"]) -> Float[Array, "B h w 3"]:
        """Prepare RGB images in [0, 1]."""
        mean, stdev = (
            jnp.asarray(values, images.dtype).reshape(1, 1, 1, 3)
            for values in (self.mean, self.stdev)
        )
        return (images[..., np.array(self.channels)] - mean) / stdev


def semantic_segmentation(
    predict: Callable[[PyTree, Array, Grid], Float[Array, "B H W C"]],
    params: PyTree,
    label_content: Mapping[str, Any],
    *,
    sizes: Sequence[Grid] = ((256, 256),),
    rules: Rules = DEFAULT_RULES,
) -> Segmenter:
    """Make a segmenter of a network for semantic segmentation.

    It gives one label per category, in their order; concepts are numbered as `read_concepts` of
    `jaxdissect.arrays.concepts` does. Internal outputs stand for none; several outputs may stand
    for one concept. A category with a mask has labels only where the mask's label has won in its
    own category.

    The score of a concept is the probability of its outputs given their category; where the
    category is masked, times the probability of the mask.

    Args:
        predict: ``predict(params, inputs, grid)``: probabilities of all outputs, where inputs are
            images in the format of the label file.
        params: Its parameters.
        label_content: The label file that comes with the network::

            {"imageformat": {"byteorder": "RGB" or "BGR", "mean": [...], "stdev": [...]},
             "categories": [{"name": ..., "mask"?: a label}, ...],
             "labels": [{"name": ..., "category": ..., "internal"?: ...}, ...]}

            with labels in the order of the outputs, mean and stdev in the byte order, of images
            in [0, 1].
        sizes: Heights and widths at which the network sees the images; the answers are joined.
        rules: How probabilities become labels and scores.

    Raises:
        ValueError: If `label_content` or `sizes` are malformed; and in use, if the answers do not
            fit the labels, the images have other axes or are no floats, or the grid is empty.
    """
    check_sizes(sizes)
    known, categories = _read_labels(label_content)
    num_outputs = sum(len(category.outputs) for category in categories)

    def answer(params: PyTree, inputs: Array, grid: Grid) -> tuple[Array, ...]:
        maps = predict(params, inputs, grid)
        due = (inputs.shape[0], *grid, num_outputs)
        if maps.shape != due:
            raise ValueError(f"`predict` gives {maps.shape}, and the labels ask for {due}")
        return tuple(rules.among(maps[..., category.outputs]) for category in categories)

    shares = functools.partial(
        predict_at_sizes,
        answer,
        sizes=sizes,
        prepare=_read_image_format(label_content),
        rules=rules,
    )

    def segment(params: PyTree, images: Any, grid: Grid) -> Array:
        return _labels(shares(params, images, grid), categories)

    def score(params: PyTree, images: Any, concept_id: int, grid: Grid) -> tuple[Array, Array]:
        check_concept(known, concept_id)
        answers = shares(params, images, grid)
        mask = (_labels(answers, categories) == concept_id).any(-1)
        return _score(answers, categories, concept_id, rules), mask

    return Segmenter(known, params, segment, score)


class _Category(NamedTuple):
    """What its outputs are among all, their ids (0: none), and what masks them.

    A mask is the place of another category, and for each output of that one whether it lets this
    category through.
    """

    outputs: np.ndarray
    ids: np.ndarray
    mask: tuple[int, np.ndarray] | None


def _labels(shares: Sequence[Array], categories: Sequence[_Category]) -> Array:
    """Labels [B, H, W, K]."""
    winners = [jnp.argmax(share, axis=-1) for share in shares]
    channels = []
    for winner, category in zip(winners, categories, strict=True):
        labels = jnp.asarray(category.ids)[winner]
        if category.mask is not None:
            place, through = category.mask
            labels = jnp.where(jnp.asarray(through)[winners[place]], labels, 0)
        channels.append(labels)
    return jnp.stack(channels, axis=-1)


def _score(
    shares: Sequence[Array], categories: Sequence[_Category], concept_id: int, rules: Rules
) -> Array:
    """Score [B, H, W]."""
    share, category = next(
        pair for pair in zip(shares, categories, strict=True) if concept_id in pair[1].ids
    )
    score = share[..., category.ids == concept_id].sum(-1)
    if category.mask is None:
        return score
    place, through = category.mask
    return rules.within(score, shares[place][..., through].sum(-1))


def _read_image_format(content: Mapping[str, Any]) -> ImageFormat:
    match content.get("imageformat"):
        case {"byteorder": order, "mean": [_, _, _] as mean, "stdev": [_, _, _] as stdev} if (
            order in BYTE_ORDERS
            and all(isinstance(number, int | float) for number in (*mean, *stdev))
            and all(stdev)
        ):
            return ImageFormat(BYTE_ORDERS[order], tuple(mean), tuple(stdev))
        case other:
            raise ValueError(
                "`label_content`, imageformat must have a byteorder, RGB or BGR, a mean and a "
                f"stdev of 3 numbers, none of the latter 0, and is {other!r}"
            )


def _read_labels(content: Mapping[str, Any]) -> tuple[Vocabulary, tuple[_Category, ...]]:
    match content.get("categories"):
        case [_, *_] as listed if all(
            isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in listed
        ):
            masks = {item["name"]: item.get("mask") for item in listed}
        case other:
            raise ValueError(f"`label_content`, categories must have names, and are {other!r}")
    outputs: list[tuple[str, str]] = []
    concepts: list[tuple[str, str] | None] = []
    for i, label in enumerate(content.get("labels") or ()):
        match label:
            case {"name": str(name), "category": str(category)} if category in masks:
                outputs.append((name, category))
                none = label.get("internal") or name == NONE
                concepts.append(None if none else (name, category))
            case _:
                raise ValueError(
                    f"`label_content`, labels[{i}] must have a name, and as category one of "
                    f"{', '.join(masks)}, and is {label!r}"
                )
    known = vocabulary(dict.fromkeys(concept for concept in concepts if concept))
    numbers = (known.index(pair[0], category=pair[1]) if pair else 0 for pair in concepts)
    ids = np.array([*numbers], np.int32)
    homes = np.array([category for _, category in outputs])
    names = np.array([name for name, _ in outputs])
    categories = []
    for category, label in masks.items():
        if category not in homes:
            raise ValueError(f"`label_content`: no label is of the category {category!r}")
        mask = None
        if label is not None:
            home, *others = dict.fromkeys(homes[names == label].tolist()) or [category]
            if others or home == category:
                raise ValueError(
                    f"`label_content`, mask {label!r} of {category!r} must be a label of one "
                    "category, another one"
                )
            mask = list(masks).index(home), names[homes == home] == label
        mine = np.flatnonzero(homes == category)
        categories.append(_Category(mine, ids[mine], mask))
    return known, tuple(categories)
