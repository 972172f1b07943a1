"""Remove units of a classifier: which classes need which units?

Letters: B batch, S conditions (sets of removed units), U units, N classes, n images.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020: units
of a layer are forced to zero, and a unit is important to a class if the balanced accuracy of the
class falls without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, Integer, PyTree

from jaxdissect.arrays.names import listed
from jaxdissect.arrays.representation import short_repr
from jaxdissect.classifiers import ablation_methods, class_checks, replacements
from jaxdissect.engine.batching import Batch, Source
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.identity import content, traced
from jaxdissect.engine.layer_reader import Inputs, as_static, image_input
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import fold_resumably, network_settings
from jaxdissect.networks import ablation_masks
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.jaxpr.partial_eval import largest_value
from jaxdissect.networks.network import as_network, layer_shapes
from jaxdissect.stats import accuracy, auroc, paired_accuracy, score_margin
from jaxdissect.stats.accuracy import AccuracyState
from jaxdissect.stats.intervals import Interval

Measure = Callable[[accuracy.Accuracy], np.ndarray]
"""Measures every class, or all together, by their counts; see `jaxdissect.stats.accuracy`."""


@dataclass(frozen=True)
class Ablation:
    """Predictions of a classifier with all units in place, and with sets of units removed.

    Attributes:
        layer: Where units were removed.
        keep: For each condition, the units that stayed.
        method: How it was computed, a function of `jaxdissect.classifiers.ablation_methods`.
        baseline: Counts with all units in place, [N].
        counts: Counts under each condition, [S, N].
        unchanged: Counts of the images that are classified as the same class as with all units in
            place, [S, N].
        labels: The class of every image.
        predictions: The class that every image was classified as, with all units in place and then
            under each condition; None unless they were to be kept.
        margins: Sums of margins, with all units in place [N] and under each condition [S, N].
        auroc_counts: Counts of images by score, with all units in place [N] and under each
            condition [S, N]; None unless they were asked for.
    """

    layer: str
    keep: Bool[np.ndarray, "S U"]
    method: str
    baseline: accuracy.Accuracy
    counts: accuracy.Accuracy
    unchanged: accuracy.Accuracy
    labels: Int32[np.ndarray, "n"]
    margins: tuple[score_margin.MarginCounts, score_margin.MarginCounts]
    predictions: Integer[np.ndarray, "S+1 n"] | None = None
    auroc_counts: tuple[auroc.AurocCounts, auroc.AurocCounts] | None = None

    __repr__ = short_repr

    def damage(
        self, *, measure: Measure = accuracy.balanced_accuracy
    ) -> Float64[np.ndarray, "S N"]:
        """Compute how far a measure of every class falls under every condition.

        Args:
            measure: Balanced accuracy is the paper's; confidence distinguishes more from few
                images.

        Returns:
            0 for classes without images, and where float64 rounds but nothing is lost.
        """
        lost = np.round(measure(self.baseline)[None] - measure(self.counts), 12) + 0.0
        return lost * (self.baseline.true > 0) if lost.ndim > 1 else lost

    def changes(self, measure: Measure, *, level: float = 0.99) -> Interval:
        """Find how far every condition changes a measure, with confidence intervals.

        They are for other images of the same kind, drawn independently within every class; see
        `jaxdissect.stats.intervals`.

        Args:
            measure: One of `jaxdissect.stats.paired_accuracy.MEASURES`.
            level: Chance that an interval holds the true change.

        Returns:
            Changes, without the units minus with all: [S, N], or [S] for a measure over all
            classes.

        Raises:
            ValueError: If there are no intervals for `measure`, or `level` makes no sense.
        """
        paired = paired_accuracy.PairedAccuracy(self.baseline, self.counts, self.unchanged)
        return paired_accuracy.change(paired, measure, level=level)

    def margin_lost(self) -> Float64[np.ndarray, "S N"]:
        """Compute how far the mean margin of every class falls under every condition.

        The margin of an image is the score of its class minus the greatest of the others. It
        ranks units whose removal does as much damage (see `importance.ranking`).

        Returns:
            Scores; 0 for classes without images.
        """
        whole, removed = map(score_margin.mean_margin, self.margins)
        return whole[None] - removed


def ablation_sweep(
    network: Any,
    source: Source,
    layer: str,
    keep: Bool[np.ndarray, "S U"],
    *,
    label_key: str = "label",
    inputs: Inputs = image_input,
    replacement: replacements.Replacement = replacements.zero,
    methods: Sequence[ablation_methods.AblationMethod] = ablation_methods.FASTEST,
    keep_predictions: bool = False,
    count_scores: bool = False,
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
    `methods` and `mesh` change them only where they change how the network rounds, and then where
    two scores are equal but for that.

    Args:
        network: A Network or an nnx.Module that scores classes, [B, N].
        source: Examples with the class under `label_key`, and what `inputs` reads.
        layer: Where to remove units.
        keep: For each condition, False for the units that are removed together; the functions of
            `jaxdissect.networks.ablation_masks` make such masks.
        label_key: Name of the class of an example, an integer in [0, N).
        inputs: Makes the network's input of a batch.
        replacement: What removed units output instead, see `jaxdissect.classifiers.replacements`.
        methods: Methods to compute it; the first that applies is taken.
        keep_predictions: Keep the prediction of every image under every condition, 2 bytes each
            (4 beyond 65,536 classes).
        count_scores: Count scores in bins too, for AUROC and mean margins.
        batch_size: Examples in a step.
        chunk_size: Conditions that run together; None takes as many as fit `memory_budget`.
        memory_budget: Bytes for what conditions that run together hold at once, about.
        checkpoints: Folder from which an interrupted sweep resumes, with the same result; None
            keeps none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `jaxdissect.engine.folding.fold`).
        progress: Called with how far the pass has come.

    Returns:
        Counts by class, under every condition and none.

    Raises:
        ValueError: If there are no examples, they have no class or one beyond [0, N), scores are
            not finite, the layer is unknown, `keep` does not fit it, no method of `methods`
            applies, `checkpoints` holds another computation, or another argument makes no sense.
        TypeError: If `network` is neither a Network nor an nnx.Module.
    """
    network = as_network(network)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"`chunk_size` (={chunk_size}) must be at least 1")
    example = class_checks.first_example(source, label_key)
    placed = {name: jnp.asarray(array) for name, array in example.items()}
    num_classes = class_checks.num_scored_classes(network, inputs, placed, layer)
    num_units = layer_shapes(network, inputs(placed), (layer,))[layer].shape[-1]
    keep = ablation_masks.checked_masks(keep, num_units, layer)
    # Condition 0: nothing is removed.
    masks = jnp.asarray(np.concatenate([np.ones_like(keep[:1]), keep]))
    classifier = _AblatedClassifier(
        Structure(network), as_static(inputs), as_static(replacement), layer, num_units
    )
    method = _first_that_applies(methods, classifier, network.params, placed)
    step = _Step(
        classifier=classifier,
        method=method,
        label_key=label_key,
        keep_predictions=keep_predictions,
        count_scores=count_scores,
        chunk_size=chunk_size,
        memory_budget=memory_budget,
    )
    kept: dict[str, np.ndarray] = {"labels": np.zeros(len(source), np.int32)}
    if keep_predictions:
        dtype = _prediction_dtype(num_classes)
        kept["predictions"] = np.zeros((len(masks), len(source)), dtype)

    def receive(batch: Batch, output: tuple[Array, Array | None]) -> None:
        finite, predictions = np.asarray(output[0]).T, output[1]
        examples = batch["example"][batch["weight"]]
        kept["labels"][examples] = class_checks.read_classes(batch, label_key, num_classes)
        for condition in np.flatnonzero(~finite.all(axis=1))[:1].tolist():
            where = _condition_name(keep, layer, condition - 1)
            class_checks.check_scores(finite[condition], batch, label_key, where=where)
        if predictions is not None:
            kept["predictions"][:, examples] = np.asarray(predictions)[batch["weight"]].T

    def settings() -> dict[str, Any]:
        return {
            "layer": layer,
            "method": method.__name__,
            "label_key": label_key,
            "keep_predictions": keep_predictions,
            "count_scores": count_scores,
            **network_settings(network, inputs, placed),
            "replacement": traced(replacement, network.params, placed),
            "keep": content(keep),
        }

    params, placed_masks = replicated((network.params, masks), mesh)
    plain_step = replace(step, chunk_size=1, memory_budget=0)

    state = fold_resumably(
        lambda state, batch: _run_step(step, state, params, batch, placed_masks),
        _SweepState(
            accuracy.init(num_classes, len(masks)),
            accuracy.init(num_classes, len(masks)),
            score_margin.init(num_classes, len(masks)),
            auroc.init(num_classes, len(masks)) if count_scores else None,
        ),
        source,
        checkpoints,
        settings=settings,
        plain_step=lambda state, batch: _run_step(plain_step, state, network.params, batch, masks),
        kept=kept,
        batch_size=batch_size,
        save_every=save_every,
        receive=receive,
        mesh=mesh,
        description="removing units",
        progress=progress,
    )
    every, unchanged = accuracy.finalize(state.accuracy), accuracy.finalize(state.unchanged)
    whole, removed, unchanged = (
        accuracy.Accuracy(counts.true, *(count[part] for count in counts[1:]))
        for counts, part in ((every, 0), (every, slice(1, None)), (unchanged, slice(1, None)))
    )
    margins = score_margin.finalize(state.margins)
    auroc_counts = None
    if state.auroc is not None:
        found = auroc.finalize(state.auroc)
        auroc_counts = (
            auroc.AurocCounts(*(count[0] for count in found)),
            auroc.AurocCounts(*(count[1:] for count in found)),
        )
    return Ablation(
        layer,
        keep,
        method.__name__,
        whole,
        removed,
        unchanged,
        kept["labels"],
        (margins._replace(total=margins.total[0]), margins._replace(total=margins.total[1:])),
        kept.get("predictions"),
        auroc_counts,
    )


# --- one step -------------------------------------------------------------------------------------


class _SweepState(NamedTuple):
    accuracy: AccuracyState
    unchanged: AccuracyState
    margins: score_margin.MarginState
    auroc: auroc.AurocState | None


class _Judged(NamedTuple):
    """What is found of the scores of a batch, [B], under one condition or several."""

    predictions: Array
    confidences: Array
    margins: Array
    finite: Array


@dataclass(frozen=True)
class _AblatedClassifier:
    """A classifier without its parameters, and what is put in the place of removed units."""

    structure: Structure
    inputs: Inputs
    replacement: replacements.Replacement
    layer: str
    num_units: int

    def scores(
        self,
        method: ablation_methods.AblationMethod,
        params: PyTree,
        batch: Mapping[str, Array],
    ) -> ablation_methods.MaskedScores | None:
        """Prepare the scores of a batch; None where the method does not apply."""
        replaced = self.replacement(params, batch)
        return method(
            ablation_methods.AblationCase(
                self.structure, params, self.inputs(batch), self.layer, self.num_units, replaced
            )
        )


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What a step computes: a value, so that sweeps with equal steps share a compiled program."""

    classifier: _AblatedClassifier
    method: ablation_methods.AblationMethod
    label_key: str
    keep_predictions: bool
    count_scores: bool
    chunk_size: int | None
    memory_budget: int


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _run_step(
    step: _Step,
    state: _SweepState,
    params: PyTree,
    batch: dict[str, Array],
    masks: Bool[Array, "S U"],
) -> tuple[_SweepState, tuple[Bool[Array, "B S"], Array | None]]:
    """Count a batch under every condition.

    Returns:
        The counts; whether all scores are finite, and the predictions if they are to be kept.
    """
    labels = batch[step.label_key].astype(jnp.int32)
    scores = step.classifier.scores(step.method, params, batch)
    assert scores is not None  # the method applies

    def predict(keep: Bool[Array, "U"]) -> tuple[_Judged, auroc.BinnedScores | None]:
        found = scores(keep)
        probabilities = jax.nn.softmax(found.astype(jnp.float32))
        own = jnp.take_along_axis(probabilities, labels[:, None], 1)[:, 0]
        finite, margins = class_checks.finite_scores(found), score_margin.measure(found, labels)
        judged = _Judged(found.argmax(-1), own, margins, finite)
        return judged, auroc.measure(found, labels) if step.count_scores else None

    together = step.chunk_size or conditions_together(step.memory_budget, scores, masks)
    judged, binned = jax.lax.map(predict, masks, batch_size=together)
    predictions, weight = judged.predictions, batch["weight"]
    counts = accuracy.update(state.accuracy, predictions, judged.confidences, labels, weight)
    # What is classified differently than with all units in place counts as of no class.
    same = jnp.where(predictions == predictions[:1], predictions, -1)
    unknown = jnp.zeros_like(judged.confidences)
    unchanged = accuracy.update(state.unchanged, same, unknown, labels, weight)
    margins = score_margin.update(state.margins, judged.margins, labels, weight)
    auroc_state = state.auroc
    if auroc_state is not None and binned is not None:
        auroc_state = auroc.update(auroc_state, binned.bins, binned.margins, labels, weight)
    kept = None
    if step.keep_predictions:
        kept = predictions.T.astype(_prediction_dtype(state.margins.images.low.shape[0]))
    return _SweepState(counts, unchanged, margins, auroc_state), (judged.finite.T, kept)


_COPIES = 4  # what a step reads, what it makes, and what the compiler lays out anew


def conditions_together(
    budget: int, scores: ablation_methods.MaskedScores, masks: Bool[Array, "S U"]
) -> int:
    """Find how many conditions may run together.

    Args:
        budget: Bytes for what they hold at once, about.
        scores: What runs for each of them.
        masks: The conditions, of which only shape and type count.
    """
    together = budget // (_COPIES * max(largest_value(scores, masks[0]), 1))
    return int(min(max(together, 1), len(masks)))


# --- checks ---------------------------------------------------------------------------------------


def _prediction_dtype(num_classes: int) -> type[np.unsignedinteger]:
    """Choose the least type that holds every class."""
    return np.uint16 if num_classes <= 2**16 else np.uint32


def _condition_name(keep: Bool[np.ndarray, "S U"], layer: str, condition: int) -> str:
    """Name a condition in an error; -1 is that with all units in place."""
    removed = [] if condition < 0 else np.flatnonzero(~keep[condition]).tolist()
    if not removed:
        return " with all units in place"
    units = listed(list(map(str, removed)))
    return f" without unit{'s' * (len(removed) > 1)} {units} of layer {layer!r}"


def _first_that_applies(
    methods: Sequence[ablation_methods.AblationMethod],
    classifier: _AblatedClassifier,
    params: PyTree,
    batch: dict[str, Array],
) -> ablation_methods.AblationMethod:
    """Try the methods in their order, without computing anything."""
    for method in methods:
        applies = []

        def attempt(
            params: PyTree,
            batch: dict[str, Array],
            method: ablation_methods.AblationMethod = method,
            applies: list[bool] = applies,
        ) -> None:
            applies.append(classifier.scores(method, params, batch) is not None)

        jax.eval_shape(attempt, params, batch)
        if applies == [True]:
            return method
    raise ValueError(
        f"`methods` (={[method.__name__ for method in methods]}): none applies to the layer; "
        "`ablation_methods.edited` always does"
    )
