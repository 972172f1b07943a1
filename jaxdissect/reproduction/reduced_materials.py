"""Make the files that a reduced run reads: random weights of narrow networks, and drawn images.

Everything depends on a seed alone. The files are of the kinds that are published, so that a reduced
run takes every step of a whole one, from reading weights on.
"""

import json
from pathlib import Path

import numpy as np
from flax import nnx
from jaxtyping import UInt8

from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.narrow_networks import LABELS, NARROW, NUM_CLASSES

NOT_COMPARABLE = "not comparable: random weights"
"""What stands in the place of a comparison after a reduced run."""

_SIDE = 96  # pixels of a side of the drawn images
_PER_CLASS = 4
_SEGMENTER_SIDE = 64


def make_reduced_materials(experiment: Experiment, folder: Path, *, seed: int = 0) -> Materials:
    """Write what a reduced run of an experiment reads.

    Args:
        experiment: What is to run.
        folder: Where to write, made if need be.
        seed: Seed of weights and images.
    """
    return Materials(
        weights={
            name: write_narrow(name, folder / "weights", seed) for name in experiment.networks
        },
        folders={
            name: draw_images(folder / "images" / name, seed=seed + place)
            for place, name in enumerate(experiment.data)
        },
        comparable=NOT_COMPARABLE,
        segmenter_side=_SEGMENTER_SIDE,
        is_reduced=True,
    )


def write_narrow(name: str, folder: Path, seed: int) -> Path:
    """Write random weights of a narrow network in the place of published ones.

    Args:
        name: Name of the published weights.
        folder: Where to write.
        seed: Seed of the weights.

    Returns:
        The file; for networks that are published in parts, the folder of these.
    """
    architecture = PUBLISHED[name].architecture
    network = NARROW[architecture](nnx.Rngs(seed))
    arrays = {key: np.asarray(array) for key, array in parameters(network).items()}
    metadata = {"made by": "jaxdissect reproduce --reduced", "seed": str(seed)}
    folder.mkdir(parents=True, exist_ok=True)
    parts = ARCHITECTURES[architecture].parts
    if not parts:
        path = folder / f"{name}.safetensors"
        write_weights(path, arrays, metadata=metadata)
        return path
    home = folder / name
    home.mkdir(exist_ok=True)
    for part in parts:
        prefix = f"{part}."
        own = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}
        write_weights(home / f"{part}.safetensors", own, metadata=metadata)
    (home / "labels.json").write_text(json.dumps(LABELS[name]), encoding="utf-8")
    return home


def draw_images(folder: Path, *, seed: int) -> Path:
    """Draw images into a folder for every class, named as those of Places365 are.

    Args:
        folder: Where they go, made if need be.
        seed: Seed of what they show.

    Returns:
        The folder.
    """
    from PIL import Image

    random = np.random.RandomState(seed)
    number = 0
    for label in range(NUM_CLASSES):
        home = folder / f"class_{label}"
        home.mkdir(parents=True, exist_ok=True)
        for _ in range(_PER_CLASS):
            number += 1
            path = home / f"Places365_val_{number:08d}.png"
            Image.fromarray(_drawn(random, label)).save(path)
    return folder


def _drawn(random: np.random.RandomState, label: int) -> UInt8[np.ndarray, "H W 3"]:
    """Draw rectangles on a gradient whose direction depends on the class."""
    across = np.linspace(0, 1, _SIDE)
    angle = np.pi * label / NUM_CLASSES
    slope = np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None]
    ends = random.randint(0, 256, (2, 3))
    image = ends[0] + (ends[1] - ends[0]) * (slope - slope.min())[..., None] / np.ptp(slope)
    for _ in range(5):
        top, left = random.randint(0, _SIDE - 12, 2)
        height, width = random.randint(8, _SIDE // 2, 2)
        image[top : top + height, left : left + width] = random.randint(0, 256, 3)
    return np.clip(image, 0, 255).astype(np.uint8)
