"""Time the removal of every single unit of VGG-16's conv5_3: four methods that predict the same.

    python benchmarks/ablation.py [--images 4] [--sampled 6] [--repeats 3] [--record]

Workload: 224 x 224 pixels, 512 units, 365 classes, random weights; for every image and unit, the
class that the network predicts without the unit. (a) One forward pass for each unit in PyTorch,
where it is importable, and (b) the same in JAX run for a few units only and are scaled up: a pass
costs the same whichever unit is removed. (c) `ablation_methods.edited` runs what follows the layer
for every unit, (d) `ablation_methods.low_rank` subtracts each unit's part from the first linear
map. The four take turns in one process on the same weights and images.

With --record, a line is added to `ablation.jsonl` beside this file.
"""

import argparse
import datetime
import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from forward import Case, pytorch_module
from vgg16 import interleave

from jaxdissect.classifiers import ablation_methods
from jaxdissect.classifiers.ablation import conditions_together
from jaxdissect.networks.ablation_masks import single_unit_masks
from jaxdissect.networks.edits import keep_units
from jaxdissect.networks.models.layers import PLACES365
from jaxdissect.networks.models.vgg16 import VGG16
from jaxdissect.networks.network import as_network

LAYER, NUM_UNITS = "features.conv5_3", 512
MEMORY_BUDGET = 2**30
DATA_SETS = {"36,500 validation images": 36_500, "1.8 million training images": 1_800_000}
RECORD = Path(__file__).with_suffix(".jsonl")

Predict = Callable[[], np.ndarray]
"""Predicted classes [units, images]."""


def swept(module: VGG16, images: np.ndarray, method: ablation_methods.AblationMethod) -> Predict:
    """All removals in one step, as `ablation_sweep` runs it."""
    network = as_network(module)
    sets = jnp.asarray(single_unit_masks(NUM_UNITS))

    @jax.jit
    def step(params: Any, images: jax.Array, sets: jax.Array) -> jax.Array:
        nothing = jnp.zeros((), jnp.float32)
        scores = method(
            ablation_methods.AblationCase(network, params, images, LAYER, NUM_UNITS, nothing)
        )
        assert scores is not None  # both methods apply to conv5_3
        together = conditions_together(MEMORY_BUDGET, scores, sets)
        return jax.lax.map(lambda keep: scores(keep).argmax(-1), sets, batch_size=together)

    placed = jax.device_put(images)
    return lambda: np.asarray(step(network.params, placed, sets))


def one_by_one(module: VGG16, images: np.ndarray, units: np.ndarray) -> Predict:
    """A whole forward pass for each unit."""
    network = as_network(module)

    @jax.jit
    def forward(params: Any, images: jax.Array, keep: jax.Array) -> jax.Array:
        scores, _ = network.apply(params, images, edits={LAYER: keep_units(keep)})
        return scores.argmax(-1)

    placed, sets = jax.device_put(images), jnp.asarray(single_unit_masks(NUM_UNITS)[units])
    return lambda: np.stack([np.asarray(forward(network.params, placed, keep)) for keep in sets])


def one_by_one_pytorch(module: VGG16, images: np.ndarray, units: np.ndarray) -> dict[str, Predict]:
    """The same in PyTorch, in both of its memory layouts; empty without PyTorch."""

    def restated() -> Any:
        from torch_classifiers import VGG16 as Restated  # pyright: ignore[reportMissingImports]

        return Restated(PLACES365)

    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = pytorch_module(Case(module, images, {}, restated)).to(device)
    removed: list[int] = []

    def silence(_module: Any, _inputs: Any, output: Any) -> None:
        output[:, removed] = 0

    network.features.conv5_3.register_forward_hook(silence)

    def predict(batch: Any) -> np.ndarray:
        found = []
        for unit in units:
            removed[:] = [int(unit)]
            with torch.no_grad():
                found.append(network(batch).argmax(1).cpu().numpy())
        return np.stack(found)

    first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)
    last = first.contiguous(memory_format=torch.channels_last)
    return {
        "(a) a pass for each unit, PyTorch": partial(predict, first),
        "(a') the same, channels last": partial(predict, last),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the removal of all units.")
    parser.add_argument("--images", type=int, default=4, help="in a batch")
    parser.add_argument("--sampled", type=int, default=6, help="units of (a) and (b)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", action="store_true", help=f"add a line to {RECORD.name}")
    options = parser.parse_args()

    random = np.random.default_rng(0)
    images = random.standard_normal((options.images, 224, 224, 3)).astype(np.float32)
    units = random.choice(NUM_UNITS, options.sampled, replace=False)
    module = VGG16(PLACES365, rngs=nnx.Rngs(0))
    sampled = one_by_one_pytorch(module, images, units)
    sampled["(b) a pass for each unit, JAX"] = one_by_one(module, images, units)
    whole = {
        "(c) what follows, for each unit": swept(module, images, ablation_methods.edited),
        "(d) low-rank update": swept(module, images, ablation_methods.low_rank),
    }
    predictions = {name: predict() for name, predict in (sampled | whole).items()}  # compiles
    every = predictions["(d) low-rank update"]
    agree = {
        name: float((found == (every if name in whole else every[units])).mean())
        for name, found in predictions.items()
    }
    wall, _ = interleave(sampled | whole, options.repeats)
    seconds = {
        name: median(times) / options.images * (1 if name in whole else NUM_UNITS / len(units))
        for name, times in wall.items()
    }
    slowest = seconds[next(iter(seconds))]
    device = jax.devices()[0].device_kind
    print(f"All {NUM_UNITS} removals, {options.images} images, {device}, "
          f"medians of {options.repeats}; {len(units)} units sampled for (a), (b)")  # fmt: skip
    print(f"{'':36}{'s/image':>10}{'speed-up':>10}{'same predictions':>18}")
    for name, value in seconds.items():
        print(f"{name:36}{value:10.3f}{slowest / value:10.1f}{agree[name]:18.4f}")
    for name in whole:
        hours = {data: number * seconds[name] / 3600 for data, number in DATA_SETS.items()}
        projected = ", ".join(f"{data} {time:.1f} h" for data, time in hours.items())
        print(f"{name}: {1 / seconds[name]:.2f} images/s; projected: {projected}")
    if options.record:
        report = {
            "date": datetime.date.today().isoformat(),
            "device": device,
            "jax": version("jax"),
            "images": options.images,
            "sampled": len(units),
            "repeats": options.repeats,
            "s_per_image": seconds,
            "same_predictions": agree,
        }
        with open(RECORD, "a") as file:
            file.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
