"""The importance of all units by one backward pass, as `estimated_damage` computes it per batch.

Letters: B images, U units.

The estimates are compared with what they estimate: how far the log-probability of an image's class
falls when a unit becomes a little weaker, by central differences of forward passes in float64. No
gradient is computed on that side.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxdissect.bench.checking.float64 import in_float64
from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.checking.precisions import (
    check_precision,
    network_in,
    tolerance_of,
    traced_in,
)
from jaxdissect.bench.work_counting import count_work
from jaxdissect.bench.workload import Prepared, Program, Workload
from jaxdissect.bench.workloads.seeded_networks import check_network, make_inputs, make_network
from jaxdissect.classifiers.taylor_importance import unit_effects
from jaxdissect.engine.layer_reader import as_static, image_input
from jaxdissect.networks.adapters.structure import Structure
from jaxdissect.networks.edits import Edit
from jaxdissect.networks.models.layers import PLACES365
from jaxdissect.networks.network import Network, as_network, layer_shapes

SAMPLED = 8
"""Units whose estimates are checked."""

STEP = 1e-6
"""By how much they are made weaker and stronger."""


@dataclass(frozen=True, kw_only=True)
class TaylorSizes:
    """Sizes of the estimate.

    Attributes:
        images: In one step.
        layer: Of VGG-16.
        image_size: Height and width of the images.
        precision: One of `jaxdissect.bench.checking.precisions.PRECISIONS`.
        narrower: What all widths are divided by, for quick rows.
    """

    images: int = 8
    layer: str = "features.conv5_3"
    image_size: int = 224
    precision: str = "default"
    narrower: int = 1

    def __post_init__(self) -> None:
        check_network("vgg16", self.image_size, self.narrower)
        check_precision(self.precision)
        if self.images < 1:
            raise ValueError(f"`images` (={self.images}) must be at least 1")


def prepare_taylor(sizes: TaylorSizes) -> Prepared:
    """Make the network, images with classes, and the program."""
    plain = as_network(make_network("vgg16", sizes.image_size, sizes.narrower))
    network = network_in(plain, sizes.precision)
    images = make_inputs("vgg16", sizes.image_size, sizes.narrower, sizes.images)
    classes = (np.arange(sizes.images) * 37 % PLACES365).astype(np.int32)
    layer_shapes(network, images[:1], sizes.layer)  # refuses unknown layers
    structure, inputs = Structure(network), as_static(image_input)

    def effects(params: PyTree, batch: dict[str, Array]) -> tuple[Array, Array]:
        return unit_effects(structure, sizes.layer, inputs, "label", params, batch)

    program = jax.jit(traced_in(sizes.precision, effects))
    arguments = jax.device_put((network.params, {"image": images, "label": classes}))
    counts = count_work(program, *arguments)

    def check(answer: tuple[Array, Array]) -> Gate:
        return check_effects(plain, images, classes, answer, sizes)

    return Prepared(
        images=sizes.images,
        work=counts.as_work(),
        check=check,
        program=Program(function=program, arguments=arguments),
        notes={"GFLOP per image": counts.products / sizes.images / 1e9},
    )


def check_effects(
    network: Network,
    images: np.ndarray,
    classes: np.ndarray,
    answer: tuple[Array, Array],
    sizes: TaylorSizes,
) -> Gate:
    """Compare with central differences in float64 of some units, in the first and last image."""
    effects, finite = (np.asarray(part) for part in answer)
    units = np.unique(np.linspace(0, effects.shape[1] - 1, SAMPLED).astype(int))
    chosen = sorted({0, len(images) - 1})
    keep = np.ones((len(units), 2, effects.shape[1]))
    keep[np.arange(len(units)), :, units] += STEP * np.array([1, -1])

    def log_probabilities(params: PyTree, images: Array, classes: Array, keep: Array) -> Array:
        def of(keep: Array) -> Array:
            edit = Edit(keep, jnp.zeros_like(keep))
            scores = network.apply(params, images, edits={sizes.layer: edit})[0]
            return jnp.take_along_axis(jax.nn.log_softmax(scores), classes[:, None], 1)[:, 0]

        return jax.vmap(jax.vmap(of))(keep)

    found = in_float64(log_probabilities, network.params, images[chosen], classes[chosen], keep)
    expected = (found[:, 0] - found[:, 1]).T / (2 * STEP)
    ours = effects[chosen][:, units].astype(np.float64)
    # Compared with the largest estimates of all units: single ones may be next to nothing.
    scale = np.abs(effects[chosen]).max()
    worst = float(np.abs(ours - expected).max() / scale) if scale > 0 else float("inf")
    whole = tolerance_of(sizes.precision)
    tolerance = min(10 * whole.share, 0.3)
    return Gate(
        passed=worst <= tolerance and bool(finite.all()) and bool(np.isfinite(effects).all()),
        against=f"central differences in float64 of {len(units)} units, images {chosen}",
        difference=worst,
        tolerance=tolerance,
        reason=f"{whole.reason}; and where a ReLU or a maximum turns, so does the slope",
    )


TAYLOR = Workload(
    name="taylor",
    summary="the importance of all units of a layer of VGG-16 by one backward pass",
    sizes=TaylorSizes,
    prepare=prepare_taylor,
)
