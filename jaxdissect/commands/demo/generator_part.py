"""What the units of the generator stand for, and what they cause in its images.

Results are written as `jaxdissect generate dissect`, `remove` and `insert` write theirs.
"""

from pathlib import Path
from typing import Any

from jaxdissect.commands.demo.dissected_network import write_network
from jaxdissect.commands.demo.settings import command_of
from jaxdissect.commands.generate import figures, tables
from jaxdissect.commands.output.settings import write_settings
from jaxdissect.commands.output.table_files import Rows, write_csv
from jaxdissect.dissection.result import Dissection
from jaxdissect.engine.batching import Source
from jaxdissect.engine.folding import Progress
from jaxdissect.engine.identity import digest
from jaxdissect.engine.labelers import segmented
from jaxdissect.generators.dissection import dissect_generator, ranked_units
from jaxdissect.generators.generator import Generator, latent_input
from jaxdissect.generators.images import images_without_units
from jaxdissect.generators.insertion import Insertion, images_of_places, insert_units
from jaxdissect.generators.removal import Removal, remove_units
from jaxdissect.networks.ablation_masks import best_unit_masks
from jaxdissect.plots.figure_files import save_figure

LAYERS = ("layer2", "layer4", "layer6", "layer8")
"""The second convolution at 4 x 4 to 32 x 32 cells."""

TREE_LAYER = "layer6"
"""Where units are removed, 16 x 16 cells."""

DOOR_LAYER = "layer4"
"""Where units are inserted, 8 x 8 cells: large enough for a door to fit into one."""

NUM_INSERTED = 20
TREE, DOOR = ("tree", "object"), ("door", "object")
MIN_SAMPLES = 20
"""Contexts with fewer insertions are not shown."""

_SETTINGS_FILE = "generation.json"
_SHOWN_IMAGES = 8


def dissect_images(generator: Generator, source: Source, progress: Progress) -> Dissection:
    """Dissect some layers of the generator, in the images that it makes."""
    return dissect_generator(generator, source, layers=LAYERS, num_top_images=16, progress=progress)


def write_generator(
    folder: Path,
    result: Dissection,
    generator: Generator,
    source: Source,
    sample: int,
    options: Any,
    progress: Progress,
) -> None:
    """Write the dissection, and what its page shows of every unit."""
    write_network(
        folder,
        result,
        generator.network,
        source,
        segmented(generator.checked_segmenter()),
        sample=sample,
        options=options,
        progress=progress,
        how={"inputs": latent_input, "output_image": generator.to_pixels},
    )


# --- trees ----------------------------------------------------------------------------------------


def remove_trees(
    folder: Path,
    generator: Generator,
    result: Dissection,
    source: Source,
    removed: tuple[int, ...],
    options: Any,
    progress: Progress,
) -> Removal:
    """Remove more and more of the units that match trees best, and write what becomes of trees.

    Args:
        folder: Where to write.
        generator: The generator.
        result: Its dissection, which ranks the units.
        source: Other latents than those of the dissection.
        removed: Numbers of units, from 0 on.
        options: The options of the command.
        progress: Is called with how far the pass has come.
    """
    tree = result.vocabulary.index(TREE[0], category=TREE[1])
    ranking = ranked_units(result, TREE_LAYER, tree)
    keep = best_unit_masks(ranking, removed[-1], len(ranking))[list(removed)]
    removal = remove_units(
        generator,
        source,
        TREE_LAYER,
        keep,
        concepts=[tree],
        batch_size=4,
        chunk_size=7,
        progress=progress,
    )
    numbers = [number for number in (0, 2, 5, 10, 20) if number in removed]
    shown = removal.most_shown(tree, _SHOWN_IMAGES)
    images = images_without_units(
        generator, source, TREE_LAYER, shown, keep[[removed.index(number) for number in numbers]]
    )
    written = {
        "sets": tables.set_table(removal, tree, ranking),
        "changes": tables.change_table(removal),
        "replaced": tables.replaced_table(removal, tree),
        "images": tables.image_table(removal, tree),
    }
    folder.mkdir()
    _write_tables(folder, written)
    save_figure(folder / "left.png", figures.left_figure(removal, tree))
    replaced = figures.replaced_figure(removal, tree)
    if replaced is not None:
        save_figure(folder / "replaced.png", replaced)
    save_figure(folder / "images.png", figures.removal_strip(images, shown, numbers))
    facts = {"ranking by IoU": ranking[: removed[-1]].tolist()}
    described = {
        **{"layer": TREE_LAYER, "concept": TREE[0], "category": TREE[1]},
        **{"num_images": len(source), "most": removed[-1], "shown": numbers},
    }
    _write_settings(folder, generator, options, facts, described)
    return removal


def tree_sentence(removal: Removal) -> str:
    """Say what is left of trees."""
    tree = removal.vocabulary.index(TREE[0], category=TREE[1])
    number = int(removal.num_removed[-1])
    left, band = removal.fraction_left[-1, tree], removal.fraction_band[-1, tree]
    return (
        f"Without the {number} of {removal.keep.shape[1]} units of {TREE_LAYER} that match trees "
        f"best, {left:.0%} of the tree pixels are left in {len(removal.before)} images (99% band "
        f"\u00b1 {band:.0%})."
    )


# --- doors ----------------------------------------------------------------------------------------


def insert_doors(
    folder: Path,
    generator: Generator,
    result: Dissection,
    source: Source,
    options: Any,
    progress: Progress,
) -> Insertion:
    """Set the units that match doors best to high values, cell by cell, and write what appears.

    Args:
        folder: Where to write.
        generator: The generator.
        result: Its dissection, which ranks the units and tells how high their peaks are.
        source: Other latents than those of the dissection.
        options: The options of the command.
        progress: Is called with how far the pass has come.
    """
    door = result.vocabulary.index(DOOR[0], category=DOOR[1])
    units = ranked_units(result, DOOR_LAYER, door)[:NUM_INSERTED]
    insertion = insert_units(
        generator,
        source,
        DOOR_LAYER,
        units,
        result[DOOR_LAYER].thresholds[units],
        concepts=[door],
        batch_size=4,
        chunk_size=8,
        progress=progress,
    )
    places = images_of_places(generator, source, insertion, door, number=tables.SHOWN_PLACES)
    height, width, _ = generator.map_shape(DOOR_LAYER)
    written = {
        "contexts": tables.context_table(insertion, door),
        "cells": tables.cell_table(insertion, door),
        "places": tables.place_table(insertion, door),
        "changes": tables.side_effect_table(insertion),
    }
    folder.mkdir()
    _write_tables(folder, written)
    contexts = figures.context_figure(insertion, door, category=DOOR[1], min_samples=MIN_SAMPLES)
    if contexts is not None:
        save_figure(folder / "contexts.png", contexts)
    save_figure(folder / "cells.png", figures.cell_figure(insertion, door, (height, width)))
    sheet = figures.place_sheet(places, insertion, door, (height, width))
    save_figure(folder / "places.png", sheet)
    facts = {"units": insertion.units.tolist(), "values": insertion.values.tolist()}
    described = {
        **{"layer": DOOR_LAYER, "concept": DOOR[0], "category": DOOR[1], "times": 1.0},
        **{"num_images": len(source), "num_units": NUM_INSERTED, "min_samples": MIN_SAMPLES},
    }
    _write_settings(folder, generator, options, facts, described)
    return insertion


def door_sentence(insertion: Insertion) -> str:
    """Say where doors appear, and where they do not."""
    known = insertion.vocabulary
    door = known.index(DOOR[0], category=DOOR[1])
    mean, number = insertion.mean_change[:, door], insertion.number
    there = [
        context
        for context in range(1, len(known))
        if known.categories[context] == DOOR[1] and number[context] >= MIN_SAMPLES
    ]
    text = (
        f"The {len(insertion.units)} units of {DOOR_LAYER} that match doors best, set to high "
        f"values at one cell, {number[0]:,} times,"
    )
    if not there:
        return f"{text} add {mean[0]:.1f} pixels of door on average."
    most, least = max(there, key=lambda c: mean[c]), min(there, key=lambda c: mean[c])
    return (
        f"{text} add most pixels of door where there was {known.names[most]} "
        f"({mean[most]:.1f} on average), fewest where there was {known.names[least]} "
        f"({mean[least]:.1f})."
    )


def _write_tables(folder: Path, written: dict[str, Rows]) -> None:
    for name, rows in written.items():
        write_csv(folder / f"{name}.csv", *rows)


def _write_settings(
    folder: Path,
    generator: Generator,
    options: Any,
    facts: dict[str, Any],
    described: dict[str, Any],
) -> None:
    facts["network"] = digest(generator.network.params)
    write_settings(folder / _SETTINGS_FILE, options, facts | command_of(options, **described))
