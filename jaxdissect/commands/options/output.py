"""Options that all commands share which write a folder of results, and what these mean."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.commands.output.folder import check_free, new_folder
from jaxdissect.commands.output.progress_bar import told
from jaxdissect.commands.output.table_files import WRITERS, Rows, aligned, rounded
from jaxdissect.engine.folding import Progress


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where results are written, and whether anything is printed."""

    out: Annotated[Path, arg(metavar="DIR")]
    """New folder for the results; it appears when all is done."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, when the new ones are complete."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""

    def check_free(self) -> None:
        """Raise FileExistsError if results cannot be put at --out."""
        check_free(self.out, overwrite=self.overwrite)

    @contextmanager
    def working(self) -> Iterator[tuple[Path, Progress]]:
        """Yield a folder to fill, which becomes --out in the end, and whom to tell of progress."""
        with (
            told(quiet=self.quiet) as progress,
            new_folder(self.out, overwrite=self.overwrite) as folder,
        ):
            yield folder, progress

    def tell(self, summary: str) -> None:
        """Print what was found and what was written, unless --quiet."""
        if not self.quiet:
            files = ", ".join(sorted(path.name for path in self.out.iterdir()))
            print(f"{summary}\n\nWritten to {self.out}: {files}")


@dataclass(frozen=True, kw_only=True)
class TableOptions(OutputOptions):
    """And in which formats tables are written."""

    tables: Annotated[
        tuple[Literal["csv", "json", "parquet"], ...], arg(metavar="FORMAT [FORMAT ...]")
    ] = ("csv",)
    """How to write tables: csv, json, parquet."""

    def write_tables(self, folder: Path, written: Mapping[str, Rows]) -> None:
        """Write tables, by their names."""
        for name, (header, rows) in written.items():
            for ending in self.tables:
                WRITERS[ending](folder / f"{name}.{ending}", header, rows)

    def tell_table(self, title: str, rows: Rows) -> None:
        """Print a table that sums up what was found, and what was written, unless --quiet."""
        header, body = rows
        text = aligned(rounded([header, *body]))
        self.tell("\n".join([f"{title}:", "", *text]))
