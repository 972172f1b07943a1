"""Time the dissection of a VGG-16-shaped network, stage by stage, against plain PyTorch.

    python benchmarks/dissect.py [--images 64] [--repeats 3]

Workload: 512 units of conv5_3 (14 x 14), label grid 56 x 56, 1825 concepts, 6 labels per pixel,
about 65 distinct labels per image, random weights. Where torch is importable, the usual three-pass
method (`three_pass_torch.py`, our own restatement) runs interleaved with ours; ratios
are against that restatement on this machine, and depend on the number of labels per image.

Compile times and peak memory come from child processes, which import no torch. Every run appends
its figures to `benchmarks/dissect.jsonl`.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from vgg16 import VGG16Trunk, xla_conv2d

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.dissection.activation_cache import fill_cache
from jaxdissect.dissection.count_agreement import count_agreement_of_layers
from jaxdissect.dissection.presets import PNAS2020
from jaxdissect.dissection.setup import dissection_setup
from jaxdissect.dissection.thresholds import find_thresholds
from jaxdissect.engine.batching import Stored
from jaxdissect.engine.folding import FoldOptions
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.memory_plan import plan_memory

GRID, NUM_CONCEPTS, CHANNELS, LABELS_PER_IMAGE = (56, 56), 1825, 6, 65
LAST = "features.conv5_3"
LAYERS = [
    f"features.conv{block}_{index}"
    for block, depth in enumerate((2, 2, 3, 3, 3), 1)
    for index in range(1, depth + 1)
]
BATCH_SIZE = 8
BUDGET = 2 * 2**30
HERE = pathlib.Path(__file__).resolve().parent


def workload(number: int) -> dict[str, np.ndarray]:
    """Images of smooth noise, and labels in blocks of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.random((number, 28, 28, 3)).astype(np.float32)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    labels = np.empty((number, 7, 7, CHANNELS), np.int32)
    for image in labels:
        chosen = rng.integers(1, NUM_CONCEPTS, LABELS_PER_IMAGE)
        image[:] = chosen[rng.integers(0, LABELS_PER_IMAGE, image.shape)]
    return {"image": images, "labels": labels.repeat(8, axis=1).repeat(8, axis=2)}


CONCEPTS = vocabulary((f"concept {i}", "object") for i in range(1, NUM_CONCEPTS))


class Run:
    """A dissection whose stages can be timed again and again; its programs are compiled once."""

    def __init__(self, trunk: nnx.Module, data: dict[str, np.ndarray], layers: list[str]) -> None:
        self.setup = dissection_setup(
            trunk, Stored(data), annotated(CONCEPTS), layers=layers, preset=PNAS2020, grid=GRID
        )
        self.plan = plan_memory(self.setup.layers, len(self.setup.source), BUDGET)

    def __call__(self) -> dict[str, float]:
        """Seconds of each stage, and of all."""
        options = FoldOptions(BATCH_SIZE)
        begin = time.perf_counter()
        cache = fill_cache(self.setup, self.plan, 10, options)
        filled = time.perf_counter()
        thresholds = find_thresholds(self.setup, self.plan, cache, options)
        found = time.perf_counter()
        count_agreement_of_layers(self.setup, self.plan, cache, thresholds, options)
        end = time.perf_counter()
        return {
            "forward": filled - begin,
            "thresholds": found - filled,
            "counting": end - found,
            "pipeline": end - begin,
        }


def torch_baseline(
    trunk: VGG16Trunk, data: dict[str, np.ndarray]
) -> Callable[[], dict[str, float]] | None:
    """The three-pass method on the same weights and data, or None without torch."""
    try:
        import three_pass_torch
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    torch.set_num_threads(os.cpu_count() or 1)
    state = nnx.to_pure_dict(nnx.state(trunk, nnx.Param))
    weights = {
        name: (np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
        for name, layer in kernels(state["features"]).items()
    }
    network = three_pass_torch.Trunk.from_numpy(weights)
    images = torch.from_numpy(data["image"].transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(data["labels"].transpose(0, 3, 1, 2).astype(np.int64))

    def run() -> dict[str, float]:
        seconds = three_pass_torch.dissect(network, images, labels, grid=GRID)["seconds"]
        return {
            "forward": seconds["pass 1: forward"],
            "thresholds": seconds["pass 1: upsample"] + seconds["pass 1: quantile"],
            "counting": seconds["pass 3: upsample"] + seconds["pass 3: conditional means"],
            "pipeline": sum(seconds.values()),
        }

    return run


def kernels(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The node of every layer that holds a kernel, by layer."""
    found = {}
    for name, node in tree.items():
        while "kernel" not in node:
            (node,) = node.values()
        found[name] = node
    return found


def child(what: str, number: int, cache: str | None = None) -> dict[str, float]:
    """Measure in a fresh process: seconds of a first and a second dissection, and peak memory."""
    environment = os.environ | ({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, __file__, "--child", what, "--images", str(number)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def run_child(what: str, number: int) -> None:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    layers = LAYERS if what == "all layers" else [LAST]
    run = Run(VGG16Trunk(rngs=nnx.Rngs(0)), workload(number), layers)
    first, second = run()["pipeline"], run()["pipeline"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"first": first, "second": second, "peak GiB": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a dissection.")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options.child, options.images)

    data = workload(options.images)
    plain, fast = VGG16Trunk(convolve=xla_conv2d, rngs=nnx.Rngs(0)), VGG16Trunk(rngs=nnx.Rngs(0))
    variants: dict[str, Callable[[], dict[str, float]]] = {
        "ours": Run(plain, data, [LAST]),
        "ours, fast convolutions": Run(fast, data, [LAST]),
        "ours, fast, 13 layers": Run(fast, data, LAYERS),
    }
    baseline = torch_baseline(plain, data)
    if baseline is not None:
        variants["torch"] = baseline
    runs: dict[str, list[float]] = {}

    for repeat in range(options.repeats + 1):  # the first one compiles and is not noted
        for variant, run in variants.items():
            for stage, seconds in run().items():
                if repeat:
                    per_image = 1e3 * seconds / options.images
                    runs.setdefault(f"{variant}: {stage}", []).append(per_image)

    medians = {name: float(np.median(values)) for name, values in runs.items()}
    print(f"{options.images} images, medians of {options.repeats} interleaved runs\n")
    print(f"{'ms per image':44}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in runs.items():
        print(f"{name:44}{medians[name]:9.2f}{min(values):9.2f}{max(values):9.2f}")
    ratios = {
        "all 13 layers / conv5_3 alone": (
            medians["ours, fast, 13 layers: pipeline"]
            / medians["ours, fast convolutions: pipeline"]
        )
    }
    if baseline is not None:
        for stage in ("counting", "thresholds", "pipeline"):
            ratios[f"torch / ours, {stage}"] = (
                medians[f"torch: {stage}"] / medians[f"ours: {stage}"]
            )
        ratios["torch / ours, pipeline, fast convolutions"] = (
            medians["torch: pipeline"] / medians["ours, fast convolutions: pipeline"]
        )
    print()
    for name, ratio in ratios.items():
        print(f"{name:44}{ratio:9.2f} x")

    with tempfile.TemporaryDirectory() as cache:
        cold, warm = child("conv5_3", 16, cache), child("conv5_3", 16, cache)
    everything = child("all layers", options.images)
    alone = child("conv5_3", options.images)
    compile_times = {
        "compiling, cold (s)": cold["first"] - cold["second"],
        "compiling, from the persistent cache (s)": warm["first"] - warm["second"],
        "peak memory, conv5_3 (GiB)": alone["peak GiB"],
        "peak memory, all 13 layers (GiB)": everything["peak GiB"],
    }
    print()
    for name, value in compile_times.items():
        print(f"{name:44}{value:9.2f}")

    record = {
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
        "device": str(jnp.zeros(()).device),
        "images": options.images,
        "ms per image": medians,
        "ratios": ratios,
        **compile_times,
    }
    with open(HERE / "dissect.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
