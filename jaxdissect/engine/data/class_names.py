"""Names of a network's classes: the files that list them, and the folders named like them.

Published lists number their names from 0, before or after them, or begin every line with the
WordNet id of the class; folders of data sets spell the same names in their own ways. A name and a
folder match if they are equal, or else if they are alike but for capitals, `_`, `-`, `/`, spaces
and brackets, and for the letter that Places365 sorts by: the class `/a/apartment_building/outdoor`
is the folder `apartment_building-outdoor` or `a/apartment_building/outdoor`. The class
`n01440764 tench, Tinca tinca` is also the folder `n01440764`, or `tench` if no other class has that
name.
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxdissect.arrays.name_lists import read_name_list
from jaxdissect.arrays.names import listed

_NUM_NEAREST = 5  # unknown folders that a message names

_LETTER = re.compile(r"/([a-z])/(?=\1)")  # of "/a/airfield"
_SYNSET = re.compile(r"(n\d{8})[\s,:;]+(\S.*)")


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the names of a network's classes, in the order of its outputs.

    Args:
        path: A file with one name per line, `tench` or `n01440764 tench`, where line i (from 0) is
            output i; or with numbered names, `/a/airfield 0` as in `categories_places365.txt`,
            `0: airfield`, or a table with the columns `id` and `name`, whose numbers (from 0 or 1,
            without gaps) give the order.

    Returns:
        The names; `/a/airfield` is called `airfield`.

    Raises:
        ValueError: If the file is malformed, a name comes twice, or numbers have gaps.
        OSError: If the file cannot be opened.
    """
    entries = read_name_list(Path(path))
    if entries and entries[0].number is not None:
        entries = sorted(entries, key=lambda entry: entry.number or 0)
        numbers = [entry.number for entry in entries]
        first = numbers[0]
        if first not in (0, 1) or numbers != list(range(first, first + len(numbers))):
            raise ValueError(
                f"`class_names` (={str(path)!r}) must number its {len(numbers)} names from 0 or 1 "
                f"without gaps; they run from {first} to {numbers[-1]}"
            )
    names = [entry.name for entry in entries]
    if names and all(_LETTER.match(name) for name in names):
        names = [_LETTER.sub("", name, count=1) for name in names]
    for entry, (name, number) in zip(entries, _counted(names), strict=True):
        if not name or number > 1:
            raise ValueError(
                f"{entry.where}: `class_names` must have one name per line, each once, and this is "
                f"{name!r}{' again' if name else ''}"
            )
    return tuple(names)


def find_classes(folders: Sequence[str], names: Sequence[str]) -> list[int]:
    """Find the classes of folders that are named like them.

    Args:
        folders: Names of folders, each once; where all are numbers, and not all are names of
            classes, they are the outputs themselves.
        names: Names of all classes.

    Returns:
        The class of every folder.

    Raises:
        ValueError: If a folder is named like no class or like several, or two folders like one.
    """
    exact = {name: i for i, name in enumerate(names)}
    if not exact.keys() >= set(folders) and all(map(_is_number, folders)):
        return _numbered(folders, len(names))
    alike: dict[str, set[int]] = {}
    for i, name in enumerate(names):
        for key in _class_keys(name):
            alike.setdefault(key, set()).add(i)
    found: dict[str, int] = {}
    unknown = []
    for folder in folders:
        candidates = set().union(*(alike.get(key, ()) for key in _keys(folder)))
        if folder in exact:
            candidates = {exact[folder]}
        if len(candidates) > 1:
            named = ", ".join(repr(names[i]) for i in sorted(candidates))
            raise ValueError(f"`class_names` has several classes for folder {folder!r}: {named}")
        if candidates:
            found[folder] = candidates.pop()
        else:
            unknown.append(folder)
    if unknown:
        raise ValueError(f"`class_names` has no class {_with_nearest(unknown, names)}")
    _refuse_shared(found, names)
    return [found[folder] for folder in folders]


def order_of_folders(folders: Sequence[str]) -> list[str]:
    """Put folders that stand for all outputs of a network in the order of the outputs.

    Args:
        folders: Their names, each once.

    Returns:
        Numbers by their value, which must be 0 to N - 1; other names sorted as text.

    Raises:
        ValueError: If numbers have gaps, only some folders are numbers, or names sort in another
            order by the numbers in them.
    """
    way_out = "; give `class_names`, which has the names of all outputs in their order"
    numbers = [folder for folder in folders if _is_number(folder)]
    if len(numbers) == len(folders):
        places = _numbered(folders, None)
        ordered = sorted(folders, key=int)
        if sorted(places) != list(range(len(folders))):
            raise ValueError(
                f"the folders {ordered[0]} to {ordered[-1]} are {len(folders)} numbers, not 0 to "
                f"{len(folders) - 1}{way_out}"
            )
        return ordered
    if numbers:
        other = next(folder for folder in folders if not _is_number(folder))
        raise ValueError(
            f"some folders are numbers, like {numbers[0]}, others not: {other}{way_out}"
        )
    ordered = sorted(folders)
    for text, number in zip(ordered, sorted(folders, key=_by_numbers), strict=True):
        if text != number:
            raise ValueError(
                f"the folders sort in one order as text and in another by the numbers in them, see "
                f"{text!r} and {number!r}{way_out}"
            )
    return ordered


def _counted(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return every name with how many times it has come so far."""
    seen: Counter[str] = Counter()
    counted = []
    for name in names:
        seen[name] += 1
        counted.append((name, seen[name]))
    return counted


def _is_number(folder: str) -> bool:
    return folder.isascii() and folder.isdecimal()


def _by_numbers(folder: str) -> tuple[str, str]:
    """Sort key that compares the numbers in names by their value."""
    return re.sub(r"\d+", lambda number: number[0].zfill(20), folder), folder


def _numbered(folders: Sequence[str], num_classes: int | None) -> list[int]:
    """Return the numbers of folders, each once and below the number of classes."""
    places = [int(folder) for folder in folders]
    _refuse_shared(dict(zip(folders, places, strict=True)), None)
    if num_classes is not None and max(places) >= num_classes:
        raise ValueError(
            f"folder {max(folders, key=int)} is no class: `class_names` has {num_classes} names, 0 "
            f"to {num_classes - 1}"
        )
    return places


def _refuse_shared(class_of: Mapping[str, int], names: Sequence[str] | None) -> None:
    first: dict[int, str] = {}
    for folder, number in class_of.items():
        if number in first:
            name = number if names is None else repr(names[number])
            raise ValueError(f"folders {first[number]!r} and {folder!r} are both class {name}")
        first[number] = folder


def _keys(name: str) -> set[str]:
    """Return what a name has in common with other ways to spell it."""
    plain = name.strip("/").casefold()
    bare = _LETTER.sub("", f"/{plain}", count=1).strip("/")
    return {re.sub(r"[\s/_\-()]+", "_", spelling).strip("_") for spelling in (plain, bare)}


def _class_keys(name: str) -> set[str]:
    keys = _keys(name)
    synset = _SYNSET.fullmatch(name)
    if synset is not None:
        keys |= {synset[1], *_keys(synset[2])}
    return keys | _keys((synset[2] if synset else name).partition(",")[0])


def _with_nearest(unknown: Sequence[str], names: Sequence[str]) -> str:
    """List unknown folders, each with the names of classes that are most like it."""

    def described(folder: str) -> str:
        last = folder.rpartition("/")[2]
        nearest = difflib.get_close_matches(folder, names, n=2) or difflib.get_close_matches(
            last, names, n=2
        )
        return f"{folder!r}" + (f" (nearest: {', '.join(nearest)})" if nearest else "")

    # Only those that are shown are compared, which is slow.
    first, rest = [described(folder) for folder in unknown[:_NUM_NEAREST]], unknown[_NUM_NEAREST:]
    return f"{listed([*first, *rest], most=_NUM_NEAREST)}; it begins with: {', '.join(names[:3])}"
