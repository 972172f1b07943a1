"""What removed units output instead: zero, their mean, or what they output for another image.

Letters: B batch, U units.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, PyTree

from jaxdissect.engine import independence
from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.engine.data.pairs import DONOR
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import (
    Inputs,
    all_finite,
    as_static,
    check_finite,
    image_input,
)
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably, network_settings
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.network import as_network, layer_shapes

Replacement = Callable[[PyTree, Mapping[str, Array]], Float[Array, "*places"]]
"""Makes, of parameters and a batch, what removed units output instead.

Equal replacements share compiled programs.
"""


def zero(params: PyTree, batch: Mapping[str, Array]) -> Float[Array, ""]:
    """Removed units output nothing, as in the paper."""
    return jnp.zeros((), jnp.float32)


def mean(means: Float[Array, "U"] | Float64[np.ndarray, "U"]) -> Replacement:
    """Removed units always output their mean, which takes their information but not their level.

    Args:
        means: Means of all units, see `mean_activations`.
    """
    return _Mean(tuple(np.asarray(means, np.float32).tolist()))


def resampled(network: Any, layer: str, *, inputs: Inputs = image_input) -> Replacement:
    """Removed units output what they output for the donor image of every example.

    Args:
        network: The classifier, a Network or an nnx.Module.
        layer: Where units are removed.
        inputs: Makes the network's input of a batch whose "image" is the donor image (see
            `jaxdissect.engine.data.pairs.WithDonors`).
    """
    return _Resampled(Structure(as_network(network)), layer, inputs)


def mean_activations(
    network: Any,
    source: Source,
    layer: str,
    *,
    inputs: Inputs = image_input,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> Float64[np.ndarray, "U"]:
    """Compute the mean activation of every unit, over all places of all images.

    Args:
        network: A Network or an nnx.Module.
        source: Images.
        layer: The layer whose units are looked at.
        inputs: Makes the network's input of a batch.
        batch_size: Examples in a step; changes results by rounding only.
        checkpoints: Folder from which the same means are read when they are asked for again, so
            that a sweep that removes units to them resumes to the last bit; None keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far the pass has come.

    Raises:
        ValueError: If there are no examples, the layer is unknown, its activations are not finite,
            or `checkpoints` holds another computation or is damaged.
    """
    network = as_network(network)
    structure, inputs = Structure(network), as_static(inputs)
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    example = read_block(source, 0, 1)
    independence.check_outputs(network, inputs, example, layers=layer)
    placed = {name: jnp.asarray(array) for name, array in example.items()}
    num_units = layer_shapes(network, inputs(placed), (layer,))[layer].shape[-1]
    rows = np.zeros((len(source), num_units), np.float32)

    def receive(batch: Batch, output: tuple[Array, Array]) -> None:
        means, finite = output
        check_finite({layer: finite}, batch)
        rows[batch["example"][batch["weight"]]] = np.asarray(means)[batch["weight"]]

    params = replicated(network.params, mesh)
    map_resumably(
        lambda batch: _means(structure, layer, inputs, params, batch),
        source,
        checkpoints,
        plain_step=lambda batch: _means(structure, layer, inputs, network.params, batch),
        settings=lambda: {"layer": layer, **network_settings(network, inputs, example)},
        kept={"means": rows},
        batch_size=batch_size,
        save_every=save_every,
        receive=receive,
        mesh=mesh,
        description="mean activations",
        progress=progress,
    )
    return rows.mean(axis=0, dtype=np.float64)


@dataclass(frozen=True)
class _Mean:
    means: tuple[float, ...]

    def __call__(self, params: PyTree, batch: Mapping[str, Array]) -> Float[Array, "U"]:
        return jnp.asarray(self.means, jnp.float32)


@dataclass(frozen=True)
class _Resampled:
    structure: Structure
    layer: str
    inputs: Inputs

    def __call__(self, params: PyTree, batch: Mapping[str, Array]) -> Array:
        donors = self.inputs({**batch, "image": batch[DONOR]})
        return self.structure.activations(params, donors, layers=(self.layer,))[self.layer]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _means(
    structure: Structure, layer: str, inputs: Inputs, params: PyTree, batch: dict[str, Array]
) -> tuple[Float[Array, "B U"], Bool[Array, "B"]]:
    activations = structure.activations(params, inputs(batch), layers=(layer,))[layer]
    means = activations.astype(jnp.float32).mean(tuple(range(1, activations.ndim - 1)))
    return means, all_finite(activations)
