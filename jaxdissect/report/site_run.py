"""One dissection as a site shows it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxdissect.dissection.layer_examples import UnitExamples
from jaxdissect.dissection.result import Dissection
from jaxdissect.report.unit_effects import LayerEffects


class SiteRun(NamedTuple):
    """A dissection, and what else a site says of its units.

    Attributes:
        id: Names it in addresses: a-z, 0-9 and hyphens.
        name: Names it for readers.
        dissection: The result.
        examples: What there is to show of the units; None in results that were made without.
        photos: Address of the folder of photographs, relative to the page; None without examples.
        command: The command that made the result; None where that is not known.
        facts: What was done, as (label, value).
        effects: What the removal of units does, by layer, where that was measured.
        random_of: Id of the run of the same network with its own weights, if this one has random
            weights.
        random_weights: Their seed.
        notes: What a reader should know of this run, a sentence each.
    """

    id: str
    name: str
    dissection: Dissection
    examples: UnitExamples | None = None
    photos: str | None = None
    command: str | None = None
    facts: Sequence[tuple[str, str]] = ()
    effects: Mapping[str, LayerEffects] = {}
    random_of: str | None = None
    random_weights: int | None = None
    notes: Sequence[str] = ()
