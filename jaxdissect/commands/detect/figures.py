"""Figures of units as detectors: accuracy of the best, and peaks on either side of a threshold.

As in `jaxdissect.plots.concept_chart`, lengths are in inches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from jaxdissect.arrays.names import shortened
from jaxdissect.classifiers.detectors import Detectors
from jaxdissect.commands.detect.tables import MOST_SHOWN
from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.palette import SERIES_COLORS, SERIES_DASHES, SERIES_MARKERS
from jaxdissect.plots.print_style import PAGE_WIDTH, TEXT_SIZE, printed
from jaxdissect.plots.text_size import fitted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_BINS, _LONGEST_NAME = 40, 30
_NARROW = 4.5  # of a figure with one panel, the width of PNAS between a column and a page
_MOST_POINTS = 1000  # of either kind, as many as the paper shows


def detector_figure(
    found: Detectors, names: Sequence[str], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw the balanced accuracy of the best unit of every class, where chosen and elsewhere."""
    shown = found.order()[:MOST_SHOWN]
    return bars_and_curves.bar_figure(
        [f"{names[int(found.classes[c])]}: unit {found.units[c, 0]}" for c in shown],
        {
            "images to choose with": found.chosen_accuracy[shown, 0],
            "other images": found.accuracy[shown, 0],
        },
        title="One unit as a detector of each class",
        unit="balanced accuracy (chance 0.5)",
        width=width,
    )


@printed
def peak_figure(
    values: Float32[np.ndarray, "n"],
    is_own: Bool[np.ndarray, "n"],
    threshold: float,
    *,
    name: str,
    title: str,
    seed: int = 0,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw the densities of the peaks of a class and of all others, and single images below.

    Args:
        values: Peaks of the unit.
        is_own: Which images are of the class.
        threshold: Drawn as a line.
        name: Name of the class.
        title: What the figure shows.
        seed: Seed of the heights of the points, and of the choice of images if there are many.
        width: Width of the figure in inches, up to 4.5.
    """
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks

    width = min(width, _NARROW)
    figure = PlainFigure(figsize=(width, 2.6), layout="constrained")
    density, points = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    edges = np.linspace(*_span(values), _NUM_BINS + 1)
    chance = np.random.default_rng(seed)
    own, others = values[is_own], values[~is_own]
    number = min(len(own), len(others), _MOST_POINTS)
    name = shortened(name, _LONGEST_NAME)
    groups = ((f"{name} ({len(own)} images)", own, 1), (f"others ({len(others)})", others, 0))
    handles = []
    for (label, group, place), color in zip(groups, SERIES_COLORS[1:], strict=False):
        _, _, (outline,) = density.hist(
            group,
            edges,
            density=True,
            histtype="stepfilled",
            facecolor=(color, 0.45),
            edgecolor=color,
            linestyle=SERIES_DASHES[place],
            label=label,
        )
        handles.append(outline)
        few = chance.choice(group, number, replace=False)
        height = place + chance.uniform(-0.35, 0.35, number)
        points.plot(few, height, SERIES_MARKERS[place], color=color, markersize=2, alpha=0.6)
    for axes in (density, points):
        axes.axvline(threshold, color="#333333", linewidth=1, linestyle="--", zorder=4)
    density.set_ylabel("density")
    density.set_yticks([])
    points.set_yticks([0, 1], ["others", fitted(name, TEXT_SIZE, width / 4)])
    points.set_xlabel(f"peak activation (threshold {threshold:.3g})")
    count_ticks(points.xaxis, 0.7 * width)
    figure.set_title(title)
    figure.set_legend(handles, [label for label, _, _ in groups])
    return figure


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
