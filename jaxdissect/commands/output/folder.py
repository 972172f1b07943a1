"""A folder of results that appears only when it is complete."""

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


@contextmanager
def new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder to fill, which takes its place at `path` only if nothing is raised.

    What was at `path` stays there until then. The folder that is filled lies beside it, so that
    taking the place is a rename.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    old = path.with_name(f"{hidden.name}.old")
    hidden.mkdir()
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
    shutil.rmtree(old, ignore_errors=True)
