"""`jaxdissect generate dissect`: the concept of every unit of some layers of a generator."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from jaxdissect.commands.generate.options import SETTINGS_FILE, LatentOptions
from jaxdissect.commands.options.generator import GeneratedSegmenterOptions, GeneratorOptions
from jaxdissect.commands.options.output import TableOptions
from jaxdissect.commands.options.page import UnitPageOptions
from jaxdissect.commands.options.passes import MemoryBudget, memory_bytes
from jaxdissect.commands.options.preset import PresetName
from jaxdissect.commands.options.size import Size
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.dissection_files import write_dissection
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.dissection.presets import PRESETS
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.identity import looked_at_once
from jaxdissect.engine.labelers import segmented
from jaxdissect.generators.dissection import dissect_generator
from jaxdissect.generators.generator import latent_input


@dataclass(frozen=True, kw_only=True)
class DissectGenerator(
    GeneratedSegmenterOptions, LatentOptions, GeneratorOptions, UnitPageOptions, TableOptions
):
    """Find the concept, in the images that a generator makes, of every unit of some layers.

    Dissects --num-ranking-images images.
    """

    grid: Annotated[Size, arg(metavar="H [W]")] = (64, 64)
    """Height and width of the label maps."""
    layers: Annotated[
        tuple[str, ...],
        arg(metavar="L [L ...]", help_behavior_hint="(default: known generators have some)"),
    ] = ()
    """Layers to dissect. A wrong name lists the right ones."""
    preset: PresetName = "gandissect2019"
    """Convention for thresholds and scores."""
    memory_budget_gib: MemoryBudget = None
    """Keep activations and labels up to this size on the devices; others are computed again in
    every pass."""

    @looked_at_once()
    def run(self) -> None:
        """Dissect as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_latents()
        self.check_unit_page()
        self.check_free()
        self.check_checkpoints()
        found = self.find_generator()
        layers = found.choose_layers(self.layers)
        generator = found.generator(self.find_segmenter(found), grid=self.grid)
        batch_size = self.size_of_batches(generator)
        source = self.latents(generator.latent_size, "ranking")
        preset = PRESETS[self.preset]
        self.claim_checkpoints({"weights of model": generator.params})
        with self.working() as (folder, progress):
            result = dissect_generator(
                generator,
                source,
                layers=layers,
                preset=preset,
                num_top_images=self.num_top_images,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("dissection"),
                mesh=self.computing.mesh,
                memory_budget=memory_bytes(self.memory_budget_gib),
                progress=progress,
            )
            write_dissection(folder, result, source, self)
            self.write_tables(folder, {"detectors": dissection_tables.layer_table(result)})
            write_settings(folder / SETTINGS_FILE, self, {})
            self.save_concept_charts(folder, result)
            top = top_images(
                result,
                generator.network,
                source,
                inputs=latent_input,
                output_image=generator.to_pixels,
                progress=progress,
            )
            self.save_strips(folder, top)
            self.write_unit_examples(
                folder,
                result,
                generator.network,
                source,
                segmented(generator.checked_segmenter()),
                progress=progress,
                how={"inputs": latent_input, "output_image": generator.to_pixels},
            )
        self.print_summary(dissection_tables.summary(result))
