"""Remove units of a classifier: which classes need which units?

Letters: B batch, S conditions (sets of removed units), U units, N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020: units
of a layer are forced to zero, and a unit is important to a class if the balanced accuracy of the
class falls without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, PyTree, UInt16

from jaxdissect.classifiers import ablation_methods, replacements
from jaxdissect.engine.batching import Batch, Source, read_block
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.engine.resume import digest, fold_resumably
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.jaxpr.partial_eval import largest_value
from jaxdissect.networks.network import as_network, layer_shapes
from jaxdissect.stats import accuracy, auroc


@dataclass(frozen=True)
class Ablation:
    """Predictions with all units in place, and with sets of units removed.

    Attributes:
        layer: Where units were removed.
        keep: For each condition, the units that were left in place.
        way: How it was computed, a function of `jaxdissect.classifiers.ablation_methods`.
        baseline: Counts with all units in place, [N].
        counts: Counts under each condition, [S, N].
        labels: The class of every image.
        predictions: The class that every image was taken for, with all units in place and then
            under each condition; None unless they were to be kept.
        separations: How far scores set classes apart, with all units in place [N] and under each
            condition [S, N]; None unless it was asked for.
    """

    layer: str
    keep: Bool[np.ndarray, "S U"]
    way: str
    baseline: accuracy.Accuracy
    counts: accuracy.Accuracy
    labels: Int32[np.ndarray, "n"]
    predictions: UInt16[np.ndarray, "S+1 n"] | None = None
    separations: tuple[auroc.AurocCounts, auroc.AurocCounts] | None = None

    def damage(
        self, measure: Callable[[accuracy.Accuracy], np.ndarray] = accuracy.balanced_accuracy
    ) -> Float64[np.ndarray, "S N"]:
        """How far a measure of every class falls under every condition.

        Args:
            measure: Of `jaxdissect.stats.accuracy`: balanced accuracy is the paper's; confidence
                tells more from few images.
        """
        return measure(self.baseline)[None] - measure(self.counts)


class _State(NamedTuple):
    accuracy: accuracy.AccuracyState
    separation: auroc.AurocState | None


def ablation_sweep(
    network: Any,
    source: Source,
    layer: str,
    keep: Bool[np.ndarray, "S U"],
    *,
    label_key: str = "label",
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
    replacement: replacements.Replacement = replacements.zero,
    choose: Sequence[ablation_methods.Way] = (ablation_methods.low_rank, ablation_methods.edited),
    keep_predictions: bool = False,
    separate: bool = False,
    batch_size: int = 16,
    chunk_size: int | None = None,
    memory_budget: int = 2**30,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
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
        replacement: What removed units say instead: see `replacements`.
        choose: Ways to compute it; the first that leads is taken.
        keep_predictions: Keep the prediction of every image under every condition, 2 bytes each,
            for bootstrap intervals.
        separate: Count scores in bins too, for AUROC and mean margins.
        batch_size: Examples in a step.
        chunk_size: Conditions that run together; None takes as many as fit `memory_budget`.
        memory_budget: Bytes for what conditions that run together hold at once, about.
        checkpoints: Folder in which the sweep can be interrupted and taken up again, with the same
            result; None keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Told how far the pass has come.

    Returns:
        Counts by class, under every condition and none.

    Raises:
        ValueError: if there are no examples, they have no class or one beyond [0, N), the layer is
            unknown, `keep` does not fit it, no way of `choose` leads, `checkpoints` holds another
            computation, or another argument makes no sense.
        TypeError: if `network` is neither a Network nor an nnx.Module.
    """
    network = as_network(network)
    if chunk_size is not None and chunk_size < 1:
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
    keep = ablation_masks.checked_masks(keep, num_units, layer)
    # Condition 0: nothing is removed.
    sets = jnp.asarray(np.concatenate([np.ones_like(keep[:1]), keep]))

    def scores_of(
        way: ablation_methods.Way, params: PyTree, batch: Mapping[str, Array]
    ) -> ablation_methods.Scores | None:
        replaced = replacement(params, batch)
        return way(
            ablation_methods.Case(network, params, inputs(batch), layer, num_units, replaced)
        )

    way = _first_that_leads(choose, scores_of, network.params, _arrays(example))

    @partial(jax.jit, donate_argnums=0)
    def step(
        state: _State, params: PyTree, batch: dict[str, Array], sets: Array
    ) -> tuple[_State, Array | None]:
        labels = batch[label_key].astype(jnp.int32)
        scores = scores_of(way, params, batch)
        assert scores is not None

        def predict(keep: Bool[Array, "U"]) -> tuple[Array, Array, auroc.BinnedScores | None]:
            found = scores(keep)
            chances = jax.nn.softmax(found.astype(jnp.float32))
            own = jnp.take_along_axis(chances, labels[:, None], 1)[:, 0]
            return found.argmax(-1), own, auroc.measure(found, labels) if separate else None

        number = chunk_size or conditions_together(memory_budget, scores, sets)
        predictions, confidences, apart = jax.lax.map(predict, sets, batch_size=number)
        weight = batch["weight"]
        told = accuracy.update(state.accuracy, predictions, confidences, labels, weight)
        counts = state.separation
        if counts is not None and apart is not None:
            counts = auroc.update(counts, apart.bins, apart.margins, labels, weight)
        return _State(told, counts), predictions.astype(jnp.uint16) if keep_predictions else None

    kept: dict[str, np.ndarray] = {"labels": np.zeros(len(source), np.int32)}
    if keep_predictions:
        kept["predictions"] = np.zeros((len(sets), len(source)), np.uint16)

    def receive(batch: Batch, predictions: Any) -> None:
        classes, examples = batch[label_key], batch["example"]
        wrong = ~((classes >= 0) & (classes < num_classes))
        if wrong.any():
            raise ValueError(
                f"{label_key!r} of example {examples[wrong][0]} is {classes[wrong][0]}, "
                f"and `network` scores the classes 0 to {num_classes - 1}"
            )
        kept["labels"][examples] = classes
        if keep_predictions:
            kept["predictions"][:, examples] = np.asarray(predictions)

    state = fold_resumably(
        lambda state, batch: step(state, network.params, batch, sets),
        _State(
            accuracy.init(num_classes, len(sets)),
            auroc.init(num_classes, len(sets)) if separate else None,
        ),
        source,
        checkpoints,
        settings={
            "layer": layer,
            "conditions": digest(keep),
            "way": way.__name__,
            "network": digest(network.params) if checkpoints else "",
            "first example": digest(example),
            "predictions kept": keep_predictions,
            "scores counted": separate,
        },
        kept=kept,
        batch_size=batch_size,
        save_every=save_every,
        receive=receive,
        mesh=mesh,
        description="removing units",
        progress=progress,
    )
    counts = accuracy.finalize(state.accuracy)
    whole, removed = (
        accuracy.Accuracy(counts.true, *(count[part] for count in counts[1:]))
        for part in (0, slice(1, None))
    )
    separations = None
    if state.separation is not None:
        found = auroc.finalize(state.separation)
        separations = (
            auroc.AurocCounts(*(count[0] for count in found)),
            auroc.AurocCounts(*(count[1:] for count in found)),
        )
    return Ablation(
        layer,
        keep,
        way.__name__,
        whole,
        removed,
        kept["labels"],
        kept.get("predictions"),
        separations,
    )


_COPIES = 4  # what a step reads, what it makes, and what the compiler lays out anew


def conditions_together(
    budget: int, scores: ablation_methods.Scores, sets: Bool[Array, "S U"]
) -> int:
    """Find how many conditions may run together.

    Args:
        budget: Bytes for what they hold at once, about.
        scores: What runs for each of them.
        sets: The conditions, of which shape and type count only.
    """
    together = budget // (_COPIES * max(largest_value(scores, sets[0]), 1))
    return int(min(max(together, 1), len(sets)))


def _first_that_leads(
    choose: Sequence[ablation_methods.Way],
    scores_of: Callable[..., Any],
    params: PyTree,
    batch: Any,
) -> ablation_methods.Way:
    """Try the ways without computing anything."""
    for way in choose:
        leads = []

        def attempt(
            params: PyTree, batch: Any, way: ablation_methods.Way = way, leads: list[bool] = leads
        ):
            leads.append(scores_of(way, params, batch) is not None)

        jax.eval_shape(attempt, params, batch)
        if leads == [True]:
            return way
    raise ValueError(
        f"`choose` (={[way.__name__ for way in choose]}): no way leads from the layer to scores; "
        "`ablation_methods.edited` always does"
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
