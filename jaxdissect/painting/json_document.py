"""Paintings as JSON: what the page saves and sends, read with a check of every single thing."""

import json
from collections.abc import Callable
from typing import Any, get_args

from jaxdissect.arrays.names import shortened
from jaxdissect.painting.document import Action, Paint, PaintedStroke, Painting
from jaxdissect.painting.strokes import Stroke

FORMAT, VERSION = "jaxdissect painting", 1

_MAX_TEXT = 200  # characters of a name
_MAX_UNITS = 4096  # of a paint


def to_json(painting: Painting) -> str:
    """Write a painting as JSON text, the same for equal paintings."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": painting.model,
        "digest": painting.digest,
        "layer": painting.layer,
        "image_size": list(painting.image_size),
        "latent_size": painting.latent_size,
        "seed": painting.seed,
        "example": painting.example,
        "paints": {
            name: {"units": list(paint.units), "values": list(paint.values)}
            for name, paint in painting.paints.items()
        },
        "strokes": [
            {
                "action": painted.action,
                "paint": painted.paint,
                "strength": painted.strength,
                "brush": painted.stroke.brush,
                "points": [list(point) for point in painted.stroke.points],
            }
            for painted in painting.strokes
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def from_json(text: str | bytes) -> Painting:
    """Read a painting.

    Args:
        text: What `to_json` wrote, or the painting page.

    Raises:
        ValueError: If it is no JSON, no painting, one of another version, or anything in it is
            missing, unknown, of another type or out of range; the message says where.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"a painting must be JSON: {problem}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"a painting must be a JSON object with 'format': {FORMAT!r}")
    if document.get("version") != VERSION:
        raise ValueError(
            f"`version` (={_shown(document.get('version'))}) must be {VERSION}, the only one that "
            "is known here"
        )
    _check_names("a painting", document, {"format", "version", *_TOP})
    values: dict[str, Any] = {name: read(document[name], name) for name, read in _TOP.items()}
    return Painting(**values)


# --- one reader for every kind of value; each knows where the value stands ----------------------

Read = Callable[[Any, str], Any]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise _wrong(where, value, f"text of at most {_MAX_TEXT} characters")
    return value


def _integer(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(where, value, "an integer")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e9:
        raise _wrong(where, value, "a number")
    return float(value)


def _action(value: Any, where: str) -> Action:
    if value not in get_args(Action):
        raise _wrong(where, value, f"one of: {', '.join(get_args(Action))}")
    return value


def _or_null(read: Read) -> Read:
    return lambda value, where: None if value is None else read(value, where)


def _several(read: Read, *, exactly: int | None = None, most: int | None = None) -> Read:
    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or (exactly is not None and len(value) != exactly):
            raise _wrong(where, value, "a list" + ("" if exactly is None else f" of {exactly}"))
        if most is not None and len(value) > most:
            raise ValueError(f"`{where}` must have at most {most} entries, not {len(value)}")
        return tuple(read(item, f"{where}[{i}]") for i, item in enumerate(value))

    return read_all


def _paints(value: Any, where: str) -> dict[str, Paint]:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    paints = {}
    for name, paint in value.items():
        place = f"{where}[{_text(name, where)!r}]"
        _check_names(place, paint, {"units", "values"})
        units = _several(_integer, most=_MAX_UNITS)(paint["units"], f"{place}.units")
        values = _several(_number, most=_MAX_UNITS)(paint["values"], f"{place}.values")
        paints[name] = _placed(place, lambda units=units, values=values: Paint(units, values))
    return paints


def _painted(value: Any, where: str) -> PaintedStroke:
    _check_names(where, value, {"action", "paint", "strength", "brush", "points"})
    found: dict[str, Any] = {
        name: read(value[name], f"{where}.{name}")
        for name, read in (
            ("action", _action),
            ("paint", _or_null(_text)),
            ("strength", _number),
            ("brush", _number),
            ("points", _several(_several(_number, exactly=2))),
        )
    }

    def build() -> PaintedStroke:
        stroke = Stroke(found["points"], found["brush"])
        return PaintedStroke(stroke, found["action"], found["paint"], found["strength"])

    return _placed(where, build)


_TOP: dict[str, Read] = {
    "model": _text,
    "digest": _or_null(_text),
    "layer": _text,
    "image_size": _several(_integer, exactly=2),
    "latent_size": _integer,
    "seed": _integer,
    "example": _integer,
    "paints": _paints,
    "strokes": _several(_painted),
}


def _check_names(where: str, value: Any, names: set[str]) -> None:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    missing, unknown = names - set(value), set(value) - names
    if missing:
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown:
        raise ValueError(f"{where} has what it should not: {_shown(sorted(unknown)[0])}")


def _placed(where: str, build: Callable[[], Any]) -> Any:
    """Build something, and say where it stands if it is refused."""
    try:
        return build()
    except ValueError as problem:
        raise ValueError(f"{where}: {problem}") from None


def _wrong(where: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"`{where}` (={_shown(value)}) must be {expected}")


def _shown(value: Any) -> str:
    return shortened(repr(value), 60)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it has no {name}")
