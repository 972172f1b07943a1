"""Results at another fraction of active pixels, where those at hand are exact for it, too.

The threshold t_u of a fraction f is the least activation that the unit exceeds on at most f of all
P pixels. It is also that of a smaller fraction f' for every unit that is active on at most f' P
pixels: a lower value is exceeded on more than f P, and so on more than f' P pixels. So units that
are never active, that reach a ceiling in many places, or whose activations have few values may
keep their threshold, and with it all counts; every other unit has another threshold, and nothing is
known of the pixels above it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jaxdissect.arrays.names import listed, printable
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.stats.quantile import upper_rank

if TYPE_CHECKING:
    from jaxdissect.dissection.result import Dissection


def at_fraction(result: "Dissection", fraction: float) -> "Dissection":
    """Return a result at another fraction, which is exact; for errors see `with_fraction`."""
    if not 0 <= fraction < 1:
        raise ValueError(f"`fraction` (={fraction}) must be at least 0 and below 1")
    settings = result.settings
    way_out = f"dissect again with {_preset(settings.get('preset'), fraction)}"
    kind, own = settings.get("thresholds"), settings.get("fraction")
    if kind != "order statistics" or own is None:
        said = f"are {kind}" if kind else "may have been given"
        raise ValueError(
            f"thresholds of the result {said}, so that they do not follow from a `fraction`: "
            f"{way_out}"
        )
    if fraction > own:
        raise ValueError(
            f"`fraction` (={fraction:g}) is greater than that of the result, {own:g}: thresholds "
            f"would be lower, and pixels between were not counted; {way_out}"
        )
    others = []
    for name, layer in result.layers.items():
        most = upper_rank(fraction, layer.counts.total)
        changed = int((layer.counts.unit > most).sum())
        if changed:
            others.append(f"{changed} of {layer.num_units} in layer {printable(name)!r}")
    if others:
        raise ValueError(
            f"units would have other thresholds at a `fraction` of {fraction:g} than at {own:g}, "
            f"and pixels above those were not counted: {listed(others)}; {way_out}"
        )
    return replace(result, settings={**settings, "fraction": fraction})


def _preset(name: Any, fraction: float) -> str:
    own = f"jaxdissect.{str(name).upper()}" if name in PRESETS else "your preset"
    return f"`preset=dataclasses.replace({own}, fraction={fraction:g})`"
