"""Options of passes over images: the label grid, the size of batches, and memory."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.size import Size

MemoryBudget = Annotated[
    float | None,
    arg(metavar="GIB", help_behavior_hint="(default: half of what is free there; 2 on a CPU)"),
]
"""Type of the option of how much is kept between passes."""


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Options of passes over images."""

    grid: Annotated[Size, arg(metavar="H [W]")] = (56, 56)
    """Height and width of the label grid."""
    memory_budget_gib: MemoryBudget = None
    """Keep activations and labels up to this size on the devices; others are computed again in
    every pass."""

    @property
    def memory_budget(self) -> int | None:
        """The same in bytes."""
        return memory_bytes(self.memory_budget_gib)

    def check_passes(self) -> None:
        """Check these numbers.

        Raises:
            ValueError: If one of them makes no sense.
        """
        check_at_least(self, grid=1, memory_budget_gib=0)


def memory_bytes(gib: float | None) -> int | None:
    """Return a memory budget in bytes; None for that of the devices."""
    return None if gib is None else int(gib * 2**30)
