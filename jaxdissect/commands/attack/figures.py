"""Figures of an attack. Lengths are in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from jaxdissect.attacks import (
    AttackExample,
    AttackStudy,
    GroupChange,
    PeakChanges,
    amplified_difference,
    most_changed,
)
from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.image_grid import grid_figure
from jaxdissect.plots.print_style import PAGE_WIDTH
from jaxdissect.plots.regions import highlight
from jaxdissect.stats.intervals import student_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_UNITS = 16
_RISE, _FALL = (0.85, 0.15, 0.15), (0.15, 0.35, 0.85)


def group_figure(
    groups: Sequence[GroupChange],
    study: AttackStudy,
    names: Sequence[str],
    *,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw the mean change of the peaks of each group, with 99% intervals by image.

    Args:
        groups: Changes by group.
        study: The attacked images.
        names: Names of all classes.
        width: Width of the figure in inches.
    """
    shown = [group for group in groups if group.pairs]
    titles = {
        "target": f"important to {names[study.target]}, the target",
        "source": "important to the source",
        "other": "all others",
    }
    intervals = np.array([group.interval_by_image for group in shown])
    known = np.isfinite(intervals)
    return bars_and_curves.bar_figure(
        [
            titles[group.name] + ("" if sure else " (interval unknown)")
            for group, sure in zip(shown, known, strict=True)
        ],
        {"change": np.array([group.mean for group in shown])},
        errors={"change": intervals},
        title=f"Attacked units of {study.layer}",
        unit="mean change of the peak activation, and its 99% interval by image",
        width=width,
    )


def unit_figure(peaks: PeakChanges, study: AttackStudy, *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw the mean change of the units that change most, with 99% intervals."""
    change = peaks.change
    units = most_changed(change)[:_MOST_UNITS]
    important = study.important[:, study.target]
    number = len(change)
    spread = change[:, units].std(axis=0, ddof=min(1, number - 1))
    half = np.where(spread > 0, student_t(number) * spread / np.sqrt(number), np.inf)
    return bars_and_curves.bar_figure(
        [f"unit {unit}" + (" (target)" if important[unit] else "") for unit in units.tolist()],
        {"change": change[:, units].mean(axis=0)},
        errors={"change": half},
        title=f"Units of {study.layer} that the attack changes most",
        unit="mean change of the peak activation"
        + (", and its 99% interval" if number > 1 else " (one image: no interval)"),
        width=width,
    )


def example_sheet(
    examples: Sequence[AttackExample],
    names: Sequence[str],
    *,
    factor: float,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw attacked images, what was added, and where the most changed unit of each is active.

    Args:
        examples: The images, at least one.
        names: Names of all classes.
        factor: Amplification of the difference.
        width: Width of the figure in inches.
    """
    rows = [
        [
            example.image,
            example.adversarial,
            amplified_difference(example.image, example.adversarial, factor=factor),
            highlight(example.image, example.active_before),
            highlight(example.adversarial, example.active_after),
            _paint(example.image, example.rises, example.falls),
        ]
        for example in examples
    ]
    titles = [f"{names[example.source]}, unit {example.unit}" for example in examples]
    columns = ("image", "adversarial", f"difference x{factor:g}")
    columns += ("unit before", "unit after", "rise, fall")
    images = np.array(rows, np.float32)
    return grid_figure(images, rows=titles, columns=columns, width=width)


def _paint(
    image: Float[np.ndarray, "H W 3"],
    rises: Bool[np.ndarray, "H W"],
    falls: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W 3"]:
    """Paint regions over a grey image."""
    grey = np.repeat(image.mean(axis=-1, keepdims=True), 3, axis=-1) * 0.5 + 0.4
    for region, color in ((rises, _RISE), (falls, _FALL)):
        grey = np.where(region[..., None], 0.35 * grey + 0.65 * np.array(color), grey)
    return grey.astype(np.float32)
