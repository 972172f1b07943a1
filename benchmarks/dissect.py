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
from vgg16 import VGG16Trunk

from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.engine.batches import Stored
from jaxdissect.engine.labelers import annotated
from jaxdissect.engine.passes import plan_memory
from jaxdissect.experiments.dissect import dissect
from jaxdissect.experiments.overlap import count_overlap
from jaxdissect.experiments.presets import PNAS2020
from jaxdissect.experiments.survey import take_survey
from jaxdissect.experiments.task import FoldOptions, Task, image_input
from jaxdissect.experiments.thresholds import find_thresholds

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


def ours(trunk: nnx.Module, data: dict[str, np.ndarray], layers: list[str]) -> Callable[[], Any]:
    """The whole dissection, as a user calls it."""
    return lambda: dissect(
        trunk,
        Stored(data),
        annotated(CONCEPTS),
        layers=layers,
        grid=GRID,
        batch_size=BATCH_SIZE,
        memory_budget=BUDGET,
    )


def stages(trunk: nnx.Module, data: dict[str, np.ndarray]) -> dict[str, float]:
    """Seconds of the three stages of one dissection."""
    source = Stored(data)
    task = Task(trunk, source, annotated(CONCEPTS), [LAST], PNAS2020, GRID, image_input, None, None)
    plan, options = plan_memory(task.readings, len(source), BUDGET), FoldOptions(BATCH_SIZE)
    begin = time.perf_counter()
    survey = take_survey(task, plan, 10, options)
    surveyed = time.perf_counter()
    thresholds = find_thresholds(task, plan, survey, options)
    found = time.perf_counter()
    count_overlap(task, plan, survey, thresholds, options)
    return {
        "forward": surveyed - begin,
        "thresholds": found - surveyed,
        "counting": time.perf_counter() - found,
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
            "one forward": seconds["pass 1: forward"],
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


def timed(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def child(what: str, number: int, cache: str | None = None) -> dict[str, float]:
    """Measure in a fresh process: seconds of a first and a second dissection, and peak memory."""
    environment = os.environ | ({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, __file__, "--child", what, "--images", str(number)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def run_child(what: str, number: int) -> None:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    trunk = VGG16Trunk(rngs=nnx.Rngs(0))
    run = ours(trunk, workload(number), LAYERS if what == "all layers" else [LAST])
    first, second = timed(run), timed(run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"first": first, "second": second, "peak GiB": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options.child, options.images)

    data = workload(options.images)
    plain = VGG16Trunk(rngs=nnx.Rngs(0), fast=False)
    fast = VGG16Trunk(rngs=nnx.Rngs(0))
    baseline = torch_baseline(plain, data)
    runs: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        runs.setdefault(name, []).append(1e3 * seconds / options.images)

    for repeat in range(options.repeats + 1):  # the first one compiles and is not noted
        measured = {}
        for stage, seconds in stages(plain, data).items():
            measured[f"ours, {stage}"] = seconds
        measured["ours, forward with fast convolutions"] = stages(fast, data)["forward"]
        measured["ours, pipeline"] = timed(ours(plain, data, [LAST]))
        measured["ours, pipeline with fast convolutions"] = timed(ours(fast, data, [LAST]))
        measured["ours, pipeline of all 13 layers, fast"] = timed(ours(fast, data, LAYERS))
        if baseline is not None:
            measured |= {f"torch, {name}": value for name, value in baseline().items()}
        if repeat:
            for name, seconds in measured.items():
                note(name, seconds)

    medians = {name: float(np.median(values)) for name, values in runs.items()}
    print(f"{options.images} images, medians of {options.repeats} interleaved runs\n")
    print(f"{'ms per image':44}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in runs.items():
        print(f"{name:44}{medians[name]:9.2f}{min(values):9.2f}{max(values):9.2f}")
    ratios = {
        "all 13 layers / conv5_3 alone": (
            medians["ours, pipeline of all 13 layers, fast"]
            / medians["ours, pipeline with fast convolutions"]
        )
    }
    if baseline is not None:
        for what, stage in (
            ("counting", "counting"),
            ("thresholds", "thresholds"),
            ("pipeline", "pipeline"),
            ("pipeline", "pipeline with fast convolutions"),
        ):
            ratios[f"torch / ours, {stage}"] = medians[f"torch, {what}"] / medians[f"ours, {stage}"]
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
