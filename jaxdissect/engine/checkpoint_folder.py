"""Whose folder of checkpoints it is: what a computation depends on, written and compared.

A folder belongs to one computation. Another one is refused, in a line that names what differs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from jaxdissect.arrays.names import shortened
from jaxdissect.engine.identity import is_content
from jaxdissect.engine.processes import in_first_process
from jaxdissect.engine.saved_files import damaged, read_json, remove_unfinished, write_json

IDENTITY, STATES, CHECKSUMS, LOCK = "identity.json", "states", "checksums", ".lock"

COMPUTATION = "computation"
"""Setting that differs whenever anything does; it is named only where nothing else differs."""

_LONGEST = 100  # characters of a setting in a message

_BEFORE = "settings.json"  # what earlier versions wrote, which knew less


def claim(folder: Path, settings: Mapping[str, Any], *, name: str = IDENTITY) -> None:
    """Take a folder for one computation, or check that it is that of the same one.

    Of several processes the first looks at it, and all raise what it raises.

    Args:
        folder: Made if it does not exist.
        settings: What the computation depends on, as JSON; written when there is no state yet.
        name: File to keep it in, for several that look at a folder from different sides.

    Raises:
        ValueError: If the folder holds states of a computation with other settings, or is damaged;
            the message names the settings that differ.
        OSError: If it cannot be read or written.
    """
    in_first_process(lambda: claim_alone(folder, settings, name=name))


def claim_alone(folder: Path, settings: Mapping[str, Any], *, name: str = IDENTITY) -> Path:
    """Do what `claim` does in this process alone, and return the folder, absolute."""
    folder = folder.resolve()
    make_folder(folder)
    path = folder / name
    remove_unfinished(folder, name=name)
    wanted = json.loads(json.dumps(settings))
    if path.exists():
        found = read_json(path, way_out=way_out(folder))
        if found == wanted:
            return folder
        # Where nothing was computed, perhaps because an option was wrong, there is nothing to mix.
        if any(folder.rglob(f"{CHECKSUMS}/*.json")):
            raise ValueError(
                f"{folder} holds a computation with other settings: "
                f"{'; '.join(_differences(found, wanted))}; {way_out(folder)}"
            )
    elif (folder / _BEFORE).exists():
        raise ValueError(
            f"{folder} holds a computation of an earlier version of jaxdissect, which does not "
            f"tell all that it depends on; {way_out(folder)}"
        )
    elif name == IDENTITY and any(folder.glob(f"{STATES}/*")):
        raise damaged(path, "it is missing", way_out(folder))
    write_json(path, wanted)
    return folder


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    names = [
        name
        for name in dict.fromkeys([*found, *wanted])
        if name not in found or name not in wanted or found[name] != wanted[name]
    ]
    named = [name for name in names if name != COMPUTATION] or names
    return [_difference(name, found.get(name), wanted.get(name)) for name in named]


def _difference(name: str, there: Any, here: Any) -> str:
    if is_content(there) and is_content(here):
        return f"{name} is not the same"
    there, here = (shortened(repr(value), _LONGEST) for value in (there, here))
    return f"{name} is {there} there and {here} here"


def make_folder(folder: Path) -> None:
    """Make a folder if it does not exist.

    Raises:
        ValueError: If something else is there.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder, to keep checkpoints in; give another one")
    folder.mkdir(parents=True, exist_ok=True)


def lock(folder: Path) -> IO[bytes]:
    """Keep other runs out of a folder, until the file is closed or the process ends.

    Raises:
        ValueError: If another run is in it, or something else than a folder is there.
    """
    make_folder(folder)
    file = open(folder / LOCK, "wb")  # noqa: SIM115
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as held:
        file.close()
        raise ValueError(
            f"{folder} is in use by another run; wait until that has ended, or give another folder"
        ) from held
    except (ImportError, OSError):  # not on every system
        pass
    return file


def way_out(folder: Path) -> str:
    """Say what to do about checkpoints that are of no use."""
    return f"give another folder, or delete {folder} to begin again"
