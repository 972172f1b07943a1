"""Small networks of every kind, each beside its plain forward pass: a CNN and a vision transformer.

Both take images [B, 8, 8, 3] and have layers "first", "second" and "third" with 4, 6 and 5 units.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

from jaxdissect.networks.adapters.linen_network import LinenNetwork
from jaxdissect.networks.adapters.nnx_network import NnxNetwork
from jaxdissect.networks.adapters.staged_network import StagedNetwork
from jaxdissect.networks.network import Network

LAYERS = ("first", "second", "third")
NUM_UNITS = {"first": 4, "second": 6, "third": 5}


class Probed(NamedTuple):
    """A network, and (params, images) -> output without any of our machinery."""

    network: Network
    forward: Callable[[Any, jax.Array], jax.Array]


def normal(seed: int, shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


@cache
def images(count: int = 2) -> jax.Array:
    return normal(1, (count, 8, 8, 3))


class NnxConvolutional(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.second = nnx.Conv(4, 6, (3, 3), strides=(2, 2), rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.third = nnx.Conv(6, 5, (1, 1), rngs=rngs)
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.first(x))
        x = self.drop(nnx.relu(self.norm(self.second(x))))
        return self.head(nnx.relu(self.third(x)).mean((1, 2)))


class NnxTokens(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 4, (2, 2), strides=(2, 2), rngs=rngs)
        self.class_token = nnx.Param(normal(2, (4,)))
        self.attention = nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs)
        self.second = nnx.Linear(4, 6, rngs=rngs)
        self.third = nnx.Linear(6, 5, rngs=rngs)
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        x = x.reshape(x.shape[0], -1, 4)
        token = jnp.broadcast_to(self.class_token.get_value(), (x.shape[0], 1, 4))
        x = jnp.concatenate([token, x], axis=1)
        x = x + self.attention(x)
        return self.head(self.third(nnx.gelu(self.second(x)))[:, 0])


class LinenConvolutional(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
        x = nn.Conv(6, (3, 3), strides=(2, 2), name="second")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.relu(nn.Conv(5, (1, 1), name="third")(x))
        return nn.Dense(3)(x.mean((1, 2)))


class LinenTokens(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        x = nn.Conv(4, (2, 2), strides=(2, 2), name="first")(x)
        x = x.reshape(x.shape[0], -1, 4)
        x = x + nn.MultiHeadDotProductAttention(2)(x)
        x = nn.Dense(6, name="second")(x)
        return nn.Dense(3)(nn.Dense(5, name="third")(nn.gelu(x)).mean(1))


def nnx_probed(kind: Callable[[nnx.Rngs], Any]) -> Probed:
    module = kind(nnx.Rngs(0))
    network = NnxNetwork(module)
    module.eval()
    definition, streams, _ = nnx.split(module, nnx.RngState, ...)
    return Probed(network, lambda params, x: nnx.merge(definition, streams, params)(x))


def linen_probed(module: Any) -> Probed:
    variables = jax.jit(module.init)(jax.random.key(0), images())
    return Probed(
        LinenNetwork(module, variables, train=False),
        lambda params, x: module.apply(params, x, train=False),
    )


def convolve(name: str) -> Callable[[Any, jax.Array], jax.Array]:
    def stage(params, x):
        x = jax.lax.conv_general_dilated(
            x, params[name], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(x)

    return stage


def project(name: str) -> Callable[[Any, jax.Array], jax.Array]:
    return lambda params, x: jax.nn.gelu(x.reshape(x.shape[0], -1, x.shape[-1]) @ params[name])


def staged_probed(stage: Callable[[str], Callable[[Any, jax.Array], jax.Array]]) -> Probed:
    sizes = (3, *NUM_UNITS.values())
    window = (3, 3) if stage is convolve else ()
    params = {
        name: normal(index, (*window, before, after)) / before**0.5
        for index, (name, before, after) in enumerate(zip(LAYERS, sizes, sizes[1:], strict=False))
    }

    def head(params, x):
        return x.mean(tuple(range(1, x.ndim - 1)))

    def forward(params, x):
        for name in LAYERS:
            x = stage(name)(params, x)
        return head(params, x)

    return Probed(StagedNetwork({name: stage(name) for name in LAYERS}, params, head=head), forward)


_PROBED: dict[str, Callable[[], Probed]] = {
    "nnx convolutional": lambda: nnx_probed(NnxConvolutional),
    "nnx tokens": lambda: nnx_probed(NnxTokens),
    "linen convolutional": lambda: linen_probed(LinenConvolutional()),
    "linen tokens": lambda: linen_probed(LinenTokens()),
    "staged convolutional": lambda: staged_probed(convolve),
    "staged tokens": lambda: staged_probed(project),
}
KINDS = tuple(_PROBED)


@cache
def probed_network(kind: str) -> Probed:
    """One of `KINDS`, built once."""
    return _PROBED[kind]()
