"""`jaxdissect reproduce`: the experiments of a paper, planned, run, or proved at reduced size."""

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxdissect.arrays.names import printable_lines
from jaxdissect.commands.options.computing import ComputingOptions
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.output.disk_space import check_space
from jaxdissect.commands.output.folder import check_free, new_folder
from jaxdissect.commands.output.progress_bar import print_meanwhile, progress_bar
from jaxdissect.commands.output.run_file import RUN_FILE, write_run
from jaxdissect.commands.output.table_files import write_csv
from jaxdissect.commands.reproduce import tables
from jaxdissect.engine.meter import Meter
from jaxdissect.engine.progress import Progress
from jaxdissect.networks.weights.download import cache_folder
from jaxdissect.reproduction import (
    DATA_SETS,
    Experiment,
    Materials,
    Outcome,
    Way,
    make_reduced_materials,
    plan_text,
    published_materials,
    read_experiments,
    run_experiment,
    without_result,
)
from jaxdissect.reproduction.configuration import PAPERS

RESULT_FILE = "reproduction.json"
TABLE = "published_and_measured"
"""Name of the table, which is written as CSV and as Markdown."""


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(ComputingOptions):
    """Run the published experiments of a paper, and compare what comes out with what was published.

    --dry-run prints what would be done and downloaded, and what it costs. --run does it: weights
    are downloaded once, images are given with --data. --run --reduced proves every step with random
    weights and a few drawn images; then nothing is compared with what was published. The exit code
    is 1 if a figure is outside of its tolerance, or could not be measured.
    """

    paper: Annotated[Positional[Literal["pnas2020"]], arg(metavar="PAPER")]
    """The paper: pnas2020, Bau et al., Understanding the role of individual units in a deep neural
    network."""
    experiment: Annotated[
        tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: all)")
    ] = ()
    """Take these experiments only; a wrong name lists the right ones."""
    run_all: Annotated[FlagCreatePairsOff[bool], arg(name="run")] = False
    """Run the experiments."""
    reduced: FlagCreatePairsOff[bool] = False
    """Run them with random weights of narrow networks and drawn images, to prove every step."""
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """New folder for the results; it appears when all is done."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace the results in --out, when the new ones are complete."""
    data: Annotated[
        tuple[str, ...], arg(metavar="NAME=DIR [NAME=DIR ...]", help_behavior_hint="")
    ] = ()
    """Folders of images by the names of data sets, which --dry-run lists, such as
    places-val=/data/val."""
    weights: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the user's cache folder)")
    ] = None
    """Where downloaded weights are kept."""
    limit: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Take only N images of each data set, evenly through its folders, and N latents; then nothing
    is compared with what was published."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Seed of what --reduced draws."""
    checkpoints: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """Folder from which the same command resumes when it was interrupted."""
    quiet: FlagCreatePairsOff[bool] = False
    """Print nothing but errors."""

    def run(self) -> int | None:
        """Plan or run the experiments.

        Returns:
            1 if a published figure is missed, else 0.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        experiments = self.find_experiments()
        folders = self.find_folders()
        self.check_purpose()
        if self.computing.dry_run:
            print(printable_lines(plan_text(experiments)))
            return None
        assert self.out is not None  # `check_purpose`
        check_free(self.out, overwrite=self.overwrite)
        check_space("out", self.out)
        if self.computing.dtype != "float32":
            raise ValueError(
                f"`dtype` (={self.computing.dtype!r}) must be 'float32', in which the published "
                "figures were computed"
            )
        if not self.reduced:
            self.check_given(experiments, folders)
            self._warn_of_rounding()
        outcomes = self.run_into(self.out, experiments, folders)
        if not self.quiet:
            print(printable_lines(f"{tables.summary(outcomes)}\n\nWritten to {self.out}"))
        return 0 if all(outcome.is_reproduced for outcome in outcomes) else 1

    def check_purpose(self) -> None:
        """Check that options say what to do, and do not contradict each other.

        Raises:
            ValueError: If they do not.
        """
        check_at_least(self, limit=1, seed=0)
        if self.run_all == self.computing.dry_run:
            raise ValueError(
                "give one of `run` and `dry_run`: --dry-run tells what would be done, --run does "
                "it, and --run --reduced proves the steps without weights and images"
            )
        if self.reduced and not self.run_all:
            raise ValueError("`reduced` goes with `run`")
        if self.run_all and self.out is None:
            raise ValueError("`run` needs `out`, the folder for the results")
        if self.computing.dry_run and (self.out or self.checkpoints):
            self.computing.refuse_to_write("out" if self.out else "checkpoints")
        given = {"data": self.data, "weights": self.weights, "limit": self.limit}
        if self.reduced and any(value not in (None, ()) for value in given.values()):
            wrong = ", ".join(f"`{n}`" for n, value in given.items() if value not in (None, ()))
            raise ValueError(f"{wrong} cannot go with `reduced`, which draws all that it needs")

    def find_experiments(self) -> tuple[Experiment, ...]:
        """Read the experiments that are asked for.

        Raises:
            ValueError: If there is no such experiment; the message lists those there are.
        """
        assert self.paper in PAPERS
        known = read_experiments(self.paper)
        unknown = [name for name in self.experiment if name not in known]
        if unknown:
            raise ValueError(f"`experiment` (={unknown[0]!r}) must be one of: {', '.join(known)}")
        return tuple(known[name] for name in (dict.fromkeys(self.experiment) or known))

    def find_folders(self) -> dict[str, Path]:
        """Read the folders of data sets.

        Raises:
            ValueError: If a data set is unknown, or given twice.
            OSError: If a folder is not there.
        """
        folders: dict[str, Path] = {}
        for given in self.data:
            name, found, path = given.partition("=")
            if not found or not path or name not in DATA_SETS:
                raise ValueError(
                    f"`data` (={given!r}) must be NAME=DIR, with one of these names: "
                    f"{', '.join(DATA_SETS)}"
                )
            if name in folders:
                raise ValueError(f"`data` gives {name} twice")
            if not Path(path).is_dir():
                raise FileNotFoundError(f"`data`: there is no folder {path}, given for {name}")
            folders[name] = Path(path)
        return folders

    def check_given(self, experiments: tuple[Experiment, ...], folders: Mapping[str, Path]) -> None:
        """Refuse before any work, or download, to run experiments whose images are not given.

        Raises:
            ValueError: If one needs others; the message names all, and the ways out.
        """
        needed = dict.fromkeys(name for one in experiments for name in one.data)
        missing = [name for name in needed if name not in folders]
        if not missing:
            return
        able = [one.name for one in experiments if set(one.data) <= set(folders)]
        urls = {name: DATA_SETS[name].url for name in missing}
        told = "; ".join(
            f"{name} from {url}" if url else f"{name}, whose address is not known here"
            for name, url in urls.items()
        )
        ways = [f"give their folders: --data {' '.join(f'{name}=DIR' for name in missing)}"]
        if able:
            ways.append(f"run only what needs none of them: --experiment {' '.join(able)}")
        ways.append("or prove the steps without any: --reduced")
        raise ValueError(
            f"`data`: images are needed that are not given ({told}); {'; '.join(ways)}"
        )

    def _warn_of_rounding(self) -> None:
        """Warn if devices round products to fewer digits than those of the published figures."""
        if self.computing.matmul_precision != "highest" and jax.default_backend() != "cpu":
            warnings.warn(
                f"`matmul_precision` (={self.computing.matmul_precision}): this device may round "
                "products, and published figures were computed in float32: --matmul-precision "
                "highest",
                stacklevel=2,
            )

    def run_into(
        self, out: Path, experiments: tuple[Experiment, ...], folders: Mapping[str, Path]
    ) -> list[Outcome]:
        """Run experiments, and write what they find into a folder that appears in the end."""
        outcomes = []
        with (
            progress_bar(quiet=self.quiet) as shown,
            new_folder(out, overwrite=self.overwrite) as folder,
        ):
            meter = Meter(shown)
            with self.computing.profiled(), self._reduced_folder() as made:
                for number, experiment in enumerate(experiments, 1):
                    if len(experiments) > 1 and not self.quiet:
                        print_meanwhile(f"{number}/{len(experiments)} {experiment.name}")
                    way = Way(
                        batch_size=self._batch_size(),
                        mesh=self.computing.mesh,
                        checkpoints=self._checkpoints_of(experiment),
                        progress=meter,
                    )
                    try:
                        materials = self._materials(experiment, folders, made, shown)
                        home = folder / experiment.name
                        outcomes.append(run_experiment(experiment, materials, home, way=way))
                    except (ValueError, OSError, jax.errors.JaxRuntimeError) as problem:
                        if len(experiments) == 1:
                            raise
                        # Days of the others are not to be lost.
                        settings = experiment.settings_of(is_reduced=self.reduced)
                        outcomes.append(without_result(experiment, settings, str(problem)))
            write_csv(folder / f"{TABLE}.csv", *tables.outcome_table(outcomes))
            (folder / f"{TABLE}.md").write_text(tables.markdown(outcomes), encoding="utf-8")
            self._write_facts(folder / RESULT_FILE, outcomes)
            write_run(folder / RUN_FILE, self, meter)
        return outcomes

    def _batch_size(self) -> int | None:
        given = self.computing.batch_size
        return None if given == "auto" else int(given)

    def _checkpoints_of(self, experiment: Experiment) -> Path | None:
        return None if self.checkpoints is None else self.checkpoints / experiment.name

    @contextmanager
    def _reduced_folder(self) -> Iterator[Path | None]:
        """Yield the folder for what a reduced run draws; None for a whole run.

        It passes, unless the run may resume: checkpoints know the very files that were read.
        """
        if not self.reduced:
            yield None
            return
        if self.checkpoints is not None:
            with _quickly_compiled():
                yield self.checkpoints / f"drawn-{self.seed}"
            return
        with tempfile.TemporaryDirectory() as made, _quickly_compiled():
            yield Path(made)

    def _materials(
        self,
        experiment: Experiment,
        folders: Mapping[str, Path],
        made: Path | None,
        progress: Progress,
    ) -> Materials:
        """Find what an experiment runs on, or make it."""
        if made is not None:
            return make_reduced_materials(experiment, made, seed=self.seed)
        return published_materials(
            experiment,
            folders,
            cache=self.weights or cache_folder(),
            limit=self.limit,
            progress=progress,
        )

    def _write_facts(self, path: Path, outcomes: list[Outcome]) -> None:
        """Write settings, and what was measured, for programs."""
        found = {
            "paper": self.paper,
            "reduced": self.reduced,
            "experiments": {
                outcome.experiment.name: {
                    "title": outcome.experiment.title,
                    "settings": outcome.settings,
                    "not comparable": outcome.comparable or None,
                    "problem": outcome.problem or None,
                    "differences": list(outcome.experiment.differences),
                    "measured": {
                        row.quantity: row.measured
                        for row in outcome.compared
                        if row.measured is not None
                    },
                }
                for outcome in outcomes
            },
        }
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _quickly_compiled() -> Iterator[None]:
    """Compile for processors without optimisation, for compiling takes longer than running."""
    if jax.default_backend() != "cpu":
        yield
        return
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
