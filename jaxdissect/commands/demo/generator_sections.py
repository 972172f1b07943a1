"""The third part of the demonstration: what the units of the generator cause in its images."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from jaxdissect.commands.generate import figures
from jaxdissect.commands.output import dissection_tables
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.top_images import top_images
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.generators.dissection import ranked_units
from jaxdissect.generators.generator import Generator, latent_input
from jaxdissect.generators.images import (
    GeneratedImages,
    images_with_units,
    images_without_units,
)
from jaxdissect.generators.insertion import Insertion, insert_units
from jaxdissect.generators.removal import Removal, remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks
from jaxdissect.plots import bars_and_curves, concept_chart, unit_strips
from jaxdissect.plots.image_grid import draw_grid
from jaxdissect.report.page import PageFigure, PageSection, PageTable

LAYERS = ("layer2", "layer4", "layer6", "layer8")
"""The second convolution at 4 x 4 to 32 x 32 cells."""

TREE_LAYER = "layer6"
"""Where units are removed, 16 x 16 cells."""

DOOR_LAYER = "layer4"
"""Where units are inserted, 8 x 8 cells: large enough for a door to fit into one."""

MOST_REMOVED = 20
NUM_INSERTED = 20
CONTEXTS = ("barn", "house", "tree", "hill", "grass", "sky", "cloud")
"""Where doors are inserted: contexts to report."""


def remove_trees(
    generator: Generator,
    source: Source,
    result: Dissection,
    progress: Progress,
) -> Removal:
    """Remove the 0, 1, ..., `MOST_REMOVED` units that match trees best."""
    ranking = ranked_units(result, TREE_LAYER, result.vocabulary.index("tree", "object"))
    keep = best_unit_masks(ranking, MOST_REMOVED, result[TREE_LAYER].num_units)
    return remove_units(
        generator, source, TREE_LAYER, keep, batch_size=4, chunk_size=7, progress=progress
    )


class Doors(NamedTuple):
    """Door units, and what comes of inserting them.

    Attributes:
        units: The units that match doors best.
        values: What they are set to.
        insertion: The changes.
    """

    units: Int[np.ndarray, "k"]
    values: Float32[np.ndarray, "k"]
    insertion: Insertion


def insert_doors(
    generator: Generator,
    source: Source,
    result: Dissection,
    progress: Progress,
) -> Doors:
    """Set the units that match doors best to the peaks of their top images, cell by cell."""
    door = result.vocabulary.index("door", "object")
    units = ranked_units(result, DOOR_LAYER, door)[:NUM_INSERTED]
    values = result[DOOR_LAYER].top_values[units].mean(axis=1)
    insertion = insert_units(
        generator,
        source,
        DOOR_LAYER,
        units,
        values,
        concepts=[door],
        batch_size=4,
        chunk_size=8,
        progress=progress,
    )
    return Doors(units, values, insertion)


def samples_section(generated: GeneratedImages) -> PageSection:
    """Show 64 images as they come."""
    images = generated.read(0, min(64, len(generated)))["image"]
    rows = images[: len(images) // 8 * 8].reshape(-1, 8, *images.shape[1:])
    return PageSection(
        "A generator of farms",
        (
            "A progressive GAN has learned to make pictures of farms from random numbers. It has "
            "never seen a label. A segmenter, trained on drawn scenes, tells what its images show.",
        ),
        (PageFigure("Images of the generator, the first ones, not chosen.", draw_grid(rows)),),
    )


def dissection_section(
    generator: Generator, source: Source, result: Dissection, progress: Progress
) -> PageSection:
    """Show the detectors of every layer, and the best units at work."""
    alone = result.only(TREE_LAYER)
    rows = top_images(
        alone,
        generator.network,
        source,
        inputs=latent_input,
        output_image=generator.to_pixels,
        progress=progress,
    )[TREE_LAYER]
    header, layer_rows = dissection_tables.layer_table(result)
    return PageSection(
        "What the units of the generator stand for",
        (
            "The same measure, between the activations that make an image and the labels of what "
            "comes out. Units are active on the top 0.5% of pixels, and match a concept above an "
            f"IoU of {result[TREE_LAYER].min_iou:g}.",
        ),
        (
            PageTable("Matching units by category, with (distinct concepts).", header, layer_rows),
            PageFigure(
                "How many units of every layer match each concept.",
                concept_chart.concept_figure(result),
            ),
            PageFigure(
                f"The best units of {TREE_LAYER}, in the images with their highest peaks.",
                unit_strips.draw_unit_strips(TREE_LAYER, rows),
            ),
        ),
    )


def trees_section(generator: Generator, source: Source, removal: Removal) -> PageSection:
    """Show how trees go when their units are removed."""
    tree = removal.vocabulary.index("tree", "object")
    left = removal.fraction_left[:, tree]
    numbers = (0, 2, 5, 10, MOST_REMOVED)
    shown = removal.most_shown(tree, 8)
    images = images_without_units(generator, source, TREE_LAYER, shown, removal.keep[list(numbers)])
    gained = [
        (removal.vocabulary.names[concept], float(removal.mean_change[-1, concept]))
        for concept in removal.gained(len(left) - 1, number=60)
        if removal.vocabulary.categories[concept] == "object"
    ][:6]
    return PageSection(
        "Removing trees",
        (
            f"The units of {TREE_LAYER} that match trees best are set to zero, more and more of "
            f"them, in {len(removal.before)} images. Without {MOST_REMOVED} of them, "
            f"{left[-1]:.0%} of the tree pixels are left.",
        ),
        (
            PageFigure(
                "Tree pixels that are left, with the 99% band.",
                figures.left_figure(removal, tree),
            ),
            PageFigure(
                "The images with most trees, without more and more units.",
                figures.removal_strip(images, shown, numbers),
            ),
            PageTable("What appears instead.", ("object", "pixels gained per image"), gained),
        ),
    )


TREES_HEADER = ("units removed", "fraction of tree pixels left", "99% band")


def tree_rows(removal: Removal) -> list[tuple[int, float, float]]:
    """A row for every number of removed units: what is left of the trees, and how sure that is."""
    tree = removal.vocabulary.index("tree", "object")
    left, band = removal.fraction_left[:, tree], removal.fraction_band[:, tree]
    return [(number, float(left[number]), float(band[number])) for number in range(len(left))]


DOORS_HEADER = ("was there", "samples", "door pixels added", "standard error by images")


def door_rows(insertion: Insertion) -> list[tuple[str, int, float, float]]:
    """A row for every context that was seen: how many door pixels one insertion adds there."""
    known = insertion.vocabulary
    door = known.index("door", "object")
    contexts = [known.index(name, "object") for name in CONTEXTS]
    error = insertion.clustered_error(door)
    return [
        (
            known.names[context],
            int(insertion.number[context]),
            float(insertion.mean_change[context, door]),
            float(error[context]),
        )
        for context in contexts
        if np.isfinite(error[context])
    ]


def doors_section(generator: Generator, source: Source, doors: Doors) -> PageSection:
    """Show where inserted units make doors."""
    insertion = doors.insertion
    rows = door_rows(insertion)
    names, _, change, error = zip(*rows, strict=True)
    return PageSection(
        "Inserting doors",
        (
            f"The {len(doors.units)} units of {DOOR_LAYER} that match doors best are set to high "
            f"values at one cell of an image: {insertion.number[0]} times, in "
            f"{len(insertion.before)} images. Whether a door appears depends on what was there.",
        ),
        (
            PageFigure(
                "Door pixels that appear, by what the image showed at that place; standard errors "
                "by images.",
                bars_and_curves.bar_figure(
                    names,
                    {"door": np.array(change)},
                    errors={"door": np.array(error)},
                    title="Inserting door units",
                    unit="door pixels added",
                ),
            ),
            PageFigure(
                "The same units at the same two places, one above the other below the middle: "
                "before (above) and after (below).",
                draw_grid(_before_and_after(generator, source, doors)),
            ),
            PageTable("The same in numbers.", DOORS_HEADER, rows),
        ),
    )


def _before_and_after(
    generator: Generator, source: Source, doors: Doors
) -> Float[np.ndarray, "2 n H W 3"]:
    height, width, _ = generator.map_shape(DOOR_LAYER)
    examples = np.tile(np.arange(min(8, len(source))), (2, 1))
    where = np.zeros((*examples.shape, height, width), np.float32)
    where[1, :, 4:6, 4] = 1
    return images_with_units(
        generator, source, DOOR_LAYER, doors.units, doors.values, examples, where
    )
