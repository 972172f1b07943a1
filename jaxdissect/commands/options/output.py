"""Options of every command that writes a folder of results."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.arrays.names import printable_lines
from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.folder import check_free, new_folder
from jaxdissect.commands.output.progress_bar import progress_bar
from jaxdissect.commands.output.run_file import RUN_FILE, write_run
from jaxdissect.commands.output.table_files import WRITERS, Rows, aligned, four_digits
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.devices import is_first_process
from jaxdissect.engine.dry_run import DryRun, Measured
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.processes import in_first_process, raise_everywhere
from jaxdissect.plots import concept_chart
from jaxdissect.plots.drawable import DrawableUnit
from jaxdissect.plots.figure_files import save_figure
from jaxdissect.plots.print_style import COLUMN_WIDTH, PAGE_WIDTH
from jaxdissect.plots.unit_strips import save_unit_strips
from jaxdissect.report.result_folders import build_report
from jaxdissect.report.site_writer import INDEX

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class OutputOptions(ComputingOptions):
    """Where results are written, and whether anything is printed."""

    out: Annotated[Path, arg(metavar="DIR")]
    """New folder for the results; it appears when all is done."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, when the new ones are complete."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""
    page: bool = True
    """Write a page of the results, index.html, to be opened in a browser."""

    def check_free(self) -> None:
        """Raise OSError if results cannot be put at --out, or there is no space for them."""
        in_first_process(self._check_free)

    def _check_free(self) -> None:
        check_free(self.out, overwrite=self.overwrite)
        check_space("out", self.out)

    @contextmanager
    def working(self) -> Iterator[tuple[Path, Meter]]:
        """Yield a folder to fill, which becomes --out in the end, and what measures the passes.

        Of several processes the first one makes --out; the others wait for it, and what they fill
        is removed.
        """
        if self.computing.dry_run:
            with (
                progress_bar(quiet=self.quiet or not is_first_process()) as shown,
                _passing_folder() as folder,
            ):
                yield folder, DryRun(shown)
            raise Measured("time: all of it has run, too little to measure; nothing is written")
        filled = False
        try:
            with (
                progress_bar(quiet=self.quiet or not is_first_process()) as shown,
                self._folder() as folder,
            ):
                meter = Meter(shown)
                with self.computing.profiled():
                    yield folder, meter
                write_run(folder / RUN_FILE, self, meter)
                if self.page and is_first_process():
                    self._try_to_write_page(folder)
                raise_everywhere(None)
                filled = True
        except Exception as problem:
            if filled:
                raise_everywhere(problem)
            raise
        raise_everywhere(None)

    def _try_to_write_page(self, folder: Path) -> None:
        """Write the page; what is wrong with it is no reason to lose hours of results."""
        try:
            self.write_page(folder)
        except OSError:  # such as a full disk
            raise
        except Exception as problem:
            warnings.warn(
                f"no page could be written of the results ({problem!r}); `jaxdissect report "
                f"{self.out}` tries again",
                stacklevel=2,
            )

    def write_page(self, folder: Path) -> None:
        """Write the page of the results in a folder, which will become --out."""
        build_report(folder, [folder], names=[self.out.resolve().name])

    def _folder(self) -> AbstractContextManager[Path]:
        if is_first_process():
            return new_folder(self.out, overwrite=self.overwrite)
        return _passing_folder()

    def print_summary(self, summary: str) -> None:
        """Print what was found and which files were written, unless --quiet."""
        if not self.quiet and is_first_process():
            files = ", ".join(sorted(path.name for path in self.out.iterdir()))
            page = self.out / INDEX
            opened = f"\nThe page is {page}" if page.is_file() else ""
            print(printable_lines(f"{summary}\n\nWritten to {self.out}: {files}{opened}"))


@contextmanager
def _passing_folder() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


@dataclass(frozen=True, kw_only=True)
class FigureOptions(OutputOptions):
    """Where results are written, whether anything is printed, and how figures are written."""

    figure_format: Annotated[
        tuple[Literal["png", "svg", "pdf"], ...], arg(metavar="FORMAT [FORMAT ...]")
    ] = ("png",)
    """Formats of figures: png (300 pixels per inch), svg, pdf; text stays text in the last two."""
    figure_width: Literal["page", "column"] = "page"
    """Figures across a page (7 inches wide), or in one of its columns (3.42 inches)."""

    @property
    def figure_inches(self) -> float:
        """Width of figures in inches."""
        return COLUMN_WIDTH if self.figure_width == "column" else PAGE_WIDTH

    def save_figure(self, folder: Path, name: str, figure: "Figure | None") -> None:
        """Write a figure under a name, in the formats of --figure-format; nothing if it is None."""
        if figure is None:
            return
        for ending in self.figure_format:
            save_figure(folder / f"{name}.{ending}", figure)

    def save_concept_charts(self, folder: Path, result: Dissection) -> None:
        """Write how many units detect each concept, and what layers detect if there are several."""
        width = self.figure_inches
        self.save_figure(folder, "concepts", concept_chart.concept_figure(result, width=width))
        if len(result.layers) > 1:
            self.save_figure(folder, "layers", concept_chart.layer_figure(result, width=width))

    def save_strips(
        self,
        folder: Path,
        strips: Mapping[str, Sequence[DrawableUnit]],
        *,
        prefix: str = "top_units",
    ) -> None:
        """Write a sheet of the images of units for every layer, as `save_unit_strips` does."""
        formats, width = self.figure_format, self.figure_inches
        save_unit_strips(folder, strips, prefix=prefix, formats=formats, width=width)


@dataclass(frozen=True, kw_only=True)
class TableOptions(FigureOptions):
    """Where results are written, and the formats of tables and figures."""

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
