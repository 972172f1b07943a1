"""Bars of how well one unit matches some concepts, below its images. Lengths are in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdissect.plots.palette import bar_style, category_marks
from jaxdissect.plots.print_style import EDGE, GRAY, LINE, TEXT_SIZE
from jaxdissect.plots.text_size import fitted, text_width

if TYPE_CHECKING:
    from jaxdissect.plots.plain_figure import PlainFigure

_BELOW, _ABOVE = 0.36, 0.08  # of the axes: numbers and their name; a gap
_NAME_SHARE, _WIDEST = 0.45, 3.0  # of names, and of bars


def height_of_concept_bars(number: int) -> float:
    """Room that bars of so many concepts need, in inches."""
    return _ABOVE + LINE * number + _BELOW if number else 0.0


def concept_bars(
    figure: "PlainFigure",
    concepts: Sequence[tuple[str, str, float]],
    *,
    min_iou: float | None = None,
) -> None:
    """Draw bars at the bottom of a figure, where `height_of_concept_bars` is free.

    Args:
        figure: The figure.
        concepts: Name, category and IoU of some concepts, best first.
        min_iou: Drawn as a line.
    """
    from jaxdissect.plots.plain_figure import count_ticks, draw_grid_lines

    width, height = (float(side) for side in figure.get_size_inches())
    names = [
        fitted(f"{name} ({category})", TEXT_SIZE, _NAME_SHARE * width)
        for name, category, _ in concepts
    ]
    left = EDGE + max(text_width(name, TEXT_SIZE) for name in names) + 0.08
    room = min(_WIDEST, width - left - 0.2)
    axes = figure.add_axes(
        (left / width, _BELOW / height, room / width, LINE * len(concepts) / height),
        label="concepts",
    )
    marks = category_marks([category for _, category, _ in concepts])
    axes.barh(
        np.arange(len(concepts)),
        [iou for _, _, iou in concepts],
        0.75,
        **bar_style([marks[category] for _, category, _ in concepts]),
    )
    label = "IoU"
    if min_iou is not None:
        axes.axvline(min_iou, color=GRAY, linewidth=0.8, linestyle="--", zorder=3)
        label = f"IoU (detector above {min_iou:g})"
    axes.set_xlim(0, 1.05 * max(*(iou for _, _, iou in concepts), min_iou or 0.0, 0.01))
    axes.set_ylim(len(concepts) - 0.5, -0.5)
    axes.set_yticks(range(len(concepts)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)
    count_ticks(axes.xaxis, room)
    draw_grid_lines(axes, "x")
