"""Options of passes over images: the label grid, the size of batches, and memory."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.size import Size


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Options of passes over images."""

    grid: Annotated[Size, arg(metavar="H [W]")] = (56, 56)
    """Height and width of the label grid."""
    memory_budget_gib: Annotated[float, arg(metavar="GIB")] = 2.0
    """Keep activations up to this size; others are computed again in every pass."""

    @property
    def memory_budget(self) -> int:
        """The same in bytes."""
        return int(self.memory_budget_gib * 2**30)

    def check_passes(self) -> None:
        """Check these numbers.

        Raises:
            ValueError: If one of them makes no sense.
        """
        check_at_least(self, grid=1, memory_budget_gib=0)
