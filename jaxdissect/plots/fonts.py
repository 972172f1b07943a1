"""The font of the text on sheets of images."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont


def sans_serif(size: int) -> "ImageFont.FreeTypeFont":
    """Return the font of the charts, which has more letters than the one that Pillow brings.

    Args:
        size: Height in pixels.
    """
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
