"""The figure that all charts are drawn on: it shows the names in it letter by letter.

Matplotlib, which this module imports, takes what stands between dollar signs for formulas, and
fails on those that are none when the figure is drawn, after all work. Names come from elsewhere.
Titles, legends and labels are broken into lines that fit, and the figure grows by them.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxdissect.arrays.names import printable, printable_lines
from jaxdissect.plots.print_style import (
    EDGE,
    FAINT,
    LINE,
    TEXT_SIZE,
    TITLE_LINE,
    TITLE_SIZE,
    print_style,
)
from jaxdissect.plots.text_size import fitted, text_width, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTEBOOK_DPI = 120  # pixels per inch: as wide as a notebook's text

_HANDLE = 0.3  # of an entry of a legend: its patch or line, and the gaps around, inches
_TICK = 0.45  # between the numbers of an axis, inches


class PlainFigure(Figure):
    """A figure in which no text is a formula, and every text can be shown."""

    def set_title(self, title: str) -> None:
        """Write a title from the left edge on: above axes beside long names there is no room."""
        width = float(self.get_figwidth())
        lines = wrapped(title, TITLE_SIZE, width - 2 * EDGE, bold=True)
        self.grow(TITLE_LINE * len(lines))
        self.suptitle(
            "\n".join(lines), x=EDGE / width, ha="left", fontsize=TITLE_SIZE, fontweight="bold"
        )

    def set_legend(self, handles: Sequence[Any], labels: Sequence[str]) -> None:
        """Write a legend below everything, in as many columns as fit."""
        room = float(self.get_figwidth()) - 2 * EDGE
        labels = [fitted(label, TEXT_SIZE, room - _HANDLE) for label in labels]
        columns = legend_columns(labels, room)
        self.grow(LINE * -(-len(labels) // columns))
        self.legend(handles, labels, loc="outside lower left", ncols=columns, **legend_style())

    def label(
        self, axes: "Axes", *, across: str = "", up: str = "", width: float, height: float
    ) -> None:
        """Write what the axes are.

        Args:
            axes: The axes, of about this size in inches.
            across, up: What they are; broken into lines.
            width, height: The size.
        """
        if across:
            lines = wrapped(across, TEXT_SIZE, width)
            self.grow(LINE * (len(lines) - 1))
            axes.set_xlabel("\n".join(lines))
        if up:
            axes.set_ylabel("\n".join(wrapped(up, TEXT_SIZE, height)))

    def grow(self, inches: float) -> None:
        """Make the figure higher."""
        self.set_figheight(self.get_figheight() + inches)

    def _repr_png_(self) -> bytes:
        # Notebooks know of figures that pyplot has made, and of these by this name.
        picture = BytesIO()
        with print_style():
            self.savefig(picture, dpi=_NOTEBOOK_DPI, format="png")
        return picture.getvalue()

    def draw(self, renderer: Any) -> None:
        """Draw the figure; this is also how its layout is found."""
        with print_style():
            for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
                _show_names(axis)
            for text in self.findobj(Text):
                assert isinstance(text, Text)
                text.set_parse_math(False)
                text.set_text(printable_lines(text.get_text()))
            super().draw(renderer)


def legend_columns(labels: Sequence[str], room: float) -> int:
    """Find how many columns of a legend fit into a width in inches."""
    longest = max(text_width(label, TEXT_SIZE) for label in labels)
    return max(1, min(len(labels), int(room / (longest + _HANDLE))))


def legend_style() -> dict[str, Any]:
    """How legends look, so that their entries are as `legend_columns` reckons."""
    return {
        "borderaxespad": 72 * EDGE / TEXT_SIZE,
        "borderpad": 0.0,
        "columnspacing": 1.0,
        "handlelength": 1.5,
        "handletextpad": 0.4,
        "labelspacing": 0.35,
    }


def count_ticks(axis: Any, length: float, *, integer: bool = False) -> None:
    """Let an axis have so many numbers as can stand beside one another.

    Args:
        axis: The axis of an `Axes`.
        length: Its length in inches, about.
        integer: Whether numbers are whole.
    """
    most = max(2, min(8, int(length / _TICK)))
    axis.set_major_locator(MaxNLocator(most, integer=integer, min_n_ticks=1, steps=[1, 2, 5, 10]))


def draw_grid_lines(axes: "Axes", which: Any = "both") -> None:
    """Draw lines behind what is drawn."""
    axes.grid(axis=which, color=FAINT, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)


class _Names(FuncFormatter):
    """The names of ticks, printable."""


def _show_names(axis: Any) -> None:
    """Make the names of ticks printable; they are asked for again whenever ticks are drawn."""
    names = axis.get_major_formatter()
    if isinstance(names, FuncFormatter) and not isinstance(names, _Names):
        axis.set_major_formatter(_Names(lambda value, place: printable(names(value, place))))
