"""`jaxdissect demo`: the experiments of the paper on the built-in scenes, as one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from jaxdissect.commands.demo import classifier_sections, generator_sections
from jaxdissect.commands.demo.scene_sections import scenes_section
from jaxdissect.commands.generate import tables
from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.commands.options.output import OutputOptions
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.dissection_files import write_dissection
from jaxdissect.commands.output.table_files import aligned, write_csv
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.data.latent_vectors import latents
from jaxdissect.engine.folding import Progress
from jaxdissect.generators.dissection import dissect_generator, ranked_units
from jaxdissect.generators.generator import Generator
from jaxdissect.generators.images import GeneratedImages
from jaxdissect.networks.network import as_network
from jaxdissect.report.page import PageSection, write_page
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.shipped import load_classifier, load_generator, load_segmenter

REPORT = "report.html"

TITLE = "What the units of a network do"

LEAD = (
    "A unit is one channel of one layer. This page asks of two small networks, which were trained "
    "without a single label of an object, what their units respond to and what they cause.",
    "The experiments are those of Bau et al., Understanding the role of individual units in a deep "
    "neural network, PNAS 2020, in a world that is small enough to be drawn, trained on and "
    "dissected anywhere.",
)

SEEDS = (3_000_003, 4_000_003)
"""Added to the seed of the options, for pictures to dissect and rank units with, and for others to
measure with: none of these was trained on."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions(OutputOptions):
    """Dissect the networks of the built-in scenes, remove and insert units, and report.

    Needs no files and no network.
    """

    num_images: Annotated[int, arg(metavar="N")] = 640
    """Number of pictures to dissect; 4 times as many rank units, twice as many others measure
    effects."""
    num_latents: Annotated[int, arg(metavar="N")] = 256
    """Number of images of the generator."""
    seed: int = 0
    """Seed of pictures and latents."""

    def run(self) -> None:
        """Run all parts; write the report and print where it is.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        check_at_least(self, num_images=16, num_latents=16)
        self.check_free()
        with self.working() as (folder, progress):
            result, sections = self._classifier_part(folder, progress)
            sections += self._generator_part(folder, progress)
            sections.insert(0, scenes_section(self.seed))
            write_page(folder / REPORT, TITLE, LEAD, sections)
        header, rows = dissection_tables.best_unit_table(result)
        units = "\n".join(aligned([header, *rows]))
        report = f"The report is {self.out / REPORT}"
        self.print_summary(f"The ten most interpretable units:\n\n{units}\n\n{report}")

    def _classifier_part(
        self, folder: Path, progress: Progress
    ) -> tuple[Dissection, list[PageSection]]:
        network = as_network(load_classifier())
        pictures = scenes_dataset(4 * self.num_images, seed=SEEDS[0] + self.seed)
        held_out = scenes_dataset(2 * self.num_images, seed=SEEDS[1] + self.seed)
        first = Stored(pictures.read(0, self.num_images))
        result = classifier_sections.dissect_classifier(network, first, progress)
        removals = classifier_sections.remove_important_units(network, pictures, held_out, progress)
        write_dissection(folder, result, first, self)
        write_csv(folder / "removals.csv", *classifier_sections.removal_table(removals))
        return result, [
            classifier_sections.dissection_section(network, first, result, progress),
            classifier_sections.removal_section(removals, result),
        ]

    def _generator_part(self, folder: Path, progress: Progress) -> list[PageSection]:
        model = load_generator()
        generator = Generator(model, model.sizes[0], segmenter=load_segmenter())
        source = latents(self.num_latents, generator.latent_size, seed=self.seed)
        generated = GeneratedImages(generator, source)
        result = dissect_generator(
            generator, source, layers=generator_sections.LAYERS, progress=progress
        )
        tree, door = (
            result.vocabulary.index(name, category=category)
            for name, category in (generator_sections.TREE, generator_sections.DOOR)
        )
        ranking = ranked_units(result, generator_sections.TREE_LAYER, tree)
        removal = generator_sections.remove_trees(generator, source, ranking, progress)
        few = [source[i] for i in range(self.num_latents // 4)]
        insertion = generator_sections.insert_doors(generator, few, result, progress)
        result.write_csv(folder / "generator_units.csv")
        write_csv(folder / "trees.csv", *tables.set_table(removal, tree, ranking))
        write_csv(folder / "doors.csv", *tables.context_table(insertion, door))
        return [
            generator_sections.samples_section(generated),
            generator_sections.dissection_section(generator, source, result, progress),
            generator_sections.trees_section(generator, source, removal),
            generator_sections.doors_section(generator, source, insertion),
        ]
