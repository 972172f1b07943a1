"""The removal of every single unit of a layer of VGG-16, all in one program.

Letters: B images, S conditions, U units, N classes.

Condition 0 removes nothing, as in `ablation_sweep`. The scores are compared with those of forward
passes in float64 under the edit of some of the units: not the scores themselves, which a missing
unit hardly changes, but their changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.checking.precisions import (
    check_precision,
    network_in,
    tolerance_of,
    traced_in,
)
from jaxdissect.bench.work_counting import LAYER_BY_LAYER, count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.bench.workloads.seeded_networks import check_network, make_inputs, make_network
from jaxdissect.classifiers import ablation_methods
from jaxdissect.classifiers.ablation import conditions_together
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.network import Network, as_network, layer_shapes

METHODS: dict[str, ablation_methods.AblationMethod] = {
    "low_rank": ablation_methods.low_rank,
    "edited": ablation_methods.edited,
}
"""By name."""

COUNTED = {
    "low_rank": "For each condition the contributions of all units are summed, as any set needs it",
    "edited": "All that follows the layer runs for each condition, the first linear map too",
}
"""What is more than single removals need at least, by method."""

SAMPLED = 16
"""Units whose removal is checked."""

BUDGET = 2**30
"""Bytes for what conditions that run together hold, that of `ablation_sweep`."""

Masks = Bool[Array, "S U"]
Found = tuple[Int32[Array, "S B"], Float[Array, "S B N"]]


@dataclass(frozen=True, kw_only=True)
class RemovalSizes:
    """Sizes of a sweep.

    Attributes:
        images: In one step.
        method: One of `METHODS`: subtract what units contribute to the linear map that follows, or
            run what follows anew without them.
        layer: Of VGG-16, where units are removed.
        image_size: Height and width of the images.
        precision: One of `jaxdissect.bench.checking.precisions.PRECISIONS`.
        narrower: What all widths are divided by, for quick rows.
    """

    images: int = 8
    method: str = "low_rank"
    layer: str = "features.conv5_3"
    image_size: int = 224
    precision: str = "default"
    narrower: int = 1

    def __post_init__(self) -> None:
        check_network("vgg16", self.image_size, self.narrower)
        check_precision(self.precision)
        if self.method not in METHODS:
            raise ValueError(f"`method` (={self.method!r}) must be one of: {', '.join(METHODS)}")
        if self.images < 1:
            raise ValueError(f"`images` (={self.images}) must be at least 1")


def prepare_removals(sizes: RemovalSizes) -> Prepared:
    """Make the network, images, masks and the program of all conditions."""
    plain = as_network(make_network("vgg16", sizes.image_size, sizes.narrower))
    network = network_in(plain, sizes.precision)
    images = make_inputs("vgg16", sizes.image_size, sizes.narrower, sizes.images)
    num_units = layer_shapes(network, images[:1], sizes.layer)[sizes.layer].shape[-1]
    singles = single_unit_masks(num_units)
    masks = np.concatenate([np.ones_like(singles[:1]), singles])
    sweep = jax.jit(traced_in(sizes.precision, _sweep(network, METHODS[sizes.method], sizes.layer)))
    arguments = jax.device_put((network.params, images, masks))
    counts = count_work(sweep, *arguments)

    def check(answer: Found) -> Gate:
        return check_removals(plain, images, masks, answer, sizes)

    return Prepared(
        images=sizes.images,
        work=counts.as_work(f"{LAYER_BY_LAYER}. {COUNTED[sizes.method]}"),
        check=check,
        program=Program(function=sweep, arguments=arguments),
        notes={
            "removals": num_units,
            "GFLOP per removal": counts.products / sizes.images / len(masks) / 1e9,
        },
    )


def _sweep(
    network: Network, method: ablation_methods.AblationMethod, layer: str
) -> Callable[[PyTree, Array, Masks], Found]:
    def sweep(params: PyTree, images: Array, masks: Masks) -> Found:
        nothing = jnp.zeros((), jnp.float32)
        num_units = masks.shape[1]
        scores = method(
            ablation_methods.AblationCase(network, params, images, layer, num_units, nothing)
        )
        if scores is None:
            raise ValueError(
                f"`method` (={method.__name__}) does not apply to layer {layer!r} with images of "
                f"{images.shape[1]} pixels: 'edited' always does, 'low_rank' to the last "
                "convolution at 224"
            )

        def predict(keep: Bool[Array, "U"]) -> tuple[Array, Array]:
            found = scores(keep)
            return found.argmax(-1).astype(jnp.int32), found.astype(jnp.float32)

        together = conditions_together(BUDGET, scores, masks)
        return jax.lax.map(predict, masks, batch_size=together)

    return sweep


def check_removals(
    network: Network, images: np.ndarray, masks: np.ndarray, answer: Found, sizes: RemovalSizes
) -> Gate:
    """Compare with forward passes in float64, edited anew for each of some units.

    Predictions must be those of float64, but where its scores of both classes are within the
    tolerance of the outputs of a network.
    """
    predictions, scores = (np.asarray(part) for part in answer)
    every = len(masks) - 1
    sampled = np.unique(np.linspace(1, every, min(SAMPLED, every)).astype(int))
    conditions, chosen = np.concatenate([[0], sampled]), sorted({0, len(images) - 1})

    def edited(params: PyTree, images: Array, masks: Masks) -> Array:
        def scored(keep: Array) -> Array:
            return network.apply(params, images, edits={sizes.layer: keep_units(keep)})[0]

        return jax.vmap(scored)(masks)

    expected = in_float64(edited, network.params, images[chosen], masks[conditions])
    found = scores[conditions][:, chosen].astype(np.float64)
    changes, theirs = found[1:] - found[:1], expected[1:] - expected[:1]
    scale = np.abs(theirs).max()
    difference = float(np.abs(changes - theirs).max() / scale) if scale > 0 else float("inf")
    own = np.take_along_axis(expected, predictions[conditions][:, chosen][..., None], -1)[..., 0]
    lost = float((expected.max(-1) - own).max() / np.abs(expected).max())
    consistent = np.array_equal(scores.argmax(-1), predictions) and bool(np.isfinite(scores).all())
    whole = tolerance_of(sizes.precision)
    tolerance = min(10 * whole.share, 0.3)
    return Gate(
        passed=difference <= tolerance and lost <= whole.share and consistent,
        against=(
            f"forward passes in float64 without each of {len(sampled)} units, images {chosen}: "
            "changes of all scores, and predictions"
        ),
        difference=difference,
        tolerance=tolerance,
        reason=f"{whole.reason}; a removal changes a tenth of the scores or less",
    )


REMOVALS = Workload(
    name="removals",
    summary="the scores of VGG-16 without each single unit of a layer, all in one program",
    sizes=RemovalSizes,
    prepare=prepare_removals,
)
