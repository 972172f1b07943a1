"""The third part of the demonstration: what the units of the generator cause in its images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int

from jaxdissect.engine.batches import Joined, Source, Stored, batches
from jaxdissect.engine.data.latents import Latents
from jaxdissect.engine.fold import Progress
from jaxdissect.engine.labelers import segmented
from jaxdissect.experiments.dissect import dissect
from jaxdissect.experiments.dissection import Dissection
from jaxdissect.experiments.generate import paint
from jaxdissect.experiments.insertion import Insertion, insert_units
from jaxdissect.experiments.presets import GANDISSECT2019
from jaxdissect.experiments.removal import Removal, best_units, remove_units
from jaxdissect.faces import charts, figures, strips, tables
from jaxdissect.faces.report.page import Picture, Section, Table
from jaxdissect.faces.sheets import draw_grid
from jaxdissect.networks.models.proggan import to_pixels
from jaxdissect.networks.network import Network, layer_shapes
from jaxdissect.networks.segmenters.segmenter import Segmenter

LAYERS = ("layer2", "layer4", "layer6", "layer8")
"""The second convolution at 4 x 4 to 32 x 32 cells."""

LAYER = "layer6"
"""Where units are removed and inserted, 16 x 16 cells."""

MOST_REMOVED = 20
NUM_INSERTED = 10
CONTEXTS = ("barn", "house", "tree", "hill", "grass", "sky", "cloud")
"""Where doors are inserted: contexts to report."""


def generated(network: Network, source: Latents, progress: Progress) -> Source:
    """Make the images of latents once, to look at and to segment: RGB in [0, 1]."""
    make = jax.jit(lambda params, latents: to_pixels(network.apply(params, latents)[0]))
    parts = []
    for batch in batches(source, 32):
        images = np.asarray(make(network.params, batch["latent"]))[batch["weight"]]
        parts.append(images)
        progress("generate images", int(batch["example"][-1]) + 1, len(source))
    return Joined(source, Stored({"image": np.concatenate(parts)}))


def dissect_generator(
    network: Network, source: Source, segmenter: Segmenter, progress: Progress
) -> Dissection:
    """Dissect layers of the generator with the labels of its segmented images."""
    return dissect(
        network,
        source,
        segmented(segmenter),
        layers=LAYERS,
        preset=GANDISSECT2019,
        grid=(64, 64),
        inputs=lambda batch: batch["latent"],
        batch_size=16,
        progress=progress,
    )


def ranked_units(result: Dissection, concept: str) -> Int[np.ndarray, "U"]:
    """Units of `LAYER` by their IoU with an object, best first, equals by unit."""
    iou = result[LAYER].iou[result.vocabulary.index(concept, "object")]
    return np.argsort(-iou, kind="stable")


def remove_trees(
    network: Network,
    source: Source,
    segmenter: Segmenter,
    result: Dissection,
    progress: Progress,
) -> Removal:
    """Remove the 0, 1, ..., `MOST_REMOVED` units that match trees best."""
    keep = best_units(ranked_units(result, "tree"), MOST_REMOVED, result[LAYER].num_units)
    return remove_units(
        network, source, segmenter, LAYER, keep, batch_size=4, chunk_size=7, progress=progress
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
    network: Network,
    source: Source,
    segmenter: Segmenter,
    result: Dissection,
    progress: Progress,
) -> Doors:
    """Set the units that match doors best to the peaks of their top images, cell by cell."""
    units = ranked_units(result, "door")[:NUM_INSERTED]
    values = result[LAYER].top_values[units].mean(axis=1)
    cells = [(row, column) for row in range(1, 16, 2) for column in range(1, 16, 2)]
    insertion = insert_units(
        network,
        source,
        segmenter,
        LAYER,
        units,
        values,
        cells=cells,
        batch_size=4,
        chunk_size=8,
        progress=progress,
    )
    return Doors(units, values, insertion)


def samples_section(source: Source) -> Section:
    """Show 64 images as they come."""
    images = np.stack([np.asarray(source[i]["image"]) for i in range(min(64, len(source)))])
    rows = images[: len(images) // 8 * 8].reshape(-1, 8, *images.shape[1:])
    return Section(
        "A generator of farms",
        (
            "A progressive GAN has learned to make pictures of farms from random numbers. It has "
            "never seen a label. A segmenter, trained on drawn scenes, tells what its images show.",
        ),
        (Picture("Images of the generator, the first ones, not chosen.", draw_grid(rows)),),
    )


def dissection_section(
    network: Network, source: Source, result: Dissection, progress: Progress
) -> Section:
    """Show the detectors of every layer, and the best units at work."""
    alone = Dissection({LAYER: result[LAYER]}, result.vocabulary, result.settings)
    rows = strips.top_unit_strips(
        network,
        source,
        alone,
        inputs=lambda batch: batch["latent"],
        batch_size=16,
        progress=progress,
    )[LAYER]
    header, layer_rows = tables.layer_table(result)
    return Section(
        "What the units of the generator stand for",
        (
            "The same measure, between the activations that make an image and the labels of what "
            "comes out. Units are active on the top 0.5% of pixels, and match a concept above an "
            f"IoU of {result[LAYER].min_iou:g}.",
        ),
        (
            Table("Matching units by category, with (distinct concepts).", header, layer_rows),
            Picture(
                "How many units of every layer match each concept.",
                figures.concept_figure(result),
            ),
            Picture(
                f"The best units of {LAYER}, in the images with their highest peaks.",
                strips.draw_sheet(LAYER, rows),
            ),
        ),
    )


def trees_section(network: Network, source: Source, removal: Removal) -> Section:
    """Show how trees go when their units are removed."""
    tree = removal.vocabulary.index("tree", "object")
    left, band = removal.fraction_left[:, tree], removal.fraction_band[:, tree]
    gained = [
        (removal.vocabulary.names[concept], float(removal.mean_change[-1, concept]))
        for concept in removal.gained(len(left) - 1, number=60)
        if removal.vocabulary.categories[concept] == "object"
    ][:6]
    shown = np.argsort(-removal.before[:, tree], kind="stable")[:8]
    counts = (0, 2, 5, 10, MOST_REMOVED)
    latents = jnp.asarray(np.stack([source[int(i)]["latent"] for i in shown]))
    everywhere = jnp.ones(network_cells(network, latents))
    rows = [
        np.asarray(
            paint(
                network,
                network.params,
                latents,
                LAYER,
                np.flatnonzero(~removal.keep[number]),
                0.0,
                everywhere,
            )
        )
        for number in counts
    ]
    names = [f"{number} units" for number in counts]
    return Section(
        "Removing trees",
        (
            f"The units of {LAYER} that match trees best are set to zero, more and more of them, "
            f"in {len(removal.before)} images. Without {MOST_REMOVED} of them, "
            f"{left[-1]:.0%} of the tree pixels are left.",
        ),
        (
            Picture(
                "Tree pixels that are left, with the 99% band.",
                charts.curve_figure(
                    range(len(left)),
                    {"tree": left},
                    bands={"tree": band},
                    title="Removing the units that match trees best",
                    across="units removed",
                    up="fraction of tree pixels left",
                ),
            ),
            Picture(
                "The images with most trees, without more and more units.",
                draw_grid(np.stack(rows), rows=names),
            ),
            Table("What appears instead.", ("object", "pixels gained per image"), gained),
        ),
    )


def doors_section(network: Network, source: Source, doors: Doors) -> Section:
    """Show where inserted units make doors."""
    insertion = doors.insertion
    known = insertion.vocabulary
    door = known.index("door", "object")
    contexts = [known.index(name, "object") for name in CONTEXTS]
    seen = [concept for concept in contexts if insertion.number[concept] > 1]
    change, error = insertion.mean_change[:, door], insertion.standard_error[:, door]
    names = [known.names[concept] for concept in seen]
    return Section(
        "Inserting doors",
        (
            f"The {len(doors.units)} units of {LAYER} that match doors best are set to high values "
            f"at one place of an image: {insertion.number[0]} times, in {len(insertion.before)} "
            "images. Whether a door appears depends on what was there.",
        ),
        (
            Picture(
                "Door pixels that appear, by what the image showed at that place; standard errors.",
                charts.bar_figure(
                    names,
                    {"door": change[seen]},
                    errors={"door": error[seen]},
                    title="Inserting door units",
                    unit="door pixels added",
                ),
            ),
            Picture(
                "The same units at the same four places, side by side and low in the picture: "
                "before (above) and after (below).",
                draw_grid(_before_and_after(network, source, doors)),
            ),
            Table(
                "The same in numbers.",
                ("was there", "samples", "door pixels added", "standard error"),
                [
                    (name, int(insertion.number[c]), float(change[c]), float(error[c]))
                    for name, c in zip(names, seen, strict=True)
                ],
            ),
        ),
    )


def _before_and_after(
    network: Network, source: Source, doors: Doors
) -> Float[np.ndarray, "2 n H W 3"]:
    latents = jnp.asarray(np.stack([source[i]["latent"] for i in range(min(8, len(source)))]))
    where = np.zeros(network_cells(network, latents), np.float32)
    where[8:10, 8:10] = 1
    units, values = doors.units, jnp.asarray(doors.values)
    return np.stack(
        [
            np.asarray(
                paint(network, network.params, latents, LAYER, units, values, jnp.asarray(places))
            )
            for places in (0 * where, where)
        ]
    )


def network_cells(network: Network, latents: jax.Array) -> tuple[int, int]:
    """Height and width of `LAYER`."""
    shape = layer_shapes(network, latents, (LAYER,))[LAYER].shape
    return shape[1], shape[2]
