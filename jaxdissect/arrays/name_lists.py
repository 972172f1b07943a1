r"""Lists of names in text files: of concepts, or of a network's classes.

A list is a table, or one name per line. A table begins with a header and is separated by `,`, `;`
or tabs; its columns are `id` (or `idx`, `index`), `name`, and perhaps `category`, in either case;
others are ignored. Lines may be numbered, all in one way:

    sky            0: unlabeled     1<tab>sky      /a/airfield 0      n01440764 tench
    water, deep    1: person        2<tab>sea      /a/alcove 1        n01443537 goldfish

Whatever can be read in two ways is refused.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

NOTHING = frozenset(
    "- bg background __background__ _background_ unlabeled unlabelled unlabel unannotated "
    "void none nothing null ignore ignored other others unknown".split()
)
"""Names, in small letters, that lists give to what carries no label."""

_DELIMITERS = ",;\t"
_COLUMNS = {"id": ("id", "idx", "index"), "name": ("name",), "category": ("category",)}

# "0: sky", "0;sky", "0<tab>sky", "0. sky", "0 sky"; the first group is the number.
_NUMBER_FIRST = re.compile(r"(-?\d+)(\s*[:=;,|\t]\s*|[.)]\s+|\s+)(\S.*)")
_MARKED_NUMBER = re.compile(r"-?\d+\s*[:=;|\t]\s*\S")
_NUMBER_LAST = re.compile(r"(\S.*?)[\s:=;,]+(\d+)")


class ListedName(NamedTuple):
    """A name of a list.

    Attributes:
        where: Where it stands, for messages.
        name: The name.
        number: The number that the list gives it; None if it gives none.
        category: What a column `category` holds; None without one.
    """

    where: str
    name: str
    number: int | None = None
    category: str | None = None


def read_name_list(path: Path) -> list[ListedName]:
    """Read the names of a list in the order in which they stand, all numbered or none.

    Args:
        path: The file; `.csv` and `.tsv` must be tables, others may be.

    Raises:
        ValueError: If the file is malformed, or can be read in two ways; the message names the file
            and line.
        OSError: If the file cannot be opened.
    """
    text = read_text(path)
    header = text.partition("\n")[0]
    is_table = any(_has_columns(header.split(mark)) for mark in _DELIMITERS)
    if is_table or path.suffix.lower() in (".csv", ".tsv"):
        return _table(path, text)
    return _lines(path, text)


def read_text(path: Path) -> str:
    """Read a file of text in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: If it is not UTF-8; the message names the file and line.
        OSError: If it cannot be opened.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise ValueError(f"{path}, line {line} is not UTF-8 text") from None


# --- tables ---------------------------------------------------------------------------------------


def _has_columns(header: Iterable[str]) -> bool:
    names = {column.strip().strip('"').lower() for column in header}
    return all(not names.isdisjoint(_COLUMNS[column]) for column in ("id", "name"))


def _table(path: Path, text: str) -> list[ListedName]:
    header = text.partition("\n")[0]
    fitting = [mark for mark in _DELIMITERS if _has_columns(header.split(mark))]
    delimiter = fitting[0] if fitting else max(_DELIMITERS, key=header.count)
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    listed, columns, width = [], {}, 0
    try:
        for row in rows:
            if not row or row == [""]:
                continue
            if not columns:
                columns, width = _find_columns(row), len(row)
                continue
            if len(row) != width:
                raise ValueError(
                    'not as many columns as in the header (quote "names, with commas")'
                )
            values = {column: row[place].strip() for column, place in columns.items()}
            if not re.fullmatch(r"-?\d+", values["id"], re.ASCII):
                raise ValueError(f"`id` (={values['id']!r}) must be a number")
            where = f"{path}, line {rows.line_num}"
            number = int(values["id"])
            listed.append(ListedName(where, values["name"], number, values.get("category")))
        if not columns:
            raise ValueError("the header lacks id, name")
    except (ValueError, csv.Error) as problem:
        raise ValueError(f"{path}, line {rows.line_num}: {problem}") from None
    return listed


def _find_columns(header: Sequence[str]) -> dict[str, int]:
    """Find the places of the columns that count."""
    names = [column.strip().lower() for column in header]
    found = {}
    for column, spellings in _COLUMNS.items():
        places = [place for place, name in enumerate(names) if name in spellings]
        if len(places) > 1:
            raise ValueError(f"the header has several columns for `{column}`")
        if places:
            found[column] = places[0]
    if missing := {"id", "name"} - set(found):
        raise ValueError(f"the header lacks {', '.join(sorted(missing))}")
    return found


# --- lines ----------------------------------------------------------------------------------------


def _lines(path: Path, text: str) -> list[ListedName]:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    places = [f"{path}, line {i}" for i in range(1, len(lines) + 1)]
    full = [(place, line) for place, line in zip(places, lines, strict=True) if line]
    first = [_NUMBER_FIRST.fullmatch(line) for _, line in full]
    if full and all(first):
        return _numbered_first(full)
    last = _numbered_last(full)
    if last is not None:
        return last
    for place, line in full:
        if _MARKED_NUMBER.match(line):
            raise ValueError(f"{place} is numbered, {line[:40]!r}, and other lines are not")
        if line.startswith("#"):
            raise ValueError(f"{place} looks like a comment, {line[:40]!r}; take it out")
    _refuse_table(path, lines)
    return [ListedName(place, line) for place, line in zip(places, lines, strict=True)]


def _numbered_first(lines: Sequence[tuple[str, str]]) -> list[ListedName]:
    listed = []
    for place, line in lines:
        found = _NUMBER_FIRST.fullmatch(line)
        assert found is not None
        number, mark, name = found.groups()
        if mark.strip() and mark.strip() in ";|," and mark.strip() in name or "\t" in name:
            raise ValueError(
                f"{place} has more columns than a number and a name, {line[:40]!r}; begin the file "
                "with a header that names the columns `id` and `name`"
            )
        listed.append(ListedName(place, name, int(number)))
    return listed


def _numbered_last(lines: Sequence[tuple[str, str]]) -> list[ListedName] | None:
    """Read lines such as `airfield 0`; None if they are not all numbered without gaps."""
    found = [_NUMBER_LAST.fullmatch(line) for _, line in lines]
    matches = [match for match in found if match is not None]
    if len(matches) < max(len(lines), 2):
        return None
    names, numbers = ([match[group] for match in matches] for group in (1, 2))
    counted = sorted(map(int, numbers))
    # Else the numbers are parts of the names: "texture 1", "texture 2"; "boeing 737", "airbus 320".
    if len(set(names)) < len(names) or counted != list(
        range(counted[0], counted[0] + len(counted))
    ):
        return None
    return [
        ListedName(place, match[1], int(match[2]))
        for (place, _), match in zip(lines, matches, strict=True)
    ]


def _refuse_table(path: Path, lines: Sequence[str]) -> None:
    """Refuse what looks like a table without a header."""
    for mark in ";\t|":
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            raise ValueError(
                f"{path} looks like a table separated by {mark!r} without a header: begin it with "
                "the names of its columns, among them `id` and `name`"
            )
