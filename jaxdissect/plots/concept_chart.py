"""The charts of units per concept, and of layers side by side.

Charts are drawn on a `Figure` of their own, without pyplot, so that no global state or display is
involved. Lengths are in inches.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxdissect.plots.drawable import DrawableDissection, DrawableLayer
from jaxdissect.plots.palette import CategoryMark, bar_style, category_marks
from jaxdissect.plots.print_style import (
    EDGE,
    GRAY,
    LINE,
    PAGE_WIDTH,
    TEXT_SIZE,
    TITLE_LINE,
    TITLE_SIZE,
    printed,
)
from jaxdissect.plots.text_size import fitted, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PITCH = 0.125  # from bar to bar, more than the height of a name
_WIDEST_PITCH = 0.25
_BAR_HEIGHT = 0.8  # of the highest bar
_LEFT, _GAP = 0.42, 0.1  # left of the bars, and between things
_LONGEST_NAME = 1.5  # below a bar
_NAME_SHARE = 0.3  # of the width of a figure, for names of layers


class _Row(NamedTuple):
    """A row of the chart: some detected concepts of a layer, with their numbers of units."""

    layer: DrawableLayer
    concepts: Sequence[tuple[int, int]]
    first: bool
    most: int  # units of a concept, in the whole layer
    width: float  # of the figure
    per_row: int  # bars that there is room for

    def names(self) -> list[str]:
        names = self.layer.vocabulary.names
        return [fitted(names[concept], TEXT_SIZE, _LONGEST_NAME) for concept, _ in self.concepts]

    def title(self) -> list[str]:
        layer = self.layer
        text = (
            f"{layer.name}: {len(layer.detectors())} of {layer.num_units} units detect a concept "
            f"(IoU > {layer.min_iou:g})"
        )
        return wrapped(text, TITLE_SIZE, self.width - 2 * EDGE, bold=True)

    def entries(self) -> dict[str, str]:
        """What the legend says, by category."""
        return {
            category: fitted(f"{category}: {_counted(*number)}", TEXT_SIZE, self.width - 1)
            for category, number in self.layer.category_counts().items()
            if any(number)
        }

    @property
    def legend_height(self) -> float:
        from jaxdissect.plots.plain_figure import legend_columns

        entries = list(self.entries().values())
        if not entries:
            return 0.0
        return LINE * -(-len(entries) // legend_columns(entries, self.width - _LEFT - EDGE))

    @property
    def above(self) -> float:
        """Height of what stands above the bars."""
        if not self.first:
            return _GAP
        return 2 * _GAP + TITLE_LINE * len(self.title()) + self.legend_height

    @property
    def bar_height(self) -> float:
        return _BAR_HEIGHT if self.concepts else LINE

    @property
    def below(self) -> float:
        """Height of what stands below the bars."""
        return _GAP + max((text_width(name, TEXT_SIZE) for name in self.names()), default=0.0)

    @property
    def height(self) -> float:
        return self.above + self.bar_height + self.below

    @property
    def bars_width(self) -> float:
        """Width of the bars: few ones stand further apart, and do not fill the row."""
        whole = not self.first or len(self.concepts) == self.per_row
        most = self.per_row if whole else max(len(self.concepts), 1)
        pitch = min(_WIDEST_PITCH, (self.width - _LEFT - EDGE) / most)
        return pitch * max(len(self.concepts), 1)


@printed
def concept_figure(dissection: DrawableDissection, *, width: float = PAGE_WIDTH) -> "Figure":
    """Chart how many units of every layer detect each concept, coloured by category.

    Every layer has its own axes: one bar per concept, grouped by category and sorted by units, and
    a legend with the number of detectors and of distinct concepts per category. A layer with more
    concepts than fit beside one another continues in further axes; one without any has a sentence.

    Args:
        dissection: The result.
        width: Width of the figure in inches.
    """
    from jaxdissect.plots.plain_figure import PlainFigure

    marks = category_marks(dissection.vocabulary.category_names)
    rows = [row for layer in dissection.layers.values() for row in _rows(layer, width)]
    height = sum(row.height for row in rows) + _GAP
    figure = PlainFigure(figsize=(width, height))
    top = height
    for row in rows:
        bottom = top - row.height + row.below
        axes = figure.add_axes(
            (
                _LEFT / width,
                bottom / height,
                row.bars_width / width,
                row.bar_height / height,
            ),
            label=row.layer.name,
        )
        _draw_row(axes, row, marks)
        if row.first:
            figure.text(
                EDGE / width,
                (top - _GAP) / height,
                "\n".join(row.title()),
                va="top",
                fontsize=TITLE_SIZE,
                fontweight="bold",
            )
        top -= row.height
    return figure


def _rows(layer: DrawableLayer, width: float) -> Iterator[_Row]:
    concepts = list(layer.concept_counts().items())
    most = max((units for _, units in concepts), default=0)
    per_row = int((width - _LEFT - EDGE) / _PITCH)
    for start in range(0, max(len(concepts), 1), per_row):
        yield _Row(layer, concepts[start : start + per_row], start == 0, most, width, per_row)


def _draw_row(axes: "Axes", row: _Row, marks: Mapping[str, CategoryMark]) -> None:
    from matplotlib.ticker import MaxNLocator

    from jaxdissect.plots.plain_figure import draw_grid_lines

    layer = row.layer
    if not row.concepts:
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
        axes.text(0, 0.5, f"no unit above IoU {layer.min_iou:g}", va="center", color=GRAY)
        return
    kinds = [marks[layer.vocabulary.categories[concept]] for concept, _ in row.concepts]
    places = np.arange(len(kinds))
    heights = [units for _, units in row.concepts]
    axes.bar(
        places,
        heights,
        0.8,
        **bar_style(kinds),
    )
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.set_ylim(0, row.most * 1.05)
    axes.set_xticks(places, row.names(), rotation=90)
    axes.tick_params(axis="x", length=0, pad=2)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.set_ylabel("units")
    draw_grid_lines(axes, "y")
    if row.first:
        _draw_legend(axes, row, marks)


def _draw_legend(axes: "Axes", row: _Row, marks: Mapping[str, CategoryMark]) -> None:
    from jaxdissect.plots.plain_figure import legend_columns, legend_style

    entries = row.entries()
    axes.legend(
        handles=[_patch(marks[category], label) for category, label in entries.items()],
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0 + _GAP / 2 / row.bar_height),
        ncols=legend_columns(list(entries.values()), row.width - _LEFT - EDGE),
        **legend_style() | {"borderaxespad": 0.0},
    )


@printed
def layer_figure(dissection: DrawableDissection, *, width: float = PAGE_WIDTH) -> "Figure":
    """Chart detectors, and distinct concepts that they detect, of every layer by category.

    Args:
        dissection: The result.
        width: Width of the figure in inches.
    """
    from jaxdissect.plots.plain_figure import PlainFigure, count_ticks, draw_grid_lines

    layers = list(dissection.layers.values())
    counts = [layer.category_counts() for layer in layers]
    categories = [
        category
        for category in dissection.vocabulary.category_names
        if any(any(of_layer.get(category, ())) for of_layer in counts)
    ]
    names = [fitted(layer.name, TEXT_SIZE, _NAME_SHARE * width) for layer in layers]
    figure = PlainFigure(figsize=(width, 0.5 + LINE * len(layers)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    room = (width - max(text_width(name, TEXT_SIZE) for name in names) - 0.4) / 2
    places, marks = np.arange(len(layers)), category_marks(categories)
    for panel, (axes, what) in enumerate(
        zip(panels, ("detectors", "distinct concepts"), strict=True)
    ):
        before = np.zeros(len(layers))
        for category in categories:
            numbers = np.array([of_layer[category][panel] for of_layer in counts], float)
            style = bar_style([marks[category]] * len(layers))
            axes.barh(places, numbers, 0.8, before, **style)
            before += numbers
        axes.set_xlim(0, max(1.0, 1.05 * before.max()))
        count_ticks(axes.xaxis, room, integer=True)
        draw_grid_lines(axes, "x")
        figure.label(axes, across=what, width=room, height=0.0)
    panels[0].set_yticks(places, names)
    panels[0].set_ylim(len(layers) - 0.5, -0.5)
    for axes in panels:
        axes.tick_params(axis="y", length=0)
    figure.set_title(
        f"Detectors in each layer (IoU > {layers[0].min_iou:g}), and the concepts they detect"
    )
    if categories:
        figure.set_legend([_patch(marks[category]) for category in categories], categories)
    return figure


def _patch(mark: CategoryMark, label: str = "") -> object:
    from matplotlib.patches import Patch

    return Patch(
        facecolor=mark.color, hatch=mark.hatch, edgecolor="white", linewidth=0, label=label
    )


def _counted(units: int, concepts: int) -> str:
    """Spell out numbers: "12 units, 1 concept"."""
    return ", ".join(
        f"{number} {what}{'' if number == 1 else 's'}"
        for number, what in ((units, "unit"), (concepts, "concept"))
    )
