"""Results of dissections that were never made, and how regions of images are to be lit."""

import numpy as np

from jaxdissect.arrays.concepts import Vocabulary, vocabulary
from jaxdissect.dissection.result import Dissection, LayerDissection
from jaxdissect.plots import palette
from jaxdissect.stats.agreement import AgreementCounts

KINDS = ("object", "part", "material", "texture", "color", "scene")
CONCEPTS = vocabulary(
    (f"a rather long name {i}" if i % 7 == 0 else f"name{i}", KINDS[i % 6]) for i in range(150)
)


def layer_with(name: str, best: list[int], concepts: Vocabulary = CONCEPTS) -> LayerDissection:
    """A layer whose unit u detects concept best[u], 0 for none."""
    units, iou = len(best), np.zeros((len(concepts), len(best)))
    iou[best, np.arange(units)] = np.where(np.array(best) > 0, np.linspace(0.5, 0.1, units), 0.0)
    return LayerDissection(
        name,
        concepts,
        0.04,
        np.zeros(units, np.float32),
        AgreementCounts(np.zeros_like(iou, dtype=np.int64), np.ones(len(concepts), np.int64)),
        np.zeros(len(concepts), np.int64),
        iou,
        np.zeros((units, 1), np.int64),
        np.zeros((units, 1), np.float32),
    )


def dissection_with(**best: list[int]) -> Dissection:
    layers = {name: layer_with(name, ids) for name, ids in best.items()}
    return Dissection(layers, CONCEPTS)


def grown(mask: np.ndarray) -> np.ndarray:
    """All pixels that touch a mask, itself included."""
    result = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        result[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    return result


def highlighted(image: np.ndarray, mask: np.ndarray, thickness: int) -> np.ndarray:
    """The region as it is, an outline around it, and the rest at half its brightness."""
    around = mask
    for _ in range(thickness):
        around = grown(around)
    result = np.where(mask[..., None], image, image * np.float32(0.5))
    result[around & ~mask] = palette.YELLOW
    return result
