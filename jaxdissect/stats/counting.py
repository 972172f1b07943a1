"""How many values lie above each of a few candidates: the inner loop of every search by counting.

Letters: n samples, Q columns (usually units), M candidates per column.

Every device has a form of its own, all with the same integers: on CPU blocks that stay in cache, on
accelerators one sum for every candidate, or a kernel in Pallas (`counting_kernel`) that reads every
value once for all candidates. The environment variable JAXDISSECT_KERNELS, read when a program is
traced, chooses: "auto" (the default) takes the kernel on GPUs, where it was measured to be twice
as fast; "pallas" takes it on TPUs too; "xla" never takes it. Where shapes do not fit the kernel,
XLA counts.

Subnormal numbers count as zero on every device, and NaN is never above anything. Within
`jax.shard_map`, pass ``check_vma=False``.
"""

import os

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32, Int32

from jaxdissect.stats import counting_sums

_BLOCK_ROWS = 16  # at least as many are compared in one expression; XLA makes fewer 10 times slower
_BLOCK_WIDTH = 2**12  # values side by side in a block: enough for every core, few for the cache


def counts_above(
    samples: Float32[Array, "n Q"], candidates: Float32[Array, "M Q"]
) -> Int32[Array, "M Q"]:
    """Count the samples of every column that are strictly greater than each of its candidates.

    Args:
        samples: Fewer than 2**31 rows; NaN where a sample does not count.
        candidates: In any order.

    Raises:
        ValueError: If JAXDISSECT_KERNELS is none of "auto", "pallas" and "xla".
    """
    choice = os.environ.get("JAXDISSECT_KERNELS", "auto")
    if choice not in ("auto", "pallas", "xla"):
        raise ValueError(f"JAXDISSECT_KERNELS (={choice!r}) must be 'auto', 'pallas' or 'xla'")
    forms = {"cpu": _count_by_blocks, "default": counting_sums.count_by_sums}
    if choice == "pallas" or (choice == "auto" and jax.default_backend() == "gpu"):
        # Only here: importing Pallas takes longer than counting does.
        from jaxdissect.stats import counting_kernel

        forms |= {"cuda": counting_kernel.count_on_gpu, "rocm": counting_kernel.count_on_gpu}
        if choice == "pallas":
            forms["tpu"] = counting_kernel.count_on_tpu
    return lax.platform_dependent(samples, candidates, **forms)


def _count_by_blocks(samples: Array, candidates: Array) -> Array:
    blocks = _in_blocks(samples)

    def count(total: Array, block: Array) -> tuple[Array, None]:
        # Written out, the sum over rows stays in registers: two to eight times faster than `sum`.
        above = [row[:, None] > candidates[None] for row in jnp.unstack(block, axis=1)]
        return sum((one.astype(jnp.int32) for one in above), start=total), None

    start = jnp.zeros((blocks.shape[1], *candidates.shape), jnp.int32)
    return lax.scan(count, start, blocks)[0].sum(axis=0)


def _in_blocks(samples: Array) -> Float32[Array, "blocks group rows Q"]:
    """Divide the rows: those of one group are counted in counters of their own."""
    number, columns = samples.shape
    sizes = range(_BLOCK_ROWS, 2 * _BLOCK_ROWS)
    rows = next((size for size in sizes if number % size == 0), _BLOCK_ROWS)
    blocks = max(1, -(-number // rows))
    most = max(1, _BLOCK_WIDTH // columns)
    group = next(size for size in range(min(most, blocks), 0, -1) if blocks % size == 0)
    padding = ((0, blocks * rows - number), (0, 0))
    samples = jnp.pad(samples, padding, constant_values=jnp.nan)
    return samples.reshape(-1, group, rows, columns)
