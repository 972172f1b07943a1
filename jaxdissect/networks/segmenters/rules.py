"""The rules by which segmenters turn what networks answer into labels and scores.

Where the code of Bau et al. (PNAS 2020) does what nobody would ask for, `DEFAULT_RULES` does not;
`REFERENCE_RULES` does as their code does, for parity with their numbers.

Letters of shapes: B batch, h w image, H W grid of labels, U channels, C alternatives.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from jaxdissect.arrays.components import all_but_last_component, every_component
from jaxdissect.arrays.concepts import Vocabulary, merge_vocabularies, vocabulary
from jaxdissect.networks.models.layers import adaptive_average_pool

Size = tuple[int, int]


def antialiased(images: Float[Array, "B h w U"], size: Size) -> Float[Array, "B H W U"]:
    """Resize bilinearly, smoothing before images shrink."""
    batch, *_, channels = images.shape
    return jax.image.resize(images, (batch, *size, channels), "linear", antialias=True)


def mean(maps: Sequence[Array]) -> Array:
    """Average maps."""
    return sum(maps[1:], start=maps[0]) / len(maps)


def total(maps: Sequence[Array]) -> Array:
    """Add maps up."""
    return sum(maps[1:], start=maps[0])


def shares(probabilities: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Divide probabilities of alternatives by their sum; if all are 0, leave them so."""
    whole = probabilities.sum(-1, keepdims=True)
    return probabilities / jnp.where(whole > 0, whole, 1)


def softmax(probabilities: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Take the softmax of what already are probabilities."""
    return jax.nn.softmax(probabilities, axis=-1)


def joint(inner: Float[Array, "B H W"], outer: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
    """Multiply the probability of what is inside, given the outside, with that of the outside."""
    return inner * outer


def inner_alone(
    inner: Float[Array, "B H W"], outer: Float[Array, "B H W"]
) -> Float[Array, "B H W"]:
    """Take the probability of what is inside as if the outside were certain everywhere."""
    del outer
    return inner


def merge_with_nones(
    *vocabularies: Vocabulary,
) -> tuple[Vocabulary, tuple[Int32[np.ndarray, "_"], ...]]:
    """Number vocabularies one after the other, the id 0 of all but the first included.

    "None" of a later vocabulary becomes a concept of the category "none", called "no color" where
    the vocabulary is of colors. (The reference calls it "-", which is what none is called here.)

    Returns:
        The joined vocabulary, and for every input a table from its ids to the joined ids.

    Raises:
        ValueError: If a concept is in several vocabularies.
    """
    concepts: list[tuple[str, str]] = []
    tables = []
    for i, known in enumerate(vocabularies):
        first = len(concepts) + 1 if i else 0
        if i:
            concepts.append((f"no {' or '.join(known.category_names) or 'concept'}", "none"))
        concepts.extend(zip(known.names[1:], known.categories[1:], strict=True))
        tables.append(np.arange(first, first + len(known), dtype=np.int32))
    return vocabulary(concepts), tuple(tables)


class Rules(NamedTuple):
    """How probabilities become labels and scores; `REFERENCE_RULES` differs in every field.

    Attributes:
        resize: ``resize(images, size)`` to the size at which a network runs. The reference
            averages over windows of whole pixels, also to enlarge, when they overlap.
        over_sizes: Joins a list of the maps found at several sizes. The reference adds them up, so
            that scores reach the number of sizes.
        divided: From component ids to those that are divided into halves. The reference leaves
            the last component of every image whole.
        among: From the probabilities of a category's labels, cut out of a semantic network's
            softmax over all outputs, to probabilities given the category. The reference takes the
            softmax of these probabilities once more, which makes them all but equal, and may make
            another label the most probable where several sizes are joined.
        within: ``within(inner, outer)``: the score of a part in its owner, or of a label that is
            masked by another. The reference takes the probability given the owner also where the
            owner is not; its sum over owners exceeds 1.
        halves_have_scores: Whether halves of objects have a score: the object's, inside the half.
            In the reference they have none.
        join: Joins the vocabularies of several segmenters. In the reference "none" of every later
            segmenter is a label of its own, which makes the 1824 ids of the published label files
            1825.
    """

    resize: Callable[[Array, Size], Array] = antialiased
    over_sizes: Callable[[Sequence[Array]], Array] = mean
    divided: Callable[[Array], Array] = every_component
    among: Callable[[Array], Array] = shares
    within: Callable[[Array, Array], Array] = joint
    halves_have_scores: bool = True
    join: Callable[..., tuple[Vocabulary, tuple[np.ndarray, ...]]] = merge_vocabularies


DEFAULT_RULES = Rules()
"""The rules of Bau et al. without what is an error in their code."""

REFERENCE_RULES = Rules(
    resize=adaptive_average_pool,
    over_sizes=total,
    divided=all_but_last_component,
    among=softmax,
    within=inner_alone,
    halves_have_scores=False,
    join=merge_with_nones,
)
"""The rules of the code of Bau et al., except that it fails to find colors in oblong images."""
