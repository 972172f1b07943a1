"""Conditions: for each, which units of a layer are left in place, bool [S, U].

Shapes: S conditions (sets of removed units), U units.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int


def each_unit(num_units: int) -> Bool[np.ndarray, "U U"]:
    """Conditions that remove one unit each."""
    return ~np.eye(num_units, dtype=bool)


def without(
    units: Sequence[Sequence[int] | Int[np.ndarray, "_"]] | Int[np.ndarray, "S _"], num_units: int
) -> Bool[np.ndarray, "S U"]:
    """Conditions that remove given sets of units.

    Args:
        units: The units of each set.
        num_units: Units of the layer, U.

    Raises:
        ValueError: if a unit is no integer or not in [0, U).
    """
    keep = np.ones((len(units), num_units), bool)
    for condition, removed in enumerate(units):
        chosen = np.asarray(removed)
        if chosen.size == 0:
            continue
        if chosen.dtype.kind not in "iu":
            raise ValueError(f"`units` (={chosen.tolist()}) must be numbers of units, integers")
        if not 0 <= chosen.min() <= chosen.max() < num_units:
            raise ValueError(f"`units` (={chosen.tolist()}) must lie in [0, {num_units})")
        keep[condition, chosen] = False
    return keep


def best_units(
    ranking: Sequence[int] | Int[np.ndarray, "_"], most: int, num_units: int
) -> Bool[np.ndarray, "S U"]:
    """Conditions that remove the 0, 1, ..., `most` first units of a ranking.

    Args:
        ranking: Units, best first, such as ``np.argsort(-iou[concept], kind="stable")``.
        most: S - 1.
        num_units: Units of the layer, U.

    Raises:
        ValueError: if the ranking does not have as many different units of the layer.
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


def checked(keep: object, num_units: int, layer: str) -> Bool[np.ndarray, "S U"]:
    """Bring conditions to the host.

    Raises:
        ValueError: if they are none, or do not fit a layer of `num_units` units.
    """
    found = np.asarray(keep)
    if found.dtype != bool or found.ndim != 2 or found.shape[1] != num_units or not found.size:
        raise ValueError(
            f"`keep` (={found.dtype}{list(found.shape)}) must be bool [S, {num_units}]: some "
            f"conditions, each with the units of layer {layer!r}"
        )
    return found
