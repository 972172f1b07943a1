"""The figure of defences. Lengths are in inches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdissect.attacks import DefenceMeasure
from jaxdissect.commands.defend.tables import Defence
from jaxdissect.plots.palette import SERIES_COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SERIES: dict[DefenceMeasure, str] = {
    "clean": "original images",
    "transferred": "attack on the undefended network",
    "adaptive": "attack on the defence",
}
_APART = 0.12  # units between the points of a size, so that their intervals can be told apart


def defence_figure(defences: Sequence[Defence]) -> "Figure":
    """Draw accuracies with 99% intervals against the number of deactivated units.

    A row of panels for each kind of attack, and a column for each choice of units.
    """
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import PlainFigure

    goals, choices = (
        list(dict.fromkeys(getattr(defence, name) for defence in defences))
        for name in ("goal", "choice")
    )
    size = (2.7 * len(choices) + 1.6, 2.8 * len(goals) + 0.7)
    figure = PlainFigure(figsize=size, layout="constrained")
    panels = figure.subplots(len(goals), len(choices), sharey=True, squeeze=False)
    for choice, goal, _, curve in defences:
        axes = panels[goals.index(goal), choices.index(choice)]
        for place, (measure, label) in enumerate(_SERIES.items()):
            estimate, low, high = curve.interval(measure)
            axes.errorbar(
                curve.sizes + _APART * (place - 1), estimate,
                yerr=np.maximum([estimate - low, high - estimate], 0),
                fmt="o-", markersize=3, elinewidth=0.8, capsize=2, alpha=0.9,
                color=SERIES_COLORS[place], label=label,
            )  # fmt: skip
        axes.set_title(f"{choice}, {goal} attacks", fontsize=9)
        axes.set_xlabel("units deactivated")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color="#DDDDDD", linewidth=0.6, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy, 99% interval")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
        frameon=False, fontsize=8,
    )  # fmt: skip
    return figure
