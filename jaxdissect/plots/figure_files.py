"""Write figures as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RESOLUTION = 150.0  # pixels per inch
_LARGEST_SIDE = 60_000  # pixels, which the file format can hold


def save_figure(path: str | Path, figure: "Figure") -> None:
    """Write a figure as PNG, at a resolution that the file format can hold.

    Args:
        path: The file.
        figure: The figure, whose size is in inches.
    """
    figure.savefig(path, dpi=min(_RESOLUTION, _LARGEST_SIDE / max(figure.get_size_inches())))
