"""Figures of a study of styles: how the units of each layer divide.

As in `jaxdissect.plots.concept_chart`, lengths are in inches.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.palette import category_colors
from jaxdissect.styles.style_study import LayerStyle, StyleStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _PANEL = 3, (3.1, 2.7)


def layer_figure(study: StyleStudy) -> "Figure":
    """Draw how many units of every layer are shape-sensitive, and how many texture-sensitive."""
    layers = list(study.layers.values())
    return bars_and_curves.bar_figure(
        [layer.name for layer in layers],
        {
            "shape-sensitive": np.array([len(layer.shape_sensitive) for layer in layers], float),
            "texture-sensitive": np.array(
                [len(layer.texture_sensitive) for layer in layers], float
            ),
        },
        title="Shape-sensitive units are active at the same places in both styles "
        f"(IoU > {layers[0].min_style_iou:g})",
        unit="units with a concept",
    )


def scatter_figure(study: StyleStudy) -> "Figure":
    """Draw agreement of both styles against agreement with a concept, a panel for every layer."""
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import PlainFigure

    layers = list(study.layers.values())
    colors = category_colors(study.vocabulary.category_names)
    columns = min(_COLUMNS, len(layers))
    rows = math.ceil(len(layers) / columns)
    size = (columns * _PANEL[0] + 1.3, rows * _PANEL[1] + 0.3)
    figure = PlainFigure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(layers) :]:
        axes.set_visible(False)
    for layer, axes in zip(layers, panels.ravel(), strict=False):
        _draw_units(axes, layer, colors)
    # Panels share their limits, which must not be set before all are drawn.
    across = max(float(layer.original.best_iou.max()) for layer in layers)
    up = max(float(layer.iou.max()) for layer in layers)
    panels[0, 0].set(xlim=(0, 1.05 * across or 1), ylim=(0, 1.05 * up or 1))
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    figure.supxlabel("IoU with the best concept, on originals", fontsize=9)
    figure.supylabel("IoU of the regions in both styles", fontsize=9)
    shown = {name: axes for axes in panels.ravel() for name in _handles(axes)}
    handles = [_handles(axes)[name] for name, axes in shown.items()]
    figure.legend(handles, list(shown), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _draw_units(axes: "Axes", layer: LayerStyle, colors: dict[str, str]) -> None:
    known = layer.original
    kinds = np.array(known.vocabulary.categories)[known.best_concept]
    for category, color in colors.items():
        units = kinds == category
        filled, open_ = units & layer.is_interpretable, units & ~layer.is_interpretable
        label = category if filled.any() else None
        style: dict[str, Any] = {"s": 14, "edgecolors": color, "linewidths": 0.8, "zorder": 3}
        axes.scatter(known.best_iou[open_], layer.iou[open_], facecolors="none", **style)
        axes.scatter(
            known.best_iou[filled], layer.iou[filled], facecolors=color, label=label, **style
        )
    for line, value in ((axes.axvline, known.min_iou), (axes.axhline, layer.min_style_iou)):
        line(value, color="#999999", linewidth=0.8, linestyle="--", zorder=2)
    axes.set_title(layer.name, loc="left", fontsize=9, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7.5)


def _handles(axes: "Axes") -> dict[str, Any]:
    handles, names = axes.get_legend_handles_labels()
    return dict(zip(names, handles, strict=True))
