"""Measure what the precision of the network changes in a dissection of real photographs.

    python benchmarks/precision.py PHOTOGRAPHS CLASSIFIER [--every 8] [--record [FILE]]

Five layers (1728 units) of a trained SqueezeNet (`tests/real/dissect_photographs.py`, which reads
the two folders), objects from masks, colors from pixels. The device's own float32 (TF32 on
GPUs, bfloat16 products on TPUs, full on CPU), `--dtype bfloat16` and, where that is another, the
former are compared with products of full float32, `--matmul-precision highest`.
"""

import argparse
import datetime
import json
import sys
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

import jaxdissect as jd

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "real"))
from dissect_photographs import dissect_photographs  # noqa: E402  # pyright: ignore

RECORD = Path(__file__).with_suffix(".jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what precision changes.")
    parser.add_argument("photographs", type=Path)
    parser.add_argument("classifier", type=Path)
    parser.add_argument("--every", type=int, default=8, help="take every n-th photograph")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help=f"add a line to a file, {RECORD.name}"
    )
    options = parser.parse_args()

    def dissect(dtype: str, precision: str) -> jd.Dissection:
        with jax.default_matmul_precision(precision):
            return dissect_photographs(
                options.photographs,
                options.classifier,
                every=options.every,
                dtype=dtype,
                batch_size=options.batch_size,
            )

    exact = dissect("float32", "highest")
    others = {"float32 as the device does it": ("float32", "default")}
    others["bfloat16"] = ("bfloat16", "default")
    found = {name: compare(dissect(*how), exact) for name, how in others.items()}
    device = jax.devices()[0].device_kind
    photographs = exact.settings["examples"]
    print(f"{device}, {photographs} photographs, against full float32\n")
    for name, figures in found.items():
        print(name)
        for what, value in figures.items():
            print(f"  {what:60}{value:10.4g}")
    if options.record:
        record = {
            "date": datetime.date.today().isoformat(),
            "versions": {name: version(name) for name in ("jax", "flax", "numpy")},
            "device": device,
            "workload": {"photographs": photographs, "layers": list(exact.layers)},
            "differences": found,
        }
        with open(options.record, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def compare(found: jd.Dissection, exact: jd.Dissection) -> dict[str, float]:
    """How far two dissections are apart, over all units of all layers."""

    def both(value: str) -> tuple[np.ndarray, np.ndarray]:
        ours, theirs = (
            np.concatenate([getattr(layer, value) for layer in one.layers.values()])
            for one in (found, exact)
        )
        return ours, theirs

    thresholds, right = both("thresholds")
    moved = np.abs(thresholds - right) / np.maximum(np.abs(right), 1e-12)
    best, expected = both("best_iou")
    concepts, named = both("best_concept")
    is_detector = expected > exact.settings["min_iou"]
    return {
        "thresholds, median relative difference": float(np.median(moved)),
        "thresholds, largest relative difference": float(moved.max()),
        "best IoU, mean difference": float(np.abs(best - expected).mean()),
        "best IoU, largest difference": float(np.abs(best - expected).max()),
        "units of another best concept (%)": 100 * float((concepts != named).mean()),
        "of those that are detectors (%)": 100 * float((concepts != named)[is_detector].mean()),
        "units that are a detector in one alone (%)": 100
        * float(((best > exact.settings["min_iou"]) != is_detector).mean()),
    }


if __name__ == "__main__":
    main()
