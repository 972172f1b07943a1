"""`jaxdissect fetch`: find published weights, in installed packages or by downloading them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxdissect.arrays.names import printable
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.networks.loading import fetch
from jaxdissect.networks.weights.installed import InstalledFile, find_installed
from jaxdissect.networks.weights.published import PUBLISHED


@dataclass(frozen=True)
class FetchOptions:
    """Download published weights, verify them as far as hashes are published, and print where they
    are.

    Of weights that come in a Python package, says where they are installed, or how they are.
    Without NAME, lists what there is.
    """

    name: Annotated[Positional[str | None], arg(metavar="NAME", help_behavior_hint="")] = None
    """A published set of weights, such as `efficientnet_lite0` or `vgg16_places365`."""
    folder: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the user's cache folder)")
    ] = None
    """Where downloads are kept."""
    quiet: FlagCreatePairsOff[bool] = False
    """Show no progress."""

    def run(self) -> None:
        """Fetch, or list.

        Raises:
            ValueError, OSError: If nothing has the name, its package is not installed, or a
                download fails; see
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
    """List what is published: a line per set, with its size, licence, and how it is installed."""
    lines = []
    for name, published in PUBLISHED.items():
        files = published.files.values()
        known = [file.megabytes for file in files if file.megabytes is not None]
        size = f"{sum(known):,.0f} MB" if known else "? MB"
        ways = [_way(file) for file in files if isinstance(file, InstalledFile)]
        lines.append("; ".join([f"{name:<22}{size:>8}  {published.licence}", *ways]))
    return "\n".join(lines)


def _way(file: InstalledFile) -> str:
    """Say that a file is installed, or how it is."""
    here = find_installed(file) is not None
    return "installed" if here else f"not installed: pip install '{file.install}'"
