"""Counts of values in bins, and of labels in images.

Letters: B batch, U columns (usually units), E edges, H W pixels, K labels per pixel, C concepts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64

from jaxdissect.stats import int64_counter


class HistogramState(NamedTuple):
    """Counts of values below the first edge, between edges, and from the last edge up."""

    edges: Float32[Array, "E U"]
    counts: int64_counter.Int64Counter  # [E + 1, U]


def init(edges: Float[Array, "E U"]) -> HistogramState:
    """No values seen; edges ascend in every column."""
    return HistogramState(
        edges.astype(jnp.float32), int64_counter.zeros((edges.shape[0] + 1, edges.shape[1]))
    )


def update(
    state: HistogramState, values: Float[Array, "B U"], weight: Bool[Array, "B"]
) -> HistogramState:
    """Count finite values; a value equal to an edge belongs to the bin above it."""
    values = values.astype(jnp.float32)
    reached = (values[:, None] >= state.edges[None]) & weight[:, None, None]
    at_least = reached.sum(axis=0, dtype=jnp.int32)
    everything = jnp.full_like(at_least[:1], weight.sum(dtype=jnp.int32))
    at_least = jnp.concatenate([everything, at_least, jnp.zeros_like(at_least[:1])])
    return HistogramState(
        state.edges, int64_counter.add(state.counts, at_least[:-1] - at_least[1:])
    )


def merge(a: HistogramState, b: HistogramState) -> HistogramState:
    """Join two parts of the data; both must have the same edges."""
    return HistogramState(a.edges, int64_counter.merge(a.counts, b.counts))


def finalize(state: HistogramState) -> Int64[np.ndarray, "bins U"]:
    """The counts, on the host."""
    return int64_counter.to_int64(state.counts)


def label_counts(labels: Int32[Array, "B H W K"], num_concepts: int) -> Int32[Array, "B C"]:
    """Number of times each label occurs in each image, over all pixels and label channels."""

    def count(image: Array) -> Array:
        return jnp.zeros(num_concepts, jnp.int32).at[image.reshape(-1)].add(1)

    return jax.vmap(count)(labels)
