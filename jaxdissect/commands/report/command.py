"""`jaxdissect report`: the page of results that are there already, of one or several folders."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxdissect.arrays.names import printable
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.folder import SETTINGS_FILES, check_free, new_folder
from jaxdissect.report.result_folders import build_report
from jaxdissect.report.site_writer import INDEX

SETTINGS_FILE = "report.json"


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Write the page of results that other commands have written, to be opened in a browser.

    Of several folders it is one page: networks, layers and checkpoints are compared, and what the
    removal of units does stands with the units of the same network. Results of older versions get
    a page as well, as far as they go.
    """

    folders: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="DIR [DIR ...]", help_behavior_hint="")
    ]
    """Folders of results, or folders that hold such folders."""
    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the folder of the results)")
    ] = None
    """New folder for the page, which holds all that it shows; needed for several folders."""
    title: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")] = None
    """Heading of the page, instead of what the results are."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the page in --out, when the new one is complete; results are never replaced."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""

    def run(self) -> None:
        """Write the page, and print where it is.

        Raises:
            ValueError, OSError: If there are no results, or the page cannot be written.
        """
        if self.out is None and len(self.folders) != 1:
            raise ValueError("`out` must be given for the page of several folders, or of none")
        if self.out is not None:
            check_free(self.out, overwrite=self.overwrite)
            check_space("out", self.out)
            self._check_stays()
        place = self.folders[0] if self.out is None else self.out
        filling = (
            nullcontext(place)
            if self.out is None
            else new_folder(self.out, overwrite=self.overwrite)
        )
        with filling as folder:
            build_report(folder, self.folders, title=self.title)
            if self.out is not None:
                self._write_settings(folder)
        if not self.quiet:
            print(printable(f"The page is {place / INDEX}"))

    def _check_stays(self) -> None:
        """Refuse to replace what is to be read, or other results, which cost more than a page."""
        out = (self.out or Path()).resolve()
        for folder in self.folders:
            if out in (folder.resolve(), *folder.resolve().parents):
                raise ValueError(
                    f"`out` (={self.out}) would replace {folder}: give another folder, or leave "
                    "`out` out to write the page into the folder of the results"
                )
        marks = (mark for mark in SETTINGS_FILES if mark != SETTINGS_FILE)
        if any(
            found for mark in marks for place in (".", "*") for found in out.glob(f"{place}/{mark}")
        ):
            raise ValueError(
                f"`out` (={self.out}) holds results, and `--overwrite` replaces pages alone: give "
                "another folder"
            )

    def _write_settings(self, folder: Path) -> None:
        settings = {
            "jaxdissect": version("jaxdissect"),
            "folders": [printable(str(path)) for path in self.folders],
        }
        text = json.dumps(settings, indent=1) + "\n"
        (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")
