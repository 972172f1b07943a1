"""Conventions of the literature for calling a unit a detector of a concept.

Which pixels count against a concept is its *scope*: a function that adds label channels which
say where the scope of each category holds. Shapes: B batch, H W label grid, K labels per pixel,
C concepts including "none", G categories.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32

from jaxdissect.arrays.resampling import Border, clamp_border, zero_border
from jaxdissect.stats import scores
from jaxdissect.stats.agreement import AgreementCounts

# (labels, category index of every concept, number of categories) -> scope labels from C on
Scope = Callable[[Array, np.ndarray, int], Array]


def all_pixels(
    labels: Int32[Array, "B H W K"], category_of: Int[np.ndarray, "C"], num_categories: int
) -> Int32[Array, "B H W none"]:
    """Every pixel without a concept speaks against it."""
    del category_of, num_categories
    return labels[..., :0]


def annotated_pixels(
    labels: Int32[Array, "B H W K"], category_of: Int[np.ndarray, "C"], num_categories: int
) -> Int32[Array, "B H W G"]:
    """Only pixels with some concept of the same category count against a concept."""
    ids = np.arange(num_categories, dtype=np.int32)
    category = jnp.where(labels > 0, jnp.asarray(category_of, jnp.int32)[labels], -1)
    here = (category[..., None] == ids.reshape(1, 1, 1, 1, -1)).any(axis=-2)
    return jnp.where(here, (len(category_of) + ids).reshape(1, 1, 1, -1), 0)


def annotated_images(
    labels: Int32[Array, "B H W K"], category_of: Int[np.ndarray, "C"], num_categories: int
) -> Int32[Array, "B H W G"]:
    """All pixels of images with some concept of the same category count against a concept."""
    here = annotated_pixels(labels, category_of, num_categories)
    return jnp.broadcast_to(here.max(axis=(1, 2), keepdims=True), here.shape)


@dataclass(frozen=True)
class Preset:
    """One convention.

    Attributes:
        name: Name by which it is known.
        fraction: A unit is active on at most this fraction of all pixels.
        min_iou: A unit is called a detector of its best concept above this IoU.
        scope: Which pixels count against a concept.
        border: What lies beyond the outermost cells of a layer.
        interpolated: Use Hazen's interpolated quantile as threshold instead of an order statistic.
        score: Compares units and concepts on all pixels; None for IoU within the scope.

    Raises:
        ValueError: If the fraction is out of range, or a scope is given with a score.
    """

    name: str
    fraction: float
    min_iou: float
    scope: Scope = all_pixels
    border: Border = clamp_border
    interpolated: bool = False
    score: Callable[[AgreementCounts], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ValueError(f"`fraction` (={self.fraction}) must be at least 0 and below 1")
        if self.score is not None and self.scope is not all_pixels:
            raise ValueError(
                f"`scope` (={self.scope.__name__}) must be all_pixels where `score` is given, "
                "which compares all pixels"
            )


PNAS2020 = Preset("pnas2020", fraction=0.01, min_iou=0.04)
"""Bau et al., Understanding the role of individual units in a deep neural network (2020)."""

NETDISSECT2017 = Preset("netdissect2017", fraction=0.005, min_iou=0.04, scope=annotated_images)
"""Bau et al., Network Dissection (2017). Thresholds here come from resampled activations."""

GANDISSECT2019 = Preset("gandissect2019", fraction=0.005, min_iou=0.05)
"""Bau et al., GAN Dissection (2019)."""

REFERENCE = Preset(
    "reference",
    fraction=0.01,
    min_iou=0.04,
    border=zero_border,
    interpolated=True,
    score=scores.reference_iou,
)
"""PNAS2020 with the peculiarities of its published code: maps fade at the border, "none" competes
with the frequency of activation, and dead units have NaN as best IoU."""

PRESETS = {preset.name: preset for preset in (PNAS2020, NETDISSECT2017, GANDISSECT2019, REFERENCE)}
"""All presets by name."""
