"""The last pass: count the pixels that units and concepts share."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.dissection.activation_cache import ActivationCache, Layers
from jaxdissect.dissection.setup import DissectionSetup
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.folding import FoldOptions, fold
from jaxdissect.engine.label_grid import sum_examples
from jaxdissect.engine.layer_reader import KEPT
from jaxdissect.engine.memory_plan import MemoryPlan
from jaxdissect.stats import agreement, quantile

_LABELS = f"{KEPT}labels"


def count_agreement_of_layers(
    setup: DissectionSetup,
    plan: MemoryPlan,
    cache: ActivationCache,
    thresholds: Mapping[str, np.ndarray],
    options: FoldOptions,
) -> dict[str, agreement.AgreementCounts]:
    """Count shared pixels of all layers in one pass."""
    params, layers = setup.network.params, tuple(setup.layers.items())
    on_device = jax.tree.map(jnp.asarray, dict(thresholds))
    kept = Stored(
        {_LABELS: cache.labels} | {_kept_name(name): cache.kept[name] for name in plan.kept}
    )

    def step(state: dict[str, agreement.AgreementState], batch: dict[str, Any]) -> Any:
        fresh = setup.reader.read(params, batch).maps if plan.again else {}
        maps = {name: fresh[name] for name in plan.again}
        maps |= {name: batch[_kept_name(name)] for name in plan.kept}
        counted = _count(
            state,
            on_device,
            maps,
            batch[_LABELS],
            batch["weight"],
            layers=layers,
            kept=plan.kept,
            num_rows=setup.rows.number,
        )
        return counted, None

    state = fold(
        step,
        {name: agreement.init(setup.rows.number, layer.num_units) for name, layer in layers},
        Joined(setup.source, kept) if plan.again else kept,
        description="agreement with concepts",
        **(options.with_network() if plan.again else options.without_network()),
    )
    return {name: agreement.finalize(state[name]) for name, _ in layers}


@partial(jax.jit, static_argnames=("layers", "kept", "num_rows"), donate_argnums=0)
def _count(
    state: dict[str, agreement.AgreementState],
    thresholds: dict[str, Array],
    maps: dict[str, Array],
    labels: Array,
    weight: Array,
    *,
    layers: Layers,
    kept: tuple[str, ...],
    num_rows: int,
) -> dict[str, agreement.AgreementState]:
    """Count the pixels of a batch, in maps that are fresh or were kept."""
    labels = labels.astype(jnp.int32)
    counted = {}
    for name, layer in layers:

        def count_example(
            maps: Array, labels: Array, weight: Array, name: str = name, layer: Any = layer
        ) -> agreement.BatchCounts:
            pixels = (layer.kept_on_grid if name in kept else layer.on_grid)(maps)
            pixels = pixels.reshape(-1, layer.num_units)
            active = quantile.exceeds(pixels, thresholds[name][None])
            labels = labels.reshape(-1, labels.shape[-1])
            weight = jnp.broadcast_to(weight, labels.shape[:1])
            return agreement.count(active, labels, weight, num_concepts=num_rows)

        found = sum_examples(count_example, maps[name], labels, weight)
        counted[name] = agreement.add(state[name], found)
    return counted


def _kept_name(layer: str) -> str:
    return f"{KEPT}maps/{layer}"
