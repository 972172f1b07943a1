"""Time the dissection of photographs from their files: reading, decoding, network and all.

    python benchmarks/photographs.py FOLDER [--every 4] [--batch-size 32] [--record [FILE]]
    python benchmarks/photographs.py NEW_FOLDER --made 512

Five layers (1728 units) of a SqueezeNet with random weights (`tests/real/squeezenet.py`) at
224 x 224 pixels, label grid 56 x 56; the 11 basic colors are measured from the pixels. FOLDER holds
image files, at any depth. Without photographs, `--made` first writes JPEG files of noise to it,
with the size and about the number of bytes of photographs, 500 x 375 pixels.

Taking turns: the dissection of all files, whose meter tells the share of time that it waited for
them, and the same of images that were decoded before, from the disk (`engine.data.cached`). The
first dissection compiles and is given by itself. `feeding.py` times the decoding alone.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from PIL import Image

import jaxdissect as jd
from jaxdissect.engine import Meter
from jaxdissect.engine.data import cached

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "real"))
from squeezenet import SqueezeNet  # noqa: E402  # pyright: ignore[reportMissingImports]

LAYERS = ("conv1", "fire4", "fire6", "fire8", "fire9")
SIZE = (224, 224)
RECORD = Path(__file__).with_suffix(".jsonl")


class Every:
    """Every n-th example of a source."""

    def __init__(self, source: Any, step: int) -> None:
        self.source, self.step = source, step
        self.thread_safe = True

    def __len__(self) -> int:
        return -(-len(self.source) // self.step)

    def __getitem__(self, index: int) -> Any:
        return self.source[index * self.step]

    def item_as_bytes(self, index: int) -> Any:
        """Return an item whose image is bytes, as the files have it."""
        return self.source.item_as_bytes(index * self.step)


def make_files(folder: Path, number: int) -> None:
    """Write JPEG files of coarse and fine noise."""
    random = np.random.default_rng(0)
    for index in range(number):
        coarse = random.integers(0, 200, (24, 32, 3), np.uint8)
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.int16) + random.integers(0, 24, (375, 500, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the dissection of photographs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--made", type=int, default=0, help="write so many files of noise first")
    parser.add_argument("--every", type=int, default=1, help="take every n-th file")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help=f"add a line to a file, {RECORD.name}"
    )
    options = parser.parse_args()
    if options.made:
        options.folder.mkdir(parents=True)
        make_files(options.folder, options.made)
    with tempfile.TemporaryDirectory() as temporary:
        rates, summary = measure(options, Path(temporary))

    photographs = summary["summary"]["examples"]
    device = jax.devices()[0].device_kind
    print(f"{device}, {os.cpu_count()} cores; {photographs} photographs, {len(LAYERS)} layers\n")
    print(f"{'images per second':44}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values in rates.items():
        print(f"{name:44}{np.median(values):10.1f}{min(values):10.1f}{max(values):10.1f}")
    print(f"\nthe last dissection of the files:\n{'all passes':28}{as_line(summary['summary'])}")
    for part in summary["passes"]:
        print(f"{part['description']:28}{as_line(part)}")
    if options.record:
        record = {
            "date": datetime.date.today().isoformat(),
            "versions": {name: version(name) for name in ("jax", "flax", "numpy", "pillow")},
            "device": device,
            "cores": os.cpu_count(),
            "workload": {
                "photographs": photographs,
                "made": bool(options.made),
                "layers": LAYERS,
                "batch_size": options.batch_size,
            },
            "images_per_second": rates,
            "figures": summary,
        }
        with open(options.record, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def measure(
    options: argparse.Namespace, decoded: Path
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Let both take turns; images per second, and the figures of the last dissection of files."""
    images = Every(jd.image_folder(options.folder, image_size=SIZE), options.every)
    network = SqueezeNet(rngs=nnx.Rngs(0))

    def per_second(source: Any) -> tuple[float, dict[str, Any]]:
        meter = Meter()
        size = options.batch_size
        begin = time.perf_counter()
        jd.dissect(network, source, jd.colored(), layers=LAYERS, batch_size=size, progress=meter)
        return len(source) / (time.perf_counter() - begin), meter.as_json()

    rates = {"from files, first, compiling": [per_second(images)[0]]}
    begin = time.perf_counter()
    kept = cached(images, decoded)
    rates["decoding to disk"] = [len(images) / (time.perf_counter() - begin)]
    summary: dict[str, Any] = {}
    for _ in range(options.repeats):
        rate, summary = per_second(images)
        rates.setdefault("from files", []).append(rate)
        rates.setdefault("decoded before", []).append(per_second(kept)[0])
    return rates, summary


def as_line(figures: dict[str, Any]) -> str:
    """Write the figures of a pass."""
    return (
        f"{figures['examples_per_second']:8.1f} images/s, waiting {figures['waiting']:.0%}, "
        f"{figures['forward_passes']:.2f} forward passes and {figures['bytes_moved']:,.0f} bytes "
        f"per image, {figures['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
