"""A small fixed computation: how fast the machine is just now.

It is run before and after every row, so that a slow row of a slow moment can be told from a slow
row: half of it is a matrix product, half of it passes through memory.
"""

import functools
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

from jaxdissect.bench.measuring.repeats import repeat

_PRODUCT = {"cpu": 640, "gpu": 8192, "tpu": 8192}  # rows and columns
_MEMORY = {"cpu": 2**23, "gpu": 2**28, "tpu": 2**28}  # values
_SHARE_OF_MEMORY = 64  # bytes of a device for each value at least
_REPEATS = 5


def probe() -> float:
    """Measure how many seconds the fixed computation takes now, the median of a few runs."""
    found = repeat(_computation(jax.local_devices()[0]), seconds=0.0, least_repeats=_REPEATS)
    return median(found.seconds)


@functools.cache
def _computation(device: Any) -> Callable[[], jax.Array]:
    """Compile it; what it reads is made by every run, so that it takes no memory between them."""
    size = _PRODUCT.get(device.platform, 640)
    values = _MEMORY.get(device.platform, 2**23)
    if memory := (device.memory_stats() or {}).get("bytes_limit"):
        values = min(values, int(memory) // _SHARE_OF_MEMORY)

    def compute(scale: jax.Array) -> jax.Array:
        # Behind a barrier, nothing knows that all values are alike, or which will be used.
        square = jnp.full((size, size), scale) + jnp.eye(size, dtype=jnp.float32)
        product = jax.lax.optimization_barrier(square @ square)
        passed = jax.lax.optimization_barrier(jnp.full((values,), scale))
        passed = jax.lax.optimization_barrier(passed * scale)
        return product[0] + passed[:size]

    scale = jax.device_put(jnp.float32(1.5), device)
    compiled = jax.jit(compute).lower(scale).compile()
    return lambda: compiled(scale)
