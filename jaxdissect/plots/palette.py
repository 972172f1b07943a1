"""Colours of charts and images."""

from collections.abc import Sequence

SERIES_COLORS = ("#9AA0A6", "#C44E52", "#3B6FB6", "#F28E2B")
"""Colours of series of bars and curves, in turn."""

CATEGORY_COLORS = {
    "object": "#3B6FB6",
    "part": "#2E8B57",
    "material": "#17A2A2",
    "texture": "#9ACD5A",
    "color": "#F28E2B",
}
"""Colours of the categories of Broden."""

OTHER_COLORS = ("#8E5EA2", "#C44E52", "#7F7F7F", "#B8860B", "#DA70D6")
"""Colours of further categories, in turn."""

YELLOW = (1.0, 0.9, 0.0)
"""Colour of the outlines of regions, RGB in [0, 1]."""


def category_colors(categories: Sequence[str]) -> dict[str, str]:
    """Choose a colour for every category: `CATEGORY_COLORS`, then `OTHER_COLORS` in turn."""
    others = [category for category in categories if category not in CATEGORY_COLORS]
    turns = {category: OTHER_COLORS[i % len(OTHER_COLORS)] for i, category in enumerate(others)}
    return {category: (CATEGORY_COLORS | turns)[category] for category in categories}
