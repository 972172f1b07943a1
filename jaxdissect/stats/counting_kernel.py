"""Counting above candidates as a kernel in Pallas: every value is read once for all of them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from jaxdissect.stats.counting_sums import count_by_sums
from jaxdissect.stats.subnormals import flushed

_ROWS = 64  # compared at once
_MOST_STEPS = 32  # of so many rows in one program
_FEWEST_PROGRAMS = 64  # along the rows, to keep every core of a large device busy
_MOST_CANDIDATES = 64  # each has counters in registers


def count_on_gpu(samples: Array, candidates: Array, *, interpret: bool = False) -> Array:
    """Count on a GPU, by way of Triton."""
    return _count(samples, candidates, (128, 64, 32), pltriton.CompilerParams(), interpret)


def count_on_tpu(samples: Array, candidates: Array, *, interpret: bool = False) -> Array:
    """Count on a TPU, by way of Mosaic."""
    parallel = pltpu.CompilerParams(dimension_semantics=("parallel", "parallel"))
    return _count(samples, candidates, (128,), parallel, interpret)


def _count(
    samples: Array, candidates: Array, widths: tuple[int, ...], parameters: Any, interpret: bool
) -> Array:
    number, columns = samples.shape
    steps = min(_MOST_STEPS, max(1, number // (_ROWS * _FEWEST_PROGRAMS)))
    rows = steps * _ROWS
    programs = number // rows
    width = next((width for width in widths if columns % width == 0), None)
    if width is None or programs == 0 or not 0 < len(candidates) <= _MOST_CANDIDATES:
        return count_by_sums(samples, candidates)
    found = pl.pallas_call(
        partial(_kernel, steps),
        grid=(programs, columns // width),
        in_specs=[
            pl.BlockSpec((rows, width), lambda i, j: (i, j)),
            pl.BlockSpec((len(candidates), width), lambda i, j: (0, j)),
        ],
        out_specs=pl.BlockSpec((1, len(candidates), width), lambda i, j: (i, 0, j)),
        out_shape=jax.ShapeDtypeStruct((programs, *candidates.shape), jnp.int32),
        compiler_params=parameters,
        interpret=interpret,
        name="counts_above",
    )(samples, flushed(candidates)).sum(axis=0)
    # What is left over does not fill a program.
    rest = samples[programs * rows :]
    return found + count_by_sums(rest, candidates) if len(rest) else found


def _kernel(steps: int, samples: Any, candidates: Any, found: Any) -> None:
    number, width = candidates.shape

    def step(i: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
        block = flushed(samples[pl.ds(i * _ROWS, _ROWS), :])
        above = (block > candidates[pl.ds(m, 1), :] for m in range(number))
        sums = (one.astype(jnp.int32).sum(axis=0, keepdims=True) for one in above)
        return tuple(total + one for total, one in zip(totals, sums, strict=True))

    zero = jnp.zeros((1, width), jnp.int32)
    totals = lax.fori_loop(0, steps, step, (zero,) * number)
    for m, total in enumerate(totals):
        found[0, pl.ds(m, 1), :] = total
