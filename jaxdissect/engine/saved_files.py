"""JSON files that notice when they were damaged: truncated, flipped, emptied, replaced.

A checksum of all that is in a file stands in the file itself.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jaxdissect.networks.weights.files import sha256

_CHECKSUM = "sha256"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object with its checksum; the file appears when it is complete."""
    plain = json.loads(json.dumps(content))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = json.dumps({**plain, _CHECKSUM: _checksum(plain)}, indent=1) + "\n"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a loss of power may leave the name without the content
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path, *, name: str = "*") -> None:
    """Remove what `write_json` leaves in a folder where its process is killed, of one file or all.

    Processes that write to the same folder at the same time would disturb each other.
    """
    for path in folder.glob(f".{name}.*.part"):
        path.unlink(missing_ok=True)


def read_json(
    path: Path, *, way_out: str, without_checksum: Collection[int] = ()
) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Args:
        path: The file.
        way_out: What the user may do if it is damaged, which ends the message.
        without_checksum: Values of "format" in files that were written before there were checksums.

    Raises:
        ValueError: If the file is damaged; the message names it.
        OSError: If it cannot be opened.
    """
    if path.is_dir():
        raise damaged(path, "it is a folder", way_out)
    raw = path.read_bytes()
    if not raw:
        raise damaged(path, "it is empty", way_out)
    try:
        content = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise damaged(path, "it is no JSON", way_out) from None
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object", way_out)
    found = content.pop(_CHECKSUM, None)
    older = found is None and content.get("format") in without_checksum
    if not older and found != _checksum(content):
        raise damaged(path, "its checksum does not match", way_out)
    return content


def check_file(path: Path, expected: str, *, way_out: str) -> None:
    """Check that a file is the one whose `jaxdissect.networks.weights.files.sha256` is known.

    Raises:
        ValueError: If it is missing, a folder, or was changed; the message names it.
        OSError: If it cannot be opened.
    """
    if not path.exists():
        raise damaged(path, "it is missing", way_out)
    if not path.is_file():
        raise damaged(path, "it is no file", way_out)
    if sha256(path) != expected:
        raise damaged(path, "its checksum does not match", way_out)


def damaged(path: Path, reason: str, way_out: str) -> ValueError:
    """Make the error of a file that was damaged."""
    return ValueError(f"{path} is damaged ({reason}): {way_out}")


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
