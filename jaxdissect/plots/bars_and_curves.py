"""Charts of what units cause: bars of one number per name, and curves with bands.

Like `jaxdissect.plots.concept_chart`, every chart is drawn on a `Figure` of its own; lengths in
inches.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxdissect.plots.palette import (
    SERIES_COLORS,
    SERIES_DASHES,
    SERIES_HATCHES,
    SERIES_MARKERS,
)
from jaxdissect.plots.print_style import LINE, PAGE_WIDTH, TEXT_SIZE, printed
from jaxdissect.plots.text_size import fitted, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME_SHARE = 0.42
"""Part of a figure's width that names beside bars may take; what is longer is cut."""

_BAR, _AROUND = 0.075, 0.45  # height of a bar, and of all around them
_CURVES_HEIGHT = 2.2
_BESIDE = 0.6  # numbers and a label beside curves


@printed
def bar_figure(
    names: Sequence[str],
    series: Mapping[str, Float[np.ndarray, "N"]],
    *,
    title: str,
    unit: str,
    errors: Mapping[str, Float[np.ndarray, "N"]] | None = None,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw horizontal bars, one group per name and one bar per series.

    Args:
        names: What the groups are called, from the top down.
        series: Their values, by the name of the series.
        title: What the chart shows.
        unit: What the values are.
        errors: Half the length of the error bars of some series; where it is not finite, nothing
            is known and none is drawn.
        width: Width of the figure in inches.
    """
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks, draw_grid_lines

    names = [fitted(name, TEXT_SIZE, NAME_SHARE * width) for name in names]
    room = width - max((text_width(name, TEXT_SIZE) for name in names), default=0.0) - 0.3
    pitch = max(LINE, _BAR * len(series) + 0.04)
    figure = PlainFigure(figsize=(width, _AROUND + pitch * len(names)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))
    thickness = 0.8 / len(series)
    bars = []
    for i, (name, values) in enumerate(series.items()):
        turn = i % len(SERIES_COLORS) if len(series) > 1 else 2
        bars.append(
            axes.barh(
                places + (i - (len(series) - 1) / 2) * thickness,
                values,
                thickness * 0.92,
                xerr=_known(errors[name]) if errors and name in errors else None,
                error_kw={"elinewidth": 0.7, "capsize": 1.5},
                color=SERIES_COLORS[turn],
                hatch=SERIES_HATCHES[turn] if len(series) > 1 else "",
                edgecolor="white",
                linewidth=0,
                zorder=2,
            )
        )
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    draw_grid_lines(axes, "x")
    count_ticks(axes.xaxis, room)
    figure.label(axes, across=unit, width=room, height=0.0)
    figure.set_title(title)
    if len(series) > 1:
        figure.set_legend(bars, list(series))
    return figure


@printed
def curve_figure(
    places: Sequence[int],
    curves: Mapping[str, Float[np.ndarray, "N"]],
    *,
    title: str,
    across: str,
    up: str,
    bands: Mapping[str, Float[np.ndarray, "N"]] | None = None,
    width: float = PAGE_WIDTH,
) -> "Figure":
    """Draw curves, some with a band around them.

    Args:
        places: Where the values belong, on the axis across.
        curves: Values by name; the axis up begins at 0 unless some lie below.
        title: What the chart shows.
        across, up: What the axes are.
        bands: Half the height of the bands of some curves, which have gaps where it is not finite.
        width: Width of the figure in inches.
    """
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks, draw_grid_lines

    figure = PlainFigure(figsize=(width, _CURVES_HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    lines = []
    for i, (name, values) in enumerate(curves.items()):
        color = SERIES_COLORS[(i + 2) % len(SERIES_COLORS)]
        (line,) = axes.plot(
            places,
            values,
            color=color,
            marker=SERIES_MARKERS[i % len(SERIES_MARKERS)],
            # Five curves and more have colours again, and other dashes.
            linestyle=SERIES_DASHES[(i + i // len(SERIES_COLORS)) % len(SERIES_DASHES)],
            zorder=3,
        )
        lines.append(line)
        if bands is not None and name in bands:
            band = _known(bands[name])
            low, high = values - band, values + band
            axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
    if all((values >= 0).all() for values in curves.values()):
        axes.set_ylim(bottom=0)
    room = width - _BESIDE
    count_ticks(axes.xaxis, room, integer=True)
    draw_grid_lines(axes)
    figure.label(axes, across=across, up=up, width=room, height=_CURVES_HEIGHT - 0.5)
    figure.set_title(title)
    if len(curves) > 1:
        figure.set_legend(lines, list(curves))
    return figure


def _known(lengths: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """What is not finite becomes NaN, which is not drawn."""
    return np.where(np.isfinite(lengths), lengths, np.nan)
