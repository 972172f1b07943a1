"""Colours of charts and images, and the marks that say the same without colour.

The colours of categories differ by 17 and more (CIEDE2000) for normal sight and without red, green
or blue cones, those of series by 19, all eleven of categories by 12 (as a test makes sure).
Nothing is told by colour alone: bars are hatched, points have shapes, and curves have dashes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

SERIES_COLORS = ("#8A8F98", "#C8401A", "#1F4FD8", "#E8A33D")
"""Colours of series of bars and curves, in turn."""

SERIES_HATCHES = ("", "/////", ".....", "xxxxx")
"""Hatches of series of bars, in turn."""

SERIES_MARKERS = ("o", "s", "^", "D")
"""Shapes of the points of series, in turn."""

SERIES_DASHES = ("-", "--", ":", "-.")
"""Dashes of curves, in turn."""

CATEGORY_COLORS = {
    "object": "#3D5AF1",
    "part": "#12503C",
    "material": "#25C3C9",
    "texture": "#661080",
    "color": "#EDA70C",
    "scene": "#B84E12",
}
"""Colours of the categories of Broden."""

OTHER_COLORS = ("#EB6756", "#8A568F", "#9B938B", "#BAC7A0", "#91A2FF")
"""Colours of further categories, in turn."""

YELLOW = (1.0, 0.9, 0.0)
"""Colour of the outlines of regions, RGB in [0, 1]."""

_HATCHES = (
    *("", "/////", ".....", "xxxxx", "\\\\\\\\\\", "-----"),
    *("|||||", "+++++", "ooo", "**", "//"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*")


class CategoryMark(NamedTuple):
    """How a category looks.

    Attributes:
        color: Colour of its bars and points.
        hatch: Hatch of its bars, as Matplotlib names it.
        marker: Shape of its points, as Matplotlib names it.
    """

    color: str
    hatch: str
    marker: str


def category_colors(categories: Sequence[str]) -> dict[str, str]:
    """Choose a colour for every category: `CATEGORY_COLORS`, then `OTHER_COLORS` in turn."""
    return {category: mark.color for category, mark in category_marks(categories).items()}


def category_marks(categories: Sequence[str]) -> dict[str, CategoryMark]:
    """Choose how every category looks; the first 55 beyond those of Broden all look different."""
    known = list(CATEGORY_COLORS)
    others = [category for category in categories if category not in CATEGORY_COLORS]
    marks = {}
    for category in categories:
        if category in CATEGORY_COLORS:
            color, place = CATEGORY_COLORS[category], known.index(category)
        else:
            turn, color_place = divmod(others.index(category), len(OTHER_COLORS))
            color = OTHER_COLORS[color_place]
            place = len(known) + color_place + turn
        marks[category] = CategoryMark(
            color, _HATCHES[place % len(_HATCHES)], _MARKERS[place % len(_MARKERS)]
        )
    return marks


def bar_style(marks: Sequence[CategoryMark]) -> dict[str, Any]:
    """Return how bars look, one for each mark, as Matplotlib's `bar` and `barh` take it."""
    return {
        "color": [mark.color for mark in marks],
        "hatch": [mark.hatch for mark in marks],
        "edgecolor": "white",
        "linewidth": 0,
        "zorder": 2,
    }
