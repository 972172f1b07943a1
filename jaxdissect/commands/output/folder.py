"""A folder of results that appears only when it is complete."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS_FILES = (
    "dissection.json",
    "ablation.json",
    "detectors.json",
    "style.json",
    "generation.json",
    "attack.json",
    "defence.json",
    "report.json",
    "reproduction.json",
    "detailed.json",
)
"""What commands write about themselves: a folder with none of these is not ours to replace."""


def check_free(path: Path, *, overwrite: bool) -> None:
    """Check that results can be put at a path.

    Args:
        path: The folder to be.
        overwrite: Whether it may hold results already.

    Raises:
        FileExistsError: If a file, other files or results that must be kept are there.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"`out`: {path} is a file")
    if not any(path.iterdir()):
        return
    if not any((path / mark).is_file() for mark in SETTINGS_FILES):
        raise FileExistsError(f"`out`: {path} is a folder of other files")
    if not overwrite:
        raise FileExistsError(f"`out`: {path} holds results already; `--overwrite` replaces them")


_UNFINISHED: set[Path] = set()
"""Folders that this process fills."""


def remove_unfinished() -> None:
    """Remove what this process has begun to fill, before the process ends without returning."""
    for folder in list(_UNFINISHED):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to fill, which takes its place at `path` only if nothing is raised.

    What was at `path` stays there until then. The folder that is filled lies beside it, so that
    taking the place is a rename. What a process that was killed has left beside it is removed.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    old = path.with_name(f"{hidden.name}.old")
    # While a process fills its folder it holds a lock on it, which ends with the process.
    with _locked(path.parent, wait=True):
        _remove_left(path)
        hidden.mkdir()
        lock = _lock(hidden, wait=False)
    _UNFINISHED.add(hidden)
    try:
        yield hidden
        check_free(path, overwrite=overwrite)
        if path.exists():
            path.rename(old)
        hidden.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    finally:
        _UNFINISHED.discard(hidden)
        _unlock(lock)
    shutil.rmtree(old, ignore_errors=True)


def _remove_left(path: Path) -> None:
    """Remove folders for `path` that no process fills any more; put results back at their place."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}(\.old)?")
    left = [found for found in path.parent.iterdir() if name.fullmatch(found.name)]
    for folder in sorted(left):
        with _locked(folder, wait=False) as is_free:
            in_use = folder.suffix == ".old" and folder.with_suffix("").exists()
            if not is_free or in_use or folder.is_symlink() or not folder.is_dir():
                continue
            if folder.suffix == ".old" and not path.exists():
                folder.rename(path)  # the process ended between two renames
            else:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a folder; yields whether it could be taken."""
    lock = _lock(folder, wait=wait)
    try:
        yield lock is not None
    finally:
        _unlock(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Take the lock of a folder, if the system and the file system have such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    lock = None
    try:
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        _unlock(lock)
        return None
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
