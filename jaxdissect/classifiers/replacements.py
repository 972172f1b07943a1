"""What removed units say instead: nothing, their mean, or what they say of another image.

Letters: B batch, U units.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, PyTree

from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, fold, no_progress
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.network import Network, as_network

Replacement = Callable[[PyTree, Mapping[str, Array]], Float[Array, "*places"]]
"""Says, given parameters and a batch, what removed units say instead."""


def zero(params: PyTree, batch: Mapping[str, Array]) -> Float[Array, ""]:
    """Removed units say nothing, as in the paper."""
    return jnp.zeros((), jnp.float32)


def mean(means: Float[Array, "U"]) -> Replacement:
    """Removed units always say their mean, which takes their information but not their level."""
    return lambda params, batch: jnp.asarray(means, jnp.float32)


def resampled(
    network: Network, layer: str, inputs: Callable[[Mapping[str, Array]], Any]
) -> Replacement:
    """Removed units say what they say of another image, ``batch["other"]``.

    Args:
        network: The classifier.
        layer: Where units are removed.
        inputs: Makes the network's input of a batch.
    """

    def replacement(params: PyTree, batch: Mapping[str, Array]) -> Array:
        others = inputs({**batch, "image": batch["other"]})
        return network.activations(params, others, layers=(layer,))[layer]

    return replacement


def mean_activations(
    network: Any,
    source: Source,
    layer: str,
    *,
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    batch_size: int = 16,
    progress: Progress = no_progress,
) -> Float64[np.ndarray, "U"]:
    """Find what every unit says on average, over all places of all images.

    Args:
        network: A Network or an nnx.Module.
        source: Images.
        layer: Whose units.
        inputs: Makes the network's input of a batch.
        batch_size: Examples in a step; changes results by rounding only.
        progress: Told how far the pass has come.
    """
    network = as_network(network)

    @jax.jit
    def means(params: PyTree, batch: dict[str, Array]) -> Float[Array, "B U"]:
        maps = network.activations(params, inputs(batch), layers=(layer,))[layer]
        return maps.astype(jnp.float32).mean(tuple(range(1, maps.ndim - 1)))

    rows: list[np.ndarray] = []

    def receive(batch: Batch, found: Any) -> None:
        rows.append(np.asarray(found)[batch["weight"]])

    fold(
        lambda state, batch: (state, means(network.params, batch)),
        None,
        source,
        batch_size=batch_size,
        receive=receive,
        description="mean activations",
        progress=progress,
    )
    return np.concatenate(rows).mean(axis=0, dtype=np.float64)
