"""Libraries of the processor as contenders, and ours beside them with and without the way there."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxdissect.bench.others import pytorch
from jaxdissect.bench.others.match import Contender, Terms

ON_DEVICE, FROM_HOST = "jaxdissect", "jaxdissect, from and to host memory"


def contender(
    name: str,
    library: str,
    run: Callable[[], Any],
    *,
    exactness: str,
    precision: str = "",
    layout: str = "",
    threads: str = "1",
    differs: str = "",
    share: float = 1.0,
) -> Contender:
    """Make a contender that computes on the processor and returns when it is done."""
    return Contender(
        name=name,
        library=library,
        run=run,
        wait=lambda answer: None,
        terms=Terms(
            device="cpu",
            threads=threads,
            precision=precision,
            layout=layout,
            exactness=exactness,
            differs=differs,
        ),
        share=share,
    )


def ours(
    function: Callable[..., Any],
    arguments: tuple[np.ndarray, ...],
    *,
    exactness: str,
    precision: str = "",
    layout: str = "",
) -> list[Contender]:
    """Make two contenders of a function of arrays that JAX can trace.

    The first has its arguments in the memory of the device, and leaves its answer there, as within
    a larger program; the second begins and ends with NumPy arrays, as the other libraries do.
    """
    placed = jax.device_put(arguments)
    compiled = jax.jit(function).lower(*placed).compile()

    def from_host() -> Any:
        return jax.device_get(compiled(*jax.device_put(arguments)))

    terms = pytorch.own_terms("default", layout, exactness)
    given = {"layout": layout, "exactness": exactness, "threads": terms.threads}
    return [
        Contender(
            name=name,
            library="jaxdissect",
            run=run,
            wait=jax.block_until_ready,
            terms=Terms(device=terms.device, precision=precision, differs=differs, **given),
        )
        for name, run, differs in (
            (ON_DEVICE, lambda: compiled(*placed), "arrays are on the device before and after"),
            (FROM_HOST, from_host, ""),
        )
    ]
