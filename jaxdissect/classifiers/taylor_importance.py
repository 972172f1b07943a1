"""Estimate the importance of all units to all classes in one backward pass, without removing any.

To first order, silencing a unit changes the log-probability of an image's class by minus the sum of
activation times gradient over places (Molchanov et al., "Pruning Convolutional Neural Networks for
Resource Efficient Inference", ICLR 2017, equation 8, with the sign kept). `rank_correlation` of
`jaxdissect.classifiers.importance` tells how good the estimate is.

Letters: B batch, U units, N classes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, fold, no_progress
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.network import as_network, layer_shapes


def estimated_damage(
    network: Any,
    source: Source,
    layer: str,
    num_classes: int,
    *,
    label_key: str = "label",
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    batch_size: int = 16,
    progress: Progress = no_progress,
) -> Float64[np.ndarray, "U N"]:
    """Estimate how far the mean log-probability of each class falls without each unit.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layer: Where units would be removed.
        num_classes: N.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        batch_size: Examples in a step; changes results by rounding only.
        progress: Told how far the pass has come.

    Returns:
        Estimates in units of log-probability (nats); 0 for classes without images.

    Raises:
        ValueError: if there are no examples, a class is not in [0, N), or the layer is unknown.
    """
    network = as_network(network)

    @jax.jit
    def effects(params: Any, batch: dict[str, Array]) -> Float[Array, "B U"]:
        images, labels = inputs(batch), batch[label_key]
        shape = layer_shapes(network, images, (layer,))[layer]

        def surprise(added: Array) -> tuple[Array, Array]:
            edit = Edit(jnp.ones((), jnp.float32), added)
            scores, recorded = network.apply(params, images, layers=(layer,), edits={layer: edit})
            chances = jax.nn.log_softmax(scores.astype(jnp.float32))
            own = jnp.take_along_axis(chances, labels[:, None], 1)
            return own.sum(), recorded[layer]

        slopes, said = jax.grad(surprise, has_aux=True)(jnp.zeros(shape.shape, jnp.float32))
        products = slopes * said.astype(jnp.float32)
        return products.sum(tuple(range(1, products.ndim - 1)))

    totals: list[Any] = []
    number = np.zeros(num_classes, np.int64)

    def receive(batch: Batch, found: Any) -> None:
        classes = batch[label_key][batch["weight"]]
        if not ((classes >= 0) & (classes < num_classes)).all():
            raise ValueError(f"{label_key!r} must be a class in [0, {num_classes})")
        rows = np.asarray(found, np.float64)[batch["weight"]]
        if not totals:
            totals.append(np.zeros((num_classes, rows.shape[1])))
        np.add.at(totals[0], classes, rows)
        np.add.at(number, classes, 1)

    fold(
        lambda state, batch: (state, effects(network.params, batch)),
        None,
        source,
        batch_size=batch_size,
        receive=receive,
        description="estimating importance",
        progress=progress,
    )
    return (totals[0] / np.maximum(number, 1)[:, None]).T
