"""The last pass: count the pixels that units and concepts share."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdissect.dissection.activation_cache import Survey
from jaxdissect.dissection.setup import FoldOptions, Task
from jaxdissect.engine.batching import Joined, Stored
from jaxdissect.engine.folding import fold
from jaxdissect.engine.label_grid import MemoryPlan, sum_examples
from jaxdissect.stats import agreement, quantile


def overlap_step(task: Task, plan: MemoryPlan) -> Any:
    """Compile on first use: the counts of one batch, for all layers.

    Returns:
        ``step(state, params, thresholds, batch) -> (state, None)``, where a batch holds labels,
        kept maps and, for layers that are not kept, the network's inputs.
    """

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, params: Any, thresholds: Any, batch: Any) -> Any:
        fresh = task.maps(params, batch, plan.again) if plan.again else {}
        labels = batch["kept/labels"].astype(jnp.int32)
        counted = {}
        for name in task.readings:

            def count_example(maps: Array, labels: Array, weight: Array, name=name) -> Any:
                reading = task.readings[name]
                pixels = (reading.on_grid if name in plan.again else reading.kept_on_grid)(maps)
                pixels = pixels.reshape(-1, reading.num_units)
                active = quantile.exceeds(pixels, thresholds[name][None])
                labels = labels.reshape(-1, labels.shape[-1])
                weight = jnp.broadcast_to(weight, labels.shape[:1])
                return agreement.count(active, labels, weight, num_concepts=task.num_rows)

            maps = fresh[name] if name in plan.again else batch[f"kept/{name}"]
            found = sum_examples(count_example, maps, labels, batch["weight"])
            counted[name] = agreement.add(state[name], found)
        return counted, None

    return step


def count_overlap(
    task: Task,
    plan: MemoryPlan,
    survey: Survey,
    step: Any,
    thresholds: Mapping[str, np.ndarray],
    options: FoldOptions,
) -> dict[str, agreement.AgreementCounts]:
    """Count shared pixels of all layers in one pass."""
    kept = Stored(
        {"kept/labels": survey.labels} | {f"kept/{name}": survey.kept[name] for name in plan.kept}
    )
    params = task.network.params
    on_device = jax.tree.map(jnp.asarray, dict(thresholds))
    state = fold(
        lambda state, batch: step(state, params, on_device, batch),
        {name: agreement.init(task.num_rows, r.num_units) for name, r in task.readings.items()},
        Joined(task.source, kept) if plan.again else kept,
        description="agreement with concepts",
        **(options.with_network() if plan.again else options.without_network()),
    )
    return {name: agreement.finalize(state[name]) for name in task.readings}
