"""What is timed: a piece of work of given sizes, with what it must cost at least."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from jaxdissect.bench.checking.gate import Gate

Sizes = TypeVar("Sizes")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one run must do at least, whoever does it: counted by hand, or by XLA.

    Attributes:
        products: Floating-point operations of matrix products and convolutions, two for each
            multiplication with its addition.
        operations: All other operations on single values: comparisons, additions, maxima.
        bytes: What must pass between the memory of the devices and their cores: every input and
            output once, and what cannot stay between.
        counted: What was counted and what was left out, in a sentence.
    """

    products: float
    operations: float
    bytes: float
    counted: str


@dataclass(frozen=True, kw_only=True)
class Program:
    """One function that is compiled as a whole, and what it is called with.

    Attributes:
        function: From `jax.jit`.
        arguments: Arrays on the devices; none is donated.
    """

    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A workload with its data and weights, ready to be timed.

    Attributes:
        images: Images that one run takes.
        work: Its work, counted by hand.
        check: Says whether an answer of `run` is right; it may take seconds and is not timed.
        program: What one run calls, where it is a single program.
        run: One run where it is not: returns its answer, which may still be computed.
        analysed: The work of such a run by `cost_analysis()` of its programs; None where they
            cannot be told.
        notes: What a reader of the row must know, such as the number of passes; for a table.
        devices: How many take part; None for those that hold the arguments of `program`, or the
            answer of `run`.
    """

    images: int
    work: Work
    check: Callable[[Any], Gate]
    program: Program | None = None
    run: Callable[[], Any] | None = None
    analysed: Callable[[], Work] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    devices: int | None = None

    def __post_init__(self) -> None:
        if (self.program is None) == (self.run is None):
            raise ValueError("either `program` or `run` must be given")


@dataclass(frozen=True, kw_only=True)
class Workload(Generic[Sizes]):
    """A kind of work that a suite names.

    Attributes:
        name: As suites write it, such as "forward".
        summary: What it is, in a sentence.
        sizes: A frozen dataclass; its fields are the keys of the row in a suite, its defaults the
            usual size, and its `__post_init__` refuses what makes no sense with ValueError.
            A field `precision` of "highest", "default" or "bfloat16" says what the network computes
            in, and with which roof it is compared.
        prepare: Makes data, weights and programs.
    """

    name: str
    summary: str
    sizes: type[Sizes]
    prepare: Callable[[Sizes], Prepared]
