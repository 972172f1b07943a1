"""The figure of defences. Lengths are in inches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxdissect.attacks import DefenceCurve
from jaxdissect.plots.palette import SERIES_COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def defence_figure(curves: Mapping[str, DefenceCurve]) -> "Figure":
    """Draw accuracies against the number of deactivated units, a panel for every defence."""
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import PlainFigure

    figure = PlainFigure(figsize=(2.7 * len(curves) + 1.6, 3.4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        series = {
            "original images": curve.clean,
            "attack on the undefended network": curve.transferred,
            "attack on the defence": curve.adaptive,
        }
        for (label, values), color in zip(series.items(), SERIES_COLORS, strict=False):
            axes.plot(curve.sizes, values, "o-", markersize=3, color=color, label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("units deactivated")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color="#DDDDDD", linewidth=0.6, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
        frameon=False, fontsize=8,
    )  # fmt: skip
    return figure
