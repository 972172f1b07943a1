"""`jaxdissect demo`: the experiments of the paper on the built-in scenes, as one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

REPORT = "report.html"


@dataclass(frozen=True)
class DemoOptions:
    """Dissect the networks of the built-in scenes, remove and insert units, and report.

    Needs no files and no network.
    """

    out: Annotated[Path, arg(metavar="DIR")]
    """New folder for the report and the tables; it appears when all is done."""
    num_images: Annotated[int, arg(metavar="N")] = 640
    """Pictures to dissect and to rank units with; as many others measure the effects."""
    num_latents: Annotated[int, arg(metavar="N")] = 256
    """Images of the generator."""
    seed: int = 0
    """Of pictures and latents."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, when the new ones are complete."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""
