"""`jaxdissect demo`: the experiments of the paper on the built-in scenes, as one page."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from jaxdissect.commands.demo import classifier_part, generator_part
from jaxdissect.commands.demo.sizes import DemoSizes, demo_sizes
from jaxdissect.commands.demo.world import world_section
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import OutputOptions
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.progress_bar import print_meanwhile
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.commands.output.table_files import Rows, aligned
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.devices import is_first_process
from jaxdissect.engine.meter import Meter
from jaxdissect.generators.generator import Generator
from jaxdissect.networks.network import as_network
from jaxdissect.report.result_folders import build_report
from jaxdissect.report.site_writer import INDEX
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_classifier, load_generator, load_segmenter

TITLE = "What the units of a network do"

LEAD = (
    "A unit is one channel of one layer. This page asks of two small networks, which were trained "
    "without a single label of an object, what their units respond to and what they cause.",
    "The experiments are those of Bau et al., Understanding the role of individual units in a deep "
    "neural network, PNAS 2020. Each has a command of its own for networks of yours: `dissect`, "
    "`ablate`, `generate dissect`, `generate remove`, `generate insert`.",
)

SETTINGS_FILE = "report.json"
"""Marks the folder as results."""

_COLUMNS = 80

SEEDS = (3_000_003, 4_000_003)
"""Added to the seed of the options, for pictures to dissect and rank units with, and for others to
measure with: none of these was trained on."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions(OutputOptions):
    """Dissect the networks of the built-in scenes, remove and insert units, and report.

    Needs no files and no network. Prints what it finds when it is found.
    """

    full: FlagCreatePairsOff[bool] = False
    """Take more pictures, and remove trees in smaller steps, which takes several minutes."""
    num_images: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 384, with --full 640)")
    ] = None
    """Number of pictures to dissect. Twice as many rank units, and as many others measure effects;
    with --full 4 times and twice as many."""
    num_latents: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 64, with --full 256)")
    ] = None
    """Number of images of the generator to dissect, and of others without their trees. In an
    eighth of these, but at least 8, units are inserted; with --full in a quarter."""
    seed: int = 0
    """Seed of pictures and latents."""

    def run(self) -> None:
        """Run all parts; print what they find, and where the page is.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        for name in ("num_images", "num_latents"):
            if getattr(self, name) is not None:
                check_at_least(self, **{name: 16})
        self.check_free()
        sizes = demo_sizes(full=self.full, num_images=self.num_images, num_latents=self.num_latents)
        with self.working() as (folder, progress):
            self._classifier_part(folder, sizes, progress)
            self._generator_part(folder, sizes, progress)
            write_settings(folder / SETTINGS_FILE, self, {"sizes": sizes._asdict()})
        self._print("")
        if self.page:
            self._print(f"Open {self.out / INDEX} in a browser.")
        else:
            self._print(f"The results are in {self.out}.")

    def write_page(self, folder: Path) -> None:
        """Write the page of all parts, the world that they are in before them."""
        section = world_section(folder / "world", seed=SEEDS[0] + self.seed)
        build_report(folder, [folder], title=TITLE, lead=LEAD, sections=[section])

    def _classifier_part(self, folder: Path, sizes: DemoSizes, progress: Meter) -> None:
        network = as_network(load_classifier())
        pictures = scenes_dataset(sizes.ranking, seed=SEEDS[0] + self.seed)
        others = scenes_dataset(sizes.judging, seed=SEEDS[1] + self.seed)
        first = Stored(pictures.read(0, sizes.pictures))
        result = classifier_part.dissect_classifier(network, first, progress)
        *_, last = result.layers
        layers = _lines(dissection_tables.layer_table(result))
        best = _lines(dissection_tables.best_unit_table(result))
        self._print(
            f"What the units of a classifier detect, in {sizes.pictures} drawn pictures: concepts",
            f"whose pixels their most active pixels match, IoU above {result[last].min_iou:g}.",
            "",
            *layers,
            "",
            "The most interpretable units:",
            "",
            *best,
        )
        study = classifier_part.study_scenes(network, pictures, others, progress)
        self._tell(classifier_part.study_sentence(study))
        classifier_part.write_classifier(
            folder / "classifier", result, network, first, sizes.sample, self, progress
        )
        classifier_part.write_study(
            folder / "classes", study, result, network, pictures, others, self, progress
        )

    def _generator_part(self, folder: Path, sizes: DemoSizes, progress: Meter) -> None:
        model = load_generator()
        generator = Generator(model, model.sizes[0], segmenter=load_segmenter())
        source = latents(sizes.latents, generator.latent_size, seed=self.seed)
        others = latents(sizes.latents, generator.latent_size, seed=SEEDS[0] + self.seed)
        few = [others[i] for i in range(sizes.inserting)]
        result = generator_part.dissect_images(generator, source, progress)
        removal = generator_part.remove_trees(
            folder / "trees", generator, result, others, sizes.removed, self, progress
        )
        self._tell(generator_part.tree_sentence(removal))
        insertion = generator_part.insert_doors(
            folder / "doors", generator, result, few, self, progress
        )
        self._tell(generator_part.door_sentence(insertion))
        generator_part.write_generator(
            folder / "generator", result, generator, source, sizes.sample, self, progress
        )

    def _tell(self, sentence: str) -> None:
        self._print("", *textwrap.wrap(sentence, _COLUMNS))

    def _print(self, *lines: str) -> None:
        """Print something now, before all is done, unless --quiet."""
        if not self.quiet and is_first_process():
            print_meanwhile("\n".join(lines))


def _lines(table: Rows) -> Iterator[str]:
    header, rows = table
    # Without their indent the lines of all layers fit into the width of a terminal.
    return (line.removeprefix("  ") for line in aligned([header, *rows]))
