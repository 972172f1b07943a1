"""An experiment of a paper: what runs, on what, and which figures were published of it.

An experiment says nothing of how it is computed: that is its procedure's, by whose name it goes.
What it holds is read from a configuration file, see `read_experiment`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxdissect.arrays.representation import short_repr

KNOWN: Mapping[str, str] = {
    "printed": "printed as a number in a figure of the published code's README",
    "read off": "read off a figure of the published code's README by measuring pixels",
    "quoted": "quoted from the paper at second hand, not checked against the paper itself",
    "counted": "counted in the published label files",
    "unconfirmed": "from memory, confirmed by nothing: shown, never compared",
}
"""How a published figure is known, in words."""

NOT_COMPARED = frozenset(("unconfirmed",))
"""Kinds of knowledge that nothing is compared with."""


@dataclass(frozen=True)
class PublishedFigure:
    """A number that was published, and how near a measured one must come.

    Attributes:
        quantity: Name of what the procedure measures.
        text: What it is, for people.
        value: The number.
        unit: What it counts, or "%".
        known: How it is known, a key of `KNOWN`.
        source: Where it stands.
        tolerance: Greatest difference at which a measured number counts as the published one.
        reason: Why that much.
    """

    quantity: str
    text: str
    value: float
    unit: str
    known: str
    source: str
    tolerance: float
    reason: str

    def __post_init__(self) -> None:
        if self.known not in KNOWN:
            raise ValueError(f"`known` (={self.known!r}) must be one of: {', '.join(KNOWN)}")
        if self.tolerance < 0:
            raise ValueError(f"`tolerance` (={self.tolerance}) must be at least 0")
        for name in ("source", "reason", "text"):
            if not getattr(self, name).strip():
                raise ValueError(f"`{name}` of figure {self.quantity!r} must say something")

    @property
    def is_compared(self) -> bool:
        """Whether a measured number is compared with it."""
        return self.known not in NOT_COMPARED


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    Attributes:
        name: Name of its configuration file, without the ending.
        title: What it is, in a line.
        about: What is done and asked, in a paragraph.
        procedure: Name of what computes it, a key of `jaxdissect.reproduction.PROCEDURES`.
        networks: Published weights that it needs, keys of `PUBLISHED`; the first is the one that is
            studied.
        data: Data sets of images that it needs, keys of `DATA_SETS`.
        settings: Settings of the procedure, as published.
        reduced: Those that differ in a reduced run.
        differences: What is known not to be as in the published code, a sentence each.
        figures: What was published of it.
    """

    name: str
    title: str
    about: str
    procedure: str
    networks: tuple[str, ...]
    data: tuple[str, ...]
    settings: Mapping[str, Any]
    reduced: Mapping[str, Any]
    differences: tuple[str, ...]
    figures: tuple[PublishedFigure, ...]

    __repr__ = short_repr

    def settings_of(self, *, is_reduced: bool) -> dict[str, Any]:
        """Return the settings of a run, published or reduced."""
        return {**self.settings, **(self.reduced if is_reduced else {})}
