"""Concepts: what the numbers of a label map mean.

A label map holds small integers. A `Vocabulary` names the concept that each of them stands for: its
name and its category (object, part, material, ...). Id 0 is always "no label". A concept is a name
together with a category: `glass` the object and `glass` the material are two concepts.

Vocabularies come from code (`vocabulary`), from files (`read_concepts`: CSV, plain text, and the
label files published with the segmenters of Bau et al., PNAS 2020), or from joining others
(`merge_vocabularies`). `read_unified_parsing` builds the vocabulary of their unified perceptual
parsing network (Xiao et al., *Unified perceptual parsing for scene understanding*, ECCV 2018).
"""

import csv
import difflib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxdissect.arrays.name_lists import NOTHING, ListedName, read_name_list, read_text
from jaxdissect.arrays.representation import short_repr

NONE = "-"
"""Name and category of entry 0, the label of pixels that carry no concept."""

CATEGORIES = ("object", "part", "material", "texture", "color")
"""The categories of Broden (Bau et al., CVPR 2017, section 2.1), in the order of reports."""

QUADRANTS = ("-t", "-l", "-b", "-r")
"""Suffixes of the top, left, bottom and right half of an object, in the order of their ids."""

FREQUENT_OWNERS = ("sky", "building", "person")
"""The objects that still have parts when unified parsing runs without all parts."""

FilePath = str | os.PathLike[str]

# Where a concept was written down (for messages), its name and its category.
_Entry = tuple[str, str, str]


@dataclass(frozen=True)
class Vocabulary:
    """The concepts of a label map: id `i` is `names[i]` of `categories[i]`.

    Hashable, so it may be a static argument of a jitted function.

    Raises:
        ValueError: If entry 0 is not ("-", "-"), the two tuples differ in length, or a concept is
            malformed or listed twice.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if len(self.names) != len(self.categories):
            raise ValueError(
                f"`names` ({len(self.names)}) and `categories` ({len(self.categories)}) "
                "must have one entry per concept each"
            )
        if (self.names[:1], self.categories[:1]) != ((NONE,), (NONE,)):
            raise ValueError(f"`names` and `categories` must begin with {NONE!r}, meaning none")
        concepts = zip(self.names, self.categories, strict=True)
        _check((f"entry {i}", *concept) for i, concept in enumerate(concepts) if i > 0)

    def __len__(self) -> int:
        """Count the ids, "no label" among them."""
        return len(self.names)

    @property
    def category_names(self) -> tuple[str, ...]:
        """Categories that have concepts: those of `CATEGORIES`, then others as they appear."""
        present = dict.fromkeys(self.categories[1:])
        known = tuple(category for category in CATEGORIES if category in present)
        return known + tuple(category for category in present if category not in CATEGORIES)

    def index(self, name: str, *, category: str | None = None) -> int:
        """Return the id of a concept; `category` is needed where several have that name.

        Raises:
            ValueError: If there is no such concept (lists similar names), or more than one.
        """
        homes = {self.categories[i]: i for i, known in enumerate(self.names) if known == name}
        if not homes:
            raise ValueError(f"`name` (={name!r}) is no concept here{_similar(name, self.names)}")
        if category is None and len(homes) == 1:
            return next(iter(homes.values()))
        if category not in homes:
            raise ValueError(
                f"`category` (={category!r}) of `name` (={name!r}) must be one of: "
                f"{', '.join(homes)}"
            )
        return homes[category]

    def of_category(self, category: str) -> Int32[np.ndarray, "_"]:
        """Return the ids of a category's concepts, ascending.

        Raises:
            ValueError: If no concept has this category (lists those there are).
        """
        if category not in self.category_names:
            known = ", ".join(self.category_names)
            raise ValueError(f"`category` (={category!r}) must be one of: {known}")
        return np.flatnonzero(np.array(self.categories) == category).astype(np.int32)


def vocabulary(concepts: Iterable[tuple[str, str]]) -> Vocabulary:
    """Number concepts, given as (name, category), from 1; id 0 means none.

    Raises:
        ValueError: If a concept comes twice, or a name or category is empty, "-", padded with
            spaces, or holds unprintable characters (a line break, say).
    """
    return _numbered((f"`concepts`[{i}]", *concept) for i, concept in enumerate(concepts))


def merge_vocabularies(
    *vocabularies: Vocabulary,
) -> tuple[Vocabulary, tuple[Int32[np.ndarray, "_"], ...]]:
    """Join vocabularies; a concept of several of them becomes one.

    Concepts keep the order of their first appearance. Id 0 stays 0, unlike in the reference
    implementation, where a later segmenter's "none" becomes a concept named "-" of its own.

    Returns:
        The joined vocabulary, and for every input a table from its ids to the joined ids:
        `table[labels]` translates its label maps.
    """
    ids = {(NONE, NONE): 0}
    tables = []
    for known in vocabularies:
        concepts = zip(known.names, known.categories, strict=True)
        tables.append(np.array([ids.setdefault(pair, len(ids)) for pair in concepts], np.int32))
    names, categories = zip(*ids, strict=True)
    return Vocabulary(names, categories), tuple(tables)


def read_concepts(path: FilePath, *, first_label: int = 1) -> Vocabulary:
    """Read a vocabulary from a file, whose ending decides the format.

    - `.csv`, `.tsv`: a table with `id`, `name` and optionally `category` (left out: "object"),
      separated by `,`, `;` or tabs; the ids number the concepts without gaps, in any order; other
      columns are ignored.
    - `.txt`: such a table, or one name per line, numbered (`1: sky`, `1 sky`) or not, where line i
      (from 1) is id i; all of category "object".
    - `.json`: a label file of unified parsing, see `read_unified_parsing`, or of a semantic
      segmenter: `{"labels": [{"name": ..., "category": ..., "internal"?: ...}, ...]}`, numbered
      from 1, leaving out internal labels (outputs that stand for no concept) and repetitions
      (several outputs for one concept).

    Where id 0 is listed as what carries no label (`0: unlabeled`, `0,background`), it is id 0 here
    too. A first line `background` without a number is refused: it may be id 0 or id 1.

    Args:
        path: The file.
        first_label: Id of the first concept in the label maps and where the file numbers them: 1,
            or 0 where 0 is a concept (the vocabulary numbers it 1, as do sources of label maps that
            are told so, see `image_folder`).

    Raises:
        ValueError: If the file is not of these formats, names no concept, or a concept is
            malformed or repeated; the message names the file and line.
        OSError: If the file cannot be opened.
    """
    path = Path(path)
    if first_label not in (0, 1):
        raise ValueError(f"`first_label` (={first_label}) must be 0 or 1")
    endings = (".csv", ".tsv", ".txt", ".json")
    if path.suffix.lower() not in endings:
        raise ValueError(f"`path` (={str(path)!r}) must end in one of: {', '.join(endings)}")
    if path.suffix.lower() == ".json":
        result = _numbered(_json_entries(path))
    else:
        result = _numbered(_listed_entries(path, first_label))
    if len(result) == 1:
        raise ValueError(f"{path} names no concept")
    return result


def write_concepts(path_or_file: FilePath | io.TextIOBase, vocabulary: Vocabulary) -> None:
    """Write a vocabulary as CSV `id,name,category`, which `read_concepts` reads back equal.

    Args:
        path_or_file: A path, or a text file opened for writing with `newline=""`.
        vocabulary: What to write; id 0 is left out.
    """
    if isinstance(path_or_file, (str, os.PathLike)):
        with open(path_or_file, "w", encoding="utf-8", newline="") as file:
            return write_concepts(file, vocabulary)
    writer = csv.writer(path_or_file, lineterminator="\n")
    writer.writerow(("id", "name", "category"))
    concepts = zip(vocabulary.names, vocabulary.categories, strict=True)
    writer.writerows((i, *concept) for i, concept in enumerate(concepts) if i > 0)


def read_unified_parsing(
    path_or_dict: FilePath | Mapping[str, Any], *, quadrants: bool = True, all_parts: bool = True
) -> Vocabulary:
    """Number the concepts of the unified perceptual parsing network as its labels do.

    With O objects and M materials: objects 1 to O; if `quadrants`, their top, left, bottom and
    right halves in four blocks of O parts; M materials; then the parts, owner by owner in the
    order of the objects. A part named like an object is that object (`door` of a building), and a
    part of several owners (`leg`) is one concept.

    Args:
        path_or_dict: The label file, or its content: lists `object` and `material` of names and
            `object_part` from an object to the names of its parts, each list beginning with "-".
        quadrants: Whether every object has its four halves.
        all_parts: Whether every object keeps its parts, not only those of `FREQUENT_OWNERS`.

    Raises:
        ValueError: If the content has not this form; the message names the place.
        OSError: If the file cannot be opened.
    """
    if isinstance(path_or_dict, Mapping):
        content, where = path_or_dict, "`path_or_dict`"
    else:
        content, where = _json_content(Path(path_or_dict)), str(path_or_dict)
    entries = _unified_entries(where, content, quadrants=quadrants, all_parts=all_parts)
    return _numbered(entries)


def _unified_entries(
    where: str, content: Any, *, quadrants: bool = True, all_parts: bool = True
) -> Iterator[_Entry]:
    owned = content.get("object_part") if isinstance(content, Mapping) else None
    if not isinstance(owned, Mapping):
        raise ValueError(f"{where} must have an `object_part`, from objects to lists of parts")
    objects = _names_after_none(where, content, "object")
    materials = _names_after_none(where, content, "material")
    if strangers := [owner for owner in owned if owner not in objects]:
        raise ValueError(f"{where}, object_part: {strangers[0]!r} is no object of the file")
    halves = [name + suffix for suffix in QUADRANTS if quadrants for name in objects]
    owners = [name for name in objects if name in owned and (all_parts or name in FREQUENT_OWNERS)]
    parts = [part for owner in owners for part in _names_after_none(where, owned, owner)]
    own_parts = [part for part in dict.fromkeys(parts) if part not in objects]

    yield from ((f"{where}, object", name, "object") for name in objects)
    yield from ((f"{where}, object", name, "part") for name in halves)
    yield from ((f"{where}, material", name, "material") for name in materials)
    yield from ((f"{where}, object_part", name, "part") for name in own_parts)


def _names_after_none(where: str, content: Mapping[str, Any], key: str) -> list[str]:
    match content.get(key):
        case ["-", *names] if all(isinstance(name, str) for name in names):
            return names
        case other:
            raise ValueError(
                f"{where}: {key!r} must be a list of names that begins with {NONE!r}, "
                f"and is {str(other):.60}"
            )


def _json_entries(path: Path) -> Iterator[_Entry]:
    content = _json_content(path)
    if isinstance(content, Mapping) and isinstance(content.get("labels"), list):
        return _label_entries(path, content["labels"])
    if isinstance(content, Mapping) and "object_part" in content:
        return _unified_entries(str(path), content)
    raise ValueError(f"{path} is no known label file: it has neither `labels` nor `object_part`")


def _label_entries(path: Path, labels: list[Any]) -> Iterator[_Entry]:
    known = set()
    for i, label in enumerate(labels):
        match label:
            case {"name": str(name), "category": str(category)}:
                if label.get("internal") or name == NONE or (name, category) in known:
                    continue
                known.add((name, category))
                yield f"{path}, labels[{i}]", name, category
            case _:
                raise ValueError(
                    f"{path}, labels[{i}] must have a `name` and a `category`, and is {label!r}"
                )


def _json_content(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as problem:
        raise ValueError(f"{path}, line {problem.lineno}: no JSON, {problem.msg}") from None


def _listed_entries(path: Path, first_label: int) -> Iterator[_Entry]:
    listed = read_name_list(path)
    if listed and listed[0].number is not None:
        listed = _in_order_of_ids(listed, first_label)
    elif listed and listed[0].name.lower() in NOTHING - {NONE}:
        where, name, *_ = listed[0]
        if first_label == 0:
            raise ValueError(_nothing_as_concept(where, name))
        raise ValueError(
            f"{where}: is {name!r} id 0, which carries no label, or a concept with id 1? If it is "
            f"0, take the line out; if 1, number all lines, as in '1: {name}'"
        )
    return ((entry.where, entry.name, entry.category or CATEGORIES[0]) for entry in listed)


def _in_order_of_ids(listed: list[ListedName], first_label: int) -> list[ListedName]:
    """Sort concepts by their ids, which must count from `first_label`, and leave out nothing."""
    by_id: dict[int, ListedName] = {}
    for entry in listed:
        assert entry.number is not None  # all are numbered
        if entry.number in by_id:
            there = by_id[entry.number].where
            raise ValueError(f"{entry.where}: id {entry.number} is taken, see {there}")
        by_id[entry.number] = entry
    zero = by_id.get(0)
    is_nothing = zero is not None and zero.name.lower() in NOTHING
    if zero is not None and is_nothing and first_label == 0:
        raise ValueError(_nothing_as_concept(zero.where, zero.name))
    if zero is not None and not is_nothing and first_label == 1:
        raise ValueError(
            f"{zero.where}: id 0 is {zero.name!r}, but 0 means that nothing is labelled; if label "
            "maps hold 0 for this concept, give `first_label` 0"
        )
    if is_nothing:
        del by_id[0]
    last = first_label + len(by_id) - 1
    for number, (where, name, *_) in by_id.items():
        if not first_label <= number <= last:
            hint = (
                f"; if label maps hold {number} where nothing is labelled, take the line out and "
                f"give `ignore_label` {number}"
                if name.lower() in NOTHING
                else ""
            )
            raise ValueError(
                f"{where}: id {number} of {name!r} lies outside {first_label} to {last}; ids must "
                f"number the concepts without gaps{hint}"
            )
    return [by_id[number] for number in sorted(by_id)]


def _nothing_as_concept(where: str, name: str) -> str:
    return (
        f"{where}: id 0 is {name!r}, no concept, but `first_label` 0 makes it one; if label maps "
        "hold 0 there, leave `first_label` out; if they hold 0 for the concept that follows, take "
        "this line out and number the others, if at all, from 0"
    )


def _numbered(entries: Iterable[_Entry]) -> Vocabulary:
    listed = list(entries)
    _check(listed)
    names, categories = ((NONE, *(entry[i] for entry in listed)) for i in (1, 2))
    return Vocabulary(names, categories)


def _check(entries: Iterable[_Entry]) -> None:
    """Refuse malformed and repeated concepts, saying where they were written."""
    first: dict[tuple[str, str], str] = {}
    for where, *concept in entries:
        for part, text in zip(("name", "category"), concept, strict=True):
            if text in ("", NONE) or text != text.strip() or not text.isprintable():
                raise ValueError(
                    f"{where}: the {part} {text!r} must be printable, without outer spaces, "
                    f"neither empty nor {NONE!r}"
                )
        name, category = concept
        if (name, category) in first:
            raise ValueError(
                f"{where}: {name!r} of category {category!r} is listed already, see "
                f"{first[name, category]}"
            )
        first[name, category] = where


def _similar(name: str, names: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, dict.fromkeys(names))
    return f"; similar: {', '.join(matches)}" if matches else ""
