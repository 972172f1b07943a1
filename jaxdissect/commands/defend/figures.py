"""The figure of defences. Lengths are in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdissect.attacks import DefenceMeasure
from jaxdissect.commands.defend.tables import Defence
from jaxdissect.plots.palette import SERIES_COLORS, SERIES_DASHES, SERIES_MARKERS
from jaxdissect.plots.print_style import PAGE_WIDTH, TEXT_SIZE, printed
from jaxdissect.plots.text_size import wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SERIES: dict[DefenceMeasure, str] = {
    "clean": "original images",
    "transferred": "attack on the undefended network",
    "adaptive": "attack on the defence",
}
_PANEL, _WIDEST = (1.7, 2.0), 3.42
_APART = 0.12  # units between the points of a size, so that their intervals can be told apart


@printed
def defence_figure(defences: Sequence[Defence], *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw accuracies with 99% intervals against the number of deactivated units.

    A panel for each kind of attack and choice of units.
    """
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks, draw_grid_lines

    pairs = list(dict.fromkeys((goal, choice) for choice, goal, _, _ in defences))
    num_choices = len({choice for _, choice in pairs})
    columns = max(1, min(num_choices, int(width / _PANEL[0])))
    rows = -(-len(pairs) // columns)
    # One panel alone does not fill a page.
    width = min(width, columns * _WIDEST)
    figure = PlainFigure(figsize=(width, rows * _PANEL[1]), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(pairs) :]:
        axes.set_visible(False)
    room = width / columns - 0.5
    for choice, goal, _, curve in defences:
        axes = panels.ravel()[pairs.index((goal, choice))]
        for place, (measure, label) in enumerate(_SERIES.items()):
            estimate, low, high = curve.interval(measure)
            axes.errorbar(
                curve.sizes + _APART * (place - 1), estimate,
                yerr=np.maximum([estimate - low, high - estimate], 0),
                marker=SERIES_MARKERS[place], linestyle=SERIES_DASHES[place],
                elinewidth=0.7, capsize=1.5, alpha=0.9,
                color=SERIES_COLORS[place], label=label,
            )  # fmt: skip
        axes.set_title("\n".join(wrapped(f"{choice}, {goal} attacks", TEXT_SIZE, room, bold=True)))
        axes.set_xlabel("units deactivated")
        count_ticks(axes.xaxis, room, integer=True)
        axes.set_ylim(-0.02, 1.02)
        draw_grid_lines(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy, 99% interval")
    figure.set_legend(*panels[0, 0].get_legend_handles_labels())
    return figure
