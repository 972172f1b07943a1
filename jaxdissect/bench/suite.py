"""Suites: files that list what is measured, with which sizes and for how long."""

import dataclasses
import fnmatch
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from jaxdissect.bench.catalog import STUDIES, WORKLOADS
from jaxdissect.bench.plain_records import from_plain, refuse_unknown
from jaxdissect.bench.study import Study
from jaxdissect.bench.workload import Workload

SUITE_SCHEMA = 1
"""Version of these files."""

SUITES = ("smoke", "cpu", "gpu", "full")
"""The suites of jaxdissect itself, the shortest first."""

_LEAST_REPEATS = 3
_ROOF_SECONDS = 10.0
_KEYS = ("schema", "title", "seconds", "least_repeats", "roof_seconds", "rows", "studies")
_MOST_COMBINATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """One row of a suite.

    Attributes:
        name: Unique among the rows of its suite, such as "forward vgg16".
        workload: What is timed.
        sizes: Its sizes, a record of `workload.sizes`.
        seconds: For how long it is timed at least, without compiling.
        least_repeats: How many repeats there are at least, whatever they take.
    """

    name: str
    workload: Workload[Any]
    sizes: Any
    seconds: float
    least_repeats: int


@dataclass(frozen=True, kw_only=True)
class SuiteStudy:
    """One study of a suite.

    Attributes:
        name: Unique among the studies of its suite.
        study: What is studied.
        sizes: Its sizes, a record of `study.sizes`.
    """

    name: str
    study: Study[Any]
    sizes: Any


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is measured in one run.

    Attributes:
        name: Of the suite, or of its file without the ending; those of a joint one with "+".
        title: What it is for, in a sentence.
        roof_seconds: For how long the roofs are measured, before the rows and again after them.
        rows: What is timed, in this order.
        studies: What is studied after that, in this order.
    """

    name: str
    title: str
    roof_seconds: float
    rows: tuple[SuiteRow, ...]
    studies: tuple[SuiteStudy, ...]

    def names(self) -> tuple[str, ...]:
        """Name all rows, then all studies."""
        return tuple(entry.name for entry in (*self.rows, *self.studies))

    def only(self, wanted: Sequence[str]) -> "Suite":
        """Leave out what nobody asks for.

        Args:
            wanted: Names of rows, studies or workloads, perhaps with `*` for any letters.

        Raises:
            ValueError: If nothing has one of these names.
        """
        for pattern in wanted:
            if not any(_matches(entry, pattern) for entry in (*self.rows, *self.studies)):
                raise ValueError(
                    f"`only` (={pattern!r}) names nothing of the suite {self.name}; it has: "
                    f"{', '.join(self.names())}"
                )
        return dataclasses.replace(
            self,
            rows=tuple(row for row in self.rows if _any_matches(row, wanted)),
            studies=tuple(study for study in self.studies if _any_matches(study, wanted)),
        )

    def and_also(self, other: "Suite") -> "Suite":
        """Append what another suite measures.

        Raises:
            ValueError: If both have something of the same name.
        """
        joint = dataclasses.replace(
            self,
            name=f"{self.name}+{other.name}",
            title=f"{self.title} {other.title}".strip(),
            rows=self.rows + other.rows,
            studies=self.studies + other.studies,
        )
        _refuse_doubled(joint)
        return joint


def read_suite(
    suite: str | Path,
    *,
    workloads: Mapping[str, Workload[Any]] = WORKLOADS,
    studies: Mapping[str, Study[Any]] = STUDIES,
) -> Suite:
    """Read a suite.

    Args:
        suite: One of `SUITES`, or the path of a YAML file.
        workloads: What its rows may name.
        studies: What its studies may name.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        ValueError: If it is no suite: no YAML, or with keys, names or values that nobody knows.
            The message names the place, and what is possible there.
    """
    if isinstance(suite, str):
        if suite not in SUITES:
            raise ValueError(f"`suite` (={suite!r}) must be one of: {', '.join(SUITES)}")
        text = (files("jaxdissect.bench") / "suites" / f"{suite}.yaml").read_text("utf-8")
        return parse_suite(text, name=suite, workloads=workloads, studies=studies)
    if not suite.exists() or suite.is_dir():
        raise FileNotFoundError(f"there is no file {suite}, which should hold a suite")
    try:
        text = suite.read_text("utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{suite} is no text: {problem}") from problem
    try:
        return parse_suite(text, name=suite.stem, workloads=workloads, studies=studies)
    except ValueError as problem:
        raise ValueError(f"{suite}: {problem}") from problem


def parse_suite(
    text: str,
    *,
    name: str,
    workloads: Mapping[str, Workload[Any]] = WORKLOADS,
    studies: Mapping[str, Study[Any]] = STUDIES,
) -> Suite:
    """Make a suite of the text of its file.

    Args:
        text: YAML.
        name: Of the suite.
        workloads: What its rows may name.
        studies: What its studies may name.

    Raises:
        ValueError: If it is no suite, see `read_suite`.
    """
    given = _parsed(text)
    if not isinstance(given, Mapping):
        raise ValueError(f"the suite must have the keys {', '.join(_KEYS)}")
    refuse_unknown(given, _KEYS, where="the suite")
    if given.get("schema") != SUITE_SCHEMA:
        raise ValueError(
            f"`schema` (={given.get('schema')!r}) must be {SUITE_SCHEMA}, the version of suites "
            "that this version of jaxdissect reads"
        )
    title = given.get("title", "")
    if not isinstance(title, str):
        raise ValueError(f"`title` (={title!r:.100}) must be text")
    seconds = _seconds(given.get("seconds", 1.0), "the suite")
    repeats = _repeats(given.get("least_repeats", _LEAST_REPEATS), "the suite")
    rows = tuple(
        row
        for number, entry in enumerate(_list(given, "rows"), start=1)
        for row in _rows(entry, f"row {number}", workloads, seconds, repeats)
    )
    found = tuple(
        study
        for number, entry in enumerate(_list(given, "studies"), start=1)
        for study in _studies(entry, f"study {number}", studies)
    )
    if not rows and not found:
        raise ValueError("`rows` or `studies` must list something to measure")
    roofs = _seconds(given.get("roof_seconds", _ROOF_SECONDS), "the suite", "roof_seconds")
    if not roofs:
        raise ValueError("`roof_seconds` (=0) must be above 0")
    suite = Suite(name=name, title=title, roof_seconds=roofs, rows=rows, studies=found)
    _refuse_doubled(suite)
    return suite


# --- entries --------------------------------------------------------------------------------------


def _rows(
    entry: Any,
    where: str,
    workloads: Mapping[str, Workload[Any]],
    seconds: float,
    least_repeats: int,
) -> Iterator[SuiteRow]:
    kind, where, entry = _kind(entry, "workload", where, workloads)
    own_seconds = _seconds(entry.pop("seconds", seconds), where)
    own_repeats = _repeats(entry.pop("least_repeats", least_repeats), where)
    for name, sizes in _combinations(entry, kind.name, kind.sizes, where):
        yield SuiteRow(
            name=name,
            workload=kind,
            sizes=sizes,
            seconds=own_seconds,
            least_repeats=own_repeats,
        )


def _studies(entry: Any, where: str, studies: Mapping[str, Study[Any]]) -> Iterator[SuiteStudy]:
    kind, where, entry = _kind(entry, "study", where, studies)
    for name, sizes in _combinations(entry, kind.name, kind.sizes, where):
        yield SuiteStudy(name=name, study=kind, sizes=sizes)


def _kind(
    entry: Any, key: str, where: str, known: Mapping[str, Any]
) -> tuple[Any, str, dict[str, Any]]:
    """Find what an entry names; also how messages call it, and its other keys."""
    if not isinstance(entry, Mapping) or key not in entry:
        raise ValueError(f"{where} (={entry!r:.100}) must have the key `{key}`")
    others = dict(entry)
    word = others.pop(key)
    if not isinstance(word, str) or word not in known:
        raise ValueError(
            f"{where}: `{key}` (={word!r:.100}) must be one of: {', '.join(known) or '(none)'}"
        )
    return known[word], f"{where} ({word})", others


def _combinations(
    entry: dict[str, Any], kind: str, sizes: type[Any], where: str
) -> Iterator[tuple[str, Any]]:
    """Make a name and sizes for every combination of what an entry sweeps."""
    name = entry.pop("name", None)
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ValueError(f"{where}: `name` (={name!r:.100}) must be text")
    sweep = entry.pop("sweep", {})
    known = [field.name for field in dataclasses.fields(sizes)]
    if not isinstance(sweep, Mapping) or not all(
        isinstance(values, list) and values for values in sweep.values()
    ):
        raise ValueError(f"{where}: `sweep` (={sweep!r:.100}) must have lists of values by size")
    # `sweep` among the keys that may stand here, for who has misspelled it.
    refuse_unknown(entry, [*known, "name", "sweep"], where=where)
    refuse_unknown(sweep, known, where=f"{where}, `sweep`")
    if twice := sorted(set(sweep) & set(entry)):
        raise ValueError(f"{where}: `{twice[0]}` is given, and in `sweep` too")
    if math.prod(len(values) for values in sweep.values()) > _MOST_COMBINATIONS:
        raise ValueError(f"{where}: `sweep` makes more than {_MOST_COMBINATIONS} rows")
    for values in itertools.product(*sweep.values()):
        swept = dict(zip(sweep, values, strict=True))
        shown = swept if name is not None else entry | swept
        full = " ".join([name or kind, *(_shown(key, value) for key, value in shown.items())])
        yield full, from_plain(sizes, entry | swept, where=where)


def _shown(key: str, value: Any) -> str:
    """Write a size as a part of a name: words speak for themselves, numbers do not."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if isinstance(value, list | tuple):
        return f"{key} {'x'.join(map(str, value))}"
    return f"{key} {value}"


def _list(given: Mapping[str, Any], key: str) -> list[Any]:
    entries = given.get(key, [])
    if not isinstance(entries, list):
        raise ValueError(f"`{key}` (={entries!r:.100}) must be a list")
    return entries


def _seconds(value: Any, where: str, key: str = "seconds") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError(f"{where}: `{key}` (={value!r:.100}) must be a number of at least 0")
    return float(value)


def _repeats(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: `least_repeats` (={value!r:.100}) must be at least 1")
    return value


def _refuse_doubled(suite: Suite) -> None:
    """Refuse names that stand for two things: they could not be told apart, nor compared."""
    names = suite.names()
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{', '.join(doubled)}: measured twice under the same name; give one of them a `name`"
        )


def _matches(entry: SuiteRow | SuiteStudy, pattern: str) -> bool:
    kind = entry.workload.name if isinstance(entry, SuiteRow) else entry.study.name
    return fnmatch.fnmatchcase(entry.name, pattern) or kind == pattern


def _any_matches(entry: SuiteRow | SuiteStudy, patterns: Sequence[str]) -> bool:
    return any(_matches(entry, pattern) for pattern in patterns)


# --- YAML -----------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, and refuses keys that are given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, (written, _) in zip(keys, node.value, strict=True):
            if keys.count(key) > 1:
                line = written.start_mark.line + 1
                raise yaml.YAMLError(f"`{key}` is given twice, again in line {line}")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as problem:
        raise ValueError(f"no YAML: {' '.join(str(problem).split())}") from problem
