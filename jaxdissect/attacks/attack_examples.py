"""What attacked images look like to units: where units are active, and where activations change.

Letters: B images, h w layer grid, H W image, U units, k chosen units.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from jaxdissect.arrays.representation import short_repr
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
from jaxdissect.dissection.unit_images import active_regions
from jaxdissect.engine.batching import Batch, Stored
from jaxdissect.engine.folding import map_batches
from jaxdissect.engine.layer_reader import Inputs, LayerReader, image_input
from jaxdissect.engine.processes import replicated
from jaxdissect.networks.network import as_network
from jaxdissect.stats.quantile import upper_quantile

LEAST_CHANGE = 10.0
"""Change of an activation above which it is shown, in the paper (VGG-16, conv5_3)."""

FRACTION = 0.01
"""Units are active where their activation is exceeded on at most this fraction of all pixels."""


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

    __repr__ = short_repr


def find_attack_examples(
    network: Any,
    study: AttackStudy,
    peaks: PeakChanges,
    *,
    number: int = 8,
    least_change: float = LEAST_CHANGE,
    inputs: Inputs = image_input,
    batch_size: int = 16,
    mesh: jax.sharding.Mesh | None = None,
) -> list[AttackExample]:
    """Show the first images on which an attack succeeded, and the unit that changes most in each.

    Thresholds of units are those that their activations on the originals of all images on which the
    attack succeeded exceed on `FRACTION` of the pixels.

    Args:
        network: The network that was attacked.
        study: The attacked images.
        peaks: Peaks of units on those images on which the attack succeeded.
        number: Number of examples, fewer if the attack succeeded on fewer images.
        least_change: Change of an activation above which it counts as a rise or a fall.
        inputs: Makes the network's input from ``{"image": images}``.
        batch_size: Images in a step.
        mesh: Devices to spread batches over (see `fold`).

    Raises:
        ValueError: If `least_change` is negative.
    """
    there = study.succeeded
    units = peaks.change.argmax(axis=1)[:number]
    kinds = np.unique(units)
    images, adversarial = study.images[there], study.adversarial[there]
    before, after = (
        unit_maps(
            network, shown, study.layer, kinds, inputs=inputs, batch_size=batch_size, mesh=mesh
        )
        for shown in (images, adversarial[:number])
    )
    size = (images.shape[1], images.shape[2])
    thresholds = np.array([_threshold(before[..., i], size) for i in range(len(kinds))], np.float32)
    found = []
    for i, unit in enumerate(units.tolist()):
        own = int(np.searchsorted(kinds, unit))
        old, new = (jnp.asarray(maps[i : i + 1, ..., own : own + 1]) for maps in (before, after))
        threshold = jnp.asarray(thresholds[own : own + 1])
        regions = (
            active_regions(old, threshold, size),
            active_regions(new, threshold, size),
            *changed_regions(old, new, size, least=least_change),
        )
        masks = (np.asarray(region)[0, ..., 0] for region in regions)
        found.append(
            AttackExample(int(study.sources[there[i]]), unit, images[i], adversarial[i], *masks)
        )
    return found


def _threshold(maps: Float32[np.ndarray, "B h w"], size: Shape) -> float:
    """Find what a unit exceeds on `FRACTION` of the pixels, where regions are drawn too."""
    pixels = np.asarray(resample(jnp.asarray(maps)[..., None], size))
    return float(upper_quantile(pixels.reshape(-1, 1), FRACTION)[0])


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
    images: Float[np.ndarray, "B H W C"],
    layer: str,
    units: Int[np.ndarray, "k"],
    *,
    inputs: Inputs = image_input,
    batch_size: int = 16,
    mesh: jax.sharding.Mesh | None = None,
) -> Float32[np.ndarray, "B h w k"]:
    """Compute the maps of some units, always by the same program."""
    network = as_network(network)
    reader = LayerReader.of(network, (layer,), inputs=inputs)
    shapes = reader.shapes(network.params, {"image": images[:1]})
    found = np.zeros((len(images), *shapes.maps[layer].shape[1:3], len(units)), np.float32)

    def receive(batch: Batch, maps: Array) -> None:
        found[batch["example"][batch["weight"]]] = np.asarray(maps, np.float32)[batch["weight"]]

    params = replicated(network.params, mesh)
    map_batches(
        lambda batch: reader.read(params, {"image": batch["image"]}).maps[layer][..., units],
        Stored({"image": images}),
        batch_size=batch_size,
        kept={"maps": found},
        receive=receive,
        mesh=mesh,
        description="maps of attacked units",
    )
    return found


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
