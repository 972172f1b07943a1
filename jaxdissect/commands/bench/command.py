"""`jaxdissect bench`: a suite is measured, compared with an earlier run, or rendered."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.arrays.names import printable, printable_lines
from jaxdissect.bench.comparing.comparison import compare_runs
from jaxdissect.bench.record import Run
from jaxdissect.bench.rendering.markdown import write_markdown
from jaxdissect.bench.rendering.page import write_report
from jaxdissect.bench.rendering.results import render_results
from jaxdissect.bench.rendering.run_tables import failures
from jaxdissect.bench.rendering.summary import write_summary
from jaxdissect.bench.run import run_suite
from jaxdissect.bench.run_file import read_run, write_run
from jaxdissect.bench.suite import SUITES, Suite, read_suite
from jaxdissect.commands.bench.progress import RowLines
from jaxdissect.commands.bench.tables import plan, summary
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.folder import check_free, new_folder
from jaxdissect.report.command_line import command_line

TRACES = "traces"
"""Folder of the traces, within that of the results."""

FAILED = 1
"""Exit code where something was measured, and is wrong or slower."""

INCOMPARABLE = 2
"""Exit code where the speeds of two runs say nothing of each other."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Measure how fast this machine is at what jaxdissect does, and that it is right.

    Every stage is timed beside what this very device reaches, and every timed answer is checked.
    Ends with exit code 1 if an answer is wrong, something could not be measured, or is slower than
    in the run of --compare.
    """

    suite: Annotated[
        Literal["smoke", "cpu", "gpu", "full"] | None,
        arg(metavar="smoke|cpu|gpu|full", help_behavior_hint=""),
    ] = None
    """What to measure: nearly everything once in tiny sizes, within a minute; the sizes for a
    processor; those for an accelerator; or everything, with all studies, which takes long."""
    config: Annotated[Path | None, arg(metavar="FILE.yaml", help_behavior_hint="")] = None
    """A suite of your own, instead of --suite or after it."""
    only: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    """Measure only the rows and studies of these names, or of these workloads; * stands for any
    letters."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """New folder for the results; it appears when all is done. It holds detailed.json, summary.csv,
    summary.md and report.html."""
    profile: FlagCreatePairsOff[bool] = False
    """Keep a trace of jax.profiler of every row, from one more run of it, in --out."""
    compare: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """An earlier run, its folder or its detailed.json: say what has become slower than it, beyond
    what the two runs themselves vary by."""
    runs: Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]", help_behavior_hint="")] = ()
    """Measure nothing: take these runs for --compare or --render."""
    render: Annotated[Path | None, arg(metavar="FILE.md", help_behavior_hint="")] = None
    """Write one page of --runs, as benchmarks/RESULTS.md is."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Print what would be measured, with all sizes; measure and write nothing."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, or the page of --render, when the new ones are complete."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but what is wrong or slower."""

    def run(self) -> int:
        """Measure, or compare or render what was measured.

        Returns:
            The exit code: 0 if all is right and nothing is slower.

        Raises:
            ValueError, OSError: If the options cannot be followed.
        """
        if self.runs or self.render is not None:
            return self._without_measuring()
        suite = self._suite()
        if self.dry_run:
            print(printable_lines(plan(suite)))
            return 0
        return self._measure(suite)

    def _suite(self) -> Suite:
        """Read what is to be measured."""
        if self.suite is None and self.config is None:
            raise ValueError(
                f"`suite` must be one of: {', '.join(SUITES)}; or give a file of your own as "
                "`config`, or runs that there are as `runs`"
            )
        suites = [read_suite(given) for given in (self.suite, self.config) if given is not None]
        suite = suites[0] if len(suites) == 1 else suites[0].and_also(suites[1])
        return suite.only(self.only) if self.only else suite

    def _measure(self, suite: Suite) -> int:
        if self.out is None:
            raise ValueError("`out` must be given: a new folder for the results")
        check_free(self.out, overwrite=self.overwrite)
        check_space("out", self.out)
        earlier = None if self.compare is None else read_run(self.compare)
        with new_folder(self.out, overwrite=self.overwrite) as folder:
            measured = run_suite(
                suite,
                command=self._command(),
                traces=folder / TRACES if self.profile else None,
                told=None if self.quiet else RowLines(),
            )
            # What is shown is what was recorded, and nothing else.
            run = read_run(write_run(measured, folder))
            write_summary(run, folder)
            write_markdown(run, folder)
            write_report(run, folder)
        if not self.quiet:
            print(printable_lines(summary(run, self.out)))
        compared = 0 if earlier is None else self._compared(earlier, run)
        return self._verdict(run) or compared

    def _without_measuring(self) -> int:
        """Compare or render runs that there are."""
        given = {"suite": self.suite, "config": self.config, "out": self.out}
        given |= {"only": self.only, "profile": self.profile, "dry_run": self.dry_run}
        if unused := [name for name, value in given.items() if value]:
            raise ValueError(f"`{unused[0]}` measures, but `runs` are there already: give one")
        if not self.runs:
            raise ValueError("`runs` must name what `render` is to show")
        if self.render is None and self.compare is None:
            raise ValueError("`runs` are for `compare` or `render`: give one of them")
        if self.compare is not None and len(self.runs) != 1:
            raise ValueError(f"`compare` takes one of `runs`, not {len(self.runs)}")
        runs = [read_run(path) for path in self.runs]
        if self.render is not None:
            self._render(self.render, runs)
        return 0 if self.compare is None else self._compared(read_run(self.compare), runs[0])

    def _render(self, page: Path, runs: list[Run]) -> None:
        if page.exists() and not self.overwrite:
            raise FileExistsError(f"`render`: {page} exists already; `--overwrite` replaces it")
        text = render_results(runs)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        if not self.quiet:
            print(printable(f"The page is {page}"))

    def _compared(self, earlier: Run, run: Run) -> int:
        """Say what has become slower; 1 if something has, 2 if no speed can be compared."""
        compared = compare_runs(earlier, run)
        if compared.regressions or not compared.judged or not self.quiet:
            print(printable_lines(compared.text()))
        if compared.regressions:
            return FAILED
        return 0 if compared.judged else INCOMPARABLE

    def _verdict(self, run: Run) -> int:
        """Say what is wrong, also where nothing else is printed."""
        for name, problem in failures(run):
            print(printable_lines(f"failed: {name}: {problem}"))
        return 0 if run.passed else FAILED

    def _command(self) -> str:
        """Write the options that change what is measured, without the folders of this machine."""
        given = {
            "suite": self.suite,
            "config": self.config and self.config.name,
            "only": list(self.only),
            "out": self.out and self.out.name,
            "profile": self.profile,
        }
        return command_line("bench", given, defaults={"only": [], "profile": False})
