"""Units of a generator, ranked by how well they match a concept."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from jaxdissect.dissection.presets import PRESETS
from jaxdissect.engine.batching import Source
from jaxdissect.generators.dissection import dissect_generator, ranked_units
from jaxdissect.generators.generator import Generator
from jaxdissect.reproduction.procedures.found_concepts import FOLDER
from jaxdissect.reproduction.way import Way


def ranked_by_iou(
    generator: Generator,
    source: Source,
    layer: str,
    concept: int,
    preset: str,
    way: Way,
    folder: Path,
) -> Int64[np.ndarray, "U"]:
    """Dissect a layer, keep the dissection, and rank its units by their IoU with a concept.

    Args:
        generator: Makes and labels the images.
        source: Latents.
        layer: The layer.
        concept: Id of the concept.
        preset: Name of the convention for thresholds and scores.
        way: How it runs.
        folder: Folder of the experiment.
    """
    result = dissect_generator(
        generator,
        source,
        layers=(layer,),
        preset=PRESETS[preset],
        batch_size=way.size_of_batches(generator.network, (generator.latent_size,)),
        checkpoints=way.checkpoints_of("ranking"),
        mesh=way.mesh,
        progress=way.progress,
    )
    result.save(folder / FOLDER)
    return ranked_units(result, layer, concept)
