"""What a device reaches: the roofs that a row is measured against (Williams et al., CACM 2009).

They are measured on this very device, not read from a data sheet. Of several forms and sizes the
best counts, and of the repeats of each the fastest: a roof is what can be reached. A row may still
lie above one: convolutions by Winograd's algorithm do with fewer products than are counted.
"""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdissect.bench.measuring.machine import largest_cache
from jaxdissect.bench.measuring.repeats import repeat, runs_under_way
from jaxdissect.bench.workload import Work

_LEAST_REPEATS = 3
_WITH_COMPILING = 4  # times as long as without: then no further form is compiled
_SHARE_OF_MEMORY = 16  # the largest array takes this part of the memory of a device
_HOST_ARRAY = 2**27  # bytes of the arrays that a processor copies, at least
_DEVICE_ARRAY = 2**30  # bytes of the arrays that other devices copy, at most


@dataclass(frozen=True, kw_only=True)
class Roofs:
    """What one device reaches in a second.

    Attributes:
        products: Floating-point operations of a large matrix product, by precision: "highest",
            "default" (float32 as the device does it) and "bfloat16".
        operations: Comparisons of float32 values that are in the cache and additions of their
            results; both count.
        bytes: Read from and written to its memory, where arrays much larger than its caches are
            scaled, added or summed up. On processors, what is read is written to again: memory
            that is new to a process is slower, since its pages must be made first.
        forms: Of every form and size that was tried, what it reached.
    """

    products: dict[str, float]
    operations: float
    bytes: float
    forms: dict[str, float] = field(default_factory=dict)

    def least_seconds(self, work: Work, *, precision: str = "default") -> dict[str, float]:
        """Tell how long some work takes at least on one device, by each of the three roofs."""
        return {
            "products": work.products / self.products[precision],
            "operations": work.operations / self.operations,
            "bytes": work.bytes / self.bytes,
        }


class _Form(NamedTuple):
    """A way to reach a roof.

    Attributes:
        name: With its size.
        amount: What is done once, in the unit of the roof.
        function: To be compiled.
        arguments: Makes what it is called with.
        chained: The answer takes the place of the first argument, in its memory.
    """

    name: str
    amount: float
    function: Callable[..., Any]
    arguments: Callable[[], tuple[jax.Array, ...]]
    chained: bool = False


def measure_roofs(*, seconds: float = 10.0) -> Roofs:
    """Measure the roofs of the first device of this process.

    Args:
        seconds: How long that may take, without compiling; a fifth of it for each roof. Of each,
            one form is measured at least, three times. Where compiling takes several times as
            long, larger forms are left out.

    Raises:
        ValueError: If `seconds` is not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"`seconds` (={seconds}) must be above 0")
    device = jax.local_devices()[0]
    share = seconds / 5
    forms: dict[str, float] = {}
    with jax.default_device(device):
        products = {
            precision: _best(_products(device, precision), share, forms)
            for precision in ("highest", "default", "bfloat16")
        }
        # What more precision allows, less does too.
        products["default"] = max(products["default"], products["highest"])
        operations = _best(_operations(device), share, forms)
        moved = _best(_passes(device), share, forms)
    return Roofs(products=products, operations=operations, bytes=moved, forms=forms)


def _best(forms: Iterator[_Form], seconds: float, found: dict[str, float]) -> float:
    """Measure forms, smallest first, until time is over; the first is always measured."""
    best, left, rate = 0.0, seconds, None
    end = time.perf_counter() + _WITH_COMPILING * seconds
    for form in forms:
        if rate is not None and (
            (_LEAST_REPEATS + 2) * form.amount / rate > left or time.perf_counter() > end
        ):
            continue  # it would take longer than is left
        run, calls = _runs(form)
        begun = time.perf_counter()
        repeats = repeat(
            run,
            seconds=max(min(seconds / 4, left), 0.0),
            least_repeats=_LEAST_REPEATS,
            under_way=1 if form.chained else None,  # an answer is gone when the next run begins
        )
        left -= time.perf_counter() - begun
        rate = calls * form.amount / min(repeats.seconds)
        found[form.name] = rate
        best = max(best, rate)
    return best


def _runs(form: _Form) -> tuple[Callable[[], jax.Array], int]:
    """Compile a form, and run it once; returns what runs it, and how often each time."""
    calls = runs_under_way() if form.chained else 1
    arguments = list(form.arguments())
    donated = 0 if form.chained else ()
    compiled = jax.jit(form.function, donate_argnums=donated).lower(*arguments).compile()

    def run() -> jax.Array:
        for _ in range(calls - 1):
            arguments[0] = compiled(*arguments)
        answer = compiled(*arguments)
        if form.chained:
            arguments[0] = answer
        return answer

    run().block_until_ready()
    return run, calls


def _products(device: Any, precision: str) -> Iterator[_Form]:
    """Products of square matrices, and of many rows as convolutions have them."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    chosen = jax.lax.Precision.HIGHEST if precision == "highest" else jax.lax.Precision.DEFAULT

    def multiply(left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.matmul(left, right, precision=chosen)

    host = device.platform == "cpu"
    sizes = (512, 1024, 2048) if host else (4096, 8192, 16384)
    most = _largest_array(device)
    shapes = [(size, size, size) for size in sizes]
    shapes.insert(1, (2048 if host else 65536, 9 * 512, 512))
    for rows, inner, columns in shapes:
        if dtype.dtype.itemsize * max(rows * inner, inner * columns, rows * columns) > most:
            continue

        def arguments(rows: int = rows, inner: int = inner, columns: int = columns) -> Any:
            return _noise(rows, inner, dtype), _noise(inner, columns, dtype)

        name = f"product {precision}, {rows} x {inner} x {columns}"
        yield _Form(name, 2.0 * rows * inner * columns, multiply, arguments)


def _operations(device: Any) -> Iterator[_Form]:
    """Values that are compared with many others: how many of those are smaller."""
    candidates = 128

    def count(values: jax.Array, limits: jax.Array) -> jax.Array:
        counts = jnp.zeros(values.shape, jnp.int32)
        for index in range(candidates):
            counts = counts + (values > limits[index]).astype(jnp.int32)
        return counts

    sizes = (2**14, 2**17, 2**20) if device.platform == "cpu" else (2**20, 2**22, 2**24)
    for size in sizes:

        def arguments(size: int = size) -> tuple[jax.Array, jax.Array]:
            return _noise(size // 512, 512), jnp.linspace(-2.0, 2.0, candidates)

        amount = 2.0 * size * candidates
        yield _Form(f"{candidates} comparisons of {size} values", amount, count, arguments)


def _passes(device: Any) -> Iterator[_Form]:
    """Passes through arrays that are much larger than the caches."""
    if device.platform == "cpu":
        size = min(max(_HOST_ARRAY, 4 * largest_cache()), _largest_array(device))
    else:
        size = min(_DEVICE_ARRAY, _largest_array(device))
    rows, columns = max(size // 4 // 2048, 1), 2048
    values, label = rows * columns, f"of {4 * rows * columns / 2**20:.0f} MiB"

    def one() -> tuple[jax.Array, ...]:
        return (jnp.ones((rows, columns)),)

    def two() -> tuple[jax.Array, ...]:
        return jnp.ones((rows, columns)), jnp.ones((rows, columns))

    yield _Form(f"scaling {label}", 8.0 * values, lambda array: array * 0.999, one, True)
    yield _Form(f"adding {label}", 12.0 * values, lambda left, right: left + right, two, True)
    yield _Form(f"summing up {label}", 4.0 * values, lambda array: array.sum(1), one)


def _largest_array(device: Any) -> int:
    """Tell how many bytes an array may have."""
    memory = (device.memory_stats() or {}).get("bytes_limit")
    return int(memory) // _SHARE_OF_MEMORY if memory else 2**29


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _noise(rows: int, columns: int, dtype: Any = jnp.float32) -> jax.Array:
    """Products of random numbers of the rows and of the columns, which are quickly made.

    A device needs less power for zeros, and may run faster with them.
    """
    random = np.random.default_rng(0)
    left, right = (
        jnp.asarray(random.standard_normal(size), jnp.float32) for size in (rows, columns)
    )
    return jnp.outer(left, right).astype(dtype)
