"""The k examples with the greatest value, for every column.

Letters: B batch, U columns (usually units), k kept examples.

Equal values are ranked by an integer that comes with them, the greater one first, and then by the
smaller index, so the result does not depend on the order in which examples come or on how the data
is split. Units that saturate, as those of a ReLU6 do, have many equal peaks: the integer is in how
many cells an example has its peak.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64

from jaxdissect.arrays.representation import short_repr

_NOWHERE = np.iinfo(np.int32).max


class TopKState(NamedTuple):
    """The best values so far, descending, what ranks equal ones, and their examples."""

    values: Float32[Array, "U k"]
    ties: Int32[Array, "U k"]
    examples: Int32[Array, "U k"]


class TopK(NamedTuple):
    """The best values, descending; columns are cut where fewer than k examples were seen."""

    values: Float32[np.ndarray, "U k"]
    examples: Int64[np.ndarray, "U k"]

    __repr__ = short_repr


def init(num_columns: int, k: int) -> TopKState:
    """No examples seen."""
    if k < 1:
        raise ValueError(f"`k` (={k}) must be at least 1")
    return TopKState(
        jnp.full((num_columns, k), -jnp.inf, jnp.float32),
        jnp.zeros((num_columns, k), jnp.int32),
        jnp.full((num_columns, k), _NOWHERE, jnp.int32),
    )


def update(
    state: TopKState,
    values: Float[Array, "B U"],
    examples: Int32[Array, "B"],
    weight: Bool[Array, "B"],
    *,
    ties: Int32[Array, "B U"] | None = None,
) -> TopKState:
    """Compare the best with a batch of finite values; those with weight False do not count.

    Args:
        state: Best so far.
        values: One value for each example and column.
        examples: Position of each example in the data set.
        weight: Which examples count.
        ties: Of equal values the greater one goes first; None for all alike.
    """
    values = jnp.where(weight[:, None], values.astype(jnp.float32), -jnp.inf)
    examples = jnp.where(weight, examples, _NOWHERE)
    new = jnp.broadcast_to(examples[None], values.T.shape)
    ties = jnp.zeros(values.shape, jnp.int32) if ties is None else ties
    ties = jnp.where(weight[:, None], ties, 0)
    return _best(state, TopKState(values.T, ties.T, new))


def merge(a: TopKState, b: TopKState) -> TopKState:
    """Join the best of two parts of the data."""
    return _best(a, b)


def finalize(state: TopKState) -> TopK:
    """Bring the result to the host, without places that no example took."""
    examples = np.asarray(state.examples).astype(np.int64)
    seen = int((examples != _NOWHERE).sum(axis=1).min(initial=examples.shape[1]))
    return TopK(np.asarray(state.values)[:, :seen], examples[:, :seen])


def _best(a: TopKState, b: TopKState) -> TopKState:
    k = a.values.shape[1]
    values, ties, examples = (jnp.concatenate(pair, axis=1) for pair in zip(a, b, strict=True))
    values, ties, examples = lax.sort((-values, -ties, examples), dimension=1, num_keys=3)
    return TopKState(-values[:, :k], -ties[:, :k], examples[:, :k])
