"""Disks that are full: noticed before the work where it can be, and named by folder where not."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SIGNS = ("No space left on device", "Disk quota exceeded")  # as other libraries report them
_LEAST = 2**22  # bytes: the tables, figures and arrays of a small run

_WRITTEN = ("out", "target", "checkpoints", "folder", "image_cache")
"""Options of commands that name where something is written."""

_BESIDE = ("out", "target")
"""Those beside which it is collected first."""


def check_space(option: str, path: Path, *, needed: int = _LEAST) -> None:
    """Check before the work that there is space for its results.

    Args:
        option: Name of the option that names the place.
        path: The place; it need not be there yet.
        needed: Bytes that will be written at least.

    Raises:
        OSError: If there is less space, or the user may not write there.
    """
    folder = _folder(option, path)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, _message(option, folder))
    # A quota shows only when something is written.
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(min(needed, _LEAST)))
            probe.flush()
    except OSError as problem:
        if problem.errno in _FULL:
            raise OSError(problem.errno, _message(option, folder)) from None
        raise


def explain_full_disk(problem: BaseException, options: Any) -> str | None:
    """Say which disk is full, if that is why a command failed.

    Args:
        problem: What was raised.
        options: The options of the command.

    Returns:
        A line that names the folder, and the option that names it; None for other problems.
    """
    files = [_file(cause) for cause in _causes(problem) if _is_full(cause)]
    if not files:
        return None
    options = getattr(options, "subcommand", options)
    places = {name: getattr(options, name, None) for name in _WRITTEN}
    written = {name: Path(place) for name, place in places.items() if place is not None}
    known = [file for file in files if file is not None]
    if known:
        option = _option_of(known[0], written)
        folder = _folder(option, written[option]) if option in _BESIDE else known[0].parent
        return _message(option, folder)
    # Some writers do not tell which file it was: it is on the fullest disk.
    folders = {name: _folder(name, path) for name, path in written.items()}
    folders.setdefault("", Path(tempfile.gettempdir()))
    option = min(folders, key=lambda name: shutil.disk_usage(folders[name]).free)
    return _message(option, folders[option])


def _message(option: str, folder: Path) -> str:
    where = f", where `{option}` lies" if option else ""
    return (
        f"no space is left on the disk (or of your quota) in {folder}{where}: free some, or choose "
        "another place"
    )


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _is_full(problem: BaseException) -> bool:
    if isinstance(problem, OSError) and problem.errno in _FULL:
        return True
    return any(sign in str(problem) for sign in _SIGNS)


def _file(problem: BaseException) -> Path | None:
    name = getattr(problem, "filename", None)
    return None if name is None or isinstance(name, int) else Path(os.fsdecode(name))


def _option_of(file: Path, written: Mapping[str, Path]) -> str:
    """Name the option below whose folder a file lies; results are collected beside `out`."""
    parents = file.resolve().parents
    for name, path in written.items():
        place = path.resolve()
        if place in parents or (name in _BESIDE and place.parent in parents):
            return name
    return ""


def _folder(option: str, path: Path) -> Path:
    """Find the folder, of those that are there, in which something will be written."""
    path = path.resolve()
    folders = path.parents if option in _BESIDE else (path, *path.parents)
    return next(folder for folder in folders if folder.is_dir())
