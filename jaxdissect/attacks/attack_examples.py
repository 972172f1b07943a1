"""What attacked images look like to units: where units are active, and where activations change.

Letters: B images, h w layer grid, H W image, U units, k chosen units.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, PyTree

from jaxdissect.arrays.resampling import (
    Alignment,
    Border,
    Shape,
    clamp_border,
    pixel_centers,
    resample,
)
from jaxdissect.attacks.attack_study import AttackStudy
from jaxdissect.attacks.effect_on_units import PeakChanges
from jaxdissect.dissection.top_images import active_regions
from jaxdissect.engine.layer_reader import image_input
from jaxdissect.networks.network import as_maps, as_network
from jaxdissect.stats.quantile import upper_quantile

LEAST_CHANGE = 10.0
"""Change of an activation above which it is shown, in the paper (VGG-16, conv5_3)."""

FRACTION = 0.01
"""Units are active where their activation is exceeded on at most this fraction of all cells."""


class AttackExample(NamedTuple):
    """An attacked image, and the unit whose peak the attack changes most.

    Attributes:
        source: The class that the original is classified as.
        unit: The unit.
        image, adversarial: The image before and after the attack, RGB in [0, 1].
        active_before, active_after: Pixels on which the unit is active.
        rises, falls: Pixels on which its activation rises, and falls, by more than `least_change`.
    """

    source: int
    unit: int
    image: Float[np.ndarray, "H W 3"]
    adversarial: Float[np.ndarray, "H W 3"]
    active_before: Bool[np.ndarray, "H W"]
    active_after: Bool[np.ndarray, "H W"]
    rises: Bool[np.ndarray, "H W"]
    falls: Bool[np.ndarray, "H W"]


def find_attack_examples(
    network: Any,
    study: AttackStudy,
    peaks: PeakChanges,
    *,
    number: int = 8,
    least_change: float = LEAST_CHANGE,
) -> list[AttackExample]:
    """Show the first images on which an attack succeeded, and the unit that changes most in each.

    Thresholds of units are those that their activations on all these original images exceed on
    `FRACTION` of the cells.

    Args:
        network: The network that was attacked.
        study: The attacked images.
        peaks: Peaks of units on those images on which the attack succeeded.
        number: Number of examples, fewer if the attack succeeded on fewer images.
        least_change: Change of an activation above which it counts as a rise or a fall.

    Raises:
        ValueError: If `least_change` is negative.
    """
    there = study.succeeded
    units = peaks.change.argmax(axis=1)[:number]
    kinds = np.unique(units)
    images, adversarial = study.images[there], study.adversarial[there]
    before = unit_maps(network, jnp.asarray(images), study.layer, kinds)
    after = unit_maps(network, jnp.asarray(adversarial[:number]), study.layer, kinds)
    thresholds = upper_quantile(np.asarray(before).reshape(-1, len(kinds)), FRACTION)
    size = (images.shape[1], images.shape[2])
    found = []
    for i, unit in enumerate(units.tolist()):
        own = int(np.searchsorted(kinds, unit))
        pair = [maps[i : i + 1, ..., own : own + 1] for maps in (before, after)]
        threshold = jnp.asarray(thresholds[own : own + 1], jnp.float32)
        regions = (
            *(active_regions(maps, threshold, size) for maps in pair),
            *changed_regions(*pair, size, least=least_change),
        )
        masks = (np.asarray(region)[0, ..., 0] for region in regions)
        found.append(
            AttackExample(int(study.sources[there[i]]), unit, images[i], adversarial[i], *masks)
        )
    return found


def changed_regions(
    before: Float[Array, "B h w U"],
    after: Float[Array, "B h w U"],
    size: Shape,
    *,
    least: float = LEAST_CHANGE,
    alignment: Alignment = pixel_centers,
    border: Border = clamp_border,
) -> tuple[Bool[Array, "B H W U"], Bool[Array, "B H W U"]]:
    """Find the pixels where activations rose, and where they fell, by more than `least`.

    Args:
        before, after: Maps of the original and the adversarial images.
        size: Height and width of the images.
        least: Greatest change that does not count.
        alignment, border: Where pixels read the layer; see `arrays.resample`.

    Returns:
        The pixels of rises, and those of falls.

    Raises:
        ValueError: If `least` is negative.
    """
    if least < 0:
        raise ValueError(f"`least` (={least}) must not be negative")
    change = after.astype(jnp.float32) - before.astype(jnp.float32)
    pixels = resample(change, size, alignment=alignment, border=border)
    return pixels > least, pixels < -least


def unit_maps(
    network: Any,
    images: Float[Array, "B H W C"],
    layer: str,
    units: Int[np.ndarray, "k"],
    *,
    inputs: Callable[[Mapping[str, Array]], Array] = image_input,
) -> Float32[Array, "B h w k"]:
    """Compute the maps of some units for a few images."""
    network = as_network(network)

    @jax.jit
    def maps(params: PyTree, images: Array, units: Array) -> Array:
        found = network.activations(params, inputs({"image": images}), layers=(layer,))[layer]
        return as_maps(found)[..., units].astype(jnp.float32)

    return maps(network.params, jnp.asarray(images), jnp.asarray(units, jnp.int32))


def amplified_difference(
    image: Float[np.ndarray, "*n H W C"],
    adversarial: Float[np.ndarray, "*n H W C"],
    *,
    factor: float = 100.0,
) -> Float[np.ndarray, "*n H W C"]:
    """Show what an attack adds: 0.5 + factor * (after - before), clipped to [0, 1].

    Args:
        image, adversarial: RGB in [0, 1] before and after the attack.
        factor: Amplification; 100 is the paper's.
    """
    return np.clip(0.5 + factor * (adversarial - image), 0.0, 1.0)
