"""Checks that every pass over labelled images makes: classes are in range, scores are finite.

Letters: B batch, n examples that count, N classes.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int64

from jaxdissect.engine import independence
from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.engine.layer_reader import Inputs, as_static
from jaxdissect.networks.network import Network


def first_example(
    source: Source, label_key: str, *, name: str = "source", allow_bool: bool = False
) -> Batch:
    """Read a batch of one example, and check that it has a class.

    Args:
        source: Examples with the class under `label_key`.
        label_key: Name of the class of an example.
        name: What the caller calls the source.
        allow_bool: Whether a bool is a class too.

    Raises:
        ValueError: If there are no examples, or the first has no class, or one that is not a single
            integer.
    """
    if len(source) < 1:
        raise ValueError(f"`{name}` has no examples")
    example = read_block(source, 0, 1)
    if label_key not in example:
        raise ValueError(
            f"`label_key` (={label_key!r}) is not in the examples; they have: "
            f"{', '.join(sorted(example))}"
        )
    label = example[label_key]
    known = np.issubdtype(label.dtype, np.integer) or (allow_bool and label.dtype == bool)
    if label.shape != (1,) or not known:
        raise ValueError(
            f"{label_key!r} of an example (={label.dtype}{list(label.shape[1:])}) must be one "
            "integer, its class"
        )
    return example


def count_scores(
    network: Network, inputs: Inputs, batch: Mapping[str, Any], *, name: str = "network"
) -> int:
    """Find how many classes a network scores, without running it.

    Args:
        network: The network.
        inputs: Makes its input of a batch.
        batch: A batch, or its shapes and types.
        name: What the caller calls the network.

    Raises:
        ValueError: If it does not give scores [B, N].
    """
    scores: Any = jax.eval_shape(
        lambda params, batch: network.apply(params, inputs(batch))[0], network.params, dict(batch)
    )
    if not hasattr(scores, "shape") or len(scores.shape) != 2:
        raise ValueError(f"`{name}` must score classes, [B, N], and gives {scores}")
    return scores.shape[1]


def num_scored_classes(
    network: Network, inputs: Inputs, example: Mapping[str, Any], layer: str
) -> int:
    """Find how many classes a network scores, each example for itself.

    Raises:
        ValueError: If it does not give scores [B, N], or these or the activations of the layer
            depend on the other examples of a batch.
    """
    number = count_scores(network, inputs, example)
    independence.check_outputs(network, as_static(inputs), example, layers=layer)
    return number


def read_classes(
    batch: Batch, label_key: str, num_classes: int | None = None
) -> Int64[np.ndarray, "n"]:
    """Read the classes of the examples of a batch that count.

    Args:
        batch: Arrays by name, among them ``weight`` and ``example``.
        label_key: Name of the class of an example.
        num_classes: N; None where nothing is known but that classes count from 0.

    Raises:
        ValueError: If one is not in [0, N), or not one integer.
    """
    labels, examples = (np.asarray(batch[name])[batch["weight"]] for name in (label_key, "example"))
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise ValueError(
            f"{label_key!r} of example {examples[0]} (={labels.dtype}{list(labels.shape[1:])}) "
            "must be one integer, its class"
        )
    wrong = labels < 0 if num_classes is None else (labels < 0) | (labels >= num_classes)
    if wrong.any():
        known = (
            "at least 0"
            if num_classes is None
            else f"in [0, {num_classes}): `network` scores the classes 0 to {num_classes - 1}"
        )
        raise ValueError(
            f"{label_key!r} of example {examples[wrong][0]} is {labels[wrong][0]}, and must be a "
            f"class {known}"
        )
    return labels.astype(np.int64)


def finite_scores(scores: Float[Array, "B N"]) -> Bool[Array, "B"]:
    """Find out of every example whether all its scores are finite."""
    return jnp.isfinite(scores).all(axis=-1)


def check_scores(finite: Any, batch: Batch, label_key: str, *, where: str = "") -> None:
    """Refuse scores that are not finite, in examples that count.

    Args:
        finite: What `finite_scores` found of every example of the batch.
        batch: Arrays by name, among them the classes, ``weight`` and ``example``.
        label_key: Name of the class of an example.
        where: Under which condition, such as " without units 3, 7 of layer 'conv5'".

    Raises:
        ValueError: If there are any; the message names the examples and the class of the first.
    """
    wrong = ~np.asarray(finite) & batch["weight"]
    if wrong.any():
        examples = batch["example"][wrong]
        raise ValueError(
            f"`network` gives NaN or infinite scores{where} for example "
            f"{', '.join(map(str, examples[:5]))} (the first is of class "
            f"{batch[label_key][wrong][0]}); nothing can be counted of them"
        )
