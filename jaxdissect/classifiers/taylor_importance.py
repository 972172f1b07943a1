"""Estimate the importance of all units to all classes in one backward pass, without removing any.

To first order, removing a unit changes the log-probability of an image's class by minus the sum of
activation times gradient over places (Molchanov et al., "Pruning Convolutional Neural Networks for
Resource Efficient Inference", ICLR 2017, equation 8, with the sign kept). How well the estimate
ranks units is measured by `jaxdissect.classifiers.importance.rank_correlation`.

Letters: B batch, U units, N classes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, PyTree

from jaxdissect.classifiers import class_checks
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import Inputs, as_static, image_input
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably, network_settings
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.network import as_network, layer_shapes


def estimated_damage(
    network: Any,
    source: Source,
    layer: str,
    num_classes: int,
    *,
    label_key: str = "label",
    inputs: Inputs = image_input,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
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
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far the pass has come.

    Returns:
        Estimates in units of log-probability (nats); 0 for classes without images.

    Raises:
        ValueError: If there are no examples, they have no class or one beyond [0, N), the network
            does not score as many classes, the layer is unknown, scores or estimates are not
            finite, or `checkpoints` holds another computation or is damaged.
    """
    network = as_network(network)
    example = class_checks.first_example(source, label_key)
    scored = class_checks.num_scored_classes(network, inputs, example, layer)
    if not 1 <= num_classes <= scored:
        raise ValueError(
            f"`num_classes` (={num_classes}) must be at least 1 and at most {scored}, the classes "
            "that `network` scores"
        )
    layer_shapes(network, jax.eval_shape(inputs, example), (layer,))
    structure, inputs = Structure(network), as_static(inputs)
    effects = partial(unit_effects, structure, layer, inputs, label_key)
    num_units = jax.eval_shape(effects, network.params, example)[0].shape[1]
    kept = {
        "estimates": np.zeros((len(source), num_units), np.float32),
        "labels": np.zeros(len(source), np.int64),
    }

    def receive(batch: Batch, output: tuple[Array, Array]) -> None:
        found, finite = output
        classes = class_checks.read_classes(batch, label_key, num_classes)
        class_checks.check_scores(finite, batch, label_key)
        rows, examples = np.asarray(found)[batch["weight"]], batch["example"][batch["weight"]]
        wrong = ~np.isfinite(rows).all(axis=1)
        if wrong.any():
            raise ValueError(
                f"estimates of layer {layer!r} are NaN or infinite for example "
                f"{examples[wrong][0]} (class {classes[wrong][0]}): its scores are finite and "
                "their slopes are not, as that of a root at 0"
            )
        kept["estimates"][examples], kept["labels"][examples] = rows, classes

    params = replicated(network.params, mesh)
    map_resumably(
        lambda batch: effects(params, batch),
        source,
        checkpoints,
        plain_step=lambda batch: effects(network.params, batch),
        settings=lambda: {
            "layer": layer,
            "label_key": label_key,
            "num_classes": num_classes,
            **network_settings(network, inputs, example),
        },
        save_every=save_every,
        batch_size=batch_size,
        kept=kept,
        receive=receive,
        mesh=mesh,
        description="estimating importance",
        progress=progress,
    )
    sums = np.zeros((num_classes, num_units))
    np.add.at(sums, kept["labels"], kept["estimates"].astype(np.float64))
    number = np.bincount(kept["labels"], minlength=num_classes)
    return (sums / np.maximum(number, 1)[:, None]).T


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def unit_effects(
    structure: Structure,
    layer: str,
    inputs: Inputs,
    label_key: str,
    params: PyTree,
    batch: dict[str, Array],
) -> tuple[Float[Array, "B U"], Bool[Array, "B"]]:
    """Compute activation times gradient of every unit, summed over places, and check scores.

    Args:
        structure: The network without its parameters.
        layer, inputs, label_key: As in `estimated_damage`; static.
        params: Parameters of the network.
        batch: Examples.

    Returns:
        By how much the log-probability of an image's class would fall without each unit, to first
        order; and whether all scores of an image are finite.
    """
    images, labels = inputs(batch), batch[label_key].astype(jnp.int32)

    def log_probability(added: Array) -> tuple[Array, tuple[Array, Array]]:
        edit = Edit(jnp.ones((), jnp.float32), added)
        scores, recorded = structure.apply(params, images, layers=(layer,), edits={layer: edit})
        log_probabilities = jax.nn.log_softmax(scores.astype(jnp.float32))
        own = jnp.take_along_axis(log_probabilities, labels[:, None], 1)
        return own.sum(), (recorded[layer], class_checks.finite_scores(scores))

    shape = jax.eval_shape(lambda: structure.activations(params, images, layers=(layer,)))[layer]
    nothing = jnp.zeros(shape.shape, jnp.float32)
    gradients, (activations, finite) = jax.grad(log_probability, has_aux=True)(nothing)
    products = gradients * activations.astype(jnp.float32)
    return products.sum(tuple(range(1, products.ndim - 1))), finite
