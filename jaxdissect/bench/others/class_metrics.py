"""ROC AUC, balanced accuracy and Jaccard's index against scikit-learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.checking.gate import Gate, within
from jaxdissect.bench.others import host, pytorch
from jaxdissect.bench.others.libraries import load
from jaxdissect.bench.others.match import Contender, Match, unless_missing
from jaxdissect.engine.reader_threads import num_cores
from jaxdissect.stats import accuracy, agreement, auroc, scores

OURS, BY_PRODUCT = "jaxdissect", "NumPy, product of masks"


@dataclass(frozen=True, kw_only=True)
class ClassSizes:
    """What is measured.

    Attributes:
        images: Scored images.
        classes: Each of which is measured against all others.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 4096
    classes: int = 100
    turns: int = 9
    seconds: float = 45.0

    def __post_init__(self) -> None:
        if min(self.images, self.turns) < 1 or self.classes < 2:
            raise ValueError(
                f"`images` (={self.images}) and `turns` (={self.turns}) must be at least 1, and "
                f"`classes` (={self.classes}) at least 2"
            )


@dataclass(frozen=True, kw_only=True)
class OverlapSizes:
    """What is measured.

    Attributes:
        images: Of 56 x 56 pixels.
        units: Each of which is compared with every concept.
        concepts: Of which a pixel has one, or none.
        sampled: Pairs of both that scikit-learn measures; its time is scaled to all.
        turns: How often each runs at most.
        seconds: After which no turn begins.
    """

    images: int = 4
    units: int = 128
    concepts: int = 40
    sampled: int = 16
    turns: int = 9
    seconds: float = 45.0

    def __post_init__(self) -> None:
        if min(self.images, self.units, self.concepts, self.turns) < 1:
            raise ValueError(
                f"`images` (={self.images}), `units` (={self.units}), `concepts` "
                f"(={self.concepts}) and `turns` (={self.turns}) must be at least 1"
            )
        if not 1 <= self.sampled <= self.units * self.concepts:
            raise ValueError(
                f"`sampled` (={self.sampled}) must be in [1, {self.units * self.concepts}]"
            )


def classes_match(sizes: ClassSizes) -> Match:
    """Prepare scores that tell the classes of images, with errors."""
    random = np.random.default_rng(0)
    labels = random.integers(0, sizes.classes, sizes.images).astype(np.int32)
    labels[: min(sizes.classes, sizes.images)] = np.arange(min(sizes.classes, sizes.images))
    logits = random.standard_normal((sizes.images, sizes.classes), np.float32)
    logits[np.arange(sizes.images), labels] += 2
    coarse = [0.0]
    present = np.unique(labels)

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        if "scikit-learn" not in answers:
            return {}
        areas, balanced = (part[present] for part in answers[OURS])
        their_areas, their_balanced = (part[present] for part in answers["scikit-learn"])
        apart = float(np.abs(areas - their_areas).max())
        allowed = coarse[0] / 2 + 1e-5
        return {
            f"{OURS}: balanced accuracy": within(
                balanced, their_balanced, 1e-12, reason="float64 rounds", against="scikit-learn"
            ),
            f"{OURS}: area under the ROC curve": Gate(
                passed=apart <= allowed,
                against="scikit-learn",
                difference=apart,
                tolerance=allowed,
                reason="half the greatest share of pairs of images in a common bin",
            ),
        }

    return Match(
        title=f"ROC AUC and balanced accuracy of {sizes.classes} classes, {sizes.images} images",
        unit="image",
        units=sizes.images,
        contenders=[
            _our_classes(logits, labels, coarse),
            *unless_missing("scikit-learn", "scikit-learn", lambda: _their_classes(logits, labels)),
        ],
        check=check,
        note="Scikit-learn measures class after class, from all scores sorted. Ours counts scores "
        "of all classes in bins, which takes images in parts and no memory for them; areas are "
        "exact but for images in a common bin.",
    )


def _our_classes(logits: np.ndarray, labels: np.ndarray, coarse: list[float]) -> Contender:
    classes = logits.shape[1]
    placed = jax.device_put((logits, labels))

    @jax.jit
    def count(logits: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
        weight = jnp.ones(len(labels), bool)
        measured = auroc.measure(logits, labels)
        shares = jax.nn.softmax(logits)
        own = jnp.take_along_axis(shares, labels[:, None], 1)[:, 0]
        areas = auroc.update(
            auroc.init(classes, 1), measured.bins[None], measured.margins[None], labels, weight
        )
        right = accuracy.update(
            accuracy.init(classes, 1), logits.argmax(1)[None], own[None], labels, weight
        )
        return areas, right

    def run() -> tuple[np.ndarray, np.ndarray]:
        areas, right = count(*placed)
        counts = auroc.finalize(areas)
        others = counts.every - counts.own
        pairs = np.maximum(counts.own.sum(-1) * others.sum(-1), 1)
        coarse[0] = float(((counts.own * others).sum(-1) / pairs).max())
        return auroc.auroc(counts)[0], accuracy.balanced_accuracy(accuracy.finalize(right))[0]

    terms = pytorch.own_terms(
        "default", "classes last", "exact counts in bins", "scores are on the device"
    )
    return Contender(
        name=OURS, library="jaxdissect", run=run, wait=lambda answer: None, terms=terms
    )


def _their_classes(logits: np.ndarray, labels: np.ndarray) -> Sequence[Contender]:
    metrics = load("sklearn.metrics")
    # What ours ranks images by; computed beforehand.
    odds = np.asarray(auroc.log_odds(jnp.asarray(logits)))
    predicted = logits.argmax(1)
    present = np.unique(labels)

    def run() -> tuple[np.ndarray, np.ndarray]:
        areas, balanced = (np.full(logits.shape[1], 0.5) for _ in range(2))
        for each in present:
            own = labels == each
            areas[each] = metrics.roc_auc_score(own, odds[:, each])
            balanced[each] = metrics.balanced_accuracy_score(own, predicted == each)
        return areas, balanced

    return [
        host.contender(
            "scikit-learn",
            "scikit-learn",
            run,
            exactness="exact",
            precision="float64",
            layout="one class after the other",
            differs="checks its arguments in every call",
        )
    ]


def overlap_match(sizes: OverlapSizes) -> Match:
    """Prepare pixels of units and of concepts that have a few in common."""
    random = np.random.default_rng(0)
    pixels = sizes.images * 56 * 56
    active = random.random((pixels, sizes.units)) < 0.01
    labels = random.integers(0, sizes.concepts + 1, (pixels, 1)).astype(np.int32)
    pairs = random.choice(sizes.units * sizes.concepts, sizes.sampled, replace=False)
    concept, unit = pairs // sizes.units + 1, pairs % sizes.units

    def check(answers: Mapping[str, Any]) -> dict[str, Gate]:
        reason = "a division in float64 of the same integers"
        gates = {
            f"{OURS}: IoU, all pairs": within(
                answers[OURS][1:], answers[BY_PRODUCT], 1e-12, reason=reason, against=BY_PRODUCT
            )
        }
        if "scikit-learn" in answers:
            gates[f"{OURS}: IoU, {sizes.sampled} pairs"] = within(
                answers[OURS][concept, unit],
                answers["scikit-learn"],
                1e-12,
                reason=reason,
                against="scikit-learn",
            )
        return gates

    return Match(
        title=f"IoU (Jaccard's index) of {sizes.units} units with {sizes.concepts} concepts, "
        f"{sizes.images} images of 56 x 56 pixels",
        unit="image",
        units=sizes.images,
        contenders=[
            _our_overlap(active, labels, sizes.concepts + 1),
            _by_product(active, labels, sizes.concepts + 1),
            *unless_missing(
                "scikit-learn", "scikit-learn", lambda: _their_overlap(active, labels, pairs)
            ),
        ],
        check=check,
        note="Scikit-learn compares one pair of masks in a call; it measured "
        f"{sizes.sampled} pairs, whose time is scaled to all. Ours counts all pairs in one reading "
        "of the pixels. So does a product of matrices in NumPy, with a mask of every concept in "
        "memory.",
    )


def _our_overlap(active: np.ndarray, labels: np.ndarray, concepts: int) -> Contender:
    placed = jax.device_put((active, labels))

    @jax.jit
    def count(active: jax.Array, labels: jax.Array) -> agreement.AgreementState:
        state = agreement.init(concepts, active.shape[1])
        weight = jnp.ones(len(active), bool)
        return agreement.add(state, agreement.count(active, labels, weight, num_concepts=concepts))

    def run() -> np.ndarray:
        return scores.iou(agreement.finalize(count(*placed)))

    terms = pytorch.own_terms("default", "units last", "exact counts", "masks are on the device")
    return Contender(
        name=OURS, library="jaxdissect", run=run, wait=lambda answer: None, terms=terms
    )


def _by_product(active: np.ndarray, labels: np.ndarray, concepts: int) -> Contender:
    def run() -> np.ndarray:
        marks = active.astype(np.float32)  # exact: float32 has all integers up to 2^24
        masks = (labels == np.arange(1, concepts)).astype(np.float32)
        both = (masks.T @ marks).astype(np.float64)
        union = masks.sum(0)[:, None].astype(np.float64) + marks.sum(0)[None] - both
        return both / np.maximum(union, 1)

    return host.contender(
        BY_PRODUCT,
        "numpy",
        run,
        exactness="exact up to 16 million pixels",
        precision="float32",
        layout="units last",
        threads=f"{num_cores()}",
        differs="written by hand",
    )


def _their_overlap(
    active: np.ndarray, labels: np.ndarray, pairs: np.ndarray
) -> Sequence[Contender]:
    metrics = load("sklearn.metrics")
    units = active.shape[1]
    masks = np.ascontiguousarray(active.T)
    every = int(labels.max()) * units

    def run() -> np.ndarray:
        return np.array(
            [
                metrics.jaccard_score(labels[:, 0] == pair // units + 1, masks[pair % units])
                for pair in pairs
            ]
        )

    return [
        host.contender(
            "scikit-learn",
            "scikit-learn",
            run,
            exactness="exact",
            precision="float64",
            layout="one pair after the other",
            differs="checks its arguments in every call",
            share=min(1.0, len(pairs) / every),
        )
    ]
