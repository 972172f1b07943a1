"""The world of the demonstration: what its pictures show, and which networks learned from them."""

from pathlib import Path

import numpy as np

from jaxdissect.plots.image_grid import draw_grid, paint_labels
from jaxdissect.report.page_section import PageFigure, PageSection, PageTable
from jaxdissect.scenes.concepts import CHANNELS, MATERIALS, OBJECTS, PARTS
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.shipped import NAMES, read_card

_COLUMNS = ("picture", "objects", "parts", "materials", "another", "and another")


def world_section(folder: Path, *, seed: int) -> PageSection:
    """Show pictures of every scene with their labels, and the networks.

    Args:
        folder: Where the picture is written.
        seed: Seed of the pictures.
    """
    folder.mkdir()
    _draw_scenes(folder / "scenes.png", seed)
    return PageSection(
        title="A small world, and networks that learned from it",
        question=(
            "What do the units of networks respond to, and what do they cause, in a world that is "
            "small enough to be drawn? Every picture is drawn by a program, so every pixel is "
            f"known: {len(OBJECTS)} kinds of objects with {len(PARTS)} kinds of parts, of "
            f"{len(MATERIALS)} materials, in 11 colors."
        ),
        found=(
            f"There are {len(SCENES)} kinds of scenes; no object alone determines which one a "
            "picture shows. The classifier and the vision transformer were given the names of "
            "scenes and nothing else: objects and parts among the concepts of their units are what "
            "they found by themselves.",
            "A progressive GAN has learned to make pictures of farms from random numbers, without "
            "any label. The segmenter, trained on drawn scenes, labels its images.",
        ),
        content=(
            PageFigure(
                "Every scene: a picture, its labels, and two more pictures.",
                f"A row for each of {len(SCENES)} scenes, such as {SCENES[0]} and {SCENES[-1]}: "
                "small drawn pictures, and maps of their objects, parts and materials.",
                folder / "scenes.png",
            ),
            PageTable(
                "The networks, as their cards describe them.",
                ("network", "steps", "minutes of training", "measured on held-out pictures"),
                [_card_row(name) for name in NAMES],
            ),
        ),
        limits=(
            "In a drawn world objects come in few shapes, and labels are never wrong. Units of "
            "networks trained on photographs are less clear, and there a segmenter's mistakes "
            "count against them.",
        ),
    )


def _draw_scenes(path: Path, seed: int) -> None:
    number = len(SCENES)
    plain = scenes_dataset(3 * number, seed=seed).read(0, 3 * number)
    images = plain["image"].reshape(3, number, *plain["image"].shape[1:])
    labels = [
        paint_labels(plain["labels"][:number, ..., CHANNELS.index(channel)])
        for channel in ("object", "part", "material")
    ]
    columns = [images[0], *labels, images[1], images[2]]
    draw_grid(np.stack(columns, axis=1), rows=SCENES, columns=_COLUMNS).save(path)


def _card_row(name: str) -> tuple[str, int, float, str]:
    card = read_card(name)
    figures = {
        "classifier": ("accuracy",),
        "generator": (
            "frechet_distance",
            "frechet_distance_of_other_drawn_pictures",
            "frechet_distance_of_noise",
        ),
        "segmenter": ("mean_iou_object", "mean_iou_part", "mean_iou_material"),
        "vit": ("accuracy",),
    }[name]
    measured = "; ".join(f"{figure.replace('_', ' ')} {card[figure]:.3g}" for figure in figures)
    return name, card["steps"], card["minutes"], measured
