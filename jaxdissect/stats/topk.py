"""The k examples with the greatest value, for every column.

Letters: B batch, U columns (usually units), k kept examples.

Equal values are ranked by the smaller index, so the result does not depend on the order in which
examples come or on how the data is split.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64

from jaxdissect.arrays.representation import short_repr

_NOWHERE = np.iinfo(np.int32).max


class TopKState(NamedTuple):
    """The best values so far, descending, and the examples they come from."""

    values: Float32[Array, "U k"]
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
        jnp.full((num_columns, k), _NOWHERE, jnp.int32),
    )


def update(
    state: TopKState,
    values: Float[Array, "B U"],
    examples: Int32[Array, "B"],
    weight: Bool[Array, "B"],
) -> TopKState:
    """Compare the best with a batch of finite values; those with weight False do not count.

    Args:
        state: Best so far.
        values: One value for each example and column.
        examples: Position of each example in the data set.
        weight: Which examples count.
    """
    values = jnp.where(weight[:, None], values.astype(jnp.float32), -jnp.inf)
    examples = jnp.where(weight, examples, _NOWHERE)
    new = jnp.broadcast_to(examples[None], values.T.shape)
    return _best(state, TopKState(values.T, new))


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
    values = jnp.concatenate([a.values, b.values], axis=1)
    examples = jnp.concatenate([a.examples, b.examples], axis=1)
    descending, examples = lax.sort((-values, examples), dimension=1, num_keys=2)
    return TopKState(-descending[:, :k], examples[:, :k])
