"""Find the other libraries, none of which must be installed."""

import importlib
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

EXTRA = "pip install 'jaxdissect[others]'"
"""What installs all of them."""


class MissingLibrary(Exception):
    """A library is not installed, or cannot be imported here; the text says which and why."""


def load(module: str) -> Any:
    """Import a module of another library.

    Args:
        module: Its name, such as "scipy.ndimage".

    Raises:
        MissingLibrary: If it cannot be imported; the text says how to install it where it is not.
    """
    library = module.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is deprecated in them is not ours to mend
            return importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name is None or problem.name.partition(".")[0] != library:
            raise MissingLibrary(f"{library} needs {problem.name}, not installed") from problem
        raise MissingLibrary(f"{library} is not installed: {EXTRA}") from problem
    except (ImportError, OSError, RuntimeError) as problem:  # such as a missing shared library
        raise MissingLibrary(f"{library} cannot be imported: {first_line(problem)}") from problem


def version_of(distribution: str) -> str:
    """Tell which version is installed; empty where none is."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def first_line(problem: BaseException) -> str:
    """Take the first line of a message, or what kind of problem it is."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)
