"""Time the dissection of a VGG-16-shaped network on any device, beside its bare forward pass.

    python benchmarks/dissect.py [--images 64] [--batch-size 8] [--repeats 3] [--record [FILE]]
    python benchmarks/dissect.py --quick

Workload: 512 units of conv5_3 (14 x 14) or the 4224 of all 13 layers, images of 224 x 224 bytes,
label grid 56 x 56, 1825 concepts, 6 labels per pixel, about 65 distinct labels per image, random
weights. Everything goes through `jaxdissect.dissect` and is measured around it and by its `Meter`.

These take turns, and medians count: a bare jitted forward pass to conv5_3, with the same weights
and batches, on images that are floats on the device already; conv5_3, and all 13 layers, with as
much kept on the device as the library chooses, and with nothing kept; conv5_3 with its thresholds
given; and, where torch is importable, the usual three-pass method (`three_pass_torch.py`, our own
restatement, on the same device). Ratios depend on the number of labels per image.

The thresholds of conv5_3, when it is kept, cost what the dissection takes besides the passes that
run the network, less the same when thresholds are given: narrowing, collecting, settling.

Memory and compile times come from child processes, before anything else. How host memory grows is
measured with a narrow network of 13 layers, of which nothing is kept, and images of 32 x 32 pixels,
for 1000 and 2000 of them.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from traces import longest_programs
from vgg16 import VGG16Trunk

import jaxdissect as jd
from jaxdissect.arrays.concepts import vocabulary
from jaxdissect.engine import Meter
from jaxdissect.engine.image_bytes import OF_FILES, Bytes

NUM_CONCEPTS, CHANNELS, LABELS_PER_IMAGE = 1825, 6, 65
CONCEPTS = vocabulary((f"concept {i}", "object") for i in range(1, NUM_CONCEPTS))
LAYERS = tuple(
    f"features.conv{block}_{index}"
    for block, depth in enumerate((2, 2, 3, 3, 3), 1)
    for index in range(1, depth + 1)
)
LAST = LAYERS[-1:]
NARROW = ((4, 2), (8, 2), (16, 3), (32, 3), (32, 3))
RECORD = Path(__file__).with_suffix(".jsonl")
BARE, TORCH, GIVEN = "bare forward pass", "three passes in torch", "conv5_3, thresholds given"


@dataclass(frozen=True)
class Workload:
    """What is dissected."""

    images: int
    batch_size: int
    image_size: int = 224
    grid: int = 56
    blocks: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

    def trunk(self) -> VGG16Trunk:
        """Build the network."""
        return VGG16Trunk(blocks=self.blocks, rngs=nnx.Rngs(0))


class Drawn:
    """Images of coarse noise and labels in blocks, made when they are asked for."""

    thread_safe = True

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def __len__(self) -> int:
        return self.workload.images

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.item_as_bytes(index)
        return item | {"image": np.asarray(item["image"])}

    def item_as_bytes(self, index: int) -> dict[str, Any]:
        """Return an item whose image is bytes."""
        random = np.random.default_rng(index)
        size, grid = self.workload.image_size, self.workload.grid
        coarse = random.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
        chosen = random.integers(1, NUM_CONCEPTS, LABELS_PER_IMAGE)
        blocks = -(-grid // 8)
        labels = chosen[random.integers(0, LABELS_PER_IMAGE, (blocks, blocks, CHANNELS))]
        labels = labels.astype(np.int32).repeat(8, axis=0).repeat(8, axis=1)[:grid, :grid]
        return {
            "image": Bytes(coarse.repeat(8, axis=0).repeat(8, axis=1), OF_FILES),
            "labels": labels,
        }


class InMemory:
    """The same, made beforehand, and the network."""

    thread_safe = True

    def __init__(self, workload: Workload) -> None:
        self.workload, self.trunk = workload, workload.trunk()
        drawn = Drawn(workload)
        items = [drawn.item_as_bytes(index) for index in range(workload.images)]
        self.images = Bytes(np.stack([item["image"].values for item in items]), OF_FILES)
        self.labels = np.stack([item["labels"] for item in items])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": np.asarray(self.images[index]), "labels": self.labels[index]}

    def read(self, first: int, last: int) -> dict[str, Any]:
        """Return the items from `first` up to, not including, `last`."""
        return {"image": np.asarray(self.images[first:last]), "labels": self.labels[first:last]}

    def read_as_bytes(self, first: int, last: int) -> dict[str, Any]:
        """Return the same with bytes for images, as files have them."""
        return {"image": self.images[first:last], "labels": self.labels[first:last]}


@dataclass(frozen=True)
class Figures:
    """What one dissection took; everything per image but the memory."""

    ms: float
    network_ms: float
    forward_passes: float
    bytes_moved: float
    waiting: float
    memory_peak: int


class Dissected:
    """A dissection that is run again and again; its programs are compiled once."""

    def __init__(self, source: InMemory, layers: tuple[str, ...], **options: Any) -> None:
        self.source, self.workload = source, source.workload
        self.options = {"layers": layers, **options}
        self.memory = ""
        self.thresholds: dict[str, np.ndarray] = {}

    def __call__(self) -> Figures:
        meter = Meter()
        begin = time.perf_counter()
        result = jd.dissect(
            self.source.trunk,
            self.source,
            jd.annotated(CONCEPTS),
            grid=(self.workload.grid, self.workload.grid),
            batch_size=self.workload.batch_size,
            progress=meter,
            **self.options,
        )
        seconds = time.perf_counter() - begin
        self.memory = str(result.settings["memory"])
        self.thresholds = {name: layer.thresholds for name, layer in result.layers.items()}
        summary = meter.summary()
        each = 1e3 / self.workload.images
        network = sum(part.seconds for part in meter.passes if part.forward_passes)
        return Figures(
            each * seconds,
            each * network,
            summary.forward_passes,
            summary.bytes_moved,
            summary.waiting,
            summary.memory_peak,
        )


def bare_forward(source: InMemory) -> Callable[[], float]:
    """The network alone, on images that are on the device; milliseconds per image."""
    workload = source.workload
    definition, params = nnx.split(source.trunk)
    compiled = jax.jit(lambda params, images: nnx.merge(definition, params)(images))
    starts = range(0, workload.images, workload.batch_size)
    batches = [np.asarray(source.images[i : i + workload.batch_size]) for i in starts]
    fill = [(0, workload.batch_size - len(batches[-1]))] + 3 * [(0, 0)]
    batches[-1] = np.pad(batches[-1], fill)
    placed = jax.device_put(batches)

    def run() -> float:
        begin = time.perf_counter()
        outputs = []
        for batch in placed:
            outputs.append(compiled(params, batch))
            jax.block_until_ready(outputs[-3:-2])  # as many steps ahead as a dissection
        jax.block_until_ready(outputs)
        return 1e3 * (time.perf_counter() - begin) / workload.images

    return run


def three_passes(source: InMemory) -> Callable[[], dict[str, float]] | None:
    """The restatement on the same weights and data, milliseconds per image; None without torch."""
    try:
        import three_pass_torch
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    workload = source.workload
    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    torch.set_default_device(device)
    torch.set_num_threads(os.cpu_count() or 1)
    state = nnx.to_pure_dict(nnx.state(source.trunk, nnx.Param))
    weights = {
        name: (np.asarray(layer["kernel"]), np.asarray(layer["bias"]))
        for name, layer in state["features"].items()
    }
    network = three_pass_torch.Trunk.from_numpy(weights)
    images = torch.from_numpy(np.asarray(source.images).transpose(0, 3, 1, 2).copy()).to(device)
    labels = torch.from_numpy(source.labels.transpose(0, 3, 1, 2).astype(np.int64)).to(device)
    grid = (workload.grid, workload.grid)

    def run() -> dict[str, float]:
        seconds = three_pass_torch.dissect(network, images, labels, grid=grid)["seconds"]
        each = 1e3 / workload.images
        return {
            TORCH: each * sum(seconds.values()),
            f"{TORCH}: one forward pass": each * seconds["pass 1: forward"],
            f"{TORCH}: thresholds": each
            * (seconds["pass 1: upsample"] + seconds["pass 1: quantile"]),
            f"{TORCH}: counting": each
            * (seconds["pass 3: upsample"] + seconds["pass 3: conditional means"]),
        }

    three_pass_torch.dissect(network, images[:2], labels[:2], grid=grid)  # its own first time
    return run


# --- child processes -----------------------------------------------------------------------------

PEAKS: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "conv5_3": (LAST, {}),
    "13 layers": (LAYERS, {}),
    "13 layers, nothing kept": (LAYERS, {"memory_budget": 0}),
}


def child(what: str, workload: Workload, cache: str | None = None) -> dict[str, float]:
    """Measure in a fresh process."""
    environment = os.environ | ({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {})
    command = [sys.executable, __file__, "--child", what, json.dumps(asdict(workload))]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(output.stdout.splitlines()[-1])


def run_child(what: str, workload: Workload) -> dict[str, float]:
    """Dissect as a child process is asked to, and return seconds and bytes."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if what == "resident":
        grid = (workload.grid, workload.grid)
        options: dict[str, Any] = {"grid": grid, "batch_size": workload.batch_size}
        source, labeler = Drawn(workload), jd.annotated(CONCEPTS)
        jd.dissect(workload.trunk(), source, labeler, layers=LAYERS, memory_budget=0, **options)
        return {"resident": resident(), "peak": host_peak()}
    if what == "compiling":
        run = Dissected(InMemory(workload), LAST)
        first, second = run(), run()
        return {"seconds": workload.images / 1e3 * (first.ms - second.ms)}
    layers, options = PEAKS[what]
    found = Dissected(InMemory(workload), layers, **options)()
    return {"device": found.memory_peak, "process": host_peak()}


def resident() -> int:
    """Bytes of this process that are in memory now; their peak where that is not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return host_peak()
    return pages * os.sysconf("SC_PAGE_SIZE")


def host_peak() -> int:
    """Greatest number of bytes of this process that were in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def measure_memory(workload: Workload, fewest: int) -> dict[str, float]:
    """Memory and compile times, from child processes."""
    small = Workload(fewest, 64, image_size=32, grid=8, blocks=NARROW)
    fewer = child("resident", small)
    more = child("resident", replace(small, images=fewest + 1000))
    found = {
        "host memory per further 1,000 images (MB)": (more["resident"] - fewer["resident"]) / 1e6,
        "the same, of the peaks (MB)": (more["peak"] - fewer["peak"]) / 1e6,
    }
    few = replace(workload, images=min(16, workload.images))
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (child("compiling", few, cache)["seconds"] for _ in range(2))
    found["compiling, cold (s)"] = cold
    found["compiling, from the persistent cache (s)"] = warm
    for what in PEAKS:
        peaks = child(what, workload)
        if peaks["device"] != peaks["process"]:  # processors do not count their memory
            found[f"memory peak of the device, {what} (GiB)"] = peaks["device"] / 2**30
        found[f"memory peak of the process, {what} (GiB)"] = peaks["process"] / 2**30
    return found


# --- taking turns --------------------------------------------------------------------------------


def measure(
    workload: Workload, chosen: list[str], repeats: int, *, with_torch: bool, profile: Path | None
) -> tuple[dict[str, list[float]], dict[str, Figures], dict[str, str]]:
    """Let all take turns; milliseconds per image, other figures, and what was kept."""
    source = InMemory(workload)
    bare = bare_forward(source)
    dissections: dict[str, Dissected] = {}
    if "conv5_3" in chosen:
        dissections["conv5_3"] = Dissected(source, LAST)
        dissections["conv5_3, nothing kept"] = Dissected(source, LAST, memory_budget=0)
    if "all" in chosen:
        dissections["13 layers"] = Dissected(source, LAYERS)
        dissections["13 layers, nothing kept"] = Dissected(source, LAYERS, memory_budget=0)
    bare()
    for run in dissections.values():
        run()  # compiles
    if "conv5_3" in chosen:
        given = dissections["conv5_3"].thresholds
        dissections[GIVEN] = Dissected(source, LAST, thresholds=given)
        dissections[GIVEN]()
    baseline = None
    if with_torch:
        try:
            baseline = three_passes(source)
        except RuntimeError as problem:  # of torch, on a device that was never tried
            print(f"{TORCH}: {problem}")
    times: dict[str, list[float]] = {}
    figures: dict[str, list[Figures]] = {name: [] for name in dissections}
    for _ in range(repeats):
        found = {BARE: bare()}
        for name, run in dissections.items():
            figures[name].append(run())
            found[name] = figures[name][-1].ms
            found[f"{name}: passes of the network"] = figures[name][-1].network_ms
        if baseline is not None:
            found |= baseline()
        if "conv5_3" in chosen:
            besides = {
                name: found[name] - found[f"{name}: passes of the network"]
                for name in ("conv5_3", GIVEN)
            }
            found["conv5_3: thresholds"] = besides["conv5_3"] - besides[GIVEN]
        for name, ms in found.items():
            times.setdefault(name, []).append(ms)
    if profile is not None:
        for name, run in dissections.items():
            folder = profile / name.replace(", ", "_").replace(" ", "_")
            with jax.profiler.trace(str(folder)):
                run()
            print(f"\n{name}, longest programs (trace in {folder})")
            for program, seconds in longest_programs(folder)[:5]:
                print(f"  {program:50}{1e3 * seconds / workload.images:10.4f} ms per image")
        print()
    last = {name: values[-1] for name, values in figures.items()}
    return times, last, {name: run.memory for name, run in dissections.items()}


def ratios(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The rows of the table that compare, each the median over the turns."""

    def median(values: np.ndarray) -> float:
        return float(np.median(values))

    found = {}
    if "conv5_3" in times:
        bare = np.array(times[BARE])
        one = np.array(times["conv5_3"])
        thresholds = np.array(times["conv5_3: thresholds"])
        found["engine over the bare forward pass, conv5_3 (%)"] = median(100 * (one / bare - 1))
        found["thresholds as a share of the forward pass (%)"] = median(100 * thresholds / bare)
        if "13 layers" in times:
            found["13 layers / conv5_3"] = median(np.array(times["13 layers"]) / one)
        if TORCH in times:
            found["torch / ours, thresholds"] = median(
                np.array(times[f"{TORCH}: thresholds"]) / thresholds
            )
            found["torch / ours, whole"] = median(np.array(times[TORCH]) / one)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a dissection.")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument(
        "--layers", nargs="+", choices=("conv5_3", "all"), default=["conv5_3", "all"]
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tiny network and few images")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--without-memory", action="store_true", help="start no child processes")
    parser.add_argument("--only-memory", action="store_true", help="time nothing")
    parser.add_argument("--profile", type=Path, help="folder for traces of jax.profiler")
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help=f"add a line to a file, {RECORD.name}"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, text = options.child
        print(json.dumps(run_child(what, Workload(**json.loads(text)))))
        return

    workload = Workload(options.images, options.batch_size, options.image_size)
    if options.quick:
        workload = Workload(min(options.images, 16), min(options.batch_size, 8), 32, 8, NARROW)
    load = os.getloadavg()[0]
    memory: dict[str, float] = {}
    times: dict[str, list[float]] = {}
    figures: dict[str, Figures] = {}
    kept: dict[str, str] = {}
    if not options.without_memory:  # first, while this process has no memory of the device
        memory = measure_memory(workload, 32 if options.quick else 1000)
    if not options.only_memory:
        times, figures, kept = measure(
            workload,
            options.layers,
            options.repeats,
            with_torch=not options.without_torch,
            profile=options.profile,
        )
    compared = ratios(times)

    device = jax.devices()[0].device_kind
    print(f"{device}, load {load:.1f} before; {workload}; medians of {options.repeats} turns\n")
    print(f"{'ms per image':52}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values in times.items():
        print(f"{name:52}{np.median(values):10.3f}{min(values):10.3f}{max(values):10.3f}")
    print(f"\n{'':32}{'forward passes':>16}{'bytes moved':>14}{'waiting':>9}")
    for name, found in figures.items():
        print(
            f"{name:32}{found.forward_passes:16.2f}{found.bytes_moved:14,.0f}{found.waiting:9.0%}"
            f"  {kept[name].partition(';')[0]}"
        )
    print()
    for name, value in (compared | memory).items():
        print(f"{name:64}{value:10.2f}")

    if options.record:
        record = {
            "date": datetime.date.today().isoformat(),
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("jax", "flax", "numpy")},
            },
            "commit": commit(),
            "device": device,
            "cores": os.cpu_count(),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "load": load,
            "workload": asdict(workload),
            "repeats": options.repeats,
            "ms_per_image": times,
            "figures": {name: asdict(found) for name, found in figures.items()},
            "kept": kept,
            "ratios": compared,
            "memory": memory,
        }
        with open(options.record, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def commit() -> str | None:
    """Return the state of the library that was measured, or None where git does not know it."""
    command = ["git", "-C", str(Path(jd.__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    main()
