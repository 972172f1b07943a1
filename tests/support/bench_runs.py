"""Made-up runs of the benchmark, as a CPU and a GPU would give them, for what shows runs.

The figures are of the right size and belong to nobody: they stand in no file of the repository.
"""

import dataclasses
import hashlib

import numpy as np

from jaxdissect.bench.checking.gate import Gate
from jaxdissect.bench.measuring.machine import Machine
from jaxdissect.bench.measuring.roofs import Roofs
from jaxdissect.bench.record import Memory, Row, Run, StudyResult, Timing
from jaxdissect.bench.study import ResultTable
from jaxdissect.bench.workload import Work

CPU = Machine(
    platform="cpu",
    device="cpu",
    devices=1,
    device_memory=None,
    driver="",
    processor="AMD EPYC 9B14",
    cores=2,
    host_memory=24 * 2**30,
    system="Linux 6.1.0, glibc 2.36",
    versions={"python": "3.11.7", "jax": "0.10.2", "jaxlib": "0.10.2", "numpy": "2.4.6"},
    xla_flags="",
    environment={"JAX_ENABLE_X64": "0"},
    cache="empty",
    load=0.4,
)
GPU = dataclasses.replace(
    CPU,
    platform="gpu",
    device="NVIDIA H100 80GB HBM3",
    device_memory=80 * 2**30,
    driver="550.54.15",
    cores=16,
    versions={**CPU.versions, "CUDA": "12.8", "cuDNN": "9.8"},
    xla_flags="--xla_gpu_autotune_level=4",
)
_ROOFS = {
    "cpu": Roofs(
        products={"highest": 1.9e11, "default": 1.9e11, "bfloat16": 0.6e11},
        operations=1.1e10,
        bytes=2.4e10,
    ),
    "gpu": Roofs(
        products={"highest": 5.1e13, "default": 3.9e14, "bfloat16": 7.2e14},
        operations=8.0e12,
        bytes=2.9e12,
    ),
}
# Name, workload, sizes, images, work in products, operations and bytes; the share of its roof that
# it reaches on a CPU and on a GPU; whether its answer is exact.
_ROWS = (
    ("forward vgg16", "forward", {"network": "vgg16", "batch": 8, "precision": "default"}, 8)
    + ((2.48e11, 1.1e8, 7.4e8), (0.72, 0.41), False),
    ("forward vgg16 bfloat16", "forward", {"network": "vgg16", "batch": 8, "precision": "bfloat16"})
    + (8, (2.48e11, 1.1e8, 3.7e8), (0.61, 0.53), False),
    ("forward resnet50", "forward", {"network": "resnet50", "batch": 8, "precision": "default"}, 8)
    + ((6.5e10, 1.8e8, 1.4e9), (0.55, 0.22), False),
    ("forward vit_b16", "forward", {"network": "vit_b16", "batch": 8, "precision": "default"}, 8)
    + ((2.8e11, 2.6e8, 1.1e9), (0.66, 0.47), False),
    ("forward lite0", "forward", {"network": "lite0", "batch": 8, "precision": "default"}, 8)
    + ((6.2e9, 1.4e8, 3.1e8), (0.31, 0.09), False),
    ("thresholds", "thresholds", {"units": 512, "images": 64, "grid": 56}, 64)
    + ((0.0, 8.2e8, 4.2e8), (0.38, 0.29), True),
    ("overlap", "overlap", {"units": 512, "images": 64, "concepts": 1825}, 64)
    + ((0.0, 6.3e8, 4.4e8), (0.42, 0.18), True),
    ("dissection 1 layer", "dissection", {"layers": 1, "images": 64, "source": "memory"}, 64)
    + ((3.7e12, 4.1e9, 1.2e10), (0.58, 0.33), True),
    ("dissection 13 layers", "dissection", {"layers": 13, "images": 64, "source": "memory"}, 64)
    + ((3.7e12, 3.3e10, 9.6e10), (0.44, 0.21), True),
    ("dissection files", "dissection", {"layers": 1, "images": 64, "source": "files"}, 64)
    + ((3.7e12, 4.1e9, 1.2e10), (0.51, 0.012), True),
    ("removals", "removals", {"units": 512, "method": "low_rank", "batch": 8}, 8)
    + ((1.9e11, 2.2e7, 6.5e8), (0.49, 0.12), False),
    ("insertion", "insertion", {"generator": "progressive_gan", "cells": 64}, 64)
    + ((8.4e11, 9.0e8, 5.1e9), (0.63, 0.37), False),
    ("attack", "attack", {"images": 16, "constants": 5, "steps": 1000}, 16)
    + ((5.1e12, 8.7e10, 4.4e11), (0.57, 0.14), False),
    ("taylor", "taylor", {"units": 512, "batch": 8}, 8)
    + ((5.2e11, 3.8e8, 2.2e9), (0.6, 0.35), False),
    ("feeding", "feeding", {"images": 256, "side": 224}, 256)
    + ((0.0, 3.9e7, 2.1e8), (0.021, 0.00004), True),
)


def _gate(name, exact):
    if exact:
        return Gate(
            passed=True,
            against="NumPy in int64, 64 of the units",
            fingerprint=hashlib.sha256(name.encode()).hexdigest(),
        )
    return Gate(
        passed=True,
        against="the same network, op by op, at the highest precision",
        difference=3.1e-6,
        tolerance=1e-4,
        reason="float32 sums of up to 25,088 products, in another order",
    )


def made_up_row(index, *, platform="cpu", random, scale=1.0, scatter=0.012, repeats=20):
    """One row whose repeats scatter about what its share of the roof makes it take."""
    name, workload, sizes, images, (products, operations, moved), shares, exact = _ROWS[index]
    work = Work(
        products=products,
        operations=operations,
        bytes=moved,
        counted="Convolutions and products; reading weights and inputs once.",
    )
    least = max(
        _ROOFS[platform]
        .least_seconds(work, precision=str(sizes.get("precision", "default")))
        .values()
    )
    typical = scale * least / shares[platform == "gpu"]
    seconds = typical * np.exp(random.normal(0, scatter, repeats))
    return Row(
        name=name,
        workload=workload,
        sizes=dict(sizes),
        devices=1,
        images=images,
        work=work,
        analysed=dataclasses.replace(
            work,
            products=1.04 * products,
            operations=1.3 * operations,
            bytes=2.6 * moved,
            counted="cost_analysis()",
        ),
        timing=Timing(
            seconds=tuple(float(value) for value in seconds),
            runs_per_repeat=1 if typical > 0.01 else 16,
            first=1.4 * typical,
            compile_cold=2.1 + 0.2 * index,
            compile_cached=0.31,
        ),
        memory=Memory(
            arguments=int(moved / 3),
            outputs=int(moved / 9),
            temporary=int(moved / 2),
            peak=900 * 2**20 + index * 2**26,
        ),
        gate=_gate(name, exact),
        probe=tuple(float(value) for value in 0.0021 * np.exp(random.normal(0, 0.006, 2))),
        notes={"passes": 2.0} if workload == "dissection" else {},
    )


def made_up_study():
    """A ladder of precisions, as a study."""
    return StudyResult(
        name="precision",
        study="precision",
        sizes={"network": "scenes", "images": 500},
        tables=(
            ResultTable(
                title="What precision changes to the end",
                columns=("computed in", "thresholds, median change", "units of another concept"),
                rows=(
                    ("float32, highest", 0.0, 0),
                    ("float32, default", 0.0, 0),
                    ("bfloat16", 0.00351, 11),
                    ("<bfloat16> | *nothing*", None, True),
                ),
                note="512 units of a network with trained weights; on a CPU float32 is exact.",
            ),
        ),
        gates={"counts of two runs": _gate("precision", True)},
        data={"changes": [0.0, 0.0, 0.00351]},
        seconds=41.0,
    )


def made_up_run(*, platform="cpu", seed=0, scatter=0.012, repeats=20, rows=None, slower=()):
    """Make up a whole run that went well.

    Args:
        platform: "cpu" or "gpu".
        seed: Other seeds give other repeats of the same rows.
        scatter: Standard deviation of the logarithms of the repeats of a row.
        repeats: Of every row.
        rows: How many of the 15 rows; all where None.
        slower: Pairs of the name of a row and how many times as long it takes.
    """
    random = np.random.default_rng(seed)
    factors = dict(slower)
    roofs = _ROOFS[platform]

    def measured():
        return dataclasses.replace(
            roofs,
            products={
                name: float(rate * np.exp(random.normal(0, 0.01)))
                for name, rate in roofs.products.items()
            },
            operations=float(roofs.operations * np.exp(random.normal(0, 0.01))),
            bytes=float(roofs.bytes * np.exp(random.normal(0, 0.01))),
        )

    return Run(
        suite=platform,
        command=f"jaxdissect bench --suite {platform} --out results/bench",
        begun="2026-11-29T12:00:00+00:00",
        seconds=512.4,
        machine=GPU if platform == "gpu" else CPU,
        roofs=measured(),
        rows=tuple(
            made_up_row(
                index,
                platform=platform,
                random=random,
                scale=factors.get(_ROWS[index][0], 1.0),
                scatter=scatter,
                repeats=repeats,
            )
            for index in range(len(_ROWS) if rows is None else rows)
        ),
        roofs_after=measured(),
        studies=(made_up_study(),),
        version="0.2.0",
        commit="0123456789abcdef",
    )


def failed_run(*, platform="cpu", seed=0):
    """The same with a row that ran out of memory, one whose answer is wrong and a failed study."""
    run = made_up_run(platform=platform, seed=seed)
    first, second, *others = run.rows
    unmeasured = dataclasses.replace(
        first,
        work=None,
        analysed=None,
        timing=None,
        memory=None,
        gate=None,
        problem="RESOURCE_EXHAUSTED: Out of memory while trying to allocate 81604378624 bytes.",
    )
    assert second.gate is not None
    wrong = dataclasses.replace(
        second, gate=dataclasses.replace(second.gate, passed=False, difference=0.2)
    )
    broken = dataclasses.replace(
        run.studies[0], tables=(), gates={}, data={}, problem="ValueError: no such network"
    )
    return dataclasses.replace(
        run, rows=(unmeasured, wrong, *others), studies=(*run.studies, broken)
    )


def simulated_run(
    random, *, machine=0.0, follows=None, slower=(), moment=0.008, process=0.01, repeats=20
):
    """Make up a run whose noise is like that of a machine: what is alike in it is not independent.

    On the scale of logarithms, the time of a repeat adds up the state of the machine, which a row
    follows more or less closely; the moment, like that of the rows before; the process; and
    the scatter of repeats, each like the one before, with a long one now and then. Nothing of that
    is regression: that is `slower`.

    Args:
        random: A generator of NumPy.
        machine: State of the machine during the whole run: 0.1 is 10% slower, about.
        follows: How closely each row follows the machine; exactly where None.
        slower: Pairs of the name of a row and how many times as long it takes.
        moment: Standard deviation of the state of the machine from row to row.
        process: Standard deviation of rows from process to process.
        repeats: Of every row.
    """
    run = made_up_run(slower=slower, scatter=0.0, repeats=1)
    states = _alike(random, len(run.rows) + 2, moment, 0.6)
    follows = np.ones(len(run.rows)) if follows is None else follows
    rows = []
    for row, state, share in zip(run.rows, states[1:-1], follows, strict=True):
        assert row.timing is not None
        own = share * (machine + state) + random.normal(0, process)
        long = np.where(random.random(repeats) < 0.03, random.exponential(0.5, repeats), 0)
        logs = own + _alike(random, repeats, 0.012, 0.5) + long
        beside = machine + state + random.normal(0, 0.003, 2)
        rows.append(
            dataclasses.replace(
                row,
                timing=dataclasses.replace(
                    row.timing, seconds=tuple((row.timing.seconds[0] * np.exp(logs)).tolist())
                ),
                probe=tuple((0.0021 * np.exp(beside)).tolist()),
            )
        )
    before, after = (_slower_roofs(machine + state, random) for state in (states[0], states[-1]))
    return dataclasses.replace(run, rows=tuple(rows), roofs=before, roofs_after=after)


def _alike(random, number, spread, tied):
    """Values of which each is correlated with the one before."""
    values = np.empty(number)
    value = random.normal(0, spread)
    for index in range(number):
        values[index] = value
        value = tied * value + random.normal(0, spread * np.sqrt(1 - tied**2))
    return values


def _slower_roofs(state, random):
    def rate(value):
        return float(value * np.exp(random.normal(-state, 0.005)))

    roofs = _ROOFS["cpu"]
    return dataclasses.replace(
        roofs,
        products={name: rate(value) for name, value in roofs.products.items()},
        operations=rate(roofs.operations),
        bytes=rate(roofs.bytes),
    )
