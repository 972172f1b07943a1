"""The figure that all charts are drawn on: it shows the names in it letter by letter.

Matplotlib, which this module imports, takes what stands between dollar signs for formulas, and
fails on those that are none when the figure is drawn, after all work. Names come from elsewhere.
"""

import textwrap
from typing import Any

from matplotlib import rc_context
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from jaxdissect.arrays.names import printable, printable_lines

_LETTERS = 11.0  # of a title, per inch


class PlainFigure(Figure):
    """A figure in which no text is a formula, and every text can be shown."""

    def set_title(self, title: str) -> None:
        """Write a title from the left edge on: above axes beside long names there is no room."""
        lines = textwrap.fill(title, int(self.get_figwidth() * _LETTERS))
        self.suptitle(lines, x=0.01, ha="left", fontsize=10, fontweight="bold")

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure; this is also how its layout is found."""
        with no_formulas():
            for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
                _show_names(axis)
            for text in self.findobj(Text):
                assert isinstance(text, Text)
                text.set_parse_math(False)
                text.set_text(printable_lines(text.get_text()))
            super().draw(renderer)


def no_formulas() -> Any:
    """Return a context in which Matplotlib takes no text for a formula."""
    return rc_context({"text.parse_math": False})


class _Names(FuncFormatter):
    """The names of ticks, printable."""


def _show_names(axis: Any) -> None:
    """Make the names of ticks printable; they are asked for again whenever ticks are drawn."""
    names = axis.get_major_formatter()
    if isinstance(names, FuncFormatter) and not isinstance(names, _Names):
        axis.set_major_formatter(_Names(lambda value, place: printable(names(value, place))))
