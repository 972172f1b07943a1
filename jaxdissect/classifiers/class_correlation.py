"""Correlate units with classes: peak activations against probabilities of classes.

Letters: B batch, U units, N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020,
supporting information: units that are important to a class mostly have a positive correlation with
it.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.classifiers import class_checks
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import (
    Inputs,
    all_finite,
    as_static,
    check_finite,
    image_input,
    image_size,
)
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import fold_resumably, network_settings
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.network import as_network, layers_as_maps
from jaxdissect.stats import int64_counter, moments


class ClassCorrelation(NamedTuple):
    """How the units of a layer go with classes, and how the classes of images rank.

    Attributes:
        correlation: Pearson correlation of the peak activation of a unit with the probability of a
            class, over images; 0 where one is constant.
        top_n_accuracy: Share of the images whose class is among the n greatest scores, n = 1 ... N;
            of equal scores the first counts as greater.
    """

    correlation: Float64[np.ndarray, "U N"]
    top_n_accuracy: Float64[np.ndarray, "N"]

    __repr__ = short_repr


class PositiveShares(NamedTuple):
    """Shares of the pairs of a unit and a class whose correlation is positive.

    Attributes:
        important: Share of the pairs in which the unit is important to the class.
        other: Share of all other pairs.
    """

    important: float
    other: float


def correlate_with_classes(
    network: Any,
    source: Source,
    layer: str,
    *,
    label_key: str = "label",
    inputs: Inputs = image_input,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> ClassCorrelation:
    """Correlate peak activations with probabilities of classes, and count how classes rank.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layer: The layer whose units are looked at.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        batch_size: Examples in a step; changes correlations by rounding only.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If there are no examples, they have no class or one beyond [0, N), the layer is
            unknown, its activations or the scores are not finite, or `checkpoints` holds another
            computation or is damaged.
    """
    network = as_network(network)
    example = class_checks.first_example(source, label_key)
    num_classes = class_checks.num_scored_classes(network, inputs, example, layer)
    recording = Structure(network), layer, as_static(inputs)
    peaks, *_ = jax.eval_shape(partial(_peaks_and_scores, *recording), network.params, example)
    num_units = peaks.shape[1]

    def receive(batch: Batch, finite: tuple[Array, Array]) -> None:
        class_checks.read_classes(batch, label_key, num_classes)
        check_finite({layer: finite[0]}, batch)
        class_checks.check_scores(finite[1], batch, label_key)

    params = replicated(network.params, mesh)
    state = fold_resumably(
        lambda state, batch: _update(*recording, label_key, state, params, batch),
        _State(
            moments.init(num_units, num_units),
            moments.init(num_classes, num_classes),
            moments.init(num_units, num_classes),
            int64_counter.zeros((num_classes,)),
        ),
        source,
        checkpoints,
        settings=lambda: {
            "layer": layer,
            "label_key": label_key,
            **network_settings(network, inputs, example),
        },
        plain_step=lambda state, batch: _update(
            *recording, label_key, state, network.params, batch
        ),
        kept={},
        batch_size=batch_size,
        save_every=save_every,
        receive=receive,
        mesh=mesh,
        description="correlating units with classes",
        progress=progress,
    )
    units, classes, both = map(moments.finalize, state[:3])
    ranks = int64_counter.to_int64(state.ranks)
    return ClassCorrelation(
        moments.correlation(both, units, classes), np.cumsum(ranks) / ranks.sum()
    )


def positive_shares(
    correlation: Float64[np.ndarray, "U N"], important: Bool[np.ndarray, "U N"]
) -> PositiveShares:
    """Compare pairs of a unit and a class to which it is important with all other pairs.

    Columns of classes without images are to be left out: their pairs would count as others.

    Args:
        correlation: Correlations of `correlate_with_classes`.
        important: Which pairs these are (see `jaxdissect.classifiers.importance.is_important`).

    Returns:
        Shares in [0, 1]; 0 where there is no such pair.
    """
    positive = correlation > 0
    shares = (
        float(positive[pairs].mean()) if pairs.any() else 0.0 for pairs in (important, ~important)
    )
    return PositiveShares(*shares)


class _State(NamedTuple):
    units: moments.MomentsState  # [U, U]
    classes: moments.MomentsState  # [N, N]
    both: moments.MomentsState  # [U, N]
    ranks: int64_counter.Int64Counter  # [N]: images whose class has so many before it


@partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=4)
def _update(
    structure: Structure,
    layer: str,
    inputs: Inputs,
    label_key: str,
    state: _State,
    params: PyTree,
    batch: dict[str, Array],
) -> tuple[_State, tuple[Bool[Array, "B"], Bool[Array, "B"]]]:
    """Count a batch; return whether the activations and the scores of its images are finite."""
    peaks, scores, finite = _peaks_and_scores(structure, layer, inputs, params, batch)
    weight, labels = batch["weight"], batch[label_key].astype(jnp.int32)
    probabilities = jax.nn.softmax(scores)
    own = jnp.take_along_axis(scores, labels[:, None], 1)
    earlier = jnp.arange(scores.shape[1], dtype=jnp.int32)[None] < labels[:, None]
    before = ((scores > own) | ((scores == own) & earlier)).sum(1, dtype=jnp.int32)
    counts = jnp.zeros(scores.shape[1], jnp.int32).at[before].add(weight.astype(jnp.int32))
    return _State(
        moments.update(state.units, peaks, peaks, weight),
        moments.update(state.classes, probabilities, probabilities, weight),
        moments.update(state.both, peaks, probabilities, weight),
        int64_counter.add(state.ranks, counts),
    ), (finite, class_checks.finite_scores(scores))


def _peaks_and_scores(
    structure: Structure, layer: str, inputs: Inputs, params: PyTree, batch: Mapping[str, Array]
) -> tuple[Float32[Array, "B U"], Float32[Array, "B N"], Bool[Array, "B"]]:
    """Find peaks and scores, and whether all activations are finite."""
    images = inputs(batch)
    scores, recorded = structure.apply(params, images, layers=(layer,))
    found = layers_as_maps(structure, recorded, image_size(images, batch))[layer]
    maps = found.astype(jnp.float32)
    return maps.max((1, 2)), scores.astype(jnp.float32), all_finite(maps)
