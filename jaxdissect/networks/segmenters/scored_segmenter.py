"""Any network that scores classes at every pixel, as a segmenter: the network and a list of names.

Letters of shapes: B batch, h w image, or maps of the network, H W grid of labels, C channels.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int32, PyTree

from jaxdissect.arrays.concepts import CATEGORIES, NONE, Vocabulary, vocabulary
from jaxdissect.arrays.name_lists import NOTHING
from jaxdissect.arrays.resampling import Alignment, pixel_centers, resample
from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.segmenters.rules import antialiased
from jaxdissect.networks.segmenters.segmenter import Grid, Segmenter, check_concept, checked_input

Concept = str | tuple[str, str] | None

_Tables = Mapping[int, np.ndarray]
"""Ids int32 [C] of the channels, 0 for none, by their number."""

_NOTHING = (
    "; if its first or its last channel stands for nothing, list it there: as None, or in a file "
    "as a line `background`"
)
_LAST = "; its channels seem to come first, and must come last"


def segmenter_of(
    network: Any,
    concepts: Vocabulary | Sequence[Concept],
    *,
    params: PyTree = None,
    prepare: Callable[[Array], Array] = lambda images: images,
    size: Grid | None = None,
    multiple_of: int = 1,
    alignment: Alignment = pixel_centers,
    probabilities: Callable[[Array], Array] = jax.nn.softmax,
) -> Segmenter:
    """Make a segmenter of a network that scores classes at every pixel.

    The label of a cell of the grid is the channel whose score is greatest at the cell's centre,
    where scores are interpolated linearly between those that the network gives, in whatever size.
    Scores that are not numbers give the label -1, which every experiment refuses.

    Args:
        network: An nnx.Module, a Network, or with `params` a function
            ``network(params, images) -> scores``: from images [B, h, w, 3] as `prepare` gives them
            to floats [B, h', w', C] of any height and width.
        concepts: What the channels stand for, one by one: a name (of category "object"), a pair
            (name, category), or None for a channel that stands for nothing, such as the background.
            Channels may share a concept. Or a `Vocabulary`, whose ids are the channels; where there
            is one channel less than ids, none of them stands for nothing.
        params: Parameters of a function. Modules and Networks bring theirs.
        prepare: From RGB in [0, 1] to what the network takes.
        size: Height and width at which the network sees the images; None for that of the images.
        multiple_of: Both sides are enlarged to the next multiple of this, where `size` is None.
        alignment: Where the cells of a grid read the scores; by default so that the outer edges of
            both coincide.
        probabilities: From scores, laid over the grid, to probabilities, for the segmenter's
            scores.

    Raises:
        ValueError: If a concept is malformed or says in words that it stands for nothing, `size` or
            `multiple_of` are not positive; and in use, if the network gives no such scores, or
            another number of channels, the images have other axes or are no floats, or the grid is
            empty.
        TypeError: If `network` is none of these.
    """
    named, tables = _numbered(concepts)
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"`size` (={size}) must be a positive height and width")
    if multiple_of < 1 or (size is not None and multiple_of != 1):
        raise ValueError(
            f"`multiple_of` (={multiple_of}) must be positive, and is only for images that keep "
            "their size, without `size`"
        )
    predict, params = _function(network, params)

    def scores(params: PyTree, images: Any, grid: Grid) -> Float[Array, "B H W C"]:
        images = checked_input(images, grid)
        sides = images.shape[1:3]
        due = size or tuple(multiple_of * math.ceil(side / multiple_of) for side in sides)
        resized = images if sides == due else antialiased(images, due)
        found = predict(params, prepare(resized))
        _check_scores(found, len(images), tables)
        found = found.astype(np.promote_types(found.dtype, np.float32))
        return resample(found, grid, alignment=alignment)

    def segment(params: PyTree, images: Any, grid: Grid) -> Int32[Array, "B H W 1"]:
        return _labels(scores(params, images, grid), tables)[..., None]

    def score(params: PyTree, images: Any, concept_id: int, grid: Grid) -> tuple[Array, Array]:
        check_concept(named, concept_id)
        found = scores(params, images, grid)
        channels = tables[found.shape[3]] == concept_id
        return probabilities(found)[..., channels].sum(-1), _labels(found, tables) == concept_id

    return Segmenter(named, params, segment, score)


def _labels(scores: Float[Array, "B H W C"], tables: _Tables) -> Int32[Array, "B H W"]:
    labels = jnp.asarray(tables[scores.shape[3]])[jnp.argmax(scores, axis=-1)]
    return jnp.where(jnp.isnan(scores).any(-1), -1, labels)


def _numbered(concepts: Vocabulary | Sequence[Concept]) -> tuple[Vocabulary, _Tables]:
    """Vocabulary, and what channels stand for, by how many there are."""
    if isinstance(concepts, Vocabulary):
        ids = np.arange(len(concepts), dtype=np.int32)
        return concepts, {len(ids): ids, len(ids) - 1: ids[1:]}
    if isinstance(concepts, str) or not len(concepts):
        raise ValueError(f"`concepts` (={concepts!r}) must have an entry for every channel")
    pairs: list[tuple[str, str] | None] = []
    for place, concept in enumerate(concepts):
        match concept:
            case None | "-":
                pairs.append(None)
            case str() if concept.lower() in NOTHING - {NONE}:
                raise ValueError(
                    f"`concepts`[{place}] is {concept!r}: give None if this channel stands for "
                    f"nothing, or ({concept!r}, {CATEGORIES[0]!r}) if it is a concept"
                )
            case str():
                pairs.append((concept, CATEGORIES[0]))
            case (str() as name, str() as category):
                pairs.append((name, category))
            case _:
                raise ValueError(
                    f"`concepts`[{place}] (={concept!r}) must be a name, a pair (name, category) "
                    "or None"
                )
    named = vocabulary(dict.fromkeys(pair for pair in pairs if pair))
    ids = [named.index(pair[0], category=pair[1]) if pair else 0 for pair in pairs]
    return named, {len(ids): np.array(ids, np.int32)}


def _function(network: Any, params: PyTree) -> tuple[Callable[[PyTree, Array], Any], PyTree]:
    """A network as a function of parameters and images, and its parameters."""
    if isinstance(network, nnx.Module | Network):
        if params is not None:
            raise ValueError("`params` go with a function; modules and Networks bring theirs")
        known = as_network(network)
        return lambda params, images: known.apply(params, images)[0], known.params
    if not callable(network):
        raise TypeError(
            f"`network` (={type(network).__name__}) must be an nnx.Module, a Network or a function "
            "of parameters and images"
        )
    return network, params


def _check_scores(scores: Any, batch: int, tables: _Tables) -> None:
    """Refuse what a network gives instead of one score per channel and pixel."""
    shape, dtype = getattr(scores, "shape", None), getattr(scores, "dtype", None)
    channels = " or ".join(map(str, tables))
    due = f"must give floats [{batch}, height, width, {channels}], a score per pixel and channel"
    if shape is None or dtype is None:
        raise ValueError(f"`network` gives {type(scores).__name__}, and {due}")
    found = f"`network` gives {dtype}{list(shape)}, and {due}"
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"{found}; what gives ids is a segmenter itself: Segmenter(vocabulary, params, segment)"
        )
    if len(shape) != 4 or shape[0] != batch or shape[3] not in tables:
        hint = ""
        if len(shape) == 4 and shape[1] in tables:
            hint = _LAST
        elif len(shape) == 4 and shape[3] - 1 in tables:
            hint = _NOTHING
        raise ValueError(f"{found}, because `concepts` name so many{hint}")
