"""The chart of units per concept.

Charts are drawn on a `Figure` of their own, without pyplot, so that no global state or display is
involved. Lengths are in inches.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxdissect.arrays.names import printable, shortened
from jaxdissect.plots.drawable import DrawableDissection, DrawableLayer
from jaxdissect.plots.palette import category_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS_PER_ROW = 60
"""A layer with more detected concepts continues in another row."""

_PITCH = 0.17  # from bar to bar, more than the height of a name
_BAR_HEIGHT = 1.1  # of the highest bar
_MIN_BARS = 12  # that a row is wide for
_LEFT, _RIGHT, _TOP, _GAP = 0.6, 2.4, 0.38, 0.12  # around the bars of a row
_LONGEST_NAME = 28  # characters
_EMPTY_HEIGHT = 0.3
_NAME_SIZE, _TEXT_SIZE, _TITLE_SIZE = 7.5, 8.0, 9.0  # points


class _Row(NamedTuple):
    """A row of the chart: some detected concepts of a layer, with their numbers of units."""

    layer: DrawableLayer
    concepts: Sequence[tuple[int, int]]
    first: bool
    most: int  # units of a concept, in the whole layer

    def names(self) -> list[str]:
        names = self.layer.vocabulary.names
        return [shortened(names[concept], _LONGEST_NAME) for concept, _ in self.concepts]

    @property
    def bar_height(self) -> float:
        return _BAR_HEIGHT if self.concepts else _EMPTY_HEIGHT

    @property
    def bottom(self) -> float:
        """Height of what stands below the bars."""
        return _GAP + max((_length(name, _NAME_SIZE) for name in self.names()), default=0.0)

    @property
    def height(self) -> float:
        return (_TOP if self.first else _GAP) + self.bar_height + self.bottom

    @property
    def bars_width(self) -> float:
        """Width of the bars; a layer without detectors has room for a sentence."""
        return _PITCH * (len(self.concepts) or _MIN_BARS)

    @property
    def title(self) -> str:
        layer = self.layer
        return (
            f"{layer.name}: {len(layer.detectors())} of {layer.num_units} units detect a concept "
            f"(IoU > {layer.min_iou:g})"
        )

    @property
    def width(self) -> float:
        title = _length(self.title, _TITLE_SIZE, bold=True) if self.first else 0.0
        return _LEFT + max(self.bars_width + _RIGHT, title + _GAP)


def concept_figure(dissection: DrawableDissection) -> "Figure":
    """Chart how many units of every layer detect each concept, coloured by category.

    Every layer has its own axes: one bar per concept, grouped by category and sorted by units,
    and a legend with the number of detectors and of distinct concepts per category. A layer with
    more than `BARS_PER_ROW` concepts continues in further axes; one without any has a sentence.
    """
    from jaxdissect.plots.plain_figure import PlainFigure

    colors = category_colors(dissection.vocabulary.category_names)
    rows = [row for layer in dissection.layers.values() for row in _rows(layer)]
    width = max(row.width for row in rows)
    height = sum(row.height for row in rows) + _GAP
    figure = PlainFigure(figsize=(width, height))
    top = height
    for row in rows:
        top -= row.height
        axes = figure.add_axes(
            (
                _LEFT / width,
                (top + row.bottom) / height,
                row.bars_width / width,
                row.bar_height / height,
            ),
            label=row.layer.name,
        )
        _draw_row(axes, row, colors)
    return figure


def _rows(layer: DrawableLayer) -> Iterator[_Row]:
    concepts = list(layer.concept_counts().items())
    most = max((units for _, units in concepts), default=0)
    for start in range(0, max(len(concepts), 1), BARS_PER_ROW):
        yield _Row(layer, concepts[start : start + BARS_PER_ROW], start == 0, most)


def _draw_row(axes: "Axes", row: _Row, colors: Mapping[str, str]) -> None:
    from matplotlib.ticker import MaxNLocator

    layer = row.layer
    if row.first:
        axes.set_title(row.title, loc="left", fontsize=_TITLE_SIZE, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    if not row.concepts:
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
        message = f"no unit above IoU {layer.min_iou:g}"
        axes.text(0, 0.5, message, va="center", fontsize=_TEXT_SIZE)
        return
    kinds = [layer.vocabulary.categories[concept] for concept, _ in row.concepts]
    places = np.arange(len(kinds))
    heights = [units for _, units in row.concepts]
    axes.bar(places, heights, 0.8, color=[colors[kind] for kind in kinds], zorder=2)
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.set_ylim(0, row.most * 1.05)
    axes.set_xticks(places, row.names(), rotation=90, fontsize=_NAME_SIZE)
    axes.tick_params(axis="x", length=0, pad=2)
    axes.tick_params(axis="y", labelsize=_NAME_SIZE)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.set_ylabel("units", fontsize=_TEXT_SIZE)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6, zorder=0)
    if row.first:
        _draw_legend(axes, row, colors)


def _draw_legend(axes: "Axes", row: _Row, colors: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=colors[category], label=f"{category}: {_counted(*number)}")
        for category, number in row.layer.category_counts().items()
        if any(number)
    ]
    axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.0 + _GAP / row.bars_width, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=_TEXT_SIZE,
        handlelength=1.0,
    )


@lru_cache(maxsize=4096)
def _length(text: str, size: float, *, bold: bool = False) -> float:
    """Length of a text when it is drawn, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    from jaxdissect.plots.plain_figure import no_formulas

    properties = FontProperties(weight="bold" if bold else "normal")
    with no_formulas():
        path = TextPath((0.0, 0.0), printable(text), size=size, prop=properties)
    return path.get_extents().width / 72


def _counted(units: int, concepts: int) -> str:
    """Spell out numbers: "12 units, 1 concept"."""
    return ", ".join(
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in ((units, "unit"), (concepts, "concept"))
    )
