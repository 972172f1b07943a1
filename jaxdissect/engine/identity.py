"""What a result depends on, by name: to know a computation again, also in another process.

A checkpoint is of use to the same computation alone. `fold_resumably` finds out what computation it
is: what its step computes, traced with all that it holds (weights, the functions of the user), its
examples, where it begins, and the code and libraries that run it. Callers add the names by which a
user knows the parts of it, so that a refusal says what differs.

Everything is told apart by content, never by place in memory: arrays by their numbers, functions
by what tracing them gives (`traced`) or, where they run on the host, by their code and what they
hold, files by name, size and time, sources by the examples that they give. Whatever else a user
passes may have a method `fingerprint()`, which returns anything of these that changes with it.
"""

import functools
import hashlib
import operator
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxdissect.engine.batching import Source
from jaxdissect.networks.jaxpr.contents import traced_contents

MAX_SAMPLE = 1024
"""How many examples of a source are looked at, evenly spread; all, if there are no more."""

_PACKAGE = Path(__file__).parents[1]
_MARK = "sha256:"
_LIBRARIES = ("jax", "numpy", "pillow")
_NOT_COMPUTING = ("commands", "plots", "report")
"""Packages that draw and write, which no kept state depends on."""


def content(value: Any) -> str:
    """Return a short text that tells a value from others, the same in every process.

    Args:
        value: Arrays, numbers, texts, paths, functions of the host, sources, and dictionaries,
            sequences, pytrees and dataclasses of them, or what has a method `fingerprint()`.

    Raises:
        ValueError: If there is anything else in it.
    """
    hashed = _Hash()
    hashed.add(value)
    return hashed.text()


def traced(function: Callable[..., Any], *arguments: Any) -> str:
    """Return a short text that tells what a function computes from others, in every process.

    Args:
        function: A function of pytrees of arrays, which is traced and not run; where it cannot be,
            because it runs on the host, it is known by its code and what it holds.
        arguments: Arrays or their `jax.ShapeDtypeStruct`, of which shapes and types count.

    Raises:
        ValueError: If it, or a function of the host that it calls, holds what cannot be told apart.
    """
    try:
        return content(traced_contents(function, *arguments))
    except jax.errors.JAXTypeError:  # it looks at the numbers
        return content(function)


@contextmanager
def looked_at_once() -> Iterator[None]:
    """Look at every source and at every large array once, however often it is asked for.

    For computations of many parts that have the same examples and the same network, which nobody
    changes meanwhile.
    """
    if _SEEN.get() is not None:
        yield
        return
    token = _SEEN.set({})
    try:
        yield
    finally:
        _SEEN.reset(token)


_SEEN: ContextVar[dict[int, tuple[Any, str]] | None] = ContextVar("seen", default=None)
"""What was looked at within `looked_at_once`, by its `id`, which it keeps while it is held."""

_LARGE = 2**16  # bytes of an array that are worth it


def _once(value: Any, find: Callable[[], str]) -> str:
    """Find the text of a value, or return what was found before."""
    seen = _SEEN.get()
    if seen is None:
        return find()
    if id(value) not in seen:
        seen[id(value)] = value, find()
    return seen[id(value)][1]


def is_content(value: Any) -> bool:
    """Tell whether a value is a text of `content` or `traced`, which says nothing to a reader."""
    return isinstance(value, str) and value.startswith(_MARK)


def software() -> dict[str, str]:
    """Return what runs a computation: code, libraries and kind of device, by name."""
    return {
        "jaxdissect": f"{_version('jaxdissect')} ({code_digest(_PACKAGE)})",
        **{name: _version(name) for name in _LIBRARIES},
        "device": jax.default_backend(),
        "precision": str(jax.config.values["jax_default_matmul_precision"]),
    }


def digest(*trees: PyTree) -> str:
    """Tell arrays apart by a short text, which saved results and paintings keep."""
    text = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        text.update(f"{array.dtype}{array.shape}".encode())
        text.update(array.tobytes())
    return text.hexdigest()[:16]


def spread(number: int) -> list[int]:
    """Choose up to `MAX_SAMPLE` of so many examples, evenly spread, with the first and the last."""
    chosen = np.linspace(0, number - 1, min(number, MAX_SAMPLE)).round().astype(int)
    return [int(place) for place in np.unique(chosen)]


@functools.cache
def code_digest(package: Path) -> str:
    """Tell the code of a package from earlier states of it, but for what draws and writes."""
    text = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] not in _NOT_COMPUTING:
            text.update(f"{place.as_posix()}\n".encode())
            text.update(path.read_bytes())
    return text.hexdigest()[:8]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


# --- contents -------------------------------------------------------------------------------------


class _Hash:
    """A hash of nested values. Every part begins with its type, so that parts cannot run on."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._open: list[int] = []  # what is being added, for values that hold themselves

    def text(self) -> str:
        return _MARK + self._hash.hexdigest()[:16]

    def add(self, value: Any) -> None:
        if isinstance(value, bytes):
            self._mark("bytes", str(len(value)))
            self._hash.update(value)
        elif value is None or isinstance(value, (bool, int, float, complex, str)):
            self._mark(type(value).__name__, repr(value))
        elif isinstance(value, Enum):
            self._mark("enum", type(value).__qualname__, value.name)
        elif hasattr(value, "dtype") and hasattr(value, "__array__"):
            self._add_array(value)
        elif id(value) in self._open:
            self._mark("again", str(len(self._open) - self._open.index(id(value))))
        else:
            self._open.append(id(value))
            self._add_compound(value)
            self._open.pop()

    def _mark(self, *words: str) -> None:
        for word in words:
            raw = word.encode("utf-8", "surrogateescape")
            self._hash.update(f"{len(raw)}:".encode() + raw)

    def _add_array(self, value: Any) -> None:
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        if isinstance(value, jax.Array) and value.nbytes >= _LARGE:  # it cannot change
            self._mark("large", _once(value, lambda: self._apart(_Hash._add_numbers, value)))
        elif value.size * value.dtype.itemsize >= _LARGE:
            self._mark("large", self._apart(_Hash._add_numbers, value))
        else:
            self._add_numbers(value)

    def _apart(self, add: Callable[["_Hash", Any], None], value: Any) -> str:
        """Hash a value by itself."""
        hashed = _Hash()
        hashed._open = self._open
        add(hashed, value)
        return hashed.text()

    def _add_numbers(self, value: Any) -> None:
        array = np.asarray(value)
        if array.dtype == object:
            self._mark("objects", str(array.shape))
            self._add_all(array.ravel().tolist())
            return
        self._mark("array", str(array.dtype), str(array.shape))
        # Piece by piece where it is laid out in another order, which takes a copy.
        for piece in (array,) if array.flags.c_contiguous or array.ndim < 2 else array:
            self._hash.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _add_compound(self, value: Any) -> None:
        if callable(getattr(value, "stands_for", None)) and not isinstance(value, type):
            self.add(value.stands_for())
        elif callable(getattr(value, "fingerprint", None)) and not isinstance(value, type):
            own = _once(value, lambda: self._apart(_Hash.add, value.fingerprint()))
            self._mark("own", type(value).__qualname__, own)
        elif isinstance(value, Mapping):
            self._mark("mapping", str(len(value)))
            for key, item in sorted(value.items(), key=lambda pair: repr(pair[0])):
                self.add(key)
                self.add(item)
        elif isinstance(value, Set):
            self._mark("set", *sorted(content(item) for item in value))
        elif isinstance(value, (tuple, list, range)):
            self._mark("sequence", str(len(value)))
            self._add_all(value)
        elif isinstance(value, Path):
            self._add_path(value)
        elif isinstance(value, Source) and not isinstance(value, type):
            self._add_source(value)
        elif is_dataclass(value) and not isinstance(value, type):
            self._mark("dataclass", type(value).__qualname__)
            self.add({field.name: getattr(value, field.name) for field in fields(value)})
            if _is_users(type(value)):
                self._add_class(type(value))
        elif isinstance(value, types.ModuleType):
            self._mark("module", value.__name__)
        elif isinstance(value, np.dtype):
            self._mark("dtype", str(value))
        elif isinstance(value, type):
            self._add_class(value)
        elif callable(value):
            self._add_function(value)
        elif isinstance(value, Iterator):  # which reading would use up
            raise _cannot_tell(value)
        elif (parts := jax.tree_util.tree_flatten_with_path(value)[0]) and parts[0][1] is not value:
            self._mark("tree", str(len(parts)))
            for path, leaf in parts:
                self._mark(jax.tree_util.keystr(path))
                self.add(leaf)
        else:
            raise _cannot_tell(value)

    def _add_path(self, path: Path) -> None:
        self._mark("path", path.name)
        if path.is_file():
            found = path.stat()
            self._mark(str(found.st_size), str(found.st_mtime_ns))

    def _add_source(self, source: Any) -> None:
        found = _once(source, lambda: self._apart(_Hash._add_examples, source))
        self._mark("source", str(len(source)), found)

    def _add_examples(self, source: Any) -> None:
        for place in spread(len(source)):
            example = source[place]
            plain = isinstance(example, Mapping)
            self.add({k: _as_array(v) for k, v in example.items()} if plain else example)

    # What runs on the host cannot be traced: its code is compared, and all that this code reads.

    def _add_function(self, function: Any) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        if isinstance(function, functools.partial):
            self._mark("partial")
            self._add_all((function.func, function.args, function.keywords))
        elif isinstance(function, types.MethodType):
            self._mark("method")
            self._add_all((function.__func__, function.__self__))
        elif isinstance(function, types.FunctionType):
            self._add_python_function(function)
        elif wrapped is not None:  # by `jax.jit`, for example
            self._mark("wrapped", type(function).__qualname__)
            self.add(wrapped)
        elif isinstance(function, (types.BuiltinFunctionType, np.ufunc)):
            self._mark("built in", str(getattr(function, "__module__", "")), function.__name__)
            owner = getattr(function, "__self__", None)
            if owner is not None and not isinstance(owner, types.ModuleType):
                self.add(owner)
        elif hasattr(function, "__dict__"):
            self._mark("object")
            self.add(type(function))
            self.add(vars(function))
        else:
            raise _cannot_tell(function)

    def _add_python_function(self, function: types.FunctionType) -> None:
        self._mark("function")
        if _is_of_a_package(function):
            self._mark(function.__module__, function.__qualname__)
            return
        self._add_all((function.__defaults__, function.__kwdefaults__))
        self._add_all(cell.cell_contents for cell in function.__closure__ or ())
        if not _is_users(function):
            self._mark(function.__module__, function.__qualname__)
            return
        self._add_code(function.__code__)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self._mark(name)
                self.add(function.__globals__[name])

    def _add_code(self, code: types.CodeType) -> None:
        self._mark("code", str(code.co_argcount), *code.co_names)
        self.add(code.co_code)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self.add(constant)

    def _add_class(self, kind: type) -> None:
        self._mark("class", kind.__qualname__)
        if not _is_users(kind):
            self._mark(kind.__module__)
            return
        for base in kind.__bases__:
            self.add(base)
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, types.FunctionType):
                self._mark(name)
                self.add(member)


def _cannot_tell(value: Any) -> ValueError:
    kind = type(value)
    return ValueError(
        f"`checkpoints` need to know what results depend on, and a {kind.__module__}."
        f"{kind.__qualname__} cannot be told from others of its kind: give it a method "
        "`fingerprint()` that returns a text which changes with it, or leave `checkpoints` out"
    )


def _as_array(value: Any) -> Any:
    return value if isinstance(value, (str, bytes)) else np.asarray(value)


def _names(code: types.CodeType) -> set[str]:
    """Names that code, and the code of functions in it, may look up."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_of_a_package(function: types.FunctionType) -> bool:
    """Tell whether a function is what a package has under its name, decorated or not."""
    module = sys.modules.get(function.__module__)
    try:
        named = operator.attrgetter(function.__qualname__)(module)
    except AttributeError:
        return False
    file = getattr(module, "__file__", None)
    return named is function and file is not None and _is_installed(file)


def _is_users(thing: Any) -> bool:
    """Tell code of the user's from that of packages, which their versions tell apart."""
    code = getattr(thing, "__code__", None)
    if code is None:
        file = getattr(sys.modules.get(thing.__module__), "__file__", None)
        if file is None:  # a built-in type, or one of a notebook or prompt
            return thing.__module__ == "__main__"
    else:
        file = code.co_filename
    return not _is_installed(file)


def _is_installed(file: str) -> bool:
    return any(Path(file).is_relative_to(place) for place in _INSTALLED)


_INSTALLED = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    _PACKAGE,
)
