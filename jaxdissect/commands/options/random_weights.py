"""The option --random-weights: the same network untrained, a control for what is found in one."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree
from tyro.conf import arg

from jaxdissect.commands.options.numbers import check_at_least
from jaxdissect.networks.network import Network, as_network


@dataclass(frozen=True, kw_only=True)
class RandomWeightsOption:
    """The option that takes a network with random weights."""

    random_weights: Annotated[int | None, arg(metavar="SEED", help_behavior_hint="")] = None
    """Take the same network with random weights, initialised from this seed as before training:
    what is found in it as well is not learned. A function of yours must take `rngs` or `seed`."""

    def check_random_weights(self, weights: Path | None) -> None:
        """Check the seed, and that there are no other weights.

        Raises:
            ValueError: If the seed is negative, or `weights` are given too.
        """
        check_at_least(self, random_weights=0)
        if self.random_weights is not None and weights is not None:
            raise ValueError(
                f"`random_weights` (={self.random_weights}) takes the place of `weights` "
                f"(={weights}): give one of them; without `weights` a kind of network has the "
                "sizes that were published"
            )


def build_untrained(build: Callable[..., Any], name: str, seed: int) -> Network:
    """Call a function of the user's so that it builds a network with random weights.

    It is called with ``rngs=nnx.Rngs(seed)`` or ``seed=seed``, whichever it takes, and once more
    with another seed: a function that loads weights all the same is no control.

    Args:
        build: The function.
        name: What the user called it.
        seed: The seed.

    Raises:
        ValueError: If it takes neither, or most of its weights do not depend on it.
    """
    function = f"{name.rpartition(':')[2]}()"
    parameters = inspect.signature(build).parameters
    if "rngs" in parameters:
        networks = [as_network(build(rngs=nnx.Rngs(number))) for number in (seed, seed + 1)]
    elif "seed" in parameters:
        networks = [as_network(build(seed=number)) for number in (seed, seed + 1)]
    else:
        raise ValueError(
            f"`random_weights`: {function} of `model` (={name!r}) takes neither `rngs` "
            "(an nnx.Rngs) nor `seed` (an integer); let it take one of them and build the network "
            "without loading weights, or name another function as `model` that does"
        )
    share = _share_that_differs(*(network.params for network in networks))
    if share < 0.5:
        raise ValueError(
            f"`random_weights`: {1 - share:.0%} of the weights that {function} of `model` "
            f"(={name!r}) gives do not depend on its seed; it must not load any when called so"
        )
    return networks[0]


def _share_that_differs(first: PyTree, second: PyTree) -> float:
    """Find which share of the weights are in arrays that differ; constant ones do not count."""
    different = total = 0
    for array, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if not jnp.issubdtype(array.dtype, jnp.inexact):  # such as the state of dropout
            continue
        values = np.asarray(array)
        if (values != values.flat[:1]).any():
            total += values.size
            different += values.size * (not np.array_equal(values, np.asarray(other)))
    return different / total if total else 0.0
