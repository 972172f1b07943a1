"""Write figures as PNG, SVG or PDF."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdissect.plots.print_style import RESOLUTION, print_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST_SIDE = 60_000  # pixels, which the PNG format of Matplotlib can hold
# What says when and by what a file was made: the same figure is to be the same file.
_UNDATED: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save_figure(path: str | Path, figure: "Figure") -> None:
    """Write a figure: PNG at 300 pixels per inch, or SVG or PDF, in which text stays text.

    The same figure always becomes the same bytes.

    Args:
        path: The file, whose ending (.png, .svg, .pdf) says the format.
        figure: The figure, whose size is in inches. A PNG larger than the format can hold has fewer
            pixels.

    Raises:
        ValueError: If the ending is another one.
    """
    ending = Path(path).suffix.lower()
    if ending not in _UNDATED:
        raise ValueError(f"`path` (={path}) must end with one of {', '.join(_UNDATED)}")
    # SVG and PDF have no pixels but those of images, which are written as they are.
    dpi = min(RESOLUTION, _LARGEST_SIDE / max(figure.get_size_inches()))
    with print_style():
        figure.savefig(path, dpi=dpi, format=ending[1:], metadata=_UNDATED[ending])
