"""Compare the arrays of a file with what a network expects, before any number is read."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdissect.networks.weights.layouts import Stored
from jaxdissect.networks.weights.stored import Arrays, Shape, StoredArray, brief
from jaxdissect.networks.weights.wrappers import shared_prefix

MOST_LISTED = 40
"""Names of a kind that a message lists."""


class Expected(NamedTuple):
    """An array of a network.

    Attributes:
        path: Its dotted path in the network.
        shape: Its shape there.
        dtype: Its dtype there.
        places: For every path that leads to it, under which of several names and layouts a file may
            keep it, likeliest first; none if that is not known.
        optional: Whether the network has values for it, which stay if the file has none.
    """

    path: str
    shape: Shape
    dtype: Any
    places: tuple[tuple[Stored, ...], ...]
    optional: bool = False

    @property
    def stored(self) -> tuple[Stored, ...]:
        """All places in one row."""
        return tuple(stored for alternatives in self.places for stored in alternatives)


class Found(NamedTuple):
    """An array of a file that an array of a network is made of.

    Attributes:
        stored: Which one, and how.
        array: The array.
    """

    stored: Stored
    array: Any

    def read(self) -> np.ndarray:
        """Read the numbers, laid out as in the network."""
        return self.stored.from_file(np.asarray(self.array))


def fitted(
    arrays: Arrays,
    expected: Sequence[Expected],
    *,
    source: str,
    unused: Sequence[str] = (),
    advice: str = "",
) -> dict[str, tuple[Found, ...]]:
    """Find every array of a network in a file.

    Args:
        arrays: Those of the file. Counters `num_batches_tracked` are passed over, and a prefix that
            all names have, or all lack, if more of them are found with it or without.
        expected: Those of the network.
        source: What to call the file in messages.
        unused: Beginnings of names, up to a point, of arrays that the network does without.
        advice: What a message about names that differ ends with.

    Returns:
        By path: the array, and others that the file has for the same path under another name.
        Paths of optional arrays that the file lacks are left out.

    Raises:
        ValueError: If arrays are missing, left over, misshapen, or no floats; the message lists it
            all, up to `MOST_LISTED` of a kind, with the nearest names.
    """
    prefix = shared_prefix(arrays)
    if all(begins(stored.name, prefix) for one in expected for stored in one.stored):
        prefix = ""  # no news
    renamed = _best_names(arrays, expected)
    given = {renamed[name]: array for name, array in arrays.items()}
    left_out = {
        new
        for old, new in renamed.items()
        if any(begins(name, beginning) for name in (old, new) for beginning in unused)
    }
    passed_over = left_out.union(new for new in given if new.endswith("num_batches_tracked"))
    unread = [
        beginning
        for beginning in unused
        if not any(begins(name, beginning) for pair in renamed.items() for name in pair)
    ]
    found = {
        one.path: tuple(
            Found(there[0], given[there[0].name])
            for alternatives in one.places
            if (there := [stored for stored in alternatives if stored.name in given])
        )
        for one in expected
    }
    wanted = {one.stored.name for places in found.values() for one in places}
    known = passed_over | wanted
    left = {name: array for name, array in given.items() if name not in known}
    problems = {
        **_problems(expected, found, left),
        "in `unused`, but not in the file": [brief(beginning) for beginning in unread],
        "in `unused`, but with a place here": sorted(left_out & wanted),
    }
    if any(problems.values()):
        every = f"; every name of its arrays begins with {brief(prefix)}." if prefix else ""
        lists = [
            "\n".join([f"{len(lines)} {what}:", *_cut(lines)])
            for what, lines in problems.items()
            if lines
        ]
        if advice and (problems["missing"] or left):
            lists.append(advice)
        raise ValueError("\n".join([f"{source} does not fit the network{every}", *lists]))
    return {path: places for path, places in found.items() if places}


def _best_names(arrays: Arrays, expected: Sequence[Expected]) -> dict[str, str]:
    """Take a prefix off all names, or put one before them, if most of what is expected fits so."""
    wanted = {stored.name for one in expected for stored in one.stored}

    def fits(change: Callable[[str], str]) -> int:
        names = {change(name) for name in arrays}
        return sum(any(stored.name in names for stored in one.stored) for one in expected)

    changes: list[Callable[[str], str]] = [str]
    for prefix in _beginnings(shared_prefix(arrays)):
        changes.append(lambda name, prefix=prefix: name.removeprefix(prefix))
    for prefix in _beginnings(shared_prefix(wanted)):
        changes.append(lambda name, prefix=prefix: f"{prefix}{name}")
    best = max(changes, key=fits)
    return {name: best(name) for name in arrays}


def _beginnings(prefix: str) -> list[str]:
    parts = prefix.split(".") if prefix else []
    return [".".join(parts[: count + 1]) + "." for count in range(len(parts))]


def _problems(
    expected: Sequence[Expected], found: Mapping[str, tuple[Found, ...]], left: Arrays
) -> dict[str, list[str]]:
    """List what does not fit, by kind."""
    lacking = {
        one.stored[0].name: one.stored[0].shape or one.shape
        for one in expected
        if one.stored and not found[one.path] and not one.optional
    }
    missing = [
        f"{name} {list(shape)}{_nearest(name, shape, left) if place < MOST_LISTED else ''}"
        for place, (name, shape) in enumerate(lacking.items())
    ]
    strange = {
        place.stored.name: f"{place.stored.name}: {place.array.dtype}"
        for one in expected
        for place in found[one.path]
        if not _is_like(place.array, one.dtype)
    }
    return {
        "missing": missing,
        "unexpected": [f"{brief(name)} {brief(array.shape)}" for name, array in left.items()],
        "misshapen": _misshapen(expected, found),
        "no floating-point numbers": list(strange.values()),
        "of a layout that the kind of layer does not decide (`layouts` can)": [
            f"{one.path} {list(one.shape)}" for one in expected if not one.stored
        ],
    }


def begins(name: str, beginning: str) -> bool:
    """Find out whether a dotted name is another, or lies below it; all lie below an empty one."""
    return not beginning or name == beginning or name.startswith(f"{beginning}.")


def nearest(name: str, names: Iterable[str]) -> str:
    """Write which of some names is most like a name, as the end of a sentence; "" if none is."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.4)
    return f"; nearest: {found[0]}" if found else ""


def _nearest(name: str, shape: Shape, left: Arrays) -> str:
    """Name the array left over that is most like one that is missing."""
    # Long lists would take difflib minutes, and only some of them are of the same shape.
    same = [other for other, array in left.items() if array.shape == shape][:1000]
    found = difflib.get_close_matches(name, same, n=1, cutoff=0.3)
    if not found:
        module, _, own = name.rpartition(".")
        alike = [other.rpartition(".")[0] for other in left if other.rpartition(".")[2] == own]
        found = difflib.get_close_matches(module, alike[:1000], n=1, cutoff=0.6)
        found = [f"{module}.{own}".removeprefix(".") for module in found]
    return (
        f"; nearest in the file: {brief(found[0])} {brief(left[found[0]].shape)}" if found else ""
    )


def _misshapen(expected: Sequence[Expected], found: Mapping[str, tuple[Found, ...]]) -> list[str]:
    lines = {}
    for one in expected:
        for stored, array in found[one.path]:
            if stored.shape is None:
                lines[stored.name] = _misshapen_by_user(one, stored, array.shape)
            elif stored.shape != array.shape:
                got = brief(array.shape)
                lines[stored.name] = f"{stored.name}: expected {list(stored.shape)}, got {got}"
    return list(filter(None, lines.values()))


def _misshapen_by_user(one: Expected, stored: Stored, shape: Shape) -> str:
    """Say what a function of the user's makes of a shape, if it is not the one expected."""
    about = f"{stored.name} {brief(shape)}: `layouts` for {one.path}"
    try:
        made = np.shape(stored.from_file(np.broadcast_to(np.zeros((), np.float32), shape)))
    except Exception as problem:
        return f"{about} fails ({type(problem).__name__}: {problem})"
    return "" if made == one.shape else f"{about} gives {list(made)}, not {list(one.shape)}"


def _is_like(array: np.ndarray | StoredArray, dtype: Any) -> bool:
    if jnp.issubdtype(dtype, jnp.floating):
        return bool(jnp.issubdtype(array.dtype, jnp.floating))
    return array.dtype == np.dtype(dtype)


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return [f"  {line}" for line in lines[:MOST_LISTED]] + (
        [f"  ... and {more} more"] if more > 0 else []
    )
