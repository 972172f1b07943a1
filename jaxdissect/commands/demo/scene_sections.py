"""The first part of the demonstration: the pictures, and the networks that learned from them."""

import numpy as np

from jaxdissect.plots.image_grid import draw_grid, paint_labels
from jaxdissect.report.page import PageFigure, PageSection, PageTable
from jaxdissect.scenes.concepts import CHANNELS, MATERIALS, OBJECTS, PARTS
from jaxdissect.scenes.dataset import scenes_dataset
from jaxdissect.scenes.rendering import SCENES
from jaxdissect.scenes.shipped import NAMES, read_card

_COLUMNS = ("picture", "objects", "parts", "materials", "restyled", "another", "and another")


def scenes_section(seed: int) -> PageSection:
    """Show pictures of every scene, their labels, and how the networks were trained."""
    number = len(SCENES)
    plain = scenes_dataset(3 * number, seed=seed).read(0, 3 * number)
    restyled = scenes_dataset(number, seed=seed, stylised=True).read(0, number)["image"]
    images = plain["image"].reshape(3, number, *plain["image"].shape[1:])
    labels = [
        paint_labels(plain["labels"][:number, ..., CHANNELS.index(channel)])
        for channel in ("object", "part", "material")
    ]
    columns = [images[0], *labels, restyled, images[1], images[2]]
    sheet = draw_grid(np.stack(columns, axis=1), rows=SCENES, columns=_COLUMNS)
    return PageSection(
        "A small world",
        (
            f"Every picture is drawn by a program, so every pixel is known: {len(OBJECTS)} kinds "
            f"of objects with {len(PARTS)} kinds of parts, of {len(MATERIALS)} materials, in 11 "
            f"colors. There are {number} kinds of scenes; no object alone determines which one a "
            "picture shows.",
            "Four networks have learned from such pictures. The classifier and the vision "
            "transformer were given the names of scenes and nothing else; what follows asks what "
            "units of the classifier found by themselves.",
        ),
        (
            PageFigure(
                "Every scene: a picture, its labels, the same shapes with other materials "
                "and colors, and two more pictures.",
                sheet,
            ),
            PageTable(
                "The networks, as their cards describe them.",
                ("network", "steps", "minutes of training", "measured on held-out pictures"),
                [_card_row(name) for name in NAMES],
            ),
        ),
    )


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
