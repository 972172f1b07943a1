"""`jaxdissect fetch`: download published weights into the cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxdissect.arrays.names import printable
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.networks.loading import fetch
from jaxdissect.networks.weights.published import PUBLISHED


@dataclass(frozen=True)
class FetchOptions:
    """Download published weights, verify them as far as hashes are published, and print where they
    are.

    Without NAME, lists what there is.
    """

    name: Annotated[Positional[str | None], arg(metavar="NAME", help_behavior_hint="")] = None
    """A published set of weights, such as `vgg16_places365`."""
    folder: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the user's cache folder)")
    ] = None
    """Where downloads are kept."""
    quiet: FlagCreatePairsOff[bool] = False
    """Show no progress."""

    def run(self) -> None:
        """Fetch, or list.

        Raises:
            ValueError, OSError: If nothing has the name, or a download fails; see
                `jaxdissect.networks.loading.fetch`.
        """
        if self.name is None:
            print(listing())
            return
        with progress_bar(quiet=self.quiet) as progress:
            files = fetch(self.name, folder=self.folder, progress=progress)
        for path in files.values():
            print(printable(str(path)))


def listing() -> str:
    """List what is published: a line per set, with its size and licence."""
    lines = []
    for name, published in PUBLISHED.items():
        sizes = [file.megabytes for file in published.files.values()]
        known = [size for size in sizes if size is not None]
        size = f"{sum(known):,.0f} MB" if known else "? MB"
        lines.append(f"{name:<22}{size:>8}  {published.licence}")
    return "\n".join(lines)
