"""Import the functions that a user names on the command line, and report what they raise.

Whatever the user's own code raises becomes one ValueError that names the place in it.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any


def find_function(
    name: str, option: str, built_in: Sequence[str]
) -> tuple[Callable[[], Any], Path]:
    """Import the function of a name, FILE.py:FUNCTION or package.module:FUNCTION.

    The folder of a file, or for a module the current folder, becomes importable and stays so: the
    user's code may import more while it runs.

    Args:
        name: What the user gave.
        option: The option it was given as, for messages.
        built_in: Names that need no code, for messages.

    Returns:
        The function, and the folder of its code.

    Raises:
        OSError: If there is no such file.
        ValueError: If the name is malformed, nothing has it, or the user's code fails.
    """
    where, colon, function_name = name.rpartition(":")
    if not (colon and where and function_name):
        raise ValueError(
            f"`{option}` (={name!r}) must be FILE.py:FUNCTION, package.module:FUNCTION, "
            f"or one of: {', '.join(built_in)}"
        )
    path = Path(where).resolve() if where.endswith(".py") else None
    if path is not None and not path.is_file():
        raise FileNotFoundError(f"`{option}` (={name!r}): there is no file {where}")
    home = Path.cwd() if path is None else path.parent
    if str(home) not in sys.path:
        sys.path.insert(0, str(home))
    with user_code(f"`{option}` (={name!r}) cannot be imported", home):
        module = importlib.import_module(where) if path is None else _import_file(path)
    build = getattr(module, function_name, None)
    if not callable(build):
        functions = [key for key, value in vars(module).items() if _is_own_function(value, module)]
        raise ValueError(
            f"`{option}` (={name!r}): {where} has no function {function_name!r}; "
            f"its functions: {', '.join(functions) or 'none'}"
        )
    return build, home


@contextmanager
def user_code(failure: str, home: Path) -> Iterator[None]:
    """Turn what the user's code raises into one ValueError with the place in that code.

    Args:
        failure: What has failed, the beginning of the message.
        home: Folder of the user's code.

    Raises:
        ValueError: If anything is raised while the context is open.
    """
    try:
        yield
    except Exception as problem:
        if isinstance(problem, ValueError) and raised_by("jaxdissect", problem):
            raise
        message = f"{failure}: {type(problem).__name__}: {problem}"
        raise ValueError(message + _place(problem, home)) from problem


def raised_by(package: str, problem: BaseException) -> bool:
    """Whether an exception was raised by a package's own code, not by something it called."""
    frames = [frame for frame, _ in traceback.walk_tb(problem.__traceback__)]
    module = frames[-1].f_globals.get("__name__", "") if frames else ""
    return module.partition(".")[0] == package


def _import_file(path: Path) -> ModuleType:
    # Under a name of its own, so that a file called `jax.py` does no harm.
    name = f"_jaxdissect_model_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _place(problem: Exception, home: Path) -> str:
    """Name the line of the user's own code where a problem arose; nothing if it was not there."""
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if Path(frame.filename).is_relative_to(home) and "site-packages" not in frame.filename
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
