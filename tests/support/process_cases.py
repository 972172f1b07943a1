"""What a process of several computes, for `test_processes`; run as a program of its own.

    python -m support.process_cases INDEX NUMBER PORT

Prints a JSON object: for each experiment and way to run it, a hash of what was found; and what was
raised. Weights and
images are small integers or eighths, with which networks compute exactly, whatever the batch.
"""

import functools
import hashlib
import itertools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.classifiers import ablation_sweep, peak_activations
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.run import Tuning, run_dissection
from jaxdissect.dissection.setup import dissection_setup
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.devices import data_mesh
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.resume import FoldOptions
from jaxdissect.generators import Generator, remove_units
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.adapters.tapped_network import TappedNetwork
from jaxdissect.networks.segmenters.segmenter import Segmenter

NUMBER, SIZE, UNITS, CLASSES = 13, 8, 6, 3
BATCHES, DEVICES = (1, 7, 64), (1, 2, 4, 8)
PAIRS = {
    1: ((1, 1), (2, 7), (4, 64), (8, 7)),
    2: ((1, 1), (4, 7), (8, 64)),
    3: ((1, 64), (2, 7)),
}
CONCEPTS = vocabulary([("red", "color"), ("square", "object"), ("left", "part")])


class Exact(nnx.Module):
    """Two convolutions, a mean over 16 cells, and a linear map, all with integers."""

    def __init__(self):
        rng, rngs = np.random.default_rng(0), nnx.Rngs(0)
        self.conv1 = nnx.Conv(3, UNITS, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(UNITS, UNITS, (3, 3), rngs=rngs)
        self.fc = nnx.Linear(UNITS, CLASSES, rngs=rngs)
        for layer in (self.conv1, self.conv2, self.fc):
            weights = rng.integers(-2, 3, layer.kernel.shape)
            layer.kernel[...] = jnp.asarray(weights, jnp.float32)

    def __call__(self, images):
        maps = nnx.max_pool(nnx.relu(self.conv1(images)), (2, 2), (2, 2))
        return self.fc(nnx.relu(self.conv2(maps)).mean((1, 2)))


network = functools.cache(Exact)


def images(order=None):
    rng = np.random.default_rng(1)
    arrays = {
        "image": rng.integers(0, 9, (NUMBER, SIZE, SIZE, 3)).astype(np.float32) / 8,
        "labels": rng.integers(0, 4, (NUMBER, SIZE, SIZE, 2), dtype=np.int32),
        "label": rng.integers(0, CLASSES, NUMBER, dtype=np.int32),
    }
    return Stored(arrays if order is None else {name: x[order] for name, x in arrays.items()})


@functools.cache
def painter():
    """Paints cells of 4 units, whose strongest color a segmenter finds."""

    def paint(params, latents, tap):
        maps = tap("maps", jax.nn.relu(latents.reshape(-1, 4, 4, 4)))
        return tap("pixels", maps @ params).repeat(2, axis=1).repeat(2, axis=2) / 64

    def segment(params, pictures, grid):
        return jnp.where(pictures.max(-1) > 0, pictures.argmax(-1) + params, 0)[..., None]

    paints = jnp.asarray(np.random.default_rng(2).integers(0, 3, (4, 3)), jnp.float32)
    segmenter = Segmenter(CONCEPTS, jnp.int32(1), segment)
    return Generator(
        TappedNetwork(paint, paints), 64, segmenter=segmenter, grid=(8, 8), to_pixels=lambda x: x
    )


def latents():
    found = np.random.default_rng(3).integers(-4, 5, (NUMBER, 64))
    return Stored({"latent": found.astype(np.float32)})


def dissected(order=None, *, budget=2**30, pilot=None, batch_size, mesh):
    """Thresholds and counts, and top images, of two layers."""
    setup = dissection_setup(
        network(),
        images(order),
        annotated(CONCEPTS),
        layers=("conv1", "conv2"),
        preset=PNAS2020,
        grid=(SIZE, SIZE),
    )
    found = run_dissection(
        setup,
        FoldOptions(batch_size, mesh),
        num_top_images=3,
        memory_budget=budget,
        tuning=Tuning(pilot=pilot),
    ).dissection.layers.values()
    counted = [(layer.thresholds, layer.counts, layer.iou) for layer in found]
    return counted, [(layer.top_values, layer.top_examples) for layer in found]


def dissect(**options):
    """With maps kept, without, by a pilot of one image, and with images in another order."""
    kept, top = dissected(pilot=NUMBER, **options)
    again = dissected(budget=0, pilot=3, **options)
    one = dissected(budget=0, pilot=1, **options)
    shuffled, _ = dissected(np.random.default_rng(5).permutation(NUMBER), **options)
    for other in (again, one, (shuffled, top)):
        assert digest(other) == digest((kept, top))
    return kept, top


def ablate(**options):
    keep = single_unit_masks(UNITS)
    options |= {"keep_predictions": True, "count_scores": True}
    found = ablation_sweep(network(), images(), "conv2", keep, **options)
    return found.baseline, found.counts, found.unchanged, found.predictions, found.labels


def detect(**options):
    found = peak_activations(network(), images(), ("conv1", "conv2"), **options)
    return [(peaks.values, peaks.labels) for peaks in found.values()]


def remove(**options):
    found = remove_units(
        painter(), latents(), "maps", single_unit_masks(4), concepts=[1, 2], **options
    )
    return found.before, found.changes, found.after, found.replaced


class Unreadable:
    """Images of which one cannot be read."""

    def __len__(self):
        return NUMBER

    def __getitem__(self, index):
        if index == 11:
            raise ValueError("image 11 is unreadable")
        return images()[index]


def infinite():
    arrays = images().arrays
    arrays["image"][11] = np.inf
    return Stored(arrays)


class Training(Exact):
    """The same in training mode: what it outputs depends on the batch."""

    def __call__(self, images):
        return super().__call__(images - images.mean((0, 1, 2)))


def refusals(**options):
    """What is raised for examples that only one of the processes sees, and for training mode."""
    others = (network(), Unreadable()), (network(), infinite()), (Training(), images())
    for model, source in others:
        try:
            peak_activations(model, source, ("conv1",), **options)
        except ValueError as problem:
            yield str(problem)


EXPERIMENTS = {"dissect": dissect, "ablate": ablate, "detect": detect, "remove": remove}


def digest(found):
    hashed = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(found)):
        hashed.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    return hashed.hexdigest()[:16]


def main(index, number, port):
    jax.config.update("jax_disable_most_optimizations", True)
    if number > 1:
        jax.distributed.initialize(f"localhost:{port}", number, index)
    found = {}
    for devices, batch_size in itertools.product(DEVICES, BATCHES):
        options = {"mesh": data_mesh(devices), "batch_size": batch_size}
        for name, run in EXPERIMENTS.items():
            # What compiles for long takes every number, not every pair of them.
            if (number > 1 or name == "dissect") and (devices, batch_size) not in PAIRS[number]:
                continue
            found[f"{name}, {devices} devices, {batch_size} a step"] = digest(run(**options))
    options = {"mesh": data_mesh(1), "batch_size": 1}
    print(json.dumps({"found": found, "refusals": list(refusals(**options))}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
