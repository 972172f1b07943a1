"""`jaxdissect dissect`: read what the options name, dissect, and write a folder of results."""

from dataclasses import dataclass

from jaxdissect.commands.options.checkpoints import CheckpointOptions
from jaxdissect.commands.options.computing import images_like
from jaxdissect.commands.options.labelled_images import (
    LabelledDataSet,
    LabelledImages,
    find_labelled_images,
)
from jaxdissect.commands.options.model import LayersOptions
from jaxdissect.commands.options.output import FigureOptions
from jaxdissect.commands.options.page import UnitPageOptions
from jaxdissect.commands.options.passes import PassOptions
from jaxdissect.commands.options.preset import PresetOptions
from jaxdissect.commands.output import dissection_tables
from jaxdissect.commands.output.dissection_files import write_dissection
from jaxdissect.dissection.run import dissect
from jaxdissect.dissection.unit_images import top_images
from jaxdissect.engine.identity import looked_at_once


@dataclass(frozen=True, kw_only=True)
class DissectOptions(
    CheckpointOptions,
    PassOptions,
    PresetOptions,
    LabelledDataSet,
    LabelledImages,
    LayersOptions,
    UnitPageOptions,
    FigureOptions,
):
    """Find the concept that every unit of some layers responds to.

    Images come from --sample, from --images with --masks, or from --tfds with --label-features.
    What label ids mean is in --concepts. Without labels, a --segmenter or the colors name concepts.
    """

    @looked_at_once()
    def run(self) -> None:
        """Dissect as the options say; write and print the results.

        Raises:
            ValueError, OSError: If the options cannot be followed. Nothing is written then.
        """
        self.check_unit_page()
        self.check_passes()
        self.check_free()
        self.check_checkpoints()
        preset = self.find_preset()
        images, labeler = find_labelled_images(self, self)
        image_size = images[0]["image"].shape[:2]
        network, layers = self.find_layers(image_size)
        batch_size = self.computing.size_of_batches(network, images_like(image_size), layers=layers)
        source = self.keep_decoded(images)
        self.claim_checkpoints({"content of images": images, "weights of model": network.params})
        with self.working() as (folder, progress):
            result = dissect(
                network,
                source,
                labeler,
                layers=layers,
                preset=preset,
                grid=self.grid,
                num_top_images=self.num_top_images,
                batch_size=batch_size,
                checkpoints=self.checkpoints_of("dissection"),
                mesh=self.computing.mesh,
                memory_budget=self.memory_budget,
                progress=progress,
            )
            write_dissection(folder, result, source, self)
            self.save_concept_charts(folder, result)
            top = top_images(
                result,
                network,
                source,
                progress=progress,
            )
            self.save_strips(folder, top)
            self.write_unit_examples(folder, result, network, source, labeler, progress=progress)
        self.print_summary(dissection_tables.summary(result))
