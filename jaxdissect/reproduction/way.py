"""How an experiment runs: what changes no result, or only as rounding does."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdissect.engine.batch_size import choose_batch_size
from jaxdissect.engine.progress import Progress, no_progress
from jaxdissect.networks.network import Network


class Way(NamedTuple):
    """How an experiment runs.

    Attributes:
        batch_size: Examples in a step; None fits the memory of the devices.
        mesh: Devices to spread examples over; None for the default one.
        checkpoints: Folder from which an interrupted experiment resumes; None keeps none.
        progress: Called with how far each pass has come.
    """

    batch_size: int | None = None
    mesh: jax.sharding.Mesh | None = None
    checkpoints: Path | None = None
    progress: Progress = no_progress

    def checkpoints_of(self, part: str) -> Path | None:
        """Return the folder for a part of the work; None if nothing is to be kept."""
        return None if self.checkpoints is None else self.checkpoints / part

    def within(self, part: str) -> "Way":
        """Return the way of a part, whose checkpoints lie in a folder of their own."""
        return self._replace(checkpoints=self.checkpoints_of(part))

    def size_of_batches(
        self,
        network: Network,
        shape: tuple[int, ...],
        *,
        layers: tuple[str, ...] = (),
        copies: int = 1,
        on_processor: int = 8,
    ) -> int:
        """Return the number of examples in a step, or choose it; see `choose_batch_size`.

        Args:
            network: Any network.
            shape: Shape of one example of its input.
            layers: Layers that are read.
            copies: How often the memory of a forward pass is taken.
            on_processor: The number for devices that do not count their memory.
        """
        if self.batch_size is not None:
            return self.batch_size
        return choose_batch_size(
            network,
            jax.ShapeDtypeStruct((1, *shape), jnp.float32),
            layers=layers,
            copies=copies,
            on_processor=on_processor,
            mesh=self.mesh,
        )
