"""Figures as they are printed: widths, letters and lines. Lengths are in inches, sizes in points.

Widths and letters are those that PNAS, where network dissection was published, asks of figures:
8.7 cm for one column and 17.8 cm for two, letters of 6 to 8 points at that size, photographs of
300 pixels per inch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

COLUMN_WIDTH = 3.42
"""Width of a figure in one column of a page, in inches."""

PAGE_WIDTH = 7.0
"""Width of a figure across a page, in inches."""

RESOLUTION = 300
"""Pixels per inch of figures that are written as PNG."""

TEXT_SIZE, TITLE_SIZE = 7.0, 8.0
LINE, TITLE_LINE = 0.14, 0.16
"""Heights of a line of text and of a title."""

EDGE = 0.06
"""What is left free around a figure."""

FAINT, GRAY = "#DDDDDD", "#555555"
"""Colours of lines behind what is drawn, and of text that is less important."""

_STYLE = {
    "axes.grid": False,
    "axes.labelsize": TEXT_SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": TEXT_SIZE,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.labelpad": 3.0,
    "figure.dpi": 100.0,
    "font.size": TEXT_SIZE,
    "hatch.color": "white",
    "hatch.linewidth": 0.5,
    "legend.fontsize": TEXT_SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "pdf.fonttype": 42,  # letters stay letters, which can be found and edited
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxdissect",  # so that the same figure is the same file
    "text.parse_math": False,
    "xtick.labelsize": TEXT_SIZE,
    "xtick.major.size": 2.0,
    "xtick.major.width": 0.6,
    "ytick.labelsize": TEXT_SIZE,
    "ytick.major.size": 2.0,
    "ytick.major.width": 0.6,
}


_GROUPS = {
    *("axes", "errorbar", "figure", "font", "grid", "hatch", "image", "legend", "lines", "patch"),
    *("pdf", "savefig", "scatter", "svg", "text", "xtick", "ytick"),
}
"""Groups of settings that a user may have changed, and that are as they were for our figures."""


def print_style() -> AbstractContextManager[Any]:
    """Return a context in which Matplotlib draws as figures are to be printed, whatever is set."""
    from matplotlib import rc_context, rcParamsDefault

    defaults = {
        name: value for name, value in rcParamsDefault.items() if name.split(".")[0] in _GROUPS
    }
    style: Any = defaults | _STYLE
    return rc_context(style)


def printed(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in the style of all figures."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with print_style():
            return draw(*args, **kwargs)

    return drawn
