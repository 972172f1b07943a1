"""Options of every command that writes a folder of results."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.arrays.names import printable_lines
from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.folder import check_free, new_folder
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.commands.output.table_files import WRITERS, Rows, aligned, four_digits
from jaxdissect.engine.folding import Progress


@dataclass(frozen=True, kw_only=True)
class OutputOptions(ComputingOptions):
    """Where results are written, and whether anything is printed."""

    out: Annotated[Path, arg(metavar="DIR")]
    """New folder for the results; it appears when all is done."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, when the new ones are complete."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""

    def check_free(self) -> None:
        """Raise OSError if results cannot be put at --out, or there is no space for them."""
        check_free(self.out, overwrite=self.overwrite)
        check_space("out", self.out)

    @contextmanager
    def working(self) -> Iterator[tuple[Path, Progress]]:
        """Yield a folder to fill, which becomes --out in the end, and what shows the progress."""
        with (
            progress_bar(quiet=self.quiet) as progress,
            new_folder(self.out, overwrite=self.overwrite) as folder,
        ):
            yield folder, progress

    def print_summary(self, summary: str) -> None:
        """Print what was found and which files were written, unless --quiet."""
        if not self.quiet:
            files = ", ".join(sorted(path.name for path in self.out.iterdir()))
            print(printable_lines(f"{summary}\n\nWritten to {self.out}: {files}"))


@dataclass(frozen=True, kw_only=True)
class TableOptions(OutputOptions):
    """Where results are written, whether anything is printed, and the formats of tables."""

    tables: Annotated[
        tuple[Literal["csv", "json", "parquet"], ...], arg(metavar="FORMAT [FORMAT ...]")
    ] = ("csv",)
    """Formats of tables: csv, json, parquet."""

    def write_tables(self, folder: Path, tables: Mapping[str, Rows]) -> None:
        """Write tables under their names, in the formats of --tables."""
        for name, (header, rows) in tables.items():
            for ending in self.tables:
                WRITERS[ending](folder / f"{name}.{ending}", header, rows)

    def print_table(self, title: str, rows: Rows) -> None:
        """Print a table of what was found, and which files were written, unless --quiet."""
        header, body = rows
        text = aligned(four_digits([header, *body]))
        self.print_summary("\n".join([f"{title}:", "", *text]))
