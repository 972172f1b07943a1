"""`jaxdissect generate`: what the units of an image generator stand for, and what they cause."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from jaxdissect.commands.generate.artifacts import FindArtifacts
from jaxdissect.commands.generate.dissect import DissectGenerator
from jaxdissect.commands.generate.insert import InsertUnits
from jaxdissect.commands.generate.optimise import OptimiseUnits
from jaxdissect.commands.generate.remove import RemoveUnits

Subcommand = (
    Annotated[DissectGenerator, subcommand("dissect")]
    | Annotated[RemoveUnits, subcommand("remove")]
    | Annotated[InsertUnits, subcommand("insert")]
    | Annotated[OptimiseUnits, subcommand("optimise")]
    | Annotated[FindArtifacts, subcommand("artifacts")]
)


@dataclass(frozen=True)
class GenerateOptions:
    """Find out what the units of an image generator cause in its images."""

    subcommand: OmitSubcommandPrefixes[OmitArgPrefixes[Subcommand]]

    def run(self) -> None:
        """Run the subcommand.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.subcommand.run()
