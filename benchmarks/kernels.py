"""Time every stage of dissection that comes after the forward pass, alone and in every form.

    python benchmarks/kernels.py [--images 8] [--units 512] [--repeats 9] [--record [FILE]]

Workload: as many units at 56 x 56 pixels per image, rectified normal noise; 6 labels per pixel of
1,825 concepts, about 65 different ones per image. All forms of a stage are timed in turns, medians
are printed in ms per image, and their results must be equal; on GPUs and TPUs the kernel in Pallas
stands beside XLA's sums. On CPUs, `XLA_FLAGS=--xla_cpu_max_isa=AVX2` shows most laptops.

With --record, a line is added to `kernels.jsonl` beside this file, or to FILE.
"""

import argparse
import datetime
import json
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.stats import agreement, brackets, counting, counting_sums

RECORD = Path(__file__).with_suffix(".jsonl")
PIXELS, LABELS, CONCEPTS, LABELS_OF_IMAGE = 56 * 56, 6, 1825, 65
SHARES = 0.0, 0.0002, 0.01, 0.3  # of the pixels inside the brackets
CALLS = 1 if jax.default_backend() == "cpu" else 10  # that are timed together


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the stages of dissection one by one.")
    parser.add_argument("--images", type=int, default=8 if CALLS == 1 else 64)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--record", type=Path, nargs="?", const=RECORD, help=f"add a line to a file, {RECORD.name}"
    )
    options = parser.parse_args()
    samples, labels, weight = workload(options.images, options.units)
    print(f"{jax.devices()[0].device_kind}, {options.images} images, {options.units} units")
    found = {}
    stages = (
        reading(samples)
        | counts(samples)
        | overlap(samples, labels, weight)
        | collecting(samples, labels, weight)
    )
    for stage, (forms, arguments) in stages.items():
        times = timed(stage, forms, arguments, options.repeats)
        for form, (seconds, compiling) in times.items():
            name = f"{stage}, {form}" if form else stage
            found[name] = round(1e3 * seconds / options.images, 5)
            print(f"{name:58}{found[name]:10.4f} ms/image, compiled in {compiling:.1f} s")
    if options.record:
        record = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
            "device": jax.devices()[0].device_kind,
            "jax": version("jax"),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            "images": options.images,
            "units": options.units,
            "ms_per_image": found,
        }
        with options.record.open("a") as file:
            file.write(json.dumps(record) + "\n")


def workload(images: int, units: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Values [P, U], labels [P, K] and weights [P] of all pixels."""
    samples = jax.jit(
        lambda: jax.nn.relu(jax.random.normal(jax.random.key(0), (images * PIXELS, units)))
    )()
    random = np.random.default_rng(0)
    present = random.integers(1, CONCEPTS, (images, LABELS_OF_IMAGE))
    places = random.integers(0, LABELS_OF_IMAGE, (images, PIXELS * LABELS))
    labels = np.take_along_axis(present, places, axis=1).reshape(-1, LABELS)
    labels[random.random(labels.shape) < 0.5] = 0
    unique = jax.jit(agreement.without_repeats)(jnp.asarray(labels, jnp.int32))
    return samples, unique, jnp.ones(len(labels), bool)


def level(share: float) -> float:
    """The value that a share of the pixels exceed."""
    return NormalDist().inv_cdf(1 - share)


Stages = dict[str, tuple[dict[str, Callable[..., Any]], tuple[Any, ...]]]


def reading(samples: jax.Array) -> Stages:
    """The floor of all others."""
    return {"reading the values once": ({"": lambda x: x.sum(axis=0)}, (samples,))}


def counts(samples: jax.Array) -> Stages:
    """Counts above candidates, with either value of the switch."""
    forms: dict[str, Callable[..., Any]] = {"JAXDISSECT_KERNELS=xla": with_kernels("xla")}
    if jax.default_backend() == "cpu":
        forms["as on accelerators"] = counting_sums.count_by_sums
    else:
        forms["JAXDISSECT_KERNELS=pallas"] = with_kernels("pallas")
    stages: Stages = {}
    for number in (8, 16, 32):
        levels = jnp.linspace(level(0.03), level(0.001), number)[:, None]
        candidates = jnp.broadcast_to(levels, (number, samples.shape[1]))
        stages[f"counts above {number} candidates"] = forms, (samples, candidates)
    return stages


def with_kernels(choice: str) -> Callable[..., jax.Array]:
    """Counting as the switch says when it is traced."""

    def count(samples: jax.Array, candidates: jax.Array) -> jax.Array:
        before = os.environ.get("JAXDISSECT_KERNELS", "auto")
        os.environ["JAXDISSECT_KERNELS"] = choice
        try:
            return counting.counts_above(samples, candidates)
        finally:
            os.environ["JAXDISSECT_KERNELS"] = before

    return count


def overlap(samples: jax.Array, labels: jax.Array, weight: jax.Array) -> Stages:
    """Active pixels of every unit and concept."""
    threshold = level(0.01)

    def count(image_pixels: int | None, x: jax.Array, *rest: jax.Array) -> agreement.BatchCounts:
        count = partial(agreement.count, num_concepts=CONCEPTS, image_pixels=image_pixels)
        return count(x > threshold, *rest)

    forms = {"by image": partial(count, PIXELS), "by blocks": partial(count, None)}
    return {"overlap of active pixels and labels": (forms, (samples, labels, weight))}


def collecting(samples: jax.Array, labels: jax.Array, weight: jax.Array) -> Stages:
    """Values inside brackets whose upper end 1% exceed, or less than half of them."""
    stages: Stages = {}
    units = samples.shape[1]
    for share in SHARES:
        above = min(0.01, 0.5 - share)
        low, high = (jnp.full(units, level(each)) for each in (above + share, above))
        state = brackets.init(
            low, high, capacity=int(samples.size * share * 1.2) + 1, num_labels=LABELS
        )
        arguments = state, samples, labels, weight
        stages[f"bracket with {share:.2%} of the pixels"] = {"": brackets.update}, arguments
    return stages


def timed(
    stage: str, forms: dict[str, Callable[..., Any]], arguments: tuple[Any, ...], repeats: int
) -> dict[str, tuple[float, float]]:
    """Medians of seconds of every form, timed in turns, and of compiling."""
    programs, compiling, results = {}, {}, {}
    for form, function in forms.items():
        start = time.perf_counter()
        # A function of its own: what was traced with another switch must not be taken.
        programs[form] = jax.jit(partial(function)).lower(*arguments).compile()
        compiling[form] = time.perf_counter() - start
        results[form] = jax.block_until_ready(programs[form](*arguments))
    first, *others = results.values()
    for other in others:
        same = jax.tree.map(lambda a, b: bool((a == b).all()), first, other)
        if not all(jax.tree.leaves(same)):
            raise SystemExit(f"{stage}: the forms {', '.join(forms)} do not agree")
    times: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(repeats):
        for form, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready([program(*arguments) for _ in range(CALLS)])
            times[form].append((time.perf_counter() - start) / CALLS)
    return {form: (median(times[form]), compiling[form]) for form in forms}


if __name__ == "__main__":
    main()
