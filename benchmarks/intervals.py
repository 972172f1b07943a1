"""Time the confidence intervals of an ablation study as large as the paper's.

    python benchmarks/intervals.py [--images 36500] [--classes 365] [--sets 2190] [--record]

Workload: predictions of a classifier that is right on 53% of the images, and of the same without
each of some sets of units, which change `--changed` of them; those of a quarter of the sets change
nearly all. A sweep counts them in its passes; here they are counted on the host, set by set. Then
the intervals of the changes of balanced accuracy, recall and true-negative rate of every class, and
of the accuracy over all classes, of all sets. Predictions are made and counted in blocks of sets,
so that the peak of memory shows what a study needs.

With --record, a line is added to `intervals.jsonl` beside this file.
"""

import argparse
import datetime
import json
import resource
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from jaxdissect.stats import accuracy, paired_accuracy

MEASURES = (
    accuracy.balanced_accuracy,
    accuracy.recall,
    accuracy.true_negative_rate,
    accuracy.overall_accuracy,
)
RECORD = Path(__file__).with_suffix(".jsonl")
BLOCK = 30


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the intervals of an ablation study.")
    parser.add_argument("--images", type=int, default=36_500)
    parser.add_argument("--classes", type=int, default=365)
    parser.add_argument("--sets", type=int, default=2190, help="of removed units")
    parser.add_argument("--changed", type=float, default=0.03, help="share of the predictions")
    parser.add_argument("--record", action="store_true", help=f"add a line to {RECORD.name}")
    options = parser.parse_args()
    number, classes = options.images, options.classes

    random = np.random.default_rng(0)
    labels = random.integers(0, classes, number).astype(np.int32)
    before = np.where(random.random(number) < 0.53, labels, random.integers(0, classes, number))
    seconds = {"counting": 0.0}
    blocks = []
    for first in range(0, options.sets, BLOCK):
        sets = np.arange(first, min(first + BLOCK, options.sets))
        share = np.where(sets % 4 == 3, 0.95, options.changed)[:, None]
        shape = len(sets), number
        drawn = random.integers(0, classes, shape, dtype=np.int32)
        after = np.where(random.random(shape) < share, drawn, before)
        start = time.perf_counter()
        blocks.append(paired_accuracy.count(before, after, labels, classes))
        seconds["counting"] += time.perf_counter() - start
    counts = paired_accuracy.PairedAccuracy(
        blocks[0].before,
        *(
            accuracy.Accuracy(
                part[0].true, *(np.concatenate(x) for x in list(zip(*part, strict=True))[1:])
            )
            for part in list(zip(*blocks, strict=True))[1:]
        ),
    )
    for measure in MEASURES:
        start = time.perf_counter()
        found = paired_accuracy.change(counts, measure)
        seconds[measure.__name__] = time.perf_counter() - start
        assert (found.low < found.high).all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number} images, {classes} classes, {options.sets} sets of units")
    for name, value in seconds.items():
        print(f"{name:24}{value:8.1f} s")
    print(f"{'together':24}{sum(seconds.values()):8.1f} s, peak of memory {peak:.0f} MiB")
    if options.record:
        report = {
            "date": datetime.date.today().isoformat(),
            "jax": version("jax"),
            "images": number,
            "classes": classes,
            "sets": options.sets,
            "changed": options.changed,
            "seconds": seconds,
            "peak_mib": peak,
        }
        with open(RECORD, "a") as file:
            file.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
