"""What takes part in a comparison: this library and others, on one piece of work.

Everything that could make a ratio unfair is told beside it, contender by contender: on what it
computes, with how many threads, in which precision and layout, and how exact its answer is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.others.libraries import MissingLibrary, first_line


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is and what is not the same.

    Attributes:
        device: What computes, such as "cpu" or "cuda".
        threads: Of the processor that it may use, in words.
        precision: Of its arithmetic.
        layout: Of its arrays.
        exactness: What its answer is: exact, rounded, estimated.
        differs: What else is not as in ours; empty for what everything is compared with.
    """

    device: str
    threads: str
    precision: str
    layout: str
    exactness: str
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that does the work.

    Attributes:
        name: As in the table, such as "PyTorch, channels last".
        library: Distribution whose version counts, such as "torch".
        run: Does the work once; the answer may still be computed.
        wait: Returns when an answer is computed.
        terms: Under which it runs.
        share: Of the work that a run does; its times are divided by it. Below 1 where the whole
            would take too long, and every part of it takes as long as every other.
        steps: Counts the steps of the last run, where contenders stop at different ones; None
            where there are no steps.
    """

    name: str
    library: str
    run: Callable[[], Any]
    wait: Callable[[Any], Any]
    terms: Terms
    share: float = 1.0
    steps: Callable[[], float] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"`share` (={self.share}) must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Absent:
    """What would take part if it could.

    Attributes:
        name: As in the table.
        library: Distribution that is missing.
        reason: Why it cannot, and what would help.
    """

    name: str
    library: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Match:
    """Contenders on the same work and data.

    Attributes:
        title: What is done, with its sizes.
        unit: What times are told for, such as "image".
        units: How many of them a whole run takes.
        contenders: The first is the one that the others are compared with.
        check: From the answers of timed runs, by name, to what was found by comparing them with
            each other or with a third; answers of some may be missing.
        note: What the ratios say and what they do not.
    """

    title: str
    unit: str
    units: int
    contenders: Sequence[Contender | Absent]
    check: Callable[[Mapping[str, Any]], dict[str, Gate]]
    note: str = ""


def unless_missing(
    name: str, library: str, build: Callable[[], Sequence[Contender]]
) -> Sequence[Contender | Absent]:
    """Build contenders of a library, or say why they are absent.

    Args:
        name: Of the contenders, where they are absent.
        library: Distribution that they need.
        build: Makes them; it may raise `MissingLibrary`.
    """
    try:
        return build()
    except MissingLibrary as problem:
        return [Absent(name=name, library=library, reason=str(problem))]
    except RuntimeError as problem:  # of a device, such as too little memory beside JAX
        reason = f"cannot run here: {first_line(problem)}"
        return [Absent(name=name, library=library, reason=reason)]
