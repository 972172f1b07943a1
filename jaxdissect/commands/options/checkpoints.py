"""The option of every command that may be interrupted and resumes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tyro.conf import arg

from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.settings import provenance
from jaxdissect.engine.checkpoint_folder import claim
from jaxdissect.engine.identity import content

_OF_NO_STATE = frozenset(
    ("out", "overwrite", "quiet", "tables", "checkpoints", "image_cache")
    + ("figure_format", "figure_width")
    + ("chunk_size", "memory_gib", "memory_budget_gib")
)
"""Options that nothing which is kept depends on."""


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """Where to keep what is done, so that the same command resumes."""

    of_results_alone: ClassVar[frozenset[str]] = frozenset()
    """Options of the command that tables and figures depend on, but nothing that is kept."""

    checkpoints: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder from which the same command resumes when it was interrupted, also on other devices;
    with other options, images or weights it is refused. It stays when all is done."""

    def check_checkpoints(self) -> None:
        """Check that checkpoints can be kept.

        Raises:
            OSError: If there is no space for them.
            ValueError: If nothing is to be written.
        """
        if self.checkpoints is None:
            return
        own: Any = self
        own.computing.refuse_to_write("checkpoints")
        check_space("checkpoints", self.checkpoints)

    def claim_checkpoints(self, contents: Mapping[str, Any]) -> None:
        """Refuse checkpoints of a command with other options, or other content, before any work.

        Args:
            contents: Images, weights and what else the options name, by what a user calls them.

        Raises:
            ValueError: If --checkpoints holds those of another command; the message says what
                differs.
        """
        if self.checkpoints is None:
            return
        own: Any = self
        places = {name: p.resolve() for name, p in vars(self).items() if isinstance(p, Path)}
        given = provenance(replace(own, **places))["command"]
        left_out = _OF_NO_STATE | self.of_results_alone
        settings = {name: value for name, value in given.items() if name not in left_out}
        found = {name: content(value) for name, value in contents.items()}
        claim(
            self.checkpoints,
            {"command": type(self).__name__, **settings, **found},
            name="command.json",
        )

    def checkpoints_of(self, part: str) -> Path | None:
        """Return the folder for a part of the work; None if nothing is to be kept."""
        return None if self.checkpoints is None else self.checkpoints / part
