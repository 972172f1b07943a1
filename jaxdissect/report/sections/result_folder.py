"""Read a folder of results: its settings, its tables, and the names of its pictures.

Folders come from elsewhere, and from older runs: tables and columns that one lacks are left out,
and what cannot be read is named with its file.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdissect.arrays.names import text_of_csv_cell

Cell = str | int | float | bool | None
"""A cell of a table; None where nothing is known."""

Row = Mapping[str, Cell]
"""A row of a table, by the names of its columns."""

_PICTURES = (".png", ".svg")
"""Endings of pictures that a browser shows, the preferred one first."""


@dataclass(frozen=True)
class ResultFolder:
    """A folder that a command has written.

    Attributes:
        path: The folder.
        settings: What its settings file holds: facts by name, and the options under `command`.
        settings_file: The name of that file.
    """

    path: Path
    settings: Mapping[str, Any]
    settings_file: str

    def option(self, name: str) -> Any:
        """Return what an option of the command was; None where that is not known."""
        command = self.settings.get("command")
        return command.get(name) if isinstance(command, Mapping) else None

    def number(self, *names: str) -> int | float | None:
        """Return a number of the settings; None where there is none.

        Args:
            names: Its name; of one within others, all their names from the outside.
        """
        found: Any = self.settings
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return found if is_number else None

    def named(self, name: str, *, default: str) -> str:
        """Return the name that an option of the command was given.

        Args:
            name: The option.
            default: What is returned where that is not known.
        """
        found = self.option(name)
        return found if isinstance(found, str) else default

    def text(self, name: str, *, default: str = "a layer") -> str:
        """Return a text of the settings.

        Args:
            name: Its name.
            default: What is returned where there is none.
        """
        found = self.settings.get(name)
        return found if isinstance(found, str) else default

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return values of the settings by name; none where there are none."""
        found = self.settings.get(name)
        return found if isinstance(found, Mapping) else {}

    def has_table(self, name: str) -> bool:
        """Say whether there is a table, in any format."""
        return self._table(name) is not None

    def rows(
        self, name: str, *, texts: frozenset[str] = frozenset(), needs: Sequence[str] = ()
    ) -> Iterator[Row]:
        """Yield the rows of a table; none where there is no such table.

        Args:
            name: Its name without ending: CSV, JSON or Parquet, whichever there is.
            texts: Columns of names, which stay text even where they look like numbers. CSV files
                do not say which columns these are.
            needs: Columns without which its rows say nothing: a table of an older version that
                lacks one is as if it were not there.

        Raises:
            ValueError: If the file is not a table.
        """
        path = self._table(name)
        if path is None:
            return
        try:
            for row in _READERS[path.suffix](path, texts):
                if all(column in row for column in needs):
                    yield row
        except (ValueError, UnicodeError, csv.Error) as problem:
            raise ValueError(f"`folder`: {path} is no table: {problem}") from problem

    def file_of_table(self, name: str) -> str:
        """Name the file of a table, for captions."""
        path = self._table(name)
        return f"{name}.csv" if path is None else path.name

    def _table(self, name: str) -> Path | None:
        """Find the file of a table; settings may lie under the same name."""
        found = (self.path / f"{name}{ending}" for ending in _READERS)
        return next(
            (path for path in found if path.name != self.settings_file and path.is_file()), None
        )

    def picture(self, name: str) -> str | None:
        """Name the file of a picture that browsers show; None where there is none.

        Args:
            name: Its name without ending.
        """
        found = (f"{name}{ending}" for ending in _PICTURES)
        return next((file for file in found if (self.path / file).is_file()), None)

    def pictures(self, prefix: str) -> list[str]:
        """Name the files of all pictures whose names begin alike, each in one format, sorted."""
        stems = {
            file.stem
            for file in self.path.iterdir()
            if file.name.startswith(prefix) and file.suffix in _PICTURES and file.is_file()
        }
        return [file for stem in sorted(stems) if (file := self.picture(stem)) is not None]


def read_result_folder(path: str | Path, settings_file: str) -> ResultFolder:
    """Read the settings of a folder of results.

    Args:
        path: The folder.
        settings_file: Name of the file with its settings.

    Raises:
        ValueError: If the file does not hold a JSON object.
        OSError: If it cannot be read.
    """
    file = Path(path) / settings_file
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(f"`folder`: {file} is not JSON: {problem}") from problem
    if not isinstance(settings, dict):
        raise ValueError(f"`folder`: {file} does not hold a JSON object")
    return ResultFolder(Path(path), settings, settings_file)


def _read_csv(path: Path, texts: frozenset[str]) -> Iterator[Row]:
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, strict=True):
            if None in row or None in row.values():
                raise ValueError(f"a row has not as many cells as the header: {row}")
            yield {
                name: text_of_csv_cell(cell) if name in texts else _value(cell)
                for name, cell in row.items()
            }


def _value(cell: str) -> Cell:
    """Read a cell as the number that it is."""
    if not cell:
        return None
    if cell in ("True", "False"):
        return cell == "True"
    for number in (int, float):
        try:
            return number(cell)
        except ValueError:
            pass
    return text_of_csv_cell(cell)


def _read_json(path: Path, texts: frozenset[str]) -> Iterator[Row]:
    del texts  # JSON says which cells are text
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is not a list of objects")
    yield from rows


def _read_parquet(path: Path, texts: frozenset[str]) -> Iterator[Row]:
    del texts
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


_READERS = {".csv": _read_csv, ".json": _read_json, ".parquet": _read_parquet}
"""How a table is read, by the ending of its file; CSV, which commands write unasked, first."""
