"""How long texts are when they are drawn, and texts that fit.

Lengths are in inches, sizes of letters in points.
"""

from functools import lru_cache

from jaxdissect.arrays.names import printable, shortened

_SLACK = 1.04  # what renderers differ by, as they move letters onto pixels


@lru_cache(maxsize=16384)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Measure the length of a line of text when it is drawn, in inches.

    Args:
        text: The text, which is made printable as in figures.
        size: Size of the letters in points.
        bold: Whether the letters are bold.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    properties = FontProperties(weight="bold" if bold else "normal", size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(
        printable(text), properties, ismath=False
    )
    return width / 72 * _SLACK


def fitted(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Cut the middle of a line of text that is longer than there is room for.

    Args:
        text: The text, which is made printable as in figures.
        size: Size of the letters in points.
        width: The room, in inches.
        bold: Whether the letters are bold.
    """
    text = printable(text)
    most = len(text)
    while most > 2 and not _fits(shortened(text, most), size, width, bold):
        most -= 1
    return shortened(text, most)


def wrapped(text: str, size: float, width: float, *, bold: bool = False) -> list[str]:
    """Break a text into lines that fit, between words where that can be.

    Args:
        text: The text; its own line breaks stay, and each line is made printable.
        size: Size of the letters in points.
        width: The room, in inches.
        bold: Whether the letters are bold.
    """
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in printable(paragraph).split(" "):
            longer = f"{line} {word}" if line else word
            if _fits(longer, size, width, bold):
                line = longer
                continue
            if line:
                lines.append(line)
            line = word
            while len(line) > 1 and not _fits(line, size, width, bold):
                end = next(
                    n
                    for n in range(len(line) - 1, 0, -1)
                    if n == 1 or _fits(line[:n], size, width, bold)
                )
                lines.append(line[:end])
                line = line[end:]
        lines.append(line)
    return lines


def _fits(text: str, size: float, width: float, bold: bool) -> bool:
    return text_width(text, size, bold=bold) <= width
