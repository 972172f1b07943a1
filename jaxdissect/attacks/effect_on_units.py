"""How far an attack changes the peak activations of the units of a layer.

Letters: B images, H W C image, U units, N classes.

Bau et al., "Understanding the role of individual units in a deep neural network", PNAS 2020: an
attack changes most the units that matter to the class that it aims at and to the class of the
original image.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, Int64, PyTree

from jaxdissect.arrays.representation import short_repr
from jaxdissect.engine import independence
from jaxdissect.engine.batching import Batch, Stored
from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.engine.layer_reader import Inputs, as_static, image_input, image_size
from jaxdissect.engine.processes import replicated
from jaxdissect.engine.resume import map_resumably, network_settings
from jaxdissect.networks.network import as_network, layers_as_maps
from jaxdissect.stats.intervals import student_t

_NORMAL_99 = 2.576  # standard errors on either side of a mean that make a 99% interval


class PeakChanges(NamedTuple):
    """Peaks of units before and after an attack: the greatest activation over the image.

    Attributes:
        before: Peaks on the original images.
        after: Peaks on the adversarial images.
    """

    before: Float32[np.ndarray, "B U"]
    after: Float32[np.ndarray, "B U"]

    __repr__ = short_repr

    @property
    def change(self) -> Float64[np.ndarray, "B U"]:
        """How far peaks moved, up or down: |after - before|."""
        return np.abs(self.after.astype(np.float64) - self.before)


class GroupChange(NamedTuple):
    """How far the peaks of a group of units change.

    Attributes:
        name: "target", "source" or "other".
        pairs: Number of pairs of an image and a unit.
        mean: Mean change.
        interval: Half of the 99% interval of the mean, all pairs taken as independent, as in the
            paper: factor * s / sqrt(pairs) with the standard deviation s (divided by the number).
            As pairs of one image are not independent, it is too narrow.
        interval_by_image: Half of the 99% interval of the mean that takes only the images as
            independent: Student's t times the standard error of a ratio of sums over images
            (Cochran, Sampling Techniques, 1977, section 6.3). Like `interval`, it is infinite
            where it is not known: for less than two, or if nothing differs between them.
    """

    name: str
    pairs: int
    mean: float
    interval: float
    interval_by_image: float


def measure_peaks(
    network: Any,
    images: Float[np.ndarray, "B H W C"],
    adversarial: Float[np.ndarray, "B H W C"],
    layer: str,
    *,
    inputs: Inputs = image_input,
    batch_size: int = 16,
    checkpoints: Path | None = None,
    save_every: int = 100,
    mesh: jax.sharding.Mesh | None = None,
    progress: Progress = no_progress,
) -> PeakChanges:
    """Measure the peaks of all units of a layer before and after an attack.

    Args:
        network: A Network or an nnx.Module.
        images, adversarial: The original image and the adversarial image of each pair.
        layer: The layer.
        inputs: Makes the network's input from ``{"image": images}``.
        batch_size: Pairs in a step; does not change results.
        checkpoints: Folder from which an interrupted pass resumes, with the same result; None keeps
            none.
        save_every: Steps between checkpoints.
        mesh: Devices to spread batches over (see `fold`).
        progress: Is called with how far the pass has come.

    Raises:
        ValueError: If images and adversarial images are no pairs, there are none, the layer is
            unknown, or `checkpoints` holds another computation or is damaged.
    """
    network = as_network(network)
    if images.shape != adversarial.shape:
        raise ValueError(
            f"`adversarial` (={list(adversarial.shape)}) must be one for each of `images` "
            f"(={list(images.shape)})"
        )

    if len(images):
        example = {"image": np.asarray(images[:1])}
        independence.check_outputs(network, as_static(inputs), example, layers=layer)

    @jax.jit
    def peaks(params: PyTree, images: Array) -> Float[Array, "B U"]:
        seen = inputs({"image": images})
        found = network.activations(params, seen, layers=(layer,))
        maps = layers_as_maps(network, found, image_size(seen, {"image": images}))[layer]
        return maps.astype(jnp.float32).max((1, 2))

    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    num_units = jax.eval_shape(peaks, network.params, one).shape[1]
    before, after = (np.zeros((len(images), num_units), np.float32) for _ in range(2))

    def receive(batch: Batch, found: tuple[Array, Array]) -> None:
        for part, new in zip((before, after), found, strict=True):
            part[batch["example"][batch["weight"]]] = np.asarray(new)[batch["weight"]]

    params = replicated(network.params, mesh)

    # One program, run twice: images that the attack left as they were do not change.
    def both(params: PyTree, batch: Mapping[str, Array]) -> tuple[Array, ...]:
        return tuple(peaks(params, batch[name]) for name in ("image", "adversarial"))

    map_resumably(
        partial(both, params),
        Stored({"image": images, "adversarial": adversarial}),
        checkpoints,
        plain_step=partial(both, network.params),
        settings=lambda: {
            "layer": layer,
            **network_settings(network, inputs, {"image": np.asarray(images[:1])}),
        },
        save_every=save_every,
        batch_size=batch_size,
        kept={"before": before, "after": after},
        receive=receive,
        mesh=mesh,
        forward_passes=2,
        description="measuring attacked units",
        progress=progress,
    )
    return PeakChanges(before, after)


def changes_by_group(
    change: Float[np.ndarray, "B U"],
    important: Bool[np.ndarray, "U N"],
    sources: Int[np.ndarray, "B"],
    targets: Int[np.ndarray, "B"],
    *,
    factor: float = _NORMAL_99,
) -> tuple[GroupChange, GroupChange, GroupChange]:
    """Compare units that are important to the target, to the source, and all others.

    A unit that is important to both counts in both.

    Args:
        change: How far the peaks changed, `PeakChanges.change`.
        important: Whether a unit is important to a class, from `importance.is_important`.
        sources: The class that each original image is classified as.
        targets: The class that each adversarial image should be classified as.
        factor: Standard errors on either side of a mean of pairs; the paper's code uses 2.58.

    Returns:
        The groups "target", "source" and "other", in this order.

    Raises:
        ValueError: If a class is unknown, or lengths differ.
    """
    num_units, num_classes = important.shape
    for name, classes in (("sources", sources), ("targets", targets)):
        if classes.shape != (len(change),) or not len(change):
            raise ValueError(f"`{name}` (={list(classes.shape)}) must be one for each image")
        if not ((classes >= 0) & (classes < num_classes)).all():
            raise ValueError(f"`{name}` must lie in [0, {num_classes})")
    if change.shape[1] != num_units:
        raise ValueError(f"`change` (={list(change.shape)}) must have the {num_units} units")
    to_target, to_source = important.T[targets], important.T[sources]
    members = {
        "target": to_target,
        "source": to_source,
        "other": ~(to_target | to_source),
    }
    return tuple(_group(name, change, member, factor) for name, member in members.items())  # pyright: ignore[reportReturnType]


def most_changed(change: Float[np.ndarray, "B U"]) -> Int64[np.ndarray, "U"]:
    """Order units by their mean change, greatest first, equals by unit."""
    return np.argsort(-change.mean(axis=0, dtype=np.float64), kind="stable")


def _group(
    name: str, change: Float[np.ndarray, "B U"], member: Bool[np.ndarray, "B U"], factor: float
) -> GroupChange:
    pairs = int(member.sum())
    if not pairs:
        return GroupChange(name, 0, 0.0, float("inf"), float("inf"))
    values = change[member].astype(np.float64)
    mean = values.mean()
    units = member.sum(axis=1)
    # Sums over the units of an image, less what they would be if all images were alike.
    apart = (change * member).sum(axis=1, dtype=np.float64) - mean * units
    # Images with few of the units count for less; as many equal ones would tell as much (Kish).
    images = min(max(2, pairs**2 // int((units**2).sum())), np.count_nonzero(units))
    spread = np.sqrt((apart**2).sum() * images / max(images - 1, 1)) / pairs
    by_image = student_t(images) * spread if images > 1 else np.inf
    rounding = 1e-12 * abs(mean)
    intervals = (
        float(half) if half > rounding else float("inf")
        for half in (factor * values.std() / np.sqrt(pairs), by_image)
    )
    return GroupChange(name, pairs, float(mean), *intervals)
