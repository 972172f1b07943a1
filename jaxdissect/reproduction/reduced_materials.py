"""Make the files that a reduced run reads: random weights of narrow networks, and drawn images.

Everything depends on a seed alone. The files are of the kinds that are published, so that a reduced
run takes every step of a whole one, from reading weights on.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float32, UInt8

from jaxdissect.networks.models.catalog import ARCHITECTURES
from jaxdissect.networks.weights.files import write_weights
from jaxdissect.networks.weights.mapping import parameters
from jaxdissect.networks.weights.published import PUBLISHED
from jaxdissect.reproduction.data_sets import DATA_SETS
from jaxdissect.reproduction.experiment import Experiment
from jaxdissect.reproduction.materials import Materials
from jaxdissect.reproduction.narrow_networks import LABELS, NARROW, NUM_CLASSES

NOT_COMPARABLE = "not comparable: random weights"
"""What stands in the place of a comparison after a reduced run."""

Floats = Float32[np.ndarray, "*shape"]

_SIDE = 96  # pixels of a side of the drawn images
_PER_CLASS = 4
_STEMS = {"places-train": "Places365_train", "places-val": "Places365_val"}
_SEGMENTER_SIDE = 64
_SCALED_WHEN_RUN = ("proggan",)  # whose kernels are of variance 1


def make_reduced_materials(experiment: Experiment, folder: Path, *, seed: int = 0) -> Materials:
    """Write what a reduced run of an experiment reads.

    Args:
        experiment: What is to run.
        folder: Where to write, made if need be. What is there already, of the same seed, is taken
            as it is: experiments may share it.
        seed: Seed of weights and images.
    """
    return Materials(
        weights={
            name: write_narrow(name, folder / "weights", seed) for name in experiment.networks
        },
        folders={
            name: draw_images(
                folder / "images" / name,
                stem=_STEMS.get(name, name),
                seed=seed + 1 + tuple(DATA_SETS).index(name),
            )
            for name in experiment.data
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
    parts = ARCHITECTURES[architecture].parts
    path = folder / name if parts else folder / f"{name}.safetensors"
    if path.exists():
        return path
    # Only the shapes are asked for: what a module would draw has to be compiled, array by array.
    shapes = jax.eval_shape(lambda: parameters(NARROW[architecture](nnx.Rngs(0))))
    random = np.random.RandomState(seed)
    scaled = architecture in _SCALED_WHEN_RUN
    arrays = {key: _weights(key, shapes[key].shape, random, scaled) for key in sorted(shapes)}
    metadata = {"made by": "jaxdissect reproduce --reduced", "seed": str(seed)}
    folder.mkdir(parents=True, exist_ok=True)
    if not parts:
        write_weights(path, arrays, metadata=metadata)
        return path
    with _whole(path) as unfinished:
        for part in parts:
            start = f"{part}."
            own = {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
            write_weights(unfinished / f"{part}.safetensors", own, metadata=metadata)
        (unfinished / "labels.json").write_text(json.dumps(LABELS[name]), encoding="utf-8")
    return path


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes its place when it is complete; no half one is taken."""
    unfinished = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was interrupted
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(folder)


def _weights(
    name: str, shape: tuple[int, ...], random: np.random.RandomState, scaled: bool
) -> Floats:
    """Draw a parameter: kernels normal, as wide as keeps activations in range; scales about 1."""
    kind = name.rpartition(".")[2]
    if kind == "kernel":
        drawn = random.standard_normal(shape)
        drawn *= 1 if scaled else np.sqrt(2 / np.prod(shape[:-1]))
    elif kind in ("scale", "var"):
        drawn = 0.5 + random.random_sample(shape)
    else:
        drawn = 0.1 * random.standard_normal(shape)
    return drawn.astype(np.float32)


def draw_images(folder: Path, *, stem: str, seed: int) -> Path:
    """Draw images into a folder for every class.

    Args:
        folder: Where they go; one that is there already is taken as it is.
        stem: What their names begin with, before their numbers.
        seed: Seed of what they show.

    Returns:
        The folder.
    """
    from PIL import Image

    if folder.exists():
        return folder
    random = np.random.RandomState(seed)
    number = 0
    with _whole(folder) as unfinished:
        for label in range(NUM_CLASSES):
            home = unfinished / f"class_{label}"
            home.mkdir()
            for _ in range(_PER_CLASS):
                number += 1
                path = home / f"{stem}_{number:08d}.png"
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
