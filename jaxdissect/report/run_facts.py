"""What was done in a dissection, in lines for readers."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxdissect.dissection.result import Dissection

_SCOPES = {
    "all_pixels": "all pixels",
    "annotated_images": "images with annotations of the category",
    "annotated_pixels": "pixels with annotations of the category",
}


def run_facts(result: Dissection, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what was dissected and how, as (label, value).

    Args:
        result: The dissection.
        run: What `run.json` holds of the computation; nothing in results of older versions.
    """
    return [(label, text) for label, text in _facts(result, run) if text]


def _facts(result: Dissection, run: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    settings = result.settings
    command = settings.get("command")
    options = command if isinstance(command, Mapping) else {}
    summary = run.get("summary")
    summary = summary if isinstance(summary, Mapping) else {}
    yield "Network", _network(options, result)
    yield "Images", _images(settings, summary)
    yield "Concepts", _concepts(result)
    yield "Layers", f"{len(result.layers)}, with {_units(result):,} units in all"
    yield "Preset", _text(settings.get("preset"))
    yield "Active", _active(settings)
    limits = sorted({layer.min_iou for layer in result.layers.values()})
    yield "Detector", f"IoU above {', '.join(f'{limit:g}' for limit in limits)}"
    scope = settings.get("scope")
    if isinstance(scope, str):
        yield "IoU counted on", _SCOPES.get(scope, scope)
    grid = settings.get("grid")
    if isinstance(grid, list):
        yield "Label grid", " × ".join(map(str, grid))
    devices = run.get("devices")
    seconds = summary.get("seconds")
    if isinstance(seconds, float):
        where = f" on {', '.join(sorted(set(map(str, devices))))}" if devices else ""
        yield "Computed", f"in {_duration(seconds)}{where}"
    versions = run.get("versions")
    made_by = settings.get("jaxdissect")
    if isinstance(versions, Mapping):
        yield "Versions", ", ".join(f"{name} {number}" for name, number in versions.items())
    elif isinstance(made_by, str):
        yield "Versions", f"jaxdissect {made_by}"


def _network(options: Mapping[str, Any], result: Dissection) -> str | None:
    parts = [_text(options.get("model"))]
    if weights := _text(options.get("weights")):
        parts.append(f"weights {weights}")
    if (seed := options.get("random_weights")) is not None:
        parts.append(f"random weights from seed {seed}")
    if result.provenance is not None:
        parts.append(f"digest {result.provenance.network}")
    return ", ".join(part for part in parts if part) or None


def _active(settings: Mapping[str, Any]) -> str | None:
    kind, fraction = settings.get("thresholds"), settings.get("fraction")
    if kind == "given":
        return "above thresholds that were given"
    if not isinstance(fraction, float):
        return None
    # Results of older versions do not say whether their thresholds were found or given.
    by = {
        "order statistics": ", above an exact threshold of each unit",
        "interpolated": ", above an interpolated threshold of each unit",
    }.get(str(kind), "")
    at_most = "" if kind == "interpolated" else "at most "
    return f"on {at_most}{100 * fraction:.3g}% of all pixels{by}"


def _images(settings: Mapping[str, Any], summary: Mapping[str, Any]) -> str | None:
    number, source = settings.get("examples"), _text(summary.get("source"))
    if source and source[:1].isdigit():
        return source
    counted = f"{number:,}" if isinstance(number, int) else None
    return ": ".join(part for part in (counted, source) if part) or None


def _concepts(result: Dissection) -> str:
    vocabulary = result.vocabulary
    counts = (
        f"{len(vocabulary.of_category(category)):,} of category {category}"
        for category in vocabulary.category_names
    )
    return f"{len(vocabulary) - 1:,}: {', '.join(counts)}"


def _units(result: Dissection) -> int:
    return sum(layer.num_units for layer in result.layers.values())


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "", []) else None
