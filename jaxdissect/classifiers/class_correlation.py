"""How units respond to images of classes: peak activations against probabilities of classes.

Letters: B batch, U units, N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020,
supporting information: units that are important to a class mostly respond to it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, PyTree

from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress, fold, no_progress
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.network import as_network
from jaxdissect.stats import int64_counter, moments


class Responses(NamedTuple):
    """What units and classes have to do with each other.

    Attributes:
        correlation: Pearson correlation of the peak activation of a unit with the probability of a
            class, over images; 0 where one is constant.
        top_n_accuracy: Share of the images whose class is among the n greatest scores, n = 1 ... N;
            of equal scores the first counts as greater.
    """

    correlation: Float64[np.ndarray, "U N"]
    top_n_accuracy: Float64[np.ndarray, "N"]


class PositiveShares(NamedTuple):
    """Shares of the pairs of a unit and a class whose correlation is positive."""

    important: float
    other: float


class _State(NamedTuple):
    units: moments.MomentsState  # [U, U]
    classes: moments.MomentsState  # [N, N]
    both: moments.MomentsState  # [U, N]
    ranks: int64_counter.Int64Counter  # [N]: images whose class has so many before it


def unit_responses(
    network: Any,
    source: Source,
    layer: str,
    *,
    label_key: str = "label",
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    batch_size: int = 16,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Responses:
    """Correlate peak activations with probabilities of classes, and count how classes rank.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layer: Whose units.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        batch_size: Examples in a step; changes correlations by rounding only.
        mesh: Devices to spread batches over (see `fold`).
        progress: Told how far the pass has come.

    Raises:
        ValueError: if there are no examples, or the layer is unknown.
    """
    network = as_network(network)

    def respond(params: PyTree, batch: Mapping[str, Array]) -> tuple[Array, Array]:
        scores, recorded = network.apply(params, inputs(batch), layers=(layer,))
        maps = recorded[layer].astype(jnp.float32)
        return maps.max(tuple(range(1, maps.ndim - 1))), scores.astype(jnp.float32)

    @partial(jax.jit, donate_argnums=0)
    def step(state: _State, params: PyTree, batch: dict[str, Array]) -> tuple[_State, None]:
        peaks, scores = respond(params, batch)
        weight, labels = batch["weight"], batch[label_key].astype(jnp.int32)
        chances = jax.nn.softmax(scores)
        own = jnp.take_along_axis(scores, labels[:, None], 1)
        earlier = jnp.arange(scores.shape[1], dtype=jnp.int32)[None] < labels[:, None]
        before = ((scores > own) | ((scores == own) & earlier)).sum(1, dtype=jnp.int32)
        counts = jnp.zeros(scores.shape[1], jnp.int32).at[before].add(weight.astype(jnp.int32))
        return _State(
            moments.update(state.units, peaks, peaks, weight),
            moments.update(state.classes, chances, chances, weight),
            moments.update(state.both, peaks, chances, weight),
            int64_counter.add(state.ranks, counts),
        ), None

    example = jax.tree.map(lambda item: jnp.asarray(item)[None], dict(source[0]))
    peaks, scores = jax.eval_shape(respond, network.params, example)
    num_units, num_classes = peaks.shape[1], scores.shape[1]
    state = fold(
        lambda state, batch: step(state, network.params, batch),
        _State(
            moments.init(num_units, num_units),
            moments.init(num_classes, num_classes),
            moments.init(num_units, num_classes),
            int64_counter.zeros((num_classes,)),
        ),
        source,
        batch_size=batch_size,
        mesh=mesh,
        description="correlating units with classes",
        progress=progress,
    )
    units, classes, both = map(moments.finalize, state[:3])
    ranks = int64_counter.to_int64(state.ranks)
    return Responses(moments.correlation(both, units, classes), np.cumsum(ranks) / ranks.sum())


def positive_shares(
    correlation: Float64[np.ndarray, "U N"], important: Bool[np.ndarray, "U N"]
) -> PositiveShares:
    """Compare pairs of units that are important to a class with all others.

    Args:
        correlation: Of `unit_responses`.
        important: Of `jaxdissect.classifiers.importance.is_important`.

    Returns:
        Shares in [0, 1]; 0 where there is no such pair.
    """
    positive = correlation > 0
    shares = (
        float(positive[pairs].mean()) if pairs.any() else 0.0 for pairs in (important, ~important)
    )
    return PositiveShares(*shares)
