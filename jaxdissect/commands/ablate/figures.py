"""Figures of a class study: which classes need which units, and whether these can be interpreted.

As in `jaxdissect.plots.concept_chart`, lengths are in inches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from jaxdissect.classifiers import importance
from jaxdissect.classifiers.class_study import ClassStudy
from jaxdissect.commands.ablate.tables import MOST_SHOWN
from jaxdissect.plots import bars_and_curves
from jaxdissect.plots.palette import SERIES_COLORS, SERIES_MARKERS
from jaxdissect.plots.print_style import PAGE_WIDTH, TEXT_SIZE, printed
from jaxdissect.plots.text_size import wrapped
from jaxdissect.stats import accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL = (2.0, 2.5)
_NARROW = 4.5  # of a figure with one panel, the width of PNAS between a column and a page


def class_figure(study: ClassStudy, names: Sequence[str], *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw balanced accuracies of the classes that lose most: whole, without, alone."""
    own = study.own_balanced_accuracies()
    order = np.argsort(own[1] - own[0], kind="stable")[:MOST_SHOWN]
    # The largest set that is a small part of the layer: a half and all but it differ little.
    few = [i for i, size in enumerate(study.sizes) if 4 * size <= study.ranked_by.shape[0]]
    place = few[-1] if few else 0
    size, middle = study.sizes[place], 1 + len(study.sizes)
    damaging = study.num_damaging(size)
    return bars_and_curves.bar_figure(
        [
            names[int(study.classes[i])] + f" ({damaging[i]} of {size})" * bool(damaging[i] < size)
            for i in order.tolist()
        ],
        {
            "all units": own[0, order],
            f"without its {size}": own[1 + place, order],
            f"its {size} alone": own[middle + place, order],
        },
        title=f"The {size} most important units of each class, {_share_with_damage(study, size)}",
        unit="balanced accuracy (chance 0.5)",
        width=width,
    )


@printed
def distribution_figure(study: ClassStudy, *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw the balanced accuracies of all classes, best first, a panel for every size of sets."""
    from jaxdissect.plots.plain_figure import PlainFigure, legend_style

    own = study.own_balanced_accuracies()
    order = np.argsort(-own[0], kind="stable")
    places = np.arange(len(order))
    num_sizes = len(study.sizes)
    columns = max(1, min(num_sizes, int(width / _PANEL[0])))
    rows = -(-num_sizes // columns)
    figure = PlainFigure(figsize=(width, rows * _PANEL[1]), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.ravel()[num_sizes:]:
        axes.set_visible(False)
    for i, (axes, size) in enumerate(zip(panels.ravel(), study.sizes, strict=False)):
        series = {
            "all units": own[0],
            f"without its {size}": own[1 + i],
            f"its {size} alone": own[1 + num_sizes + i],
        }
        for (name, values), color, marker in zip(
            series.items(), SERIES_COLORS, SERIES_MARKERS, strict=False
        ):
            label = f"{name}: mean {values.mean():.3f}"
            axes.plot(places, values[order], marker, color=color, label=label)
        axes.axhline(0.5, color="#BBBBBB", linewidth=0.8, zorder=0)
        room = width / columns - 0.5
        axes.set_title("\n".join(wrapped(_share_with_damage(study, size), TEXT_SIZE, room)))
        axes.set_xlabel("classes, best first")
        axes.set_xticks([])
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.12), **legend_style())
    for axes in panels[:, 0]:
        axes.set_ylabel("balanced accuracy (chance 0.5)")
    figure.set_title("All classes, without their most important units and with these alone")
    return figure


def curve_figure(study: ClassStudy, names: Sequence[str], *, width: float = PAGE_WIDTH) -> "Figure":
    """Draw balanced accuracy against the number of units removed, from either end."""
    own = study.curves(accuracy.balanced_accuracy)
    whole = accuracy.balanced_accuracy(study.set_removals.baseline)
    curves = {
        f"{names[c]}, {end}": np.concatenate([whole[c : c + 1], own[k, i, :, c], [0.5]])
        for k, c in enumerate(study.curve_classes)
        for i, end in enumerate(("most important first", "least important first"))
    }
    # Without any unit all images look the same: every class is at chance.
    return bars_and_curves.curve_figure(
        range(own.shape[2] + 2),
        curves,
        title="Removing more and more units",
        across="units removed",
        up="balanced accuracy",
        width=width,
    )


def number_of_classes_figure(
    study: ClassStudy, iou: Float[np.ndarray, "U"], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw the mean IoU of units that are important to 0, 1, 2, ... classes."""
    found = importance.by_number_of_classes(study.important, iou)
    there = found.number > 0
    last = len(found.value) - 1
    names = [
        f"{_of(i, 'class', 'es', ' or more' * (i == last))} ({_of(int(number), 'unit', 's')})"
        for i, number in enumerate(found.number)
    ]
    return bars_and_curves.bar_figure(
        [name for name, any_unit in zip(names, there, strict=True) if any_unit],
        {"IoU": found.mean[there]},
        errors={"IoU": found.standard_error[there]},
        title="Units that are important to many classes",
        unit="mean IoU with the best concept, and its standard error",
        width=width,
    )


@printed
def mean_importance_figure(
    study: ClassStudy, iou: Float[np.ndarray, "U"], *, width: float = PAGE_WIDTH
) -> "Figure":
    """Draw the IoU of groups of units against how much they damage all classes on average."""
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks, draw_grid_lines

    size = importance.group_size(len(iou))
    found = importance.by_mean_damage(study.ranked_by[:, study.classes], iou, size=size)
    figure = PlainFigure(figsize=(min(width, _NARROW), 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(
        found.value,
        found.mean,
        xerr=found.value_error,
        yerr=found.standard_error,
        fmt="o",
        color=SERIES_COLORS[2],
        elinewidth=0.7,
        capsize=1.5,
    )
    room = min(width, _NARROW) - 0.6
    count_ticks(axes.xaxis, room / 1.2)  # small numbers are long
    draw_grid_lines(axes)
    figure.label(
        axes,
        across="balanced accuracy lost, mean of all classes",
        up="mean IoU with the best concept",
        width=room,
        height=2.0,
    )
    figure.set_title(f"Groups of {size} units, with standard errors")
    return figure


def _share_with_damage(study: ClassStudy, size: int) -> str:
    damaging = study.num_damaging(size)
    return f"{damaging.sum()} of {size * len(damaging)} with damage"


def _of(number: int, name: str, plural: str, more: str = "") -> str:
    return f"{number}{more} {name}{'' if number == 1 and not more else plural}"
