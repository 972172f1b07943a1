"""Runs as files: `detailed.json`, which holds everything that was measured."""

import json
from pathlib import Path
from typing import Any

from jaxdissect.bench.plain_records import from_plain, to_plain
from jaxdissect.bench.record import SCHEMA, Run

RUN_FILE = "detailed.json"


def write_run(run: Run, folder: Path) -> Path:
    """Write `detailed.json`.

    Args:
        run: What was measured.
        folder: Where to; it must exist.

    Returns:
        The path of the file.

    Raises:
        TypeError: If the run holds what is no plain value.
    """
    path = folder / RUN_FILE
    path.write_text(_written(to_plain(run), "") + "\n", encoding="utf-8")
    return path


def read_run(path: Path) -> Run:
    """Read a run.

    Args:
        path: The file, whatever it is called, or the folder of `detailed.json`.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no run, or one of a newer version of jaxdissect.
    """
    file = path / RUN_FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise FileNotFoundError(f"{path} holds no {RUN_FILE}, as `jaxdissect bench` writes it")
    if not file.exists():
        raise FileNotFoundError(f"there is no run {path}: neither a folder of results nor a file")
    try:
        values = json.loads(file.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(f"{file} is no run of a benchmark: {problem}") from problem
    if not isinstance(values, dict) or "rows" not in values:
        raise ValueError(f"{file} is no run of a benchmark: it has no rows")
    schema = values.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
        raise ValueError(
            f"{file}: `schema` (={schema!r:.100}) must be from 1 to {SCHEMA}; a newer version of "
            "jaxdissect has written it, or nothing of jaxdissect"
        )
    return from_plain(Run, values, where=str(file), strict=False)


def _written(value: Any, indent: str) -> str:
    """Write JSON with a line for every record, and lists of single values on one line."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_single(key)}: {_written(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        lines = [inner + _written(item, inner) for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return _single(value)


def _single(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
