"""Time how examples reach the step: overlap of reading and computing, and decoding in threads.

    python benchmarks/feeding.py --photographs DIR [--size 224] [--limit 1000] [--record [FILE]]

Overlap: a source that takes `--read` milliseconds for a batch and a step that takes `--step` are
folded each alone and together; together they should take little more than the longer of both. Both
sleep, so that the figures are those of the engine and not of the machine.

Decoding: photographs of a folder are decoded, and resized to `--size` unless it is 0, by `batches`
in `--threads` threads, against bare Pillow in one thread (open, convert to RGB, resize, array) and,
to know what the machine can do, bare Pillow in as many threads. They take turns, medians are
printed. The bar is 80% of one thread of bare Pillow times the number of threads. Wall-clock time
counts only on a quiet machine; processor time per image, of all threads, is steadier on a busy one.
With --cache DIR, reading the same from a decoded cache is timed too.

With --record, a line is added to `feeding.jsonl` beside this file, or to FILE.
"""

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, __version__

from jaxdissect.engine import batching
from jaxdissect.engine.batching import Source, Stored, batches
from jaxdissect.engine.data import cached, image_folder
from jaxdissect.engine.folding import fold

RECORD = Path(__file__).with_suffix(".jsonl")
BAR = 0.8
"""Share of bare Pillow's rate, times the number of threads, that should be reached."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time reading ahead and decoding in threads.")
    parser.add_argument("--photographs", type=Path, help="folder of images to decode")
    parser.add_argument("--size", type=int, default=224, help="of decoded images; 0: as stored")
    parser.add_argument("--limit", type=int, default=1000, help="photographs to decode")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--read", type=float, default=20, help="milliseconds of a batch")
    parser.add_argument("--step", type=float, default=25, help="milliseconds of a step")
    parser.add_argument("--cache", type=Path, help="folder for a decoded cache")
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help=f"add a line to a file, {RECORD.name}"
    )
    options = parser.parse_args()
    results = {"overlap": measure_overlap(options)}
    if options.photographs is not None:
        results["decoding"] = measure_decoding(options)
    if options.record:
        report = {
            "date": datetime.date.today().isoformat(),
            "cores": os.cpu_count(),
            "pillow": __version__,
            **{k: v for k, v in vars(options).items() if not isinstance(v, Path | bool | None)},
            "results": results,
        }
        with open(options.record, "a") as file:
            file.write(json.dumps(report) + "\n")


# --- overlap --------------------------------------------------------------------------------------


class Slow:
    """A source that sleeps for every batch."""

    def __init__(self, number: int, seconds: float) -> None:
        self._number, self._seconds = number, seconds

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": np.float32(index)}

    def read(self, first: int, last: int) -> dict[str, Any]:
        time.sleep(self._seconds)
        return {"x": np.arange(first, last, dtype=np.float32)}


def measure_overlap(options: argparse.Namespace) -> dict[str, float]:
    """Fold a slow source, a slow step, and both."""
    steps = 40
    quick = Stored({"x": np.arange(steps, dtype=np.float32)})
    slow = Slow(steps, options.read / 1e3)

    def run(source: Source, seconds: float) -> float:
        def step(state: None, batch: dict[str, Any]) -> tuple[None, Any]:
            time.sleep(seconds)
            return state, batch["x"]

        start = time.perf_counter()
        fold(step, None, source, batch_size=1)
        return time.perf_counter() - start

    run(quick, 0.0)
    alone = {
        "source": run(slow, 0.0),
        "step": run(quick, options.step / 1e3),
        "both": run(slow, options.step / 1e3),
    }
    ratio = alone["both"] / max(alone["source"], alone["step"])
    total = alone["both"] / (alone["source"] + alone["step"])
    print(f"{steps} steps: slow source {alone['source']:.2f} s, slow step {alone['step']:.2f} s")
    print(f"both {alone['both']:.2f} s: {ratio:.2f} of the longer, {total:.2f} of the sum")
    return {**alone, "of_longer": ratio, "of_sum": total}


# --- decoding -------------------------------------------------------------------------------------


def measure_decoding(options: argparse.Namespace) -> dict[str, Any]:
    """Decode photographs in turns."""
    size = (options.size, options.size) if options.size else None
    folder = image_folder(options.photographs, image_size=size, limit=options.limit)
    files, number = folder.image_files, len(folder)

    def bare(file: Path) -> np.ndarray:
        with Image.open(file) as image:
            pixels = image.convert("RGB")
            if size is not None:
                pixels = pixels.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(pixels)

    def in_threads() -> None:
        with ThreadPoolExecutor(options.threads) as threads:
            for _ in threads.map(bare, files):
                pass

    def ours(source: Source) -> None:
        for _ in batches(source, options.batch_size, as_bytes=True):
            pass

    batching.num_cores = lambda: options.threads
    ways: dict[str, Callable[[], object]] = {
        "bare, one thread": lambda: [bare(file) for file in files].clear(),
        f"bare, {options.threads} threads": in_threads,
        f"ours, {options.threads} threads": lambda: ours(folder),
    }
    if options.cache is not None:
        kept = cached(folder, options.cache)
        ways["ours, decoded cache"] = lambda: ours(kept)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(options.repeats + 1):
        for name, run in ways.items():
            begun = time.perf_counter(), time.process_time()
            run()
            if repeat:  # the first one warms the file system's cache
                seconds[name].append(time.perf_counter() - begun[0])
                cpu[name].append(time.process_time() - begun[1])
    shares = _shares(list(seconds.values()), options.threads)
    print(f"{number} photographs at {size or 'their own size'}")
    for name in ways:
        rate, used = number / median(seconds[name]), median(cpu[name]) / number * 1e3
        print(f"{name:24}{rate:9.0f} images/s{used:9.3f} ms of processor time per image")
    print(f"share of {options.threads} x bare Pillow: {shares['ours']:.0%} (bar {BAR:.0%}), "
          f"of bare Pillow in threads: {shares['ours'] / shares['bare']:.0%}")  # fmt: skip
    return {
        "images": number,
        "images_per_s": {name: number / median(seconds[name]) for name in ways},
        "cpu_ms": {name: median(cpu[name]) / number * 1e3 for name in ways},
        "share": shares,
    }


def _shares(seconds: Sequence[list[float]], threads: int) -> dict[str, float]:
    """Compare the rates with that of one thread times the threads: medians of the turns."""
    one, bare, ours = seconds[:3]
    return {
        "bare": median(a / b for a, b in zip(one, bare, strict=True)) / threads,
        "ours": median(a / b for a, b in zip(one, ours, strict=True)) / threads,
    }


if __name__ == "__main__":
    main()
