"""Charts of what units cause: bars of one number per name, and curves with bands.

Like `jaxdissect.plots.concept_chart`, every chart is drawn on a `Figure` of its own; lengths in
inches.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxdissect.arrays.names import shortened
from jaxdissect.plots.palette import SERIES_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from jaxdissect.plots.plain_figure import PlainFigure

LONGEST_NAME = 48
"""Characters of a name beside bars or in a legend; what is longer is cut."""

_WIDTH, _BAR, _AROUND = 7.5, 0.24, 1.1


def bar_figure(
    names: Sequence[str],
    series: Mapping[str, Float[np.ndarray, "N"]],
    *,
    title: str,
    unit: str,
    errors: Mapping[str, Float[np.ndarray, "N"]] | None = None,
) -> "Figure":
    """Draw horizontal bars, one group per name and one bar per series.

    Args:
        names: What the groups are called, from the top down.
        series: Their values, by the name of the series.
        title: What the chart shows.
        unit: What the values are.
        errors: Half the length of the error bars of some series; where it is not finite, nothing
            is known and none is drawn.
    """
    from jaxdissect.plots.plain_figure import PlainFigure

    height = _AROUND + _BAR * len(names) * max(len(series), 1.3)
    figure = PlainFigure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))
    thickness = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        axes.barh(
            places + (i - (len(series) - 1) / 2) * thickness,
            values,
            thickness * 0.92,
            xerr=_known(errors[name]) if errors and name in errors else None,
            error_kw={"elinewidth": 0.8, "capsize": 2},
            label=shortened(name, LONGEST_NAME),
            color=SERIES_COLORS[i % len(SERIES_COLORS)] if len(series) > 1 else SERIES_COLORS[2],
            zorder=2,
        )
    axes.set_yticks(places, [shortened(name, LONGEST_NAME) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6, zorder=0)
    axes.set_xlabel(unit)
    _finish(figure, axes, title, legend=len(series) > 1)
    return figure


def curve_figure(
    places: Sequence[int],
    curves: Mapping[str, Float[np.ndarray, "N"]],
    *,
    title: str,
    across: str,
    up: str,
    bands: Mapping[str, Float[np.ndarray, "N"]] | None = None,
) -> "Figure":
    """Draw curves, some with a band around them.

    Args:
        places: Where the values belong, on the axis across.
        curves: Values by name; the axis up begins at 0 unless some lie below.
        title: What the chart shows.
        across, up: What the axes are.
        bands: Half the height of the bands of some curves, which have gaps where it is not finite.
    """
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import PlainFigure

    figure = PlainFigure(figsize=(_WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, values) in enumerate(curves.items()):
        color = SERIES_COLORS[(i + 2) % len(SERIES_COLORS)]
        label = shortened(name, LONGEST_NAME)
        axes.plot(places, values, color=color, label=label, marker="o", markersize=3, zorder=3)
        if bands is not None and name in bands:
            band = _known(bands[name])
            low, high = values - band, values + band
            axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
    if all((values >= 0).all() for values in curves.values()):
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#DDDDDD", linewidth=0.6, zorder=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    _finish(figure, axes, title, legend=len(curves) > 1)
    return figure


def _known(lengths: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """What is not finite becomes NaN, which is not drawn."""
    return np.where(np.isfinite(lengths), lengths, np.nan)


def _finish(figure: "PlainFigure", axes: "Axes", title: str, *, legend: bool) -> None:
    figure.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
