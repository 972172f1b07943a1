"""Images to train with: drawn once, kept as bytes."""

from typing import Any

import numpy as np

from jaxdissect.engine.folding import Progress, no_progress
from jaxdissect.scenes.dataset import BLOCK_SIZE, ScenesDataset

Pool = dict[str, np.ndarray]


def draw_pool(dataset: ScenesDataset, *, progress: Progress = no_progress) -> Pool:
    """Draw all images of a data set.

    Returns:
        "image", uint8 [N, 64, 64, 3], 255 times the images'; "labels", uint8
        [N, 64, 64, 4]; "scene", uint8 [N].
    """
    blocks = []
    for first in range(0, len(dataset), BLOCK_SIZE):
        last = min(first + BLOCK_SIZE, len(dataset))
        block = dataset.read(first, last)
        block["image"] = np.rint(block["image"] * 255)
        blocks.append({name: array.astype(np.uint8) for name, array in block.items()})
        progress("draw scenes", last, len(dataset))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def draw_batch(pool: Pool, batch_size: int, *, seed: int, step: int) -> Pool:
    """Choose the images of a step, half of them mirrored; depends on seed and step alone."""
    generator = np.random.default_rng([seed, step])
    chosen = generator.integers(len(pool["scene"]), size=batch_size)
    mirrored = generator.random(batch_size) < 0.5
    batch: dict[str, Any] = {name: array[chosen] for name, array in pool.items()}
    for name in ("image", "labels"):
        batch[name][mirrored] = batch[name][mirrored, :, ::-1]
    return batch
