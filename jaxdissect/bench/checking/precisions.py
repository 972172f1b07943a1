"""The precisions that a network is measured in, and how far its answer may then be from float64."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp

from jaxdissect.networks.network import Network, as_network
from jaxdissect.networks.precision import in_precision

PRECISIONS = ("highest", "default", "bfloat16")
"""Float32 as exact as there is, float32 as the device does it, and bfloat16."""


def check_precision(precision: str) -> None:
    """Refuse other precisions.

    Raises:
        ValueError: If it is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` (={precision!r}) must be one of: {', '.join(PRECISIONS)}")


def network_in(model: Any, precision: str) -> Network:
    """Make a network of a module; its functions must be traced within `traced_in`."""
    return in_precision(model, jnp.bfloat16) if precision == "bfloat16" else as_network(model)


def traced_in(precision: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function be traced in a precision, whatever the process is set to."""

    @wraps(function)
    def traced(*arguments: Any) -> Any:
        with jax.default_matmul_precision("highest" if precision == "highest" else "default"):
            return function(*arguments)

    return traced


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from that in float64, relative to its greatest value, and why."""

    share: float
    reason: str


def tolerance_of(precision: str, *, platform: str | None = None) -> Tolerance:
    """Choose how far the outputs of a deep network may be from those in float64.

    Args:
        precision: One of `PRECISIONS`.
        platform: Where it is computed; that of the usual device where None.
    """
    where = jax.default_backend() if platform is None else platform
    if precision == "highest":
        if where == "cpu":
            return Tolerance(2e-5, "float32 rounds to 6e-8, and errors add up over the layers")
        return Tolerance(1e-4, "libraries of devices may take Winograd's form, off by 1e-5 a layer")
    if precision == "bfloat16":
        return Tolerance(5e-2, "bfloat16 rounds every layer to 4e-3, and errors add up over them")
    return {
        "cpu": Tolerance(2e-4, "Winograd's form differs from float64 by 1e-5 a layer"),
        "gpu": Tolerance(1e-2, "TF32 rounds the operands of every product to 5e-4"),
    }.get(where, Tolerance(5e-2, "products take bfloat16 operands, which are rounded to 4e-3"))
