"""Names that come from elsewhere, of files, classes, concepts or weights, made safe to show."""

import unicodedata
from collections.abc import Sequence
from typing import Any

_ACTED_UPON = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that a terminal or a file acts upon, or cannot write: controls, marks of
direction, halves of pairs (such as the bytes of a file name that is not UTF-8), line breaks."""

_FORMULA = set("=+-@＝＋－＠'")  # noqa: RUF001 - spreadsheets take the wide signs, too


def printable(name: str) -> str:
    r"""Write the characters of a name that are not meant to be read as backslash escapes.

    So a name can neither move the cursor, nor break a line, nor fail to be written: the escape
    character becomes `\x1b`, a byte that is not UTF-8 its number, `\xe9`.

    Args:
        name: Any text; all of it is taken as one line.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_escaped, name))


def printable_lines(text: str) -> str:
    """Write a text of several lines as `printable` does, with its line breaks."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(name: str, most: int) -> str:
    """Cut the middle of a name that has too many characters for where it is shown.

    Args:
        name: Any text.
        most: Characters that there is room for.
    """
    end = most // 2
    return name if len(name) <= most else f"{name[: most - 1 - end]}…{name[-end:]}"


def listed(items: Sequence[str], *, most: int = 5, separator: str = ", ") -> str:
    """Join the first of some texts, and count those that are left out.

    Args:
        items: Texts, such as names of files in a message.
        most: How many are shown.
        separator: Stands between two.
    """
    left = len(items) - most
    return separator.join([*items[:most], *([f"and {left} more"] if left > 0 else [])])


def csv_cell(cell: Any) -> Any:
    """Return a cell as it is to be written to CSV, so that no spreadsheet takes it for a formula.

    Text that begins with a sign that begins formulas (or with the mark itself) gets the mark `'` of
    spreadsheets before it; without that character it is what it was. Numbers stay as they are, also
    those given as text.

    Args:
        cell: Text, which is made printable; anything else is returned.
    """
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and not _is_plain(text) else text


def text_of_csv_cell(cell: str) -> str:
    """Take off the mark that `csv_cell` puts before what a spreadsheet would compute.

    Args:
        cell: Text as it stands in a CSV file.
    """
    return cell[1:] if len(cell) > 1 and cell[0] == "'" else cell


def _is_plain(text: str) -> bool:
    """Whether a text is no more than a sign, or a number."""
    try:
        float(text)
    except ValueError:
        return len(text) <= 1
    return True


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _ACTED_UPON:
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
