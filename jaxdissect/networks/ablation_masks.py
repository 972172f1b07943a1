"""Make ablation masks: for each ablation, which units of a layer stay.

A mask is a row of bool [S, U], False for the units that are removed together.

Letters: S ablations (sets of removed units), U units.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int


def single_unit_masks(num_units: int) -> Bool[np.ndarray, "U U"]:
    """Make masks that remove one unit each, the first unit first."""
    return ~np.eye(num_units, dtype=bool)


def unit_set_masks(
    unit_sets: Sequence[Sequence[int] | Int[np.ndarray, "_"]] | Int[np.ndarray, "S _"],
    num_units: int,
) -> Bool[np.ndarray, "S U"]:
    """Make masks that remove given sets of units.

    Args:
        unit_sets: The units of each set.
        num_units: Units of the layer, U.

    Raises:
        ValueError: If a unit is no integer or not in [0, U).
    """
    keep = np.ones((len(unit_sets), num_units), bool)
    for ablation, removed in enumerate(unit_sets):
        units = np.asarray(removed)
        if units.size == 0:
            continue
        if units.dtype.kind not in "iu":
            raise ValueError(f"`unit_sets` (={units.tolist()}) must be numbers of units, integers")
        if not 0 <= units.min() <= units.max() < num_units:
            raise ValueError(f"`unit_sets` (={units.tolist()}) must lie in [0, {num_units})")
        keep[ablation, units] = False
    return keep


def best_unit_masks(
    ranking: Sequence[int] | Int[np.ndarray, "_"], most: int, num_units: int
) -> Bool[np.ndarray, "S U"]:
    """Make masks that remove the 0, 1, ..., `most` first units of a ranking.

    Args:
        ranking: Units, best first, such as ``np.argsort(-iou[concept], kind="stable")``.
        most: The size of the greatest set, S - 1.
        num_units: Units of the layer, U.

    Raises:
        ValueError: If the ranking does not begin with as many different units of the layer.
    """
    best = np.asarray(ranking)[:most]
    if len(set(best.tolist()) & set(range(num_units))) != most:
        raise ValueError(
            f"`ranking` must begin with `most` (={most}) different units in [0, {num_units}), "
            f"not {best.tolist()}"
        )
    place = np.full(num_units, most)
    place[best.astype(np.int64)] = np.arange(most)
    return place[None] >= np.arange(most + 1)[:, None]


def checked_masks(keep: object, num_units: int, layer: str) -> Bool[np.ndarray, "S U"]:
    """Bring ablation masks to the host, and check that they fit the layer.

    Raises:
        ValueError: If there are none, or they do not fit a layer of `num_units` units.
    """
    found = np.asarray(keep)
    if found.dtype != bool or found.ndim != 2 or found.shape[1] != num_units or not found.size:
        raise ValueError(
            f"`keep` (={found.dtype}{list(found.shape)}) must be bool [S, {num_units}]: some "
            f"ablation masks, each with the units of layer {layer!r}"
        )
    return found
