"""Remove units of a classifier: which classes need which units?

Letters: B batch, S conditions (sets of removed units), U units, N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020: units
of a layer are forced to zero, and a unit is important to a class if the balanced accuracy of the
class falls without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, PyTree, UInt16

from jaxdissect.engine.batches import Batch, Source, read_block
from jaxdissect.engine.fold import Progress, fold, silent
from jaxdissect.experiments import conditions, ways
from jaxdissect.experiments.task import image_input
from jaxdissect.networks.network import as_network, layer_shapes
from jaxdissect.stats import accuracy


@dataclass(frozen=True)
class Ablation:
    """Predictions with all units in place, and with sets of units removed.

    Attributes:
        layer: Where units were removed.
        keep: For each condition, the units that were left in place.
        way: How it was computed, a function of `jaxdissect.experiments.ways`.
        baseline: Counts with all units in place, [N].
        counts: Counts under each condition, [S, N].
        labels: The class of every image.
        predictions: The class that every image was taken for, with all units in place and then
            under each condition; None unless they were to be kept.
    """

    layer: str
    keep: Bool[np.ndarray, "S U"]
    way: str
    baseline: accuracy.Accuracy
    counts: accuracy.Accuracy
    labels: Int32[np.ndarray, "n"]
    predictions: UInt16[np.ndarray, "S+1 n"] | None = None

    def damage(
        self, measure: Callable[[accuracy.Accuracy], np.ndarray] = accuracy.balanced_accuracy
    ) -> Float64[np.ndarray, "S N"]:
        """How far a measure of every class falls under every condition.

        Args:
            measure: Of `jaxdissect.stats.accuracy`: balanced accuracy is the paper's; confidence
                tells more from few images.
        """
        return measure(self.baseline)[None] - measure(self.counts)


def ablate_units(
    network: Any,
    source: Source,
    layer: str,
    keep: Bool[np.ndarray, "S U"],
    *,
    label_key: str = "label",
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    replacement: ways.Replacement = ways.zero,
    choose: Sequence[ways.Way] = (ways.low_rank, ways.edited),
    keep_predictions: bool = False,
    batch_size: int = 16,
    chunk_size: int = 32,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = silent,
) -> Ablation:
    """Count what a classifier predicts when units are removed, all sets in one pass over the data.

    Units are replaced at the layer's output; what comes before it runs once per image. The
    prediction is the first of the greatest scores. Counts are exact; `batch_size`, `chunk_size`,
    `choose` and `mesh` change them only where they change how the network rounds, and then where
    two scores are equal but for that.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layer: Where to remove units.
        keep: For each condition, False for the units that are removed together; `conditions` makes
            them.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        replacement: What removed units say instead: `ways.zero`, `ways.mean`, `ways.resampled`.
        choose: Ways to compute it; the first that leads is taken.
        keep_predictions: Keep the prediction of every image under every condition, 2 bytes each,
            for bootstrap intervals.
        batch_size: Examples in a step.
        chunk_size: Conditions that run together; ``batch_size * chunk_size`` copies of the layer
            and what follows it are held at once.
        mesh: Devices to spread batches over (see `fold`).
        progress: Told how far the pass has come.

    Returns:
        Counts by class, under every condition and none.

    Raises:
        ValueError: if there are no examples, they have no class or one beyond [0, N), the layer is
            unknown, `keep` does not fit it, no way of `choose` leads, or another argument makes no
            sense.
        TypeError: if `network` is neither a Network nor an nnx.Module.
    """
    network = as_network(network)
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` (={chunk_size}) must be at least 1")
    if len(source) < 1:
        raise ValueError("`source` has no examples")
    example = read_block(source, 0, 1)
    if label_key not in example:
        raise ValueError(
            f"`label_key` (={label_key!r}) is not in the examples; they have: "
            f"{', '.join(sorted(example))}"
        )
    label = example[label_key]
    if label.shape != (1,) or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"{label_key!r} of an example (={label.dtype}{list(label.shape[1:])}) must be one "
            "integer, its class"
        )
    num_classes = _num_classes(network, inputs, example)
    num_units = layer_shapes(network, inputs(_arrays(example)), (layer,))[layer].shape[-1]
    keep = conditions.checked(keep, num_units, layer)
    # Condition 0: nothing is removed.
    sets = jnp.asarray(np.concatenate([np.ones_like(keep[:1]), keep]))

    def scores_of(way: ways.Way, params: PyTree, batch: Mapping[str, Array]) -> ways.Scores | None:
        replaced = replacement(params, batch)
        return way(ways.Case(network, params, inputs(batch), layer, num_units, replaced))

    way = _first_that_leads(choose, scores_of, network.params, _arrays(example))

    @partial(jax.jit, donate_argnums=0)
    def step(
        state: accuracy.AccuracyState, params: PyTree, batch: dict[str, Array], sets: Array
    ) -> tuple[accuracy.AccuracyState, Array | None]:
        labels = batch[label_key]
        scores = scores_of(way, params, batch)
        assert scores is not None

        def predict(keep: Bool[Array, "U"]) -> tuple[Array, Array]:
            found = scores(keep)
            chances = jax.nn.softmax(found.astype(jnp.float32))
            return found.argmax(-1), jnp.take_along_axis(chances, labels[:, None], 1)[:, 0]

        predictions, confidences = jax.lax.map(predict, sets, batch_size=chunk_size)
        state = accuracy.update(state, predictions, confidences, labels, batch["weight"])
        return state, predictions.astype(jnp.uint16) if keep_predictions else None

    labels = np.zeros(len(source), np.int32)
    kept = np.zeros((1 + len(keep), len(source)), np.uint16) if keep_predictions else None

    def receive(batch: Batch, predictions: Any) -> None:
        classes, examples = batch[label_key], batch["example"]
        wrong = ~((classes >= 0) & (classes < num_classes))
        if wrong.any():
            raise ValueError(
                f"{label_key!r} of example {examples[wrong][0]} is {classes[wrong][0]}, "
                f"and `network` scores the classes 0 to {num_classes - 1}"
            )
        labels[examples] = classes
        if kept is not None:
            kept[:, examples] = np.asarray(predictions)

    state = fold(
        lambda state, batch: step(state, network.params, batch, sets),
        accuracy.init(num_classes, len(sets)),
        source,
        batch_size=batch_size,
        receive=receive,
        mesh=mesh,
        description="removing units",
        progress=progress,
    )
    counts = accuracy.finalize(state)
    baseline, removed = (
        accuracy.Accuracy(counts.true, *(count[part] for count in counts[1:]))
        for part in (0, slice(1, None))
    )
    return Ablation(layer, keep, way.__name__, baseline, removed, labels, kept)


def _first_that_leads(
    choose: Sequence[ways.Way], scores_of: Callable[..., Any], params: PyTree, batch: Any
) -> ways.Way:
    """Try the ways without computing anything."""
    for way in choose:
        leads = []

        def attempt(params: PyTree, batch: Any, way: ways.Way = way, leads: list[bool] = leads):
            leads.append(scores_of(way, params, batch) is not None)

        jax.eval_shape(attempt, params, batch)
        if leads == [True]:
            return way
    raise ValueError(
        f"`choose` (={[way.__name__ for way in choose]}): no way leads from the layer to scores; "
        "`ways.edited` always does"
    )


def _num_classes(network: Any, inputs: Callable[..., Array], example: Batch) -> int:
    scores = jax.eval_shape(
        lambda params, batch: network.apply(params, inputs(batch))[0],
        network.params,
        _arrays(example),
    )
    if not hasattr(scores, "shape") or len(scores.shape) != 2:
        raise ValueError(f"`network` must score classes, [B, N], and gives {scores}")
    return scores.shape[1]


def _arrays(batch: Batch) -> dict[str, Any]:
    return {name: jnp.asarray(array) for name, array in batch.items()}
