"""The third part of the demonstration: what the units of the generator cause in its images."""

import numpy as np
from jaxtyping import Float, Int

from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.output import dissection_tables
from jaxdissect.dissection.result import Dissection
from jaxdissect.dissection.unit_images import top_images
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
from jaxdissect.plots import concept_chart, unit_strips
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
TREE, DOOR = ("tree", "object"), ("door", "object")
MIN_SAMPLES = 20
"""Contexts with fewer insertions are not shown."""


def remove_trees(
    generator: Generator, source: Source, ranking: Int[np.ndarray, "U"], progress: Progress
) -> Removal:
    """Remove the 0, 1, ..., `MOST_REMOVED` units that match trees best, which are ranked first."""
    keep = best_unit_masks(ranking, MOST_REMOVED, len(ranking))
    return remove_units(
        generator, source, TREE_LAYER, keep, batch_size=4, chunk_size=7, progress=progress
    )


def insert_doors(
    generator: Generator, source: Source, result: Dissection, progress: Progress
) -> Insertion:
    """Set the units that match doors best to the peaks of their top images, cell by cell."""
    door = result.vocabulary.index(DOOR[0], category=DOOR[1])
    units = ranked_units(result, DOOR_LAYER, door)[:NUM_INSERTED]
    values = result[DOOR_LAYER].top_values[units].mean(axis=1)
    return insert_units(
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


def samples_section(generated: GeneratedImages) -> PageSection:
    """Show 64 images as they come."""
    images = generated.read(0, min(64, len(generated)))["image"]
    rows = images[: len(images) // 8 * 8].reshape(-1, 8, *images.shape[1:])
    return PageSection(
        "A generator of farms",
        (
            "A progressive GAN has learned to make pictures of farms from random numbers. It has "
            "never seen a label. A segmenter, trained on drawn scenes, labels its images.",
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
    return PageSection(
        "What the units of the generator stand for",
        (
            "The same measure, between the activations that make an image and the labels of what "
            "comes out. Units are active on the top 0.5% of pixels, and match a concept above an "
            f"IoU of {result[TREE_LAYER].min_iou:g}.",
        ),
        (
            PageTable(
                "Matching units by category, with (distinct concepts).",
                *dissection_tables.layer_table(result),
            ),
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
    tree = removal.vocabulary.index(TREE[0], category=TREE[1])
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


def doors_section(generator: Generator, source: Source, insertion: Insertion) -> PageSection:
    """Show where inserted units make doors."""
    door = insertion.vocabulary.index(DOOR[0], category=DOOR[1])
    header, rows = tables.context_table(insertion, door, min_samples=MIN_SAMPLES)
    contexts = [row for row in rows if row[header.index("category")] == DOOR[1]]
    content: list[PageFigure | PageTable] = [
        PageFigure(
            "The same units at the same two places, one above the other below the middle: before "
            "(above) and after (below).",
            draw_grid(_before_and_after(generator, source, insertion)),
        ),
        PageTable("The same in numbers.", header, contexts),
    ]
    chart = figures.context_figure(insertion, door, category=DOOR[1], min_samples=MIN_SAMPLES)
    if chart is not None:
        caption = (
            "Door pixels that appear, by what the image showed at that place; standard errors by "
            "images."
        )
        content.insert(0, PageFigure(caption, chart))
    return PageSection(
        "Inserting doors",
        (
            f"The {len(insertion.units)} units of {DOOR_LAYER} that match doors best are set to "
            f"high values at one cell of an image: {insertion.number[0]} times, in "
            f"{len(insertion.before)} images. Whether a door appears depends on what was there.",
        ),
        content,
    )


def _before_and_after(
    generator: Generator, source: Source, insertion: Insertion
) -> Float[np.ndarray, "2 n H W 3"]:
    height, width, _ = generator.map_shape(DOOR_LAYER)
    examples = np.tile(np.arange(min(8, len(source))), (2, 1))
    where = np.zeros((*examples.shape, height, width), np.float32)
    where[1, :, 4:6, 4] = 1
    return images_with_units(
        generator, source, DOOR_LAYER, insertion.units, insertion.values, examples, where
    )
