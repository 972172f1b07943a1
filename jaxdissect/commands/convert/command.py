"""`jaxdissect convert`: rewrite published weights in the names and layout used here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from jaxdissect.arrays.names import printable
from jaxdissect.networks.loading import convert


@dataclass(frozen=True)
class ConvertOptions:
    """Read weights of a network, check them, and write them as safetensors.

    The metadata of the file names its source and the SHA-256 hash of that.
    """

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """File of weights (.pth, .pth.tar, .safetensors, .npz), or for a network in parts the folder
    of their files."""
    target: Annotated[Positional[Path], arg(metavar="OUT.safetensors")]
    """File to write."""
    model: Annotated[str, arg(metavar="NAME")]
    """Kind of network, such as `vgg16`; a wrong name lists the right ones."""

    def run(self) -> None:
        """Convert the weights, and print the name of the file.

        Raises:
            ValueError, OSError: If there is no such kind of network, or its weights cannot be read
                or do not fit; see `jaxdissect.networks.loading.convert`.
        """
        convert(self.model, self.source, self.target)
        print(printable(str(self.target)))
