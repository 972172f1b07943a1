"""Figures of a study of styles: how the units of each layer divide.

As in `jaxdissect.plots.concept_chart`, lengths are in inches.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.palette import CategoryMark, category_marks
from jaxdissect.plots.print_style import PAGE_WIDTH, TEXT_SIZE, printed
from jaxdissect.plots.text_size import fitted, wrapped
from jaxdissect.styles.style_study import LayerStyle, StyleStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL, _WIDEST = (1.7, 1.7), 3.42


def layer_figure(study: StyleStudy, *, width: float = PAGE_WIDTH) -> "Figure":
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
        width=width,
    )


@printed
def scatter_figure(study: StyleStudy, *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw agreement of both styles against agreement with a concept, a panel for every layer."""
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import PlainFigure

    layers = list(study.layers.values())
    marks = category_marks(study.vocabulary.category_names)
    columns = min(max(1, int(width / _PANEL[0])), len(layers))
    rows = math.ceil(len(layers) / columns)
    # One panel alone does not fill a page.
    width = min(width, columns * _WIDEST)
    figure = PlainFigure(figsize=(width, rows * _PANEL[1] + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(layers) :]:
        axes.set_visible(False)
    for layer, axes in zip(layers, panels.ravel(), strict=False):
        _draw_units(axes, layer, marks)
        axes.set_title(fitted(layer.name, TEXT_SIZE, width / columns - 0.5, bold=True))
    # Panels share their limits, which must not be set before all are drawn.
    across = max(float(layer.original.best_iou.max()) for layer in layers)
    up = max(float(layer.iou.max()) for layer in layers)
    panels[0, 0].set(xlim=(0, 1.05 * across or 1), ylim=(0, 1.05 * up or 1))
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    across_label = "IoU with the best concept, on originals"
    up_label = "IoU of the regions in both styles"
    for axes in panels[:, 0]:
        axes.set_ylabel("\n".join(wrapped(up_label, TEXT_SIZE, _PANEL[1] - 0.6)))
    for place, axes in enumerate(panels.ravel()[: len(layers)]):
        if place + columns >= len(layers):  # the lowest of a column
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("\n".join(wrapped(across_label, TEXT_SIZE, width / columns - 0.5)))
    shown = {name: axes for axes in panels.ravel() for name in _handles(axes)}
    if shown:
        figure.set_legend([_handles(axes)[name] for name, axes in shown.items()], list(shown))
    return figure


def _draw_units(axes: "Axes", layer: LayerStyle, marks: dict[str, CategoryMark]) -> None:
    known = layer.original
    kinds = np.array(known.vocabulary.categories)[known.best_concept]
    for category, mark in marks.items():
        units = kinds == category
        filled, open_ = units & layer.is_interpretable, units & ~layer.is_interpretable
        label = category if filled.any() else None
        style: dict[str, Any] = {"s": 9, "marker": mark.marker, "linewidths": 0.6, "zorder": 3}
        style["edgecolors"] = mark.color
        axes.scatter(known.best_iou[open_], layer.iou[open_], facecolors="none", **style)
        axes.scatter(
            known.best_iou[filled], layer.iou[filled], facecolors=mark.color, label=label, **style
        )
    for line, value in ((axes.axvline, known.min_iou), (axes.axhline, layer.min_style_iou)):
        line(value, color="#999999", linewidth=0.8, linestyle="--", zorder=2)


def _handles(axes: "Axes") -> dict[str, Any]:
    handles, names = axes.get_legend_handles_labels()
    return dict(zip(names, handles, strict=True))
